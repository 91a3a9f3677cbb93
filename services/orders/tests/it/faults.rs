//! Bad days: the catalog is away, slow, or its answers get lost; the database is away.

use std::time::{Duration, Instant};

use proto::orders::v1::{self as pb, OrderState};
use testkit::Backend;
use tonic::{Code, Request};

use crate::{
    catalog::FOREVER,
    on_both_databases,
    shop::{PATIENCE, Shop, placement, refusal, serve},
};

on_both_databases![
    without_the_catalog_an_order_is_pending_and_confirmed_later,
    an_answer_that_is_lost_confirms_once,
    answers_that_keep_being_lost_confirm_once,
    a_slow_catalog_leaves_time_to_answer,
    a_cancelled_placement_takes_nothing_even_later,
    a_cancellation_is_told_to_a_catalog_that_was_away,
    a_shipment_is_told_to_a_catalog_that_was_away,
    a_reservation_that_succeeds_after_the_rejection_is_given_back,
    replicas_share_the_recovery,
    the_service_starts_before_its_database_is_migrated,
];

async fn without_the_catalog_an_order_is_pending_and_confirmed_later(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.catalog.refuse(FOREVER);
    let order = shop.place("k", &[(tea, 3)]).await;
    assert_eq!(order.state(), OrderState::Pending);
    assert_eq!((order.total, order.lines[0].sku.as_str()), (None, ""));

    shop.catalog.refuse(0);
    let confirmed = shop.becomes(&order.id, OrderState::Confirmed).await;
    assert_eq!(confirmed.total.unwrap().minor_units, 1_350);
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    assert_eq!(shop.lease(10, 60).await.len(), 1);
}

async fn an_answer_that_is_lost_confirms_once(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.catalog.lose_answers(1);
    let order = shop.place("k", &[(tea, 3)]).await;
    // Asked again within the same request.
    shop.becomes(&order.id, OrderState::Confirmed).await;
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    assert_eq!(shop.lease(10, 60).await.len(), 1);
}

async fn answers_that_keep_being_lost_confirm_once(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.catalog.lose_answers(FOREVER);
    let order = shop.place("k", &[(tea, 3)]).await;
    assert_eq!(order.state(), OrderState::Pending);
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    // The client asks again as well.
    assert_eq!(shop.place("k", &[(tea, 3)]).await.id, order.id);

    shop.catalog.lose_answers(0);
    shop.becomes(&order.id, OrderState::Confirmed).await;
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    assert_eq!(shop.lease(10, 60).await.len(), 1);
}

async fn a_slow_catalog_leaves_time_to_answer(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let gate = shop.catalog.hold(100);
    let mut request = Request::new(placement("k", &[(tea, 3)]));
    let deadline = Duration::from_millis(1_500);
    request.set_timeout(deadline);
    let started = Instant::now();
    let answer = shop
        .client
        .clone()
        .place_order(request)
        .await
        .unwrap()
        .into_inner();
    assert!(started.elapsed() < deadline);
    let order = answer.order.unwrap();
    assert_eq!(order.state(), OrderState::Pending);

    gate.open();
    shop.becomes(&order.id, OrderState::Confirmed).await;
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
}

async fn a_cancelled_placement_takes_nothing_even_later(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let gate = shop.catalog.hold(100);
    let cancelling = async {
        shop.catalog.arrived(1).await;
        let request = pb::ListOrdersRequest {
            customer_id: "ada".into(),
            ..Default::default()
        };
        let orders = shop.client.clone().list_orders(request).await.unwrap();
        let id = orders.into_inner().orders[0].id.clone();
        let cancelled = shop.cancel(&id).await.unwrap();
        assert_eq!(cancelled.state(), OrderState::Cancelled);
        // The catalog has been told by now; the reservation under way comes after it.
        gate.open();
        cancelled
    };
    let lines = [(tea, 3)];
    let (placed, cancelled) = tokio::join!(shop.place("k", &lines), cancelling);
    assert_eq!(placed.id, cancelled.id);
    shop.becomes(&placed.id, OrderState::Cancelled).await;
    shop.stock_becomes(tea, (10, 0, 0)).await;
    assert_eq!(shop.place("k", &[(tea, 3)]).await, cancelled);
    assert_eq!(shop.catalog.stock(tea), (10, 0, 0));
    assert_eq!(shop.lease(10, 60).await, []);
}

async fn a_cancellation_is_told_to_a_catalog_that_was_away(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("k", &[(tea, 3)]).await;
    shop.catalog.refuse(FOREVER);
    let cancelled = shop.cancel(&order.id).await.unwrap();
    assert_eq!(cancelled.state(), OrderState::Cancelled);
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    shop.catalog.refuse(0);
    shop.stock_becomes(tea, (10, 0, 0)).await;
    assert_eq!(shop.order(&order.id).await, cancelled);
}

async fn a_shipment_is_told_to_a_catalog_that_was_away(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("k", &[(tea, 3)]).await;
    shop.catalog.lose_answers(FOREVER);
    let shipped = shop.ship(&order.id, "T").await.unwrap();
    assert_eq!(shipped.state(), OrderState::Shipped);
    shop.catalog.lose_answers(0);
    shop.stock_becomes(tea, (7, 0, 3)).await;
    assert_eq!(shop.order(&order.id).await, shipped);
}

async fn a_reservation_that_succeeds_after_the_rejection_is_given_back(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 1);
    // The first attempt hangs, the second finds too little.
    let gate = shop.catalog.hold(1);
    let order = shop.place("k", &[(tea, 3)]).await;
    let order = shop.becomes(&order.id, OrderState::Rejected).await;
    shop.catalog.restock(tea, 9);
    gate.open();
    testkit::eventually(PATIENCE, async || {
        let open = shop
            .store
            .order(order.id.parse().unwrap())
            .await
            .unwrap()
            .unwrap()
            .next;
        if open.is_none() { Ok(()) } else { Err(open) }
    })
    .await;
    shop.stock_becomes(tea, (10, 0, 0)).await;
}

async fn replicas_share_the_recovery(backend: Backend) {
    let shop = Shop::start(backend).await;
    let (_other, mut client) = shop.replica().await;
    let tea = shop.catalog.add(450, 100);
    shop.catalog.lose_answers(FOREVER);
    let mut orders = Vec::new();
    for number in 0..20 {
        let placement = placement(&number.to_string(), &[(tea, 1)]);
        let answer = match number % 2 {
            0 => shop.client.clone().place_order(placement).await,
            _ => client.place_order(placement).await,
        };
        orders.push(answer.unwrap().into_inner().order.unwrap());
    }
    shop.catalog.lose_answers(0);
    for order in &orders {
        shop.becomes(&order.id, OrderState::Confirmed).await;
    }
    assert_eq!(shop.catalog.stock(tea), (80, 20, 0));
    assert_eq!(shop.lease(100, 60).await.len(), 20);
}

async fn the_service_starts_before_its_database_is_migrated(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let database = testkit::database(backend).await;
    let (_app, mut client) = serve(&database, &shop.catalog, &[]).await;
    let answer = client.place_order(placement("k", &[(tea, 1)])).await;
    assert!(answer.is_err());

    database
        .connect()
        .migrate(orders::store::MIGRATIONS)
        .await
        .unwrap();
    let answer = testkit::eventually(PATIENCE, async || {
        client.place_order(placement("k", &[(tea, 1)])).await
    })
    .await;
    assert_eq!(
        answer.into_inner().order.unwrap().state(),
        OrderState::Confirmed
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_calls_fail_fast_and_recover() {
    let shop = Shop::start(Backend::Postgres).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("before", &[(tea, 1)]).await;
    shop.database.take_away().await;
    // Once the health check has noticed, nothing waits for a connection.
    testkit::eventually(PATIENCE, async || {
        let started = Instant::now();
        let answer = shop
            .client
            .clone()
            .place_order(placement("during", &[(tea, 1)]))
            .await;
        let expected = (Code::Unavailable, "STORAGE_UNAVAILABLE".to_owned());
        assert_eq!(refusal(answer), expected);
        let took = started.elapsed();
        if took < Duration::from_millis(100) {
            Ok(())
        } else {
            Err(took)
        }
    })
    .await;

    shop.database.bring_back().await;
    testkit::eventually(PATIENCE, async || {
        shop.client
            .clone()
            .place_order(placement("during", &[(tea, 1)]))
            .await
    })
    .await;
    assert_eq!(shop.order(&order.id).await, order);
    shop.stock_becomes(tea, (8, 2, 0)).await;
}
