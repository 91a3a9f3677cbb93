//! Limits, request ids, traces, headers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Parser;
use gateway::app::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Shop, eventually, order_of, problem};

#[tokio::test]
async fn above_the_limit_requests_are_shed_at_once() {
    let shop = Shop::with(&["--max-concurrent", "1"]).await;
    shop.world.millis.store(500, Ordering::Relaxed);
    let (slow, shed) = tokio::join!(shop.get("/api/v1/products"), async {
        let mut shed = shop.get("/api/v1/products").await;
        eventually("the limit is reached", async || {
            shed = shop.get("/api/v1/products").await;
            shed.status() == 503
        })
        .await;
        shed
    });
    // Which of the two came first is open; the one that was shed was not kept waiting.
    assert!(slow.status() == 200 || slow.status() == 503);
    problem(shed, 503, "overloaded").await;
    assert_eq!(
        shop.client
            .get(format!("{}/readyz", shop.admin))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let shop = Shop::with(&["--request-deadline", "300ms"]).await;
    // The body never comes.
    let mut stream = TcpStream::connect(shop.addr).await.unwrap();
    let head = "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: key\r\n\
        content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 504") && answer.contains("/problems/deadline-exceeded"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_deadline_reaches_the_services() {
    let shop = Shop::with(&["--request-deadline", "200ms"]).await;
    shop.world.millis.store(5_000, Ordering::Relaxed);
    let started = std::time::Instant::now();
    let status = shop.get("/api/v1/products").await.status();
    assert!(status == 503 || status == 504, "{status}");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_soon() {
    // Port 9 (discard) refuses connections.
    let shop = Shop::with(&[
        "--catalog-url",
        "http://127.0.0.1:9",
        "--orders-url",
        "http://127.0.0.1:9",
    ])
    .await;
    let started = std::time::Instant::now();
    problem(
        shop.get("/api/v1/products").await,
        503,
        "catalog-unavailable",
    )
    .await;
    problem(
        shop.get("/api/v1/orders?customer_id=ada").await,
        503,
        "orders-unavailable",
    )
    .await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_request_id_is_echoed_when_it_is_fit_for_logs() {
    let shop = Shop::open().await;
    let ask = async |id: &str| {
        let request = shop
            .client
            .get(format!("{}/api/v1/nothing", shop.url))
            .header("x-request-id", id);
        let body = problem(request.send().await.unwrap(), 404, "not-found").await;
        body["request_id"].as_str().unwrap().to_owned()
    };
    assert_eq!(ask("ci-42/a").await, "ci-42/a");
    for unfit in ["", "two words", &"x".repeat(129)] {
        assert!(
            uuid::Uuid::parse_str(&ask(unfit).await).is_ok(),
            "{unfit:?}"
        );
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let shop = Shop::open().await;
    for path in [
        "/",
        "/cart",
        "/nothing",
        "/api/v1/products",
        "/api/v1/nothing",
        "/assets/shop.css",
        "/robots.txt",
        "/problems",
    ] {
        let response = shop.get(path).await;
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["referrer-policy"], "same-origin");
        assert_eq!(
            response.headers()["cross-origin-opener-policy"],
            "same-origin"
        );
        assert!(response.headers().contains_key("x-request-id"));
        assert!(
            !response.headers().contains_key("strict-transport-security"),
            "not over plain http"
        );
    }
    let shop = Shop::with(&["--public-url", "https://shop.example"]).await;
    assert!(
        shop.get("/")
            .await
            .headers()
            .contains_key("strict-transport-security")
    );
}

#[tokio::test]
async fn what_a_page_of_another_site_sends_is_refused() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let own = shop.url.clone();
    let foreign: [&[(&str, &str)]; 6] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("origin", "https://evil.example")],
        &[("origin", "http://127.0.0.1:1")],
        &[("origin", "null")],
    ];
    for headers in foreign {
        let mut request = shop.order_request("key", &order_of(&[(rope, 1)]));
        let form = [
            ("product_id", rope.to_string()),
            ("quantity", "1".to_owned()),
        ];
        let mut page = shop.post("/cart/items").form(&form);
        for (name, value) in headers {
            request = request.header(*name, *value);
            page = page.header(*name, *value);
        }
        problem(request.send().await.unwrap(), 403, "cross-site-request").await;
        let page = page.send().await.unwrap();
        assert_eq!(page.status(), 403);
        assert!(!page.headers().contains_key("set-cookie"));
        assert!(
            page.text()
                .await
                .unwrap()
                .contains("This form came from somewhere else")
        );
    }
    assert!(shop.world.orders().is_empty());

    let fine: [&[(&str, &str)]; 4] = [
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://rewritten.example"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", &own)],
        &[],
    ];
    for (at, headers) in fine.iter().enumerate() {
        let mut request = shop.order_request(&format!("key-{at}"), &order_of(&[(rope, 1)]));
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        assert_eq!(request.send().await.unwrap().status(), 201, "{headers:?}");
    }
    // Reading is open to everybody.
    let read = shop
        .client
        .get(format!("{}/api/v1/products", shop.url))
        .header("sec-fetch-site", "cross-site");
    assert_eq!(read.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_is_measured_by_its_route_and_continues_its_callers_trace() {
    let config = Config::parse_from(["gateway", "--log-filter", "off"]);
    let telemetry = telemetry::init(&config.telemetry, "gateway", "1.0.0", "abc").unwrap();
    let shop = Shop::open().await;
    let bell = shop.world.stock("BELL", "Bell", 500, 3);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = shop
        .client
        .get(format!("{}/api/v1/products/{bell}", shop.url));
    let request = request.header("traceparent", format!("00-{trace}-b7ad6b7169203331-01"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    let sent = shop.world.traceparent.lock().unwrap().clone();
    assert!(
        sent.starts_with(&format!("00-{trace}-")) && !sent.contains("b7ad6b7169203331"),
        "{sent}"
    );

    let metrics = telemetry.metrics()();
    let series = r#"http_server_request_duration_seconds_count{method="GET",route="/api/v1/products/{id}",status="200"}"#;
    assert!(metrics.contains(series), "{metrics}");
    assert!(
        metrics.contains("http_server_shed_requests_total") && !metrics.contains(&bell.to_string())
    );
}
