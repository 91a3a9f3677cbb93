use std::time::Duration;

use proto::catalog::v1::CommitRequest;
use telemetry::propagation::traceparent;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request};
use tracing::{Instrument, Span};

use crate::catalog::{PATIENCE, Server, TELEMETRY, product, request};

/// Waits for a line of the metrics that begins like this, and gives its value.
async fn metric(line: &str) -> f64 {
    let found = timeout(PATIENCE, async {
        loop {
            let text = TELEMETRY.metrics()();
            if let Some(value) = text.lines().find_map(|found| found.strip_prefix(line)) {
                return value.trim().parse().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("no {line} in\n{}", TELEMETRY.metrics()()))
}

fn count(side: &str, service: &str, method: &str, code: &str) -> String {
    format!(
        "rpc_{side}_duration_seconds_count{{service=\"{service}\",method=\"{method}\",code=\"{code}\"}}"
    )
}

const CATALOG: &str = "slipway.catalog.v1.CatalogService";

#[tokio::test]
async fn the_callers_trace_goes_on_in_the_handler() {
    let server = Server::start(|request| async move {
        let header = request
            .metadata()
            .get("traceparent")
            .unwrap()
            .to_str()
            .unwrap();
        Ok(product(format!(
            "{header} {}",
            traceparent(&Span::current())
        )))
    })
    .await;

    let caller = tracing::info_span!("caller");
    let mut client = server.client();
    let answer = client
        .get_product(request(""))
        .instrument(caller.clone())
        .await
        .unwrap();
    let name = answer.into_inner().product.unwrap().name;
    let (sent, handled) = name.split_once(' ').unwrap();
    let ids = |traceparent: &str| {
        let mut parts = traceparent.split('-').skip(1).map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap())
    };
    let (caller, sent, handled) = (ids(&traceparent(&caller)), ids(sent), ids(handled));
    assert_eq!(caller.0, sent.0);
    assert_eq!(caller.0, handled.0);
    assert_ne!(caller.1, sent.1, "a call is a span of its own");
    assert_ne!(sent.1, handled.1, "on either side");
}

#[tokio::test]
async fn both_sides_count_calls_by_method_and_code() {
    let server = Server::start(|_| async { Ok(product("")) }).await;
    let mut client = server.client();
    for _ in 0..3 {
        let status = client.commit(CommitRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    client.get_product(request("")).await.unwrap();

    for side in ["server", "client"] {
        assert_eq!(
            metric(&count(side, CATALOG, "Commit", "UNIMPLEMENTED")).await,
            3.0
        );
        assert!(metric(&count(side, CATALOG, "GetProduct", "OK")).await >= 1.0);
    }
    assert!(metric("rpc_server_shed_total").await >= 0.0);
}

#[tokio::test]
async fn made_up_paths_are_counted_as_unknown() {
    let server = Server::start(|_| async { Ok(product("")) }).await;
    for path in ["/slipway.catalog.v1.CatalogService/Steal", "/made.up/Path"] {
        let mut client = tonic::client::Grpc::new(server.channel());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = path.parse().unwrap();
        let status = client
            .unary(Request::new(()), path, codec)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    assert_eq!(
        metric(&count("server", "unknown", "unknown", "UNIMPLEMENTED")).await,
        2.0
    );
    let text = TELEMETRY.metrics()();
    assert!(!text.contains("Steal") && !text.contains("made.up"));
}

#[tokio::test]
async fn a_caller_that_has_gone_is_counted_as_cancelled() {
    let server = Server::start(|_| std::future::pending()).await;
    let mut client = server.client();
    let soon = Instant::now() + Duration::from_millis(50);
    tokio::time::timeout_at(soon, client.get_product(request("")))
        .await
        .unwrap_err();
    for side in ["server", "client"] {
        assert!(metric(&count(side, CATALOG, "GetProduct", "CANCELLED")).await >= 1.0);
    }
}
