//! `/api/v1/products`.

use serde_json::Value;

use crate::harness::{Shop, problem, rules};

#[tokio::test]
async fn products_come_in_pages_that_link_to_the_next() {
    let shop = Shop::open().await;
    for (sku, name) in [
        ("C", "Cleat"),
        ("A", "Anchor"),
        ("B", "Bell"),
        ("D", "Brass bell"),
    ] {
        shop.world.stock(sku, name, 500, 1);
    }

    let first = shop.get("/api/v1/products?page_size=2").await;
    let link = first.headers()["link"].to_str().unwrap().to_owned();
    let first: Value = first.json().await.unwrap();
    assert_eq!(first["items"][0]["name"], "Anchor");
    assert_eq!(first["items"][1]["name"], "Bell");
    let token = first["next_page_token"].as_str().unwrap();

    let next = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""))
        .unwrap();
    assert!(
        next.starts_with("/api/v1/products?page_size=2&page_token="),
        "{next}"
    );
    let second = shop.get(next).await;
    assert!(!second.headers().contains_key("link"));
    let second: Value = second.json().await.unwrap();
    assert_eq!(second["items"][0]["name"], "Brass bell");
    assert_eq!(second["items"][1]["name"], "Cleat");
    assert!(second.get("next_page_token").is_none());

    // The token goes with the search that it came from.
    let other = shop.client.get(format!("{}/api/v1/products", shop.url));
    let other = other
        .query(&[("q", "bell"), ("page_token", token)])
        .send()
        .await
        .unwrap();
    let other = problem(other, 400, "invalid-parameters").await;
    assert_eq!(rules(&other), ["page_token valid"]);
}

#[tokio::test]
async fn the_link_keeps_the_search_whatever_is_in_it() {
    let shop = Shop::open().await;
    for sku in ["A", "B"] {
        shop.world.stock(sku, "Tar & <feathers> 50%", 500, 1);
    }
    let first = shop
        .get("/api/v1/products?page_size=1&q=Tar+%26+%3Cfeathers%3E+50%25")
        .await;
    let link = first.headers()["link"].to_str().unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap().to_owned();
    let second: Value = shop.get(&next).await.json().await.unwrap();
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_search_finds_by_name_in_any_case() {
    let shop = Shop::open().await;
    shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    shop.world.stock("BELL", "Bell", 500, 1);

    let found: Value = shop
        .get("/api/v1/products?q=hEMP")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let rope = &found["items"][0];
    assert_eq!(rope["sku"], "ROPE-12");
    assert_eq!(
        rope["price"],
        serde_json::json!({"currency": "EUR", "minor_units": 1_990})
    );
    assert_eq!(rope["available"], 7);
}

#[tokio::test]
async fn a_product_is_sent_again_only_when_it_has_changed() {
    let shop = Shop::open().await;
    let bell = shop.world.stock("BELL", "Bell", 500, 3);
    for path in [
        format!("/api/v1/products/{bell}"),
        "/api/v1/products?q=bell".to_owned(),
    ] {
        let first = shop.get(&path).await;
        assert_eq!(first.status(), 200);
        let etag = first.headers()["etag"].clone();
        let again = || {
            shop.client
                .get(format!("{}{path}", shop.url))
                .header("if-none-match", &etag)
                .send()
        };

        let unchanged = again().await.unwrap();
        assert_eq!(unchanged.status(), 304);
        assert_eq!(unchanged.headers()["etag"], etag);
        assert!(unchanged.text().await.unwrap().is_empty());

        shop.world.take(bell, 1);
        let changed = again().await.unwrap();
        assert_eq!(changed.status(), 200);
        assert_ne!(changed.headers()["etag"], etag);
    }
}

#[tokio::test]
async fn an_unknown_product_is_a_problem() {
    let shop = Shop::open().await;
    let response = shop
        .get("/api/v1/products/018f0000-0000-7000-8000-000000000000")
        .await;
    problem(response, 404, "product-not-found").await;
}

#[tokio::test]
async fn while_the_catalog_is_down_products_are_503_and_come_back() {
    let shop = Shop::open().await;
    let bell = shop.world.stock("BELL", "Bell", 500, 3);
    crate::world::set(&shop.world.catalog_down, true);
    for path in [
        format!("/api/v1/products/{bell}"),
        "/api/v1/products".to_owned(),
    ] {
        let body = problem(shop.get(&path).await, 503, "catalog-unavailable").await;
        assert!(
            !body.to_string().contains("10.0.0.7"),
            "internal text: {body}"
        );
    }
    assert_eq!(
        shop.client
            .get(format!("{}/readyz", shop.admin))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    crate::world::set(&shop.world.catalog_down, false);
    assert_eq!(shop.get("/api/v1/products").await.status(), 200);
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let shop = Shop::open().await;
    let bell = shop.world.stock("BELL", "Bell", 500, 3);
    let url = format!("{}/api/v1/products/{bell}", shop.url);
    let response = shop.client.head(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("etag"));
    assert!(response.text().await.unwrap().is_empty());
}
