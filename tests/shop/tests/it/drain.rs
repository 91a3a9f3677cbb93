//! SIGTERM under load: while a replica leaves and another takes over, no request fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::catalog::v1::AdjustStockRequest;
use shop::{Product, Shop, new_customer, new_key, order_of};
use testkit::{Backend, TestDatabase, eventually};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    link::Link,
    system::{Databases, Settings, catalog_client, count, gateway, no_events_left},
};

const SETTINGS: Settings<'static> = &[
    // As long as it takes until everybody knows that the replica is not ready.
    ("DRAIN_DELAY", "1s"),
    ("SHIPPING_TIME", "500ms"),
    ("POLL_INTERVAL", "50ms"),
    ("RUST_LOG", "warn"),
];
const CUSTOMERS: usize = 4;
/// How many orders fall at least into each part of the test.
const ORDERS: usize = 12;

/// Customers who order one after the other, until they are told to stop.
struct Load {
    customers: JoinSet<()>,
    placed: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl Load {
    fn on(shop: &Shop, products: &[Product]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let placed = Arc::new(AtomicUsize::new(0));
        let mut customers = JoinSet::new();
        for product in &products[..CUSTOMERS] {
            // With connections of their own, which they keep.
            let (shop, product) = (Shop::new(&*shop.base), product.clone());
            let (stopped, placed) = (stopped.clone(), Arc::clone(&placed));
            customers.spawn(async move {
                let order = order_of(&new_customer(), &[(&product, 1)]);
                while !*stopped.borrow() {
                    let answer = shop.place(&new_key(), &order).await;
                    // On a busy machine an order may stay pending; it is placed all the same.
                    assert!([201, 202].contains(&answer.status), "{answer}");
                    placed.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        Self {
            customers,
            placed,
            stop,
        }
    }

    /// Goes on for a while, and until it has been felt. A request that has failed ends the test.
    async fn go_on(&mut self) {
        let placed = || self.placed.load(Ordering::Relaxed);
        let (enough, mut period) = (placed() + ORDERS, Duration::from_secs(1));
        loop {
            let failed = tokio::time::timeout(period, self.customers.join_next()).await;
            if let Ok(Some(Err(failed))) = failed {
                std::panic::resume_unwind(failed.into_panic());
            }
            if placed() >= enough {
                return;
            }
            period = Duration::from_millis(50);
        }
    }

    /// How many orders were placed.
    async fn end(self) -> usize {
        self.stop.send_replace(true);
        self.customers.join_all().await;
        self.placed.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_sigterm_under_load_fails_no_request() {
    let databases = Databases::empty(Backend::Postgres).await;
    databases.migrate().await;
    let mut catalogs = [(); 2].map(|()| databases.catalog(SETTINGS));
    let to_catalog = Link::to(catalogs[0].address()).await;
    let mut orders = [(); 2].map(|()| databases.orders(&to_catalog.url(), SETTINGS));
    let to_orders = Link::to(orders[0].address()).await;
    let mut workers = [(); 2].map(|()| databases.fulfilment(&to_orders.url(), SETTINGS));
    let mut gateways = [(); 2].map(|()| gateway(&to_catalog.url(), &to_orders.url(), SETTINGS));
    let to_gateway = Link::to(gateways[0].address()).await;
    for service in [&mut catalogs, &mut orders, &mut workers, &mut gateways]
        .into_iter()
        .flatten()
    {
        service.ready().await;
    }
    let shop = Shop::new(to_gateway.url());
    let products = shop.products().await;
    for product in &products {
        let id = product.id.to_string();
        let more = AdjustStockRequest {
            id,
            delta: 1_000_000,
        };
        let adjusted = catalog_client(&catalogs[0]).adjust_stock(more).await;
        adjusted.expect("more of it");
    }

    let mut load = Load::on(&shop, &products);
    load.go_on().await;
    for (replicas, way) in [
        (&mut catalogs, Some(&to_catalog)),
        (&mut orders, Some(&to_orders)),
        (&mut workers, None),
        (&mut gateways, Some(&to_gateway)),
    ] {
        let [leaving, staying] = replicas;
        if let Some(way) = way {
            way.lead_to(staying.address());
        }
        let (status, ()) = tokio::join!(leaving.terminate(), load.go_on());
        assert!(status.success(), "{status}");
        load.go_on().await;
    }
    let placed = load.end().await;
    assert!(placed > 100, "only {placed} orders");

    let [orders, fulfilment] =
        [&databases.orders, &databases.fulfilment].map(TestDatabase::connect);
    let placed = i64::try_from(placed).expect("few");
    eventually(Duration::from_secs(60), async || {
        let shipped = "SELECT count(*) FROM orders WHERE state = 'shipped'";
        match count(&orders, shipped).await {
            all if all == placed => Ok(()),
            some => Err(format!("{some} of {placed} orders are shipped")),
        }
    })
    .await;
    assert_eq!(count(&orders, "SELECT count(*) FROM orders").await, placed);
    no_events_left(&orders).await;
    let parcels = "SELECT count(*) FROM shipments WHERE state = 'shipped'";
    assert_eq!(count(&fulfilment, parcels).await, placed);
}
