//! The worker's behaviour, seen from the orders service and in the database.

use std::{collections::HashSet, sync::Arc, time::Duration};

use fulfilment::{
    app::{App, Config},
    domain::ShipmentState,
    store::{self, MIGRATIONS, Store},
};
use proto::orders::v1::{OrderConfirmed, OrderState, event::Payload};
use testkit::{Backend, TestDatabase, eventually};
use uuid::Uuid;

use crate::orders::FakeOrders;

crate::on_both_databases![
    a_confirmed_order_is_shipped_once,
    several_replicas_share_the_work,
    work_longer_than_the_lease_keeps_it,
    a_lost_answer_ships_nothing_twice,
    failures_in_passing_are_tried_again,
    a_poison_event_dies_with_its_reason_and_stops_no_other,
    an_order_cancelled_while_it_is_packed_is_not_shipped,
    a_drain_gives_events_back_and_another_worker_goes_on,
    it_starts_before_its_database_and_works_when_that_is_there,
];

const PATIENCE: Duration = Duration::from_secs(20);

struct Depot {
    orders: FakeOrders,
    store: Arc<dyn Store>,
    database: TestDatabase,
}

impl Depot {
    async fn open(backend: Backend) -> Self {
        let database = testkit::database(backend).await;
        let connection = database.connect();
        connection.migrate(MIGRATIONS).await.unwrap();
        Self {
            orders: FakeOrders::start().await,
            store: store::open(&connection),
            database,
        }
    }

    async fn worker(&self, settings: &[&str]) -> App {
        worker(&self.database, &self.orders, settings).await
    }

    async fn shipped(&self, order: Uuid) -> String {
        eventually(PATIENCE, async || match self.orders.order(order) {
            (OrderState::Shipped, tracking_code) => Ok(tracking_code),
            other => Err(other),
        })
        .await
    }

    async fn all_done(&self) {
        eventually(PATIENCE, async || match self.orders.waiting() {
            0 => Ok(()),
            waiting => Err(waiting),
        })
        .await;
    }
}

async fn worker(database: &TestDatabase, orders: &FakeOrders, settings: &[&str]) -> App {
    let orders_url = format!("http://{}", orders.addr);
    let own = [
        "fulfilment",
        "--database-url",
        &database.url,
        "--orders-url",
        &orders_url,
        "--admin-listen",
        "127.0.0.1:0",
        "--drain-delay",
        "0s",
        "--poll-interval",
        "20ms",
    ];
    let mut all = own.to_vec();
    if !settings.contains(&"--shipping-time") {
        all.extend(["--shipping-time", "0s"]);
    }
    all.extend(settings);
    let config: Config = lifecycle::parse_from(all).unwrap();
    App::start(&config, String::new).await.unwrap()
}

async fn a_confirmed_order_is_shipped_once(backend: Backend) {
    let depot = Depot::open(backend).await;
    let _worker = depot.worker(&[]).await;
    let order = depot.orders.confirm();

    let tracking_code = depot.shipped(order).await;
    depot.all_done().await;
    let shipment = depot.store.shipment(order).await.unwrap().unwrap();
    assert_eq!(shipment.tracking_code, tracking_code);
    assert_eq!(shipment.state, ShipmentState::Shipped);
}

async fn several_replicas_share_the_work(backend: Backend) {
    let depot = Depot::open(backend).await;
    // Each replica has room for one event, so that neither can take all.
    let settings = ["--concurrency", "1", "--shipping-time", "20ms"];
    let _workers = [
        depot.worker(&settings).await,
        depot.worker(&settings).await,
        depot.worker(&settings).await,
    ];
    let orders: Vec<Uuid> = (0..30).map(|_| depot.orders.confirm()).collect();
    let mut tracking_codes = HashSet::new();
    for order in orders {
        tracking_codes.insert(depot.shipped(order).await);
    }
    assert_eq!(tracking_codes.len(), 30);
    depot.all_done().await;
}

async fn work_longer_than_the_lease_keeps_it(backend: Backend) {
    let depot = Depot::open(backend).await;
    let settings = ["--lease", "1s", "--shipping-time", "2500ms"];
    let _workers = [depot.worker(&settings).await, depot.worker(&settings).await];
    let order = depot.orders.confirm();
    depot.shipped(order).await;
    depot.all_done().await;
    assert!(depot.orders.dead().is_empty());
    assert_eq!(
        depot.orders.most_attempts(),
        1,
        "nobody else ever got the event"
    );
}

async fn a_lost_answer_ships_nothing_twice(backend: Backend) {
    let depot = Depot::open(backend).await;
    depot.orders.lose(2);
    let _worker = depot.worker(&[]).await;
    let order = depot.orders.confirm();
    let tracking_code = depot.shipped(order).await;
    depot.all_done().await;
    let shipment = depot.store.shipment(order).await.unwrap().unwrap();
    assert_eq!(
        shipment.tracking_code, tracking_code,
        "the code that the customer was told"
    );
}

async fn failures_in_passing_are_tried_again(backend: Backend) {
    let depot = Depot::open(backend).await;
    // More than one delivery's attempts.
    depot.orders.refuse(5);
    let _worker = depot.worker(&[]).await;
    let order = depot.orders.confirm();
    depot.shipped(order).await;
    depot.all_done().await;
    assert!(depot.orders.most_attempts() > 1);
    assert!(depot.orders.dead().is_empty());
}

async fn a_poison_event_dies_with_its_reason_and_stops_no_other(backend: Backend) {
    let depot = Depot::open(backend).await;
    let confirmed = |order_id: &str| {
        Some(Payload::OrderConfirmed(OrderConfirmed {
            order_id: order_id.to_owned(),
        }))
    };
    depot.orders.event(None);
    depot.orders.event(confirmed("not-a-uuid"));
    depot.orders.event(confirmed(&Uuid::new_v4().to_string()));
    let _worker = depot.worker(&["--concurrency", "1"]).await;
    let order = depot.orders.confirm();
    depot.shipped(order).await;
    depot.all_done().await;
    let dead = depot.orders.dead();
    assert_eq!(dead.len(), 3, "{dead:?}");
    assert!(dead[0].contains("payload unreadable"), "{dead:?}");
    assert!(dead[1].contains("'not-a-uuid' is not a UUID"), "{dead:?}");
    assert!(dead[2].contains("ORDER_NOT_FOUND"), "{dead:?}");
}

async fn an_order_cancelled_while_it_is_packed_is_not_shipped(backend: Backend) {
    let depot = Depot::open(backend).await;
    let _worker = depot.worker(&["--shipping-time", "3s"]).await;
    let order = depot.orders.confirm();
    eventually(PATIENCE, async || {
        depot.store.shipment(order).await.unwrap().ok_or(())
    })
    .await;
    depot.orders.set(order, OrderState::Cancelled);
    depot.all_done().await;
    let shipment = depot.store.shipment(order).await.unwrap().unwrap();
    assert_eq!(shipment.state, ShipmentState::Void);
    assert_eq!(depot.orders.order(order).0, OrderState::Cancelled);
}

async fn a_drain_gives_events_back_and_another_worker_goes_on(backend: Backend) {
    let depot = Depot::open(backend).await;
    let first = depot.worker(&["--shipping-time", "10m"]).await;
    let order = depot.orders.confirm();
    let begun = eventually(PATIENCE, async || {
        depot.store.shipment(order).await.unwrap().ok_or(())
    });
    let begun = begun.await;

    first.lifecycle.shutdown().cancel();
    let drained = tokio::time::timeout(PATIENCE, first.lifecycle.run_until_shutdown());
    drained
        .await
        .expect("within the deadline")
        .expect("a clean end");
    assert_eq!(
        depot.orders.leased(),
        0,
        "the event was given back, not left to its lease"
    );

    // The parcel stays the same one; only its packing isn't over.
    let _second = depot.worker(&[]).await;
    eventually(PATIENCE, async || {
        (depot.orders.leased() == 1).then_some(()).ok_or(())
    })
    .await;
    let taken_over = depot.store.shipment(order).await.unwrap().unwrap();
    assert_eq!(taken_over, begun);
}

async fn it_starts_before_its_database_and_works_when_that_is_there(backend: Backend) {
    let database = testkit::database(backend).await;
    let orders = FakeOrders::start().await;
    let app = worker(&database, &orders, &[]).await;
    let admin = app.lifecycle.admin_addr();
    let _running = app.lifecycle.tasks().clone();
    let ready = async || {
        let answer = reqwest::get(format!("http://{admin}/readyz"))
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, text) = ready().await;
    assert_eq!(status, 503, "{text}");

    let order = orders.confirm();
    database.connect().migrate(MIGRATIONS).await.unwrap();
    eventually(PATIENCE, async || match orders.order(order).0 {
        OrderState::Shipped => Ok(()),
        other => Err(other),
    })
    .await;
}
