//! What the shop makes of services and databases that are late, gone or locked, and of work that cannot be done.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use proto::orders::v1::{DeadLetter, ListDeadLettersRequest};
use shop::{Answer, Order, Shop, new_customer, new_key, order_of, send};
use sqlx::{Connection, SqliteConnection};
use testkit::{Backend, eventually, service};
use uuid::Uuid;

use crate::system::{Databases, Settings, System, gateway, no_events_left, orders_client, parcels};

const QUICK: Settings<'static> = &[
    ("SHIPPING_TIME", "0s"),
    ("POLL_INTERVAL", "50ms"),
    ("RECOVERY_INTERVAL", "200ms"),
    ("RECOVERY_GRACE", "500ms"),
];
const SOON: Duration = Duration::from_secs(30);

/// Waits until `/readyz` says that this latch is closed. Being alive is another matter.
async fn unready(admin_url: &str, latch: &str) {
    let admin = Shop::new(admin_url);
    eventually(SOON, async || {
        // The process may not listen yet.
        let Ok(answer) = admin.get("/readyz").send().await else {
            return Err("no answer".to_owned());
        };
        let (status, latches) = (
            answer.status().as_u16(),
            answer.text().await.unwrap_or_default(),
        );
        if status == 503 && latches.contains(latch) {
            Ok(())
        } else {
            Err(format!("{status} {latches}"))
        }
    })
    .await;
    send(admin.get("/livez")).await.must_be(200);
}

/// Sends a request until the answer has this status.
async fn becomes(status: u16, request: impl AsyncFn() -> Answer) -> Answer {
    eventually(SOON, async || {
        let answer = request().await;
        if answer.status == status {
            Ok(answer)
        } else {
            Err(answer.to_string())
        }
    })
    .await
}

/// Nobody waits for what cannot be had: not for long, anyway.
async fn soon(request: impl Future<Output = Answer>) -> Answer {
    let started = Instant::now();
    let answer = request.await;
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "after {:?}: {answer}",
        started.elapsed()
    );
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn services_wait_for_each_other_in_whatever_order_they_start() {
    let databases = Databases::empty(Backend::Sqlite).await;
    // Where they will be is known before they run.
    let mut catalog = databases.catalog(QUICK);
    catalog.kill().await;
    let mut orders = databases.orders(&catalog.url(), QUICK);
    orders.kill().await;

    let mut gateway = gateway(&catalog.url(), &orders.url(), QUICK);
    gateway.ready().await;
    let shop = Shop::new(gateway.url());
    send(shop.get("/")).await.must_be(503);
    let mut fulfilment = databases.fulfilment(&orders.url(), QUICK);
    let (fulfilment_admin, orders_admin) = (fulfilment.admin_url(), orders.admin_url());
    tokio::join!(fulfilment.ready(), orders.restart(), async {
        unready(&fulfilment_admin, "migrations").await;
        unready(&orders_admin, "migrations").await;
        databases.migrate().await;
        catalog.restart().await;
    });

    becomes(200, || send(shop.get("/api/v1/products"))).await;
    let [one, _] = shop.two_products().await;
    let (key, order) = (new_key(), order_of(&new_customer(), &[(&one, 1)]));
    let placed: Order = becomes(201, || shop.place(&key, &order)).await.json();
    shop.shipped(placed.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_catalog_pages_say_so_and_an_order_waits_for_it() {
    let mut system = System::start(Backend::Sqlite, QUICK).await;
    let shop = &system.shop;
    let [one, _] = shop.two_products().await;
    system.catalog.kill().await;

    let front = soon(send(shop.get("/"))).await.must_be(503);
    assert!(
        front.body.contains("The catalogue is out of reach"),
        "{front}"
    );
    soon(send(shop.get("/api/v1/products")))
        .await
        .must_be_problem(503, "catalog-unavailable");
    for path in ["/cart", "/orders", "/assets/shop.css"] {
        soon(send(shop.get(path))).await.must_be(200);
    }
    let (key, order) = (new_key(), order_of(&new_customer(), &[(&one, 1)]));
    let pending: Order = soon(shop.place(&key, &order)).await.must_be(202).json();
    assert_eq!(pending.state, "pending");
    assert_eq!(shop.order(pending.id).await.state, "pending");

    system.catalog.restart().await;
    let shipped = shop.shipped(pending.id).await;
    assert_eq!(
        shipped.total.map(|total| total.minor_units),
        Some(one.price.minor_units)
    );
    let again: Order = shop.place(&key, &order).await.must_be(201).json();
    assert_eq!(again.id, pending.id);
    becomes(200, || send(shop.get("/"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_order_service_pages_say_so_and_the_shelves_stay_open() {
    let mut system = System::start(Backend::Sqlite, QUICK).await;
    let shop = &system.shop;
    let [one, _] = shop.two_products().await;
    system.orders.kill().await;

    let (key, order) = (new_key(), order_of(&new_customer(), &[(&one, 1)]));
    let refused = soon(shop.place(&key, &order)).await;
    assert!(!refused.header("retry-after").is_empty(), "{refused}");
    refused.must_be_problem(503, "orders-unavailable");
    for path in ["/", "/cart", "/api/v1/products"] {
        soon(send(shop.get(path))).await.must_be(200);
    }
    let unknown = soon(send(
        shop.get(&format!("/api/v1/orders/{}", Uuid::new_v4())),
    ))
    .await;
    unknown.must_be_problem(503, "orders-unavailable");

    system.orders.restart().await;
    let placed: Order = becomes(201, || shop.place(&key, &order)).await.json();
    shop.shipped(placed.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_postgres_database_a_service_is_alive_not_ready_and_recovers() {
    let system = System::start(Backend::Postgres, QUICK).await;
    let (shop, databases) = (&system.shop, &system.databases);
    let [one, _] = shop.two_products().await;
    let customer = new_customer();
    let (key, order) = (new_key(), order_of(&customer, &[(&one, 1)]));

    databases.orders.take_away().await;
    unready(&system.orders.admin_url(), "database").await;
    soon(shop.place(&key, &order))
        .await
        .must_be_problem(503, "orders-unavailable");
    soon(send(shop.get("/"))).await.must_be(200);
    databases.orders.bring_back().await;
    becomes(200, || {
        send(Shop::new(system.orders.admin_url()).get("/readyz"))
    })
    .await;
    let placed: Order = becomes(201, || shop.place(&key, &order)).await.json();
    assert_eq!(shop.orders_of(&customer).await.len(), 1);
    shop.shipped(placed.id).await;

    databases.catalog.take_away().await;
    unready(&system.catalog.admin_url(), "database").await;
    soon(send(shop.get("/api/v1/products")))
        .await
        .must_be_problem(503, "catalog-unavailable");
    assert_eq!(shop.order(placed.id).await.state, "shipped");
    databases.catalog.bring_back().await;
    becomes(200, || send(shop.get("/api/v1/products"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_is_an_error_and_no_loss() {
    let system = System::start(Backend::Sqlite, QUICK).await;
    let shop = &system.shop;
    let [one, _] = shop.two_products().await;
    let customer = new_customer();
    let (key, order) = (new_key(), order_of(&customer, &[(&one, 1)]));

    let mut other = SqliteConnection::connect(&system.databases.orders.url)
        .await
        .expect("the file");
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .expect("the lock");
    soon(shop.place(&key, &order))
        .await
        .must_be_problem(503, "orders-unavailable");
    // Reading needs no lock.
    assert!(shop.orders_of(&customer).await.is_empty());
    sqlx::query("ROLLBACK")
        .execute(&mut other)
        .await
        .expect("the lock is given back");

    let placed: Order = becomes(201, || shop.place(&key, &order)).await.json();
    shop.shipped(placed.id).await;
    assert_eq!(shop.orders_of(&customer).await.len(), 1);
    assert_eq!(shop.available(&one).await, one.available - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_event_becomes_a_dead_letter_with_its_reason_and_stops_nobody() {
    let system = System::start(Backend::Sqlite, QUICK).await;
    let shop = &system.shop;
    let [one, _] = shop.two_products().await;
    let order = async || {
        let answer = shop
            .place(&new_key(), &order_of(&new_customer(), &[(&one, 1)]))
            .await;
        answer.must_be(201).json::<Order>()
    };
    let first = shop.shipped(order().await.id).await;
    let poison = Uuid::now_v7();
    let storage::Database::Sqlite(orders) = system.databases.orders.connect() else {
        panic!("not SQLite");
    };
    sqlx::query(
        "INSERT INTO outbox (id, kind, order_id, payload, traceparent, occurred_at, due_at, attempts) \
         VALUES ($1, 'OrderPraised', $2, '{}', '', 0, 0, 0)",
    )
    .bind(poison)
    .bind(first.id)
    .execute(&orders.write)
    .await
    .expect("a poison event");

    let second = order().await;
    shop.shipped(second.id).await;
    let letter: DeadLetter = eventually(SOON, async || {
        let asked = ListDeadLettersRequest { limit: 0 };
        let answer = orders_client(&system.orders).list_dead_letters(asked).await;
        let letters = answer.expect("dead letters").into_inner().dead_letters;
        letters.into_iter().next().ok_or("no dead letter")
    })
    .await;
    assert_eq!(
        (&*letter.event_id, &*letter.kind),
        (&*poison.to_string(), "OrderPraised")
    );
    assert_eq!(
        (letter.order_id, letter.attempts),
        (first.id.to_string(), 1)
    );
    assert!(letter.reason.contains("unknown"), "{}", letter.reason);
    shop.shipped(order().await.id).await;
    assert_eq!(shop.order(first.id).await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_work_and_ship_each_order_once() {
    // One at a time, so that neither takes all.
    let settings = [
        QUICK,
        &[
            ("CONCURRENCY", "1"),
            ("SHIPPING_TIME", "50ms"),
            ("LEASE", "2s"),
        ],
    ]
    .concat();
    let system = System::start(Backend::Sqlite, &settings).await;
    let shop = &system.shop;
    let mut other = system.databases.fulfilment(&system.orders.url(), &settings);
    other.ready().await;
    let [one, _] = shop.two_products().await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        let answer = shop
            .place(&new_key(), &order_of(&new_customer(), &[(&one, 1)]))
            .await;
        orders.push(answer.must_be(201).json::<Order>());
    }
    no_events_left(&system.databases.orders.connect()).await;
    let fulfilment = system.databases.fulfilment.connect();
    let mut codes = HashSet::new();
    for order in &orders {
        let order = shop.shipped(order.id).await;
        let parcels = parcels(&fulfilment, order.id).await;
        assert_eq!(parcels, Vec::from_iter(order.tracking_code));
        codes.extend(parcels);
    }
    assert_eq!(codes.len(), orders.len());
    for worker in [&system.fulfilment, &other] {
        let metrics = send(Shop::new(worker.admin_url()).get("/metrics"))
            .await
            .must_be(200);
        let shipped = metrics
            .body
            .lines()
            .find(|line| line.starts_with("fulfilment_events_total{outcome=\"shipped\"}"));
        assert!(
            shipped.is_some_and(|line| !line.ends_with(" 0")),
            "one has done nothing: {metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_told_in_one_line_with_exit_code_64() {
    for name in ["gateway", "catalog", "orders", "fulfilment"] {
        for (setting, value) in [
            ("ADMIN_LISTEN", "here"),
            ("DRAIN_DELAY", "soon"),
            ("LOG_FORMAT", "poetry"),
        ] {
            let settings = [("DATABASE_URL", "sqlite::memory:"), (setting, value)];
            let output = service::run(name, &[], &settings).await;
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{name}: {told}");
            assert_eq!(told.lines().count(), 1, "{name}: {told}");
            assert!(
                told.starts_with("error: ") && told.contains(setting) && told.contains(value),
                "{name}: {told}"
            );
        }
    }
}
