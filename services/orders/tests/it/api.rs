//! Placing, reading, cancelling and shipping through gRPC.

use orders::{domain::TOTAL_LIMIT, store::Backlog};
use proto::orders::v1::{self as pb, OrderState};
use testkit::Backend;
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;

use crate::{
    on_both_databases,
    shop::{PATIENCE, Shop, placement, refusal, violations},
};

on_both_databases![
    a_placed_order_is_confirmed_at_the_reserved_prices,
    placing_again_with_the_same_key_changes_nothing,
    placing_at_once_with_the_same_key_makes_one_order,
    a_key_with_other_content_is_refused,
    an_order_that_cannot_be_fulfilled_is_rejected,
    an_order_above_the_limit_gives_its_stock_back,
    every_broken_rule_of_a_placement_is_named_and_nothing_is_written,
    ids_that_are_none_and_ids_of_nothing_are_refused,
    orders_are_paged_by_customer,
    a_tampered_page_token_is_refused,
    a_cancelled_order_gives_its_stock_back,
    a_rejected_order_is_not_cancellable,
    a_shipped_order_takes_its_stock_along,
    only_a_confirmed_order_is_shippable,
    cancelling_and_shipping_at_once_have_one_winner,
];

async fn a_placed_order_is_confirmed_at_the_reserved_prices(backend: Backend) {
    let shop = Shop::start(backend).await;
    let (tea, mug) = (shop.catalog.add(450, 10), shop.catalog.add(1_200, 10));
    let answer = shop
        .client
        .clone()
        .place_order(placement("k", &[(tea, 3), (mug, 1)]))
        .await;
    let pb::PlaceOrderResponse { order, replayed } = answer.unwrap().into_inner();
    let order = order.unwrap();
    assert!(!replayed);
    assert_eq!(order.state(), OrderState::Confirmed);
    assert_eq!(
        (order.customer_id.as_str(), order.currency.as_str()),
        ("ada", "EUR")
    );
    let euros = |minor_units| {
        let currency = "EUR".to_owned();
        Some(pb::Money {
            currency,
            minor_units,
        })
    };
    assert_eq!(order.total, euros(2_550));
    let line = |product: Uuid, quantity, price| pb::OrderLine {
        product_id: product.to_string(),
        quantity,
        sku: "SKU-1".into(),
        name: "Tea \"Earl\" ☕".into(),
        unit_price: euros(price),
    };
    assert_eq!(order.lines, [line(tea, 3, 450), line(mug, 1, 1_200)]);
    assert_eq!(order.rejection, None);
    assert_eq!(shop.order(&order.id).await, order);
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    assert_eq!(shop.catalog.stock(mug), (9, 1, 0));
}

async fn placing_again_with_the_same_key_changes_nothing(backend: Backend) {
    let shop = Shop::start(backend).await;
    let (tea, mug) = (shop.catalog.add(450, 10), shop.catalog.add(1_200, 10));
    let first = shop.place("k", &[(tea, 3), (mug, 1)]).await;
    // The order of the lines is no other content.
    for lines in [[(tea, 3), (mug, 1)], [(mug, 1), (tea, 3)]] {
        let answer = shop
            .client
            .clone()
            .place_order(placement("k", &lines))
            .await;
        let answer = answer.unwrap().into_inner();
        assert!(answer.replayed);
        assert_eq!(answer.order.as_ref(), Some(&first));
    }
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
    assert_eq!(shop.lease(10, 30).await.len(), 1);

    // A key is its customer's.
    let mut bobs = placement("k", &[(tea, 1)]);
    bobs.customer_id = "bob".into();
    let answer = shop
        .client
        .clone()
        .place_order(bobs)
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.replayed);
    assert_ne!(answer.order.unwrap().id, first.id);
}

async fn placing_at_once_with_the_same_key_makes_one_order(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 100);
    let mut placing = JoinSet::new();
    for _ in 0..20 {
        let mut client = shop.client.clone();
        placing.spawn(async move {
            client
                .place_order(placement("k", &[(tea, 3)]))
                .await
                .unwrap()
        });
    }
    let answers: Vec<_> = placing
        .join_all()
        .await
        .into_iter()
        .map(tonic::Response::into_inner)
        .collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    let id = |answer: &pb::PlaceOrderResponse| answer.order.as_ref().unwrap().id.clone();
    assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])));
    shop.becomes(&id(&answers[0]), OrderState::Confirmed).await;
    assert_eq!(shop.catalog.stock(tea), (97, 3, 0));
    assert_eq!(shop.lease(10, 30).await.len(), 1);
}

async fn a_key_with_other_content_is_refused(backend: Backend) {
    let shop = Shop::start(backend).await;
    let (tea, mug) = (shop.catalog.add(450, 10), shop.catalog.add(1_200, 10));
    let order = shop.place("k", &[(tea, 3)]).await;
    let mut in_dollars = placement("k", &[(tea, 3)]);
    in_dollars.currency = "USD".into();
    for other in [
        placement("k", &[(tea, 2)]),
        placement("k", &[(mug, 3)]),
        placement("k", &[(tea, 3), (mug, 1)]),
        in_dollars,
    ] {
        let answer = shop.client.clone().place_order(other).await;
        let expected = (
            Code::FailedPrecondition,
            "IDEMPOTENCY_KEY_REUSED".to_owned(),
        );
        assert_eq!(refusal(answer), expected);
    }
    assert_eq!(shop.order(&order.id).await, order);
    assert_eq!(shop.catalog.stock(tea), (7, 3, 0));
}

async fn an_order_that_cannot_be_fulfilled_is_rejected(backend: Backend) {
    let shop = Shop::start(backend).await;
    let (tea, mug) = (shop.catalog.add(450, 10), shop.catalog.add(1_200, 2));
    let (dollars, unknown) = (shop.catalog.add_in("USD", 1, 10), Uuid::now_v7());
    for (product, quantity, reason) in [
        (mug, 3, "OUT_OF_STOCK"),
        (unknown, 1, "PRODUCT_NOT_FOUND"),
        (dollars, 1, "CURRENCY_MISMATCH"),
    ] {
        let order = shop.place(reason, &[(tea, 1), (product, quantity)]).await;
        assert_eq!(order.state(), OrderState::Rejected);
        let rejection = order.rejection.clone().unwrap();
        assert_eq!(
            (rejection.reason.as_str(), rejection.product_id),
            (reason, product.to_string())
        );
        assert_eq!(rejection.message, format!("the catalog says {reason}"));
        assert_eq!(order.total, None);
        assert_eq!(shop.order(&order.id).await, order);
        // Nor later, when it could be fulfilled.
        assert_eq!(
            shop.place(reason, &[(tea, 1), (product, quantity)]).await,
            order
        );
    }
    assert_eq!(shop.catalog.stock(tea), (10, 0, 0));
    assert_eq!(shop.lease(10, 30).await, []);
}

async fn an_order_above_the_limit_gives_its_stock_back(backend: Backend) {
    let shop = Shop::start(backend).await;
    let gold = shop.catalog.add(TOTAL_LIMIT / 10, 1_000);
    let overflowing = shop.catalog.add(i64::MAX, 1_000);
    let fits = shop.place("fits", &[(gold, 10)]).await;
    assert_eq!(fits.total.unwrap().minor_units, TOTAL_LIMIT);
    for product in [gold, overflowing] {
        let order = shop.place(&product.to_string(), &[(product, 11)]).await;
        assert_eq!(order.state(), OrderState::Rejected);
        assert_eq!(order.rejection.unwrap().reason, "TOTAL_TOO_LARGE");
    }
    shop.stock_becomes(gold, (990, 10, 0)).await;
    shop.stock_becomes(overflowing, (1_000, 0, 0)).await;
}

async fn every_broken_rule_of_a_placement_is_named_and_nothing_is_written(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let good = || placement("k", &[(tea, 1)]);
    let long = "x".repeat(300);
    let too_many: Vec<_> = (0..10_001).map(|_| (Uuid::new_v4(), 1)).collect();

    let mut cases = Vec::new();
    for id in ["", "ada lovelace", "ada/../bob", "ädä", "a\0", &long[..65]] {
        let mut request = good();
        request.customer_id = id.into();
        cases.push((request, vec!["customer_id"]));
    }
    for key in ["", " ", "a b", "schlüssel", "k\n", &long] {
        let mut request = good();
        request.idempotency_key = key.into();
        cases.push((request, vec!["idempotency_key"]));
    }
    for currency in ["", "eur", "EURO", "E", "€", "E1R"] {
        let mut request = good();
        request.currency = currency.into();
        cases.push((request, vec!["currency"]));
    }
    for quantity in [0, -1, 1_001, i32::MAX, i32::MIN] {
        cases.push((
            placement("k", &[(tea, quantity)]),
            vec!["lines[0].quantity"],
        ));
    }
    for id in [
        "",
        "tea",
        "{",
        &tea.simple().to_string(),
        &format!("urn:uuid:{tea}"),
        "../../etc/passwd",
    ] {
        let mut request = good();
        request.lines[0].product_id = id.into();
        cases.push((request, vec!["lines[0].product_id"]));
    }
    cases.push((placement("k", &[]), vec!["lines"]));
    cases.push((placement("k", &too_many), vec!["lines"]));
    let twice = [(tea, 1), (Uuid::new_v4(), 1), (tea, 2)];
    cases.push((placement("k", &twice), vec!["lines[2].product_id"]));
    let all = pb::PlaceOrderRequest {
        lines: placement("", &[(tea, 0), (tea, 2_000)]).lines,
        ..Default::default()
    };
    cases.push((
        all,
        vec![
            "customer_id",
            "idempotency_key",
            "currency",
            "lines[0].quantity",
            "lines[1].product_id",
            "lines[1].quantity",
        ],
    ));

    for (request, expected) in cases {
        let shown = format!("{:.200?}", request);
        let answer = shop.client.clone().place_order(request).await;
        assert_eq!(violations(answer), expected, "{shown}");
    }
    assert_eq!(shop.store.backlog().await.unwrap(), Backlog::default());
    let start = orders::store::Position::START;
    assert_eq!(shop.store.orders_of("ada", start, 1).await.unwrap(), []);
    assert_eq!(shop.catalog.stock(tea), (10, 0, 0));
}

async fn ids_that_are_none_and_ids_of_nothing_are_refused(backend: Backend) {
    let shop = Shop::start(backend).await;
    let client = || shop.client.clone();
    for id in [
        "",
        "x",
        "00000000",
        "../orders",
        "{00000000-0000-0000-0000-000000000000}",
    ] {
        let id = id.to_owned();
        assert_eq!(
            violations(
                client()
                    .get_order(pb::GetOrderRequest { id: id.clone() })
                    .await
            ),
            ["id"]
        );
        assert_eq!(
            violations(
                client()
                    .cancel_order(pb::CancelOrderRequest { id: id.clone() })
                    .await
            ),
            ["id"]
        );
        let tracking_code = " ".repeat(65);
        let shipped = client()
            .mark_shipped(pb::MarkShippedRequest { id, tracking_code })
            .await;
        assert_eq!(violations(shipped), ["id", "tracking_code"]);
    }
    let (id, missing) = (
        Uuid::new_v4().to_string(),
        (Code::NotFound, "ORDER_NOT_FOUND".to_owned()),
    );
    assert_eq!(
        refusal(
            client()
                .get_order(pb::GetOrderRequest { id: id.clone() })
                .await
        ),
        missing
    );
    assert_eq!(refusal(shop.cancel(&id).await), missing);
    assert_eq!(refusal(shop.ship(&id, "T").await), missing);
}

fn page(customer_id: &str, page_size: i32, page_token: &str) -> pb::ListOrdersRequest {
    pb::ListOrdersRequest {
        customer_id: customer_id.into(),
        page_size,
        page_token: page_token.into(),
    }
}

async fn orders_are_paged_by_customer(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 100);
    let mut placed = Vec::new();
    for number in 0..25 {
        placed.push(shop.place(&number.to_string(), &[(tea, 1)]).await.id);
    }
    placed.reverse();
    for (size, pages) in [
        (0, vec![20, 5]),
        (10, vec![10, 10, 5]),
        (25, vec![25]),
        (100, vec![25]),
    ] {
        let (mut listed, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
        loop {
            let answer = shop
                .client
                .clone()
                .list_orders(page("ada", size, &token))
                .await;
            let answer = answer.unwrap().into_inner();
            sizes.push(answer.orders.len());
            listed.extend(answer.orders.into_iter().map(|order| order.id));
            token = answer.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((listed, sizes), (placed.clone(), pages));
    }
    let bobs = shop.client.clone().list_orders(page("bob", 0, "")).await;
    assert_eq!(
        bobs.unwrap().into_inner(),
        pb::ListOrdersResponse::default()
    );
}

async fn a_tampered_page_token_is_refused(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.place("1", &[(tea, 1)]).await;
    shop.place("2", &[(tea, 1)]).await;
    let answer = shop.client.clone().list_orders(page("ada", 1, "")).await;
    let token = answer.unwrap().into_inner().next_page_token;

    let flipped: String = token.chars().rev().collect();
    for (customer, token) in [
        ("ada", flipped.as_str()),
        ("ada", &token[1..]),
        ("ada", "x"),
        ("ada", "'; DROP TABLE orders; --"),
        ("bob", &token),
    ] {
        let answer = shop
            .client
            .clone()
            .list_orders(page(customer, 1, token))
            .await;
        assert_eq!(violations(answer), ["page_token"]);
    }
    for size in [-1, 101, i32::MAX] {
        let answer = shop.client.clone().list_orders(page("", size, "x")).await;
        assert_eq!(
            violations(answer),
            ["customer_id", "page_size", "page_token"]
        );
    }
}

async fn a_cancelled_order_gives_its_stock_back(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("k", &[(tea, 4)]).await;
    assert_eq!(shop.catalog.stock(tea), (6, 4, 0));
    let cancelled = shop.cancel(&order.id).await.unwrap();
    assert_eq!(cancelled.state(), OrderState::Cancelled);
    assert_eq!(cancelled.total, order.total);
    shop.stock_becomes(tea, (10, 0, 0)).await;

    assert_eq!(shop.cancel(&order.id).await.unwrap(), cancelled);
    let not_shippable = (Code::FailedPrecondition, "ORDER_NOT_SHIPPABLE".to_owned());
    assert_eq!(refusal(shop.ship(&order.id, "T").await), not_shippable);
    assert_eq!(shop.place("k", &[(tea, 4)]).await, cancelled);
    assert_eq!(shop.catalog.stock(tea), (10, 0, 0));
}

async fn a_rejected_order_is_not_cancellable(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 1);
    let order = shop.place("k", &[(tea, 2)]).await;
    let expected = (Code::FailedPrecondition, "ORDER_NOT_CANCELLABLE".to_owned());
    assert_eq!(refusal(shop.cancel(&order.id).await), expected);
}

async fn a_shipped_order_takes_its_stock_along(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("k", &[(tea, 4)]).await;
    let shipped = shop.ship(&order.id, "T-1").await.unwrap();
    assert_eq!(
        (shipped.state(), shipped.tracking_code.as_str()),
        (OrderState::Shipped, "T-1")
    );
    shop.stock_becomes(tea, (6, 0, 4)).await;

    assert_eq!(shop.ship(&order.id, "T-2").await.unwrap(), shipped);
    let expected = (Code::FailedPrecondition, "ORDER_NOT_CANCELLABLE".to_owned());
    assert_eq!(refusal(shop.cancel(&order.id).await), expected);
    assert_eq!(shop.order(&order.id).await, shipped);
}

async fn only_a_confirmed_order_is_shippable(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let rejected = shop.place("rejected", &[(tea, 11)]).await;
    shop.catalog.refuse(crate::catalog::FOREVER);
    let pending = shop.place("pending", &[(tea, 1)]).await;
    assert_eq!(pending.state(), OrderState::Pending);
    let expected = (Code::FailedPrecondition, "ORDER_NOT_SHIPPABLE".to_owned());
    for order in [rejected, pending] {
        assert_eq!(refusal(shop.ship(&order.id, "T").await), expected);
    }
}

async fn cancelling_and_shipping_at_once_have_one_winner(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 100);
    let (mut available, mut shipped) = (100, 0);
    for number in 0..20 {
        let order = shop.place(&number.to_string(), &[(tea, 1)]).await;
        let (cancelling, shipping) =
            tokio::join!(shop.cancel(&order.id), shop.ship(&order.id, "T"));
        let winner = match (cancelling, shipping) {
            (Ok(order), Err(late)) => {
                assert_eq!(refusal(Err::<(), _>(late)).1, "ORDER_NOT_SHIPPABLE");
                order
            }
            (Err(late), Ok(order)) => {
                assert_eq!(refusal(Err::<(), _>(late)).1, "ORDER_NOT_CANCELLABLE");
                (available, shipped) = (available - 1, shipped + 1);
                order
            }
            both => panic!("{both:?}"),
        };
        assert_eq!(shop.order(&order.id).await.state, winner.state);
    }
    tokio::time::timeout(PATIENCE, shop.stock_becomes(tea, (available, 0, shipped)))
        .await
        .unwrap();
}
