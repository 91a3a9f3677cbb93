//! Bad input of every kind: the right status, a problem that names field and rule, nothing written,
//! and never a 500.

use gateway::problem::Kind;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{Shop, order_of, problem, rules};

/// A shop with a rope (in euros, 7 left) and a yacht (in euros, at the highest price).
async fn shop() -> (Shop, Uuid, Uuid) {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let yacht = shop.world.stock("YACHT", "Yacht", 100_000_000_000, 1_000);
    (shop, rope, yacht)
}

#[tokio::test]
async fn an_order_that_breaks_rules_names_each_of_them() {
    let (shop, rope, yacht) = shop().await;
    let sterling = shop.world.stock_in("GBP", "TEA", "Tea", 500, 9);
    let unknown = Uuid::now_v7();
    let with = |field: &str, value: Value| {
        let mut body = order_of(&[(rope, 1)]);
        body[field] = value;
        body
    };
    let line = |product: Value, quantity: Value| {
        with(
            "lines",
            json!([{"product_id": product, "quantity": quantity}]),
        )
    };
    let many: Vec<(Uuid, i64)> = (0..10_001).map(|_| (Uuid::now_v7(), 1)).collect();
    let cases: Vec<(Value, &[&str])> = vec![
        (order_of(&[(unknown, 1)]), &["lines[0].product_id known"]),
        (order_of(&[(rope, 0)]), &["lines[0].quantity range"]),
        (order_of(&[(rope, -1)]), &["lines[0].quantity range"]),
        (order_of(&[(rope, 1_001)]), &["lines[0].quantity range"]),
        (order_of(&[(rope, i64::MAX)]), &["lines[0].quantity range"]),
        (order_of(&[(yacht, 11)]), &["lines total"]),
        (order_of(&[(yacht, 1_000)]), &["lines total"]),
        (
            order_of(&[(rope, 1), (sterling, 1)]),
            &["lines[1].product_id currency"],
        ),
        (
            order_of(&[(unknown, 1), (rope, 1), (sterling, 1), (yacht, 1_000)]),
            &[
                "lines[0].product_id known",
                "lines[2].product_id currency",
                "lines total",
            ],
        ),
        (
            order_of(&[(rope, 1), (rope, 2)]),
            &["lines[1].product_id unique"],
        ),
        (order_of(&[]), &["lines length"]),
        (order_of(&many), &["lines length"]),
        (
            with("currency", json!("GBP")),
            &["lines[0].product_id currency"],
        ),
        (with("currency", json!("eur")), &["currency format"]),
        (with("currency", json!("EURO")), &["currency format"]),
        (with("currency", json!(978)), &["currency type"]),
        (with("customer_id", json!("")), &["customer_id format"]),
        (
            with("customer_id", json!("a".repeat(65))),
            &["customer_id format"],
        ),
        (
            with("customer_id", json!("ada lovelace\0")),
            &["customer_id format"],
        ),
        (with("customer_id", Value::Null), &["customer_id type"]),
        (with("coupon", json!("SAVE10")), &["coupon known"]),
        (line(json!("rope"), json!(1)), &["lines[0].product_id uuid"]),
        (line(json!(rope), json!("two")), &["lines[0].quantity type"]),
        (line(json!(rope), json!(1.5)), &["lines[0].quantity type"]),
        (line(json!(rope), json!(1e30)), &["lines[0].quantity type"]),
        (
            with("lines", json!([{"product_id": rope}])),
            &["lines[0].quantity required"],
        ),
        (
            with(
                "lines",
                json!([{"product_id": rope, "quantity": 1, "price": 0}]),
            ),
            &["lines[0].price known"],
        ),
        (with("lines", json!("rope")), &["lines type"]),
        (json!([]), &["body type"]),
        (json!({}), &["customer_id required"]),
        (json!("order"), &["body type"]),
        (
            json!({"customer_id": "?", "currency": "?", "lines": [
            {"product_id": "?", "quantity": 0}, {"product_id": rope, "quantity": 1_001}]}),
            &[
                "customer_id format",
                "currency format",
                "lines[0].product_id uuid",
                "lines[0].quantity range",
                "lines[1].quantity range",
            ],
        ),
    ];
    for (body, expected) in cases {
        let text: String = body.to_string().chars().take(300).collect();
        let response = shop.order_request("key", &body).send().await.unwrap();
        assert_eq!(response.status(), 422, "{text}");
        let found = problem(response, 422, "invalid-body").await;
        assert_eq!(rules(&found), expected, "{text}");
    }
    assert!(shop.world.orders().is_empty(), "nothing is written");
}

#[tokio::test]
async fn the_idempotency_key_has_rules_too() {
    let (shop, rope, _) = shop().await;
    let long = "k".repeat(300);
    let cases: [(&[&[u8]], &str); 6] = [
        (&[], "required"),
        (&[b""], "length"),
        (&[long.as_bytes()], "length"),
        (&[b"a key"], "characters"),
        (&[b"k\xc3\xa9y\xff"], "characters"),
        (&[b"one", b"two"], "unique"),
    ];
    for (keys, rule) in cases {
        let mut request = shop.post("/api/v1/orders").json(&order_of(&[(rope, 1)]));
        for key in keys {
            request = request.header("Idempotency-Key", *key);
        }
        let found = problem(request.send().await.unwrap(), 400, "invalid-parameters").await;
        assert_eq!(rules(&found), [format!("Idempotency-Key {rule}")]);
    }
    // A wrong key does not hide what is wrong with the body.
    let both = shop
        .order_request("a key", &order_of(&[(rope, 0)]))
        .send()
        .await
        .unwrap();
    let both = problem(both, 400, "invalid-parameters").await;
    assert_eq!(
        rules(&both),
        ["Idempotency-Key characters", "lines[0].quantity range"]
    );
    assert!(shop.world.orders().is_empty());

    let longest = shop
        .order_request(&long[..255], &order_of(&[(rope, 1)]))
        .send()
        .await
        .unwrap();
    assert_eq!(longest.status(), 201);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_malformed() {
    let (shop, rope, _) = shop().await;
    let valid = order_of(&[(rope, 1)]).to_string();
    let cut = &valid[..valid.len() - 1];
    let twice = format!("{valid}{valid}");
    let cases: [&[u8]; 6] = [
        b"",
        b"{",
        b"hello",
        cut.as_bytes(),
        twice.as_bytes(),
        b"{\"customer_id\": \"\xff\"}",
    ];
    for body in cases {
        let request = shop.post("/api/v1/orders").header("Idempotency-Key", "key");
        let request = request
            .header("content-type", "application/json")
            .body(body.to_vec());
        let response = request.send().await.unwrap();
        let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(response.status(), 400, "{text}");
        problem(response, 400, "malformed-body").await;
    }
    let twice = valid.replacen('{', "{\"currency\":\"EUR\",", 1);
    let request = shop.post("/api/v1/orders").header("Idempotency-Key", "key");
    let request = request
        .header("content-type", "application/json")
        .body(twice);
    let found = problem(request.send().await.unwrap(), 422, "invalid-body").await;
    assert_eq!(rules(&found), ["currency unique"]);
    assert!(shop.world.orders().is_empty());
}

#[tokio::test]
async fn only_json_is_taken_and_only_so_much() {
    let (shop, rope, _) = shop().await;
    let valid = order_of(&[(rope, 1)]).to_string();
    for media_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
    ] {
        let mut request = shop
            .post("/api/v1/orders")
            .header("Idempotency-Key", "key")
            .body(valid.clone());
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        problem(request.send().await.unwrap(), 415, "unsupported-media-type").await;
    }
    for size in [(1 << 20) + 1, 3 << 20] {
        let request = shop.post("/api/v1/orders").header("Idempotency-Key", "key");
        let request = request
            .header("content-type", "application/json")
            .body(vec![b' '; size]);
        problem(request.send().await.unwrap(), 413, "body-too-large").await;
    }
    // The same without a length in front.
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1_100_000, " ".repeat(1_100_000));
    let head = "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: key\r\nconnection: close\r\n\
        content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = shop.raw(format!("{head}{chunk}").as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 413") && answer.contains("/problems/body-too-large"),
        "{answer}"
    );

    let request = shop.post("/api/v1/orders").header("Idempotency-Key", "key");
    let request = request
        .header("content-type", "Application/JSON; charset=utf-8")
        .body(valid);
    assert_eq!(request.send().await.unwrap().status(), 201);
    assert_eq!(shop.world.orders().len(), 1);
}

#[tokio::test]
async fn parameters_that_break_rules_are_named() {
    let (shop, ..) = shop().await;
    let long = format!("/api/v1/products?q={}", "%C3%A9".repeat(101));
    let cases: [(&str, &[&str]); 21] = [
        ("/api/v1/products?page_size=0", &["page_size range"]),
        ("/api/v1/products?page_size=101", &["page_size range"]),
        ("/api/v1/products?page_size=-1", &["page_size range"]),
        ("/api/v1/products?page_size=ten", &["page_size range"]),
        (
            "/api/v1/products?page_size=99999999999999999999",
            &["page_size range"],
        ),
        ("/api/v1/products?page_size=", &["page_size range"]),
        ("/api/v1/products?q=a&q=b", &["q unique"]),
        (&long, &["q length"]),
        ("/api/v1/products?q=%FF", &["q utf-8"]),
        ("/api/v1/products?q=%00", &["q characters"]),
        (
            "/api/v1/products?page_token=tampered",
            &["page_token valid"],
        ),
        (
            "/api/v1/products?pagesize=3&sort=price",
            &["pagesize known", "sort known"],
        ),
        (
            "/api/v1/products?q=%FF&page_size=0&sort=price",
            &["q utf-8", "page_size range", "sort known"],
        ),
        ("/api/v1/products/rope", &["id uuid"]),
        ("/api/v1/products/%00", &["id uuid"]),
        ("/api/v1/products/%FF", &["id uuid"]),
        ("/api/v1/products/..%2F..%2Fetc%2Fpasswd", &["id uuid"]),
        ("/api/v1/orders", &["customer_id required"]),
        ("/api/v1/orders?customer_id=", &["customer_id format"]),
        (
            "/api/v1/orders?customer_id=ada&page_token=24%7Cgrace",
            &["page_token valid"],
        ),
        ("/api/v1/orders/1", &["id uuid"]),
    ];
    for (path, expected) in cases {
        let found = problem(shop.get(path).await, 400, "invalid-parameters").await;
        assert_eq!(rules(&found), expected, "{path}");
        let detail = found["detail"].as_str().unwrap();
        assert!(
            detail.starts_with(expected[0].split(' ').next().unwrap()),
            "{detail}"
        );
    }
    let found = shop.post("/api/v1/orders/1/cancel").send().await.unwrap();
    assert_eq!(
        rules(&problem(found, 400, "invalid-parameters").await),
        ["id uuid"]
    );
}

#[tokio::test]
async fn addresses_and_methods_that_do_not_exist_are_problems() {
    let (shop, ..) = shop().await;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v2/products",
        "/api/v1/products/",
        "/api/v1/orders//",
        "/api/",
    ] {
        problem(shop.get(path).await, 404, "not-found").await;
    }
    let cases = [
        (Method::POST, "/api/v1/products", "GET,HEAD"),
        (
            Method::DELETE,
            "/api/v1/products/018f0000-0000-7000-8000-000000000000",
            "GET,HEAD",
        ),
        (Method::PUT, "/api/v1/orders", "GET,HEAD,POST"),
        (
            Method::GET,
            "/api/v1/orders/018f0000-0000-7000-8000-000000000000/cancel",
            "POST",
        ),
        (Method::OPTIONS, "/api/v1/orders", "GET,HEAD,POST"),
        (
            Method::from_bytes(b"BREW").unwrap(),
            "/api/v1/openapi.json",
            "GET,HEAD",
        ),
    ];
    for (method, path, allow) in cases {
        let response = shop
            .client
            .request(method, format!("{}{path}", shop.url))
            .send()
            .await
            .unwrap();
        let mut allowed: Vec<_> = response.headers()["allow"]
            .to_str()
            .unwrap()
            .split(',')
            .collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{path}");
        problem(response, 405, "method-not-allowed").await;
    }
}

#[tokio::test]
async fn path_tricks_lead_nowhere() {
    let (shop, ..) = shop().await;
    let get = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").into_bytes()
    };
    for path in [
        "/api/v1/../..",
        "/api/v1/../../etc/passwd",
        "/api/v1/products/../orders",
        "/api/v1/products/./x",
        "/api//v1/products",
        "/api/v1/%2e%2e/products",
    ] {
        let answer = shop.raw(&get(path)).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("/problems/not-found"),
            "{path}: {answer}"
        );
    }
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/%2e%2e/src/main.rs",
        "/assets//etc/passwd",
        "/assets/%00",
        "//cart",
    ] {
        let answer = shop.raw(&get(path)).await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("Not on the chart"),
            "{path}: {answer}"
        );
    }
    // An invalid percent-encoding where the path has to be decoded.
    let answer = shop.raw(&get("/assets/%FF")).await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("text/html"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_refused_before_it_is_a_request() {
    let (shop, rope, _) = shop().await;
    let flood: String = (0..150).map(|at| format!("x-{at}: y\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "y".repeat(40 << 10));
    for (headers, status) in [(flood, 431), (huge, 431)] {
        let request = format!("GET /api/v1/products HTTP/1.1\r\nhost: shop\r\n{headers}\r\n");
        let answer = shop.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
    for request in [
        &b"GET /api/v1/products/\xff\xfe HTTP/1.1\r\nhost: shop\r\n\r\n"[..],
        b"GET /api/v1/products?q=\xff HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"GET /api/v1/pro ducts HTTP/1.1\r\nhost: shop\r\n\r\n",
        b"GET /api/v1/products HTTP/1.1\r\nhost: shop\r\nbad header: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let answer = shop.raw(request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.is_empty(),
            "{answer}"
        );
    }
    // A header that is not UTF-8 does no harm where nothing needs it.
    let body = order_of(&[(rope, 1)]);
    let request = shop
        .order_request("key", &body)
        .header("x-request-id", &b"\xff"[..])
        .header("traceparent", &b"\xff"[..]);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(Uuid::parse_str(response.headers()["x-request-id"].to_str().unwrap()).is_ok());
}

#[tokio::test]
async fn every_problem_explains_itself_at_its_address() {
    let (shop, ..) = shop().await;
    for kind in Kind::ALL {
        let explained = shop.get(&format!("/problems/{}", kind.slug())).await;
        assert_eq!(explained.status(), 200);
        assert!(explained.text().await.unwrap().contains(kind.about()));
    }
    assert_eq!(shop.get("/problems/unheard-of").await.status(), 404);
    let all = shop.get("/problems").await.text().await.unwrap();
    assert!(Kind::ALL.iter().all(|kind| all.contains(kind.slug())));
}

#[tokio::test]
async fn http2_is_served_and_limited_in_the_same_way() {
    let (shop, ..) = shop().await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let response = client
        .get(format!("{}/api/v1/products", shop.url))
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), 200);
}
