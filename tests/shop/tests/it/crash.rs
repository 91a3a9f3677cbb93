//! SIGKILL at every step of an order's life: no order is lost, none is doubled, and stock adds up.
//!
//! The points are the calls between the processes, each once when its request has arrived and once when its response is
//! about to return. These are all there are. What a crash leaves behind is what was committed, and each process commits
//! at most one transaction between two neighbouring points: placing is (PlaceOrder) insert (Reserve) confirm, with the
//! event (return); shipping is (LeaseEvents) lease (return) inbox and parcel (MarkShipped) ship (Commit) book, close the
//! step (return) parcel has left (AcknowledgeEvent) forget (return); cancelling is (CancelOrder) cancel (Release) give
//! back (return) close the step (return). A crash between two points thus leaves what a crash at the one or at the other
//! leaves: the transaction has happened, or it has not. That holds for each process alone and for whoever is killed, so
//! every point is tried with every process.

use std::{sync::Arc, time::Duration};

use proto::catalog::v1::{GetProductRequest, GetReservationRequest, ReservationState};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shop::{Answer, List, Order, Product, Shop, new_customer, new_key, order_of, send};
use testkit::{
    Backend, eventually,
    proxy::{Phase, Point, Proxy, Reached},
    service::Service,
};
use tokio::sync::{Mutex, oneshot};

use crate::system::{Databases, Settings, catalog_client, count, gateway, no_events_left, parcels};

const PLACE: &str = "/slipway.orders.v1.OrdersService/PlaceOrder";
const RESERVE: &str = "/slipway.catalog.v1.CatalogService/Reserve";
const LEASE: &str = "/slipway.orders.v1.OrdersService/LeaseEvents";
const MARK_SHIPPED: &str = "/slipway.orders.v1.OrdersService/MarkShipped";
const COMMIT: &str = "/slipway.catalog.v1.CatalogService/Commit";
const ACKNOWLEDGE: &str = "/slipway.orders.v1.OrdersService/AcknowledgeEvent";
const CANCEL: &str = "/slipway.orders.v1.OrdersService/CancelOrder";
const RELEASE: &str = "/slipway.catalog.v1.CatalogService/Release";

/// Everything that waits waits briefly. An event may be handed out often: many are killed while they hold one.
const SETTINGS: Settings<'static> = &[
    ("RECOVERY_INTERVAL", "100ms"),
    ("RECOVERY_GRACE", "500ms"),
    ("LEASE", "1s"),
    ("POLL_INTERVAL", "50ms"),
    ("MAX_DELIVERY_ATTEMPTS", "1000"),
    ("RUST_LOG", "warn"),
];
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
enum Victim {
    Catalog,
    Orders,
    Fulfilment,
}

/// A service that an action at a point can reach for.
type Killable = Arc<Mutex<Service>>;

/// One shop that lives through all cases, with a proxy on each of the saga's ways.
struct Saga {
    shop: Shop,
    to_orders_from_gateway: Proxy,
    to_orders_from_fulfilment: Proxy,
    to_catalog_from_orders: Proxy,
    _gateway: Service,
    fulfilment: Killable,
    orders: Killable,
    catalog: Killable,
    orders_database: storage::Database,
    fulfilment_database: storage::Database,
    databases: Databases,
    /// What is ordered, as it was before the first case.
    products: [Product; 2],
    /// How often so far.
    shipped: i64,
}

/// A fulfilment service that takes so long to pack a parcel.
async fn worker(databases: &Databases, orders: &Proxy, shipping_time: &str) -> Killable {
    let settings = [SETTINGS, &[("SHIPPING_TIME", shipping_time)]].concat();
    let mut worker = databases.fulfilment(&orders.url(), &settings);
    worker.ready().await;
    Arc::new(Mutex::new(worker))
}

/// Pieces of the two products in each order.
const QUANTITIES: [i64; 2] = [2, 1];

impl Saga {
    async fn start(backend: Backend) -> Self {
        let databases = Databases::empty(backend).await;
        databases.migrate().await;
        let mut catalog = databases.catalog(SETTINGS);
        let to_catalog_from_orders = Proxy::start(catalog.address()).await;
        let mut orders = databases.orders(&to_catalog_from_orders.url(), SETTINGS);
        let to_orders_from_gateway = Proxy::start(orders.address()).await;
        let to_orders_from_fulfilment = Proxy::start(orders.address()).await;
        let mut gateway = gateway(&catalog.url(), &to_orders_from_gateway.url(), SETTINGS);
        tokio::join!(catalog.ready(), orders.ready(), gateway.ready());
        let shop = Shop::new(gateway.url());
        let worker = worker(&databases, &to_orders_from_fulfilment, "0s").await;
        Self {
            products: shop.two_products().await,
            shop,
            to_orders_from_gateway,
            to_orders_from_fulfilment,
            to_catalog_from_orders,
            _gateway: gateway,
            fulfilment: worker,
            orders: Arc::new(Mutex::new(orders)),
            catalog: Arc::new(Mutex::new(catalog)),
            orders_database: databases.orders.connect(),
            fulfilment_database: databases.fulfilment.connect(),
            databases,
            shipped: 0,
        }
    }

    fn service(&self, victim: Victim) -> &Killable {
        match victim {
            Victim::Catalog => &self.catalog,
            Victim::Orders => &self.orders,
            Victim::Fulfilment => &self.fulfilment,
        }
    }

    fn proxy(&self, method: &str) -> &Proxy {
        match method {
            PLACE | CANCEL => &self.to_orders_from_gateway,
            LEASE | MARK_SHIPPED | ACKNOWLEDGE => &self.to_orders_from_fulfilment,
            _ => &self.to_catalog_from_orders,
        }
    }

    fn kill_at(&self, point: Point, victim: Victim) -> Reached {
        let victim = self.service(victim).clone();
        self.proxy(point.method)
            .at(point, async move { victim.lock().await.kill().await })
    }

    async fn restart_after(&self, reached: Reached, victim: Victim) {
        reached.within(SETTLED_WITHIN).await;
        self.service(victim).lock().await.restart().await;
    }

    /// As a customer does: again, with the same key, until there is a clear answer.
    async fn place(&self, key: &str, order: &Value) -> Order {
        insist(async || self.shop.place(key, order).await, &[201, 202]).await
    }

    /// As a customer does who asks once and goes away. The order was stored before its stock was asked for.
    async fn place_and_leave(&self, customer: &str, key: &str, order: &Value) -> Order {
        self.shop.place(key, order).await;
        let path = format!("/api/v1/orders?customer_id={customer}");
        let list: List<Order> = insist(async || send(self.shop.get(&path)).await, &[200]).await;
        list.items.into_iter().next().expect("the order")
    }

    fn order(&self, customer: &str) -> Value {
        let [one, two] = &self.products;
        order_of(customer, &[(one, QUANTITIES[0]), (two, QUANTITIES[1])])
    }

    /// Kills the victim when an order's shipping reaches the point.
    async fn ship(&mut self, point: Point, victim: Victim) {
        let (customer, key) = (new_customer(), new_key());
        let body = self.order(&customer);
        let order = if point.method == LEASE {
            // Leases are asked for all the time: this is about the one that gets the order's event.
            let let_go = self.hold_lease().await;
            let order = self.place(&key, &body).await;
            if point.phase == Phase::Before {
                self.service(victim).lock().await.kill().await;
                drop(let_go);
                self.service(victim).lock().await.restart().await;
            } else {
                let reached = self.kill_at(point, victim);
                drop(let_go);
                self.restart_after(reached, victim).await;
            }
            order
        } else {
            let reached = self.kill_at(point, victim);
            let placing = async {
                match point.method {
                    RESERVE => self.place_and_leave(&customer, &key, &body).await,
                    _ => self.place(&key, &body).await,
                }
            };
            let (order, ()) = tokio::join!(placing, self.restart_after(reached, victim));
            order
        };
        self.settled(&order, "shipped").await;
        self.shipped += 1;
        assert_eq!(self.place(&key, &body).await.id, order.id);
        self.adds_up(&order, &customer, ReservationState::Committed)
            .await;
    }

    /// Holds the next request for events until the sender is dropped.
    async fn hold_lease(&self) -> oneshot::Sender<()> {
        let (held, is_held) = oneshot::channel();
        let (let_go, may_go) = oneshot::channel::<()>();
        let point = Point {
            method: LEASE,
            phase: Phase::Before,
        };
        let reached = self.proxy(LEASE).at(point, async move {
            let _ = held.send(());
            let _ = may_go.await;
        });
        drop(reached);
        is_held.await.expect("the worker asks for events");
        let_go
    }

    /// Kills the victim when an order's cancellation reaches the point.
    async fn cancel(&mut self, point: Point, victim: Victim) {
        let (customer, key) = (new_customer(), new_key());
        let body = self.order(&customer);
        let order = self.place(&key, &body).await;
        let reached = self.kill_at(point, victim);
        let cancelling = insist(async || self.shop.cancel(order.id).await, &[200]);
        let (cancelled, ()): (Order, ()) =
            tokio::join!(cancelling, self.restart_after(reached, victim));
        assert_eq!((cancelled.id, &*cancelled.state), (order.id, "cancelled"));
        self.settled(&order, "cancelled").await;
        assert_eq!(self.place(&key, &body).await.id, order.id);
        self.adds_up(&order, &customer, ReservationState::Released)
            .await;
    }

    /// Waits until nothing is left to do for the order, nor for any that was shipped before.
    async fn settled(&self, order: &Order, state: &str) {
        let orders = &self.orders_database;
        eventually(SETTLED_WITHIN, async || {
            let answer = send(self.shop.get(&format!("/api/v1/orders/{}", order.id))).await;
            let found = (answer.status == 200).then(|| answer.json::<Order>().state);
            let steps = count(
                orders,
                "SELECT count(*) FROM orders WHERE next_step IS NOT NULL",
            )
            .await;
            // Parcels of cancelled orders are packed for longer than a case takes.
            let events = if state == "cancelled" {
                0
            } else {
                count(orders, "SELECT count(*) FROM outbox").await
            };
            if found.as_deref() == Some(state) && (steps, events) == (0, 0) {
                return Ok(());
            }
            Err(format!("{answer}; {steps} open steps, {events} events"))
        })
        .await;
    }

    /// One order, one parcel at most, and every piece is on the shelves or gone with a shipped order.
    async fn adds_up(&self, order: &Order, customer: &str, reservation: ReservationState) {
        let [found] = &*self.shop.orders_of(customer).await else {
            panic!("{customer} does not have one order");
        };
        let parcels = parcels(&self.fulfilment_database, order.id).await;
        assert_eq!(parcels, Vec::from_iter(found.tracking_code.clone()));

        let mut catalog = catalog_client(&*self.catalog.lock().await);
        let asked = GetReservationRequest {
            order_id: order.id.to_string(),
        };
        let found = catalog
            .get_reservation(asked)
            .await
            .expect("the reservation")
            .into_inner();
        assert_eq!(
            found.reservation.map(|found| found.state()),
            Some(reservation)
        );
        for (product, quantity) in self.products.iter().zip(QUANTITIES) {
            let asked = GetProductRequest {
                id: product.id.to_string(),
            };
            let now = catalog
                .get_product(asked)
                .await
                .expect("the product")
                .into_inner()
                .product;
            let now = now.expect("the product");
            let gone = self.shipped * quantity;
            assert_eq!(
                (now.available, now.reserved, now.shipped),
                (product.available - gone, 0, gone),
                "{now:?}"
            );
        }
    }
}

/// Sends a request again until the answer is one of these.
async fn insist<T: DeserializeOwned>(request: impl AsyncFn() -> Answer, clear: &[u16]) -> T {
    eventually(SETTLED_WITHIN, async || {
        let answer = request().await;
        match answer.status {
            status if clear.contains(&status) => Ok(answer.json::<T>()),
            503 | 504 => Err(answer.to_string()),
            _ => panic!("no answer to expect: {answer}"),
        }
    })
    .await
}

#[expect(
    clippy::print_stderr,
    reason = "says where it stands when the test fails"
)]
async fn whoever_is_killed_wherever(backend: Backend) {
    let mut saga = Saga::start(backend).await;
    let cases = |methods: &'static [&'static str]| {
        let points = methods
            .iter()
            .flat_map(|method| [Phase::Before, Phase::After].map(|phase| Point { method, phase }));
        points.flat_map(|point| {
            [Victim::Catalog, Victim::Orders, Victim::Fulfilment].map(|victim| (point, victim))
        })
    };
    for (point, victim) in cases(&[PLACE, RESERVE, LEASE, MARK_SHIPPED, COMMIT, ACKNOWLEDGE]) {
        eprintln!("{victim:?} at {point:?}");
        saga.ship(point, victim).await;
    }
    // Longer than a case takes: parcels must not leave before they are cancelled.
    saga.fulfilment.lock().await.kill().await;
    saga.fulfilment = worker(&saga.databases, &saga.to_orders_from_fulfilment, "10s").await;
    for (point, victim) in cases(&[CANCEL, RELEASE]) {
        eprintln!("{victim:?} at {point:?}");
        saga.cancel(point, victim).await;
    }
    no_events_left(&saga.orders_database).await;
    let shipped = count(
        &saga.fulfilment_database,
        "SELECT count(*) FROM shipments WHERE state = 'shipped'",
    )
    .await;
    assert_eq!(shipped, saga.shipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_no_order_is_lost_or_doubled_whoever_is_killed_wherever() {
    whoever_is_killed_wherever(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_no_order_is_lost_or_doubled_whoever_is_killed_wherever() {
    whoever_is_killed_wherever(Backend::Postgres).await;
}
