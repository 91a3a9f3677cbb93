//! Telemetry as a whole process has it, with a collector that speaks just enough OTLP.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use telemetry::{Config, Error, LogFormat};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type Received = Arc<Mutex<Vec<u8>>>;

/// Takes the bytes of every export, and answers with an empty gRPC message and status 0.
async fn collect(
    request: Request<Incoming>,
    received: Received,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    assert_eq!(
        request.uri().path(),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    received.lock().unwrap().extend_from_slice(&body);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
    Ok(Response::builder()
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap())
}

async fn collector(listener: TcpListener, received: Received) {
    let (stream, _) = listener.accept().await.unwrap();
    let service = service_fn(move |request| collect(request, received.clone()));
    // The client goes away without ceremony.
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn contains(received: &Received, text: &str) -> bool {
    received
        .lock()
        .unwrap()
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_and_metrics_leave_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        log_format: LogFormat::Json,
        log_filter: "info".to_owned(),
        otlp_endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        trace_sample_ratio: 1.0,
    };
    let received = Received::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(collector(listener, received.clone()));
    let telemetry = telemetry::init(&config, "shop-under-test", "7.8.9", "abc").unwrap();
    assert!(matches!(
        telemetry::init(&config, "shop", "1", "a"),
        Err(Error::Installed)
    ));

    metrics::histogram!("reservation_duration_seconds").record(0.2);
    metrics::counter!("reservations_total").increment(2);
    let text = telemetry.metrics()();
    for line in [
        r#"service_info{service="shop-under-test",version="7.8.9",revision="abc"} 1"#,
        r#"reservation_duration_seconds_bucket{le="0.1"} 0"#,
        r#"reservation_duration_seconds_bucket{le="0.25"} 1"#,
        "reservations_total 2",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }

    tracing::info_span!("first-span").in_scope(|| {});
    let exported = async {
        while !contains(&received, "first-span") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), exported)
        .await
        .expect("exported by itself");
    assert!(contains(&received, "shop-under-test") && contains(&received, "7.8.9"));

    tracing::debug_span!("too-fine").in_scope(|| {});
    tracing::info_span!("last-span").in_scope(|| {});
    telemetry.shutdown().await;
    assert!(contains(&received, "last-span"), "shutdown flushes");
    assert!(!contains(&received, "too-fine"));
}
