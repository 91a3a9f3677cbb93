//! `/api/v1/orders`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, order_of, problem, rules};
use crate::world::set;

#[tokio::test]
async fn an_order_is_confirmed_and_stands_at_its_address() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let bell = shop.world.stock("BELL", "Bell", 500, 3);

    let body = order_of(&[(rope, 2), (bell, 1)]);
    let placed = shop.order_request("first", &body).send().await.unwrap();
    assert_eq!(placed.status(), 201);
    assert!(!placed.headers().contains_key("idempotent-replayed"));
    let location = placed.headers()["location"].to_str().unwrap().to_owned();
    let placed: Value = placed.json().await.unwrap();
    assert_eq!(placed["state"], "confirmed");
    assert_eq!(
        placed["total"],
        json!({"currency": "EUR", "minor_units": 4_480})
    );
    assert_eq!(placed["lines"][0]["name"], "Hemp rope");
    assert_eq!(placed["lines"][0]["unit_price"]["minor_units"], 1_990);
    assert_eq!(shop.world.available(rope), 5);

    let found = shop.get(&location).await;
    assert_eq!(found.headers()["cache-control"], "no-store");
    assert_eq!(found.json::<Value>().await.unwrap(), placed);
}

#[tokio::test]
async fn the_same_key_gives_the_same_order_as_it_is_by_then() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let send = || shop.order_request("first", &order_of(&[(rope, 2)])).send();
    let first: Value = send().await.unwrap().json().await.unwrap();
    shop.world.ship();

    let second = send().await.unwrap();
    assert_eq!(second.status(), 201);
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    let second: Value = second.json().await.unwrap();
    assert_eq!(second["id"], first["id"]);
    assert_eq!(
        (&second["state"], &second["tracking_code"]),
        (&json!("shipped"), &json!("SLIP-1"))
    );
    assert_eq!(shop.world.available(rope), 5);
    assert_eq!(shop.world.orders().len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_order() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    shop.order_request("first", &order_of(&[(rope, 2)]))
        .send()
        .await
        .unwrap();
    let other = shop
        .order_request("first", &order_of(&[(rope, 3)]))
        .send()
        .await
        .unwrap();
    problem(other, 422, "idempotency-key-reused").await;
    assert_eq!(shop.world.orders().len(), 1);

    let mut body = order_of(&[(rope, 3)]);
    body["customer_id"] = json!("grace");
    let hers = shop.order_request("first", &body).send().await.unwrap();
    assert_eq!(hers.status(), 201, "keys belong to their customers");
}

#[tokio::test]
async fn more_than_there_is_names_product_and_line_and_takes_nothing() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let bell = shop.world.stock("BELL", "Bell", 500, 3);
    let order = shop
        .order_request("first", &order_of(&[(rope, 2), (bell, 4)]))
        .send()
        .await
        .unwrap();
    let body = problem(order, 409, "out-of-stock").await;
    assert_eq!(rules(&body), ["lines[1].quantity in-stock"]);
    assert_eq!(body["product_id"], bell.to_string());
    assert_eq!(
        body["detail"],
        "Not enough of \"Bell\": 4 asked for, 3 available."
    );
    assert_eq!(
        (shop.world.available(rope), shop.world.available(bell)),
        (7, 3)
    );

    let rejected: Value = shop
        .get(body["instance"].as_str().unwrap())
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(rejected["state"], "rejected");
    assert_eq!(rejected["rejection"]["reason"], "OUT_OF_STOCK");
}

#[tokio::test]
async fn an_order_that_is_not_settled_yet_is_202_and_its_address_tells_the_rest() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    // Whether the gateway or the order service cannot reach the catalog.
    for (key, flag) in [
        ("a", &shop.world.catalog_down),
        ("b", &shop.world.saga_stuck),
    ] {
        set(flag, true);
        let placed = shop
            .order_request(key, &order_of(&[(rope, 2)]))
            .send()
            .await
            .unwrap();
        assert_eq!(placed.status(), 202);
        let location = placed.headers()["location"].to_str().unwrap().to_owned();
        let placed: Value = placed.json().await.unwrap();
        assert_eq!(placed["state"], "pending");
        assert!(placed.get("total").is_none());

        set(flag, false);
        shop.world.settle();
        let settled: Value = shop.get(&location).await.json().await.unwrap();
        assert_eq!(settled["state"], "confirmed");
    }
}

#[tokio::test]
async fn a_product_that_goes_while_the_order_is_placed_is_still_named() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    set(&shop.world.catalog_down, true);
    let send = || shop.order_request("first", &order_of(&[(rope, 2)])).send();
    assert_eq!(send().await.unwrap().status(), 202);
    shop.world.remove(rope);
    shop.world.settle();
    // Still down, so that only the order service's word counts.
    let body = problem(send().await.unwrap(), 422, "invalid-body").await;
    assert_eq!(rules(&body), ["lines[0].product_id known"]);
}

#[tokio::test]
async fn an_order_can_be_cancelled_until_it_is_shipped() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let place = async |key| {
        let placed = shop
            .order_request(key, &order_of(&[(rope, 2)]))
            .send()
            .await
            .unwrap();
        let placed: Value = placed.json().await.unwrap();
        format!("/api/v1/orders/{}/cancel", placed["id"].as_str().unwrap())
    };
    let cancel = place("first").await;
    for _ in 0..2 {
        let cancelled = shop.post(&cancel).send().await.unwrap();
        assert_eq!(cancelled.status(), 200);
        assert_eq!(
            cancelled.json::<Value>().await.unwrap()["state"],
            "cancelled"
        );
        assert_eq!(shop.world.available(rope), 7);
    }
    let cancel = place("second").await;
    shop.world.ship();
    problem(
        shop.post(&cancel).send().await.unwrap(),
        409,
        "order-not-cancellable",
    )
    .await;
    let unknown = format!("/api/v1/orders/{}/cancel", Uuid::new_v4());
    problem(
        shop.post(&unknown).send().await.unwrap(),
        404,
        "order-not-found",
    )
    .await;
}

#[tokio::test]
async fn a_customer_lists_their_own_orders_newest_first() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let mut ids = Vec::new();
    for key in ["1", "2", "3"] {
        let placed = shop
            .order_request(key, &order_of(&[(rope, 1)]))
            .send()
            .await
            .unwrap();
        ids.push(placed.json::<Value>().await.unwrap()["id"].clone());
    }
    let mut hers = order_of(&[(rope, 1)]);
    hers["customer_id"] = json!("grace");
    shop.order_request("1", &hers).send().await.unwrap();

    let first = shop.get("/api/v1/orders?customer_id=ada&page_size=2").await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    let first: Value = first.json().await.unwrap();
    let listed = |page: &Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|order| order["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), [ids[2].clone(), ids[1].clone()]);
    let next = link.split(['<', '>']).nth(1).unwrap();
    assert_eq!(
        listed(&shop.get(next).await.json().await.unwrap()),
        [ids[0].clone()]
    );
}

#[tokio::test]
async fn while_the_order_service_is_down_orders_are_503_and_nothing_is_placed_twice() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let send = || shop.order_request("first", &order_of(&[(rope, 2)])).send();
    set(&shop.world.orders_down, true);
    problem(send().await.unwrap(), 503, "orders-unavailable").await;
    problem(
        shop.get("/api/v1/orders?customer_id=ada").await,
        503,
        "orders-unavailable",
    )
    .await;
    assert_eq!(shop.get("/api/v1/products").await.status(), 200);
    set(&shop.world.orders_down, false);
    assert_eq!(send().await.unwrap().status(), 201);
    assert_eq!(shop.world.orders().len(), 1);
}
