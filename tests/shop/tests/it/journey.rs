//! The journey on PostgreSQL, and what the demo catalogue cannot show.

use proto::catalog::v1::{CreateProductRequest, Money};
use serde_json::json;
use shop::{new_customer, new_key, send};
use testkit::Backend;
use tokio::process::Command;

use crate::system::{System, catalog_client};

#[tokio::test(flavor = "multi_thread")]
async fn on_postgres_the_whole_journey_without_browser() {
    let settings = [
        ("SHIPPING_TIME", "2s"),
        // Other tests keep the machine busy; how the shop answers then, `bad_days` shows.
        ("ATTEMPT_TIMEOUT", "20s"),
        ("CALL_TIMEOUT", "20s"),
        ("REQUEST_DEADLINE", "30s"),
        ("ACQUIRE_TIMEOUT", "20s"),
    ];
    let system = System::start(Backend::Postgres, &settings).await;
    let journey = Command::new(env!("CARGO_BIN_EXE_shop"))
        .args(["--base-url", &system.shop.base, "--skip", "browser::"])
        .output()
        .await
        .expect("the journey runs");
    let told = String::from_utf8_lossy(&journey.stdout);
    assert!(journey.status.success(), "{told}");
    assert!(told.contains("test result: ok."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_beyond_the_limit_or_in_two_currencies_is_refused_by_field() {
    let system = System::start(Backend::Sqlite, &[]).await;
    let mut catalog = catalog_client(&system.catalog);
    let mut ids = Vec::new();
    for (sku, currency) in [("YACHT", "EUR"), ("DINGHY", "USD")] {
        let price = Money {
            currency: currency.to_owned(),
            minor_units: 100_000_000_000,
        };
        let new = CreateProductRequest {
            sku: sku.to_owned(),
            name: sku.to_owned(),
            description: String::new(),
            price: Some(price),
            stock: 1_000,
        };
        let created = catalog
            .create_product(new)
            .await
            .expect("a new product")
            .into_inner();
        ids.push(created.product.expect("the new product").id);
    }
    let products = system.shop.products().await;
    let customer = new_customer();
    for (lines, field, rule) in [
        (
            json!([{"product_id": ids[0], "quantity": 11}]),
            "lines",
            "total",
        ),
        (
            json!([{"product_id": ids[0], "quantity": 1000}]),
            "lines",
            "total",
        ),
        (
            json!([{"product_id": ids[0], "quantity": 1}, {"product_id": ids[1], "quantity": 1}]),
            "lines[1].product_id",
            "currency",
        ),
    ] {
        let order = json!({"customer_id": customer, "currency": "EUR", "lines": lines});
        let answer = system.shop.place(&new_key(), &order).await;
        let problem = answer.must_be_problem(422, "invalid-body");
        assert_eq!(
            problem["errors"].as_array().map(Vec::len),
            Some(1),
            "{problem}"
        );
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        assert_eq!(problem["errors"][0]["rule"], rule, "{problem}");
    }
    assert!(system.shop.orders_of(&customer).await.is_empty());
    assert_eq!(system.shop.products().await, products);

    // To the limit, and not above it.
    let dearest = json!({"customer_id": customer, "currency": "EUR", "lines": [{"product_id": ids[0], "quantity": 10}]});
    let placed: shop::Order = system
        .shop
        .place(&new_key(), &dearest)
        .await
        .must_be(201)
        .json();
    assert_eq!(
        placed.total.map(|total| total.minor_units),
        Some(1_000_000_000_000)
    );
    send(system.shop.get("/")).await.must_be(200);
}
