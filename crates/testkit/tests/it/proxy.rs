use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use testkit::{
    eventually,
    proxy::{Phase, Point, Proxy},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Code,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::HealthReporter,
};

use super::SOON;

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// A gRPC server that lives as long as the set.
async fn serve(address: SocketAddr) -> (SocketAddr, HealthReporter, JoinSet<()>) {
    // The port may still be closing when it is taken again.
    let listener = eventually(SOON, async || TcpListener::bind(address).await).await;
    let address = listener.local_addr().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut running = JoinSet::new();
    running.spawn(async move {
        Server::builder()
            .add_service(health)
            .serve_with_incoming(TcpIncoming::from(listener))
            .await
            .unwrap();
    });
    (address, reporter, running)
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn client(proxy: &Proxy) -> HealthClient<Channel> {
    HealthClient::new(Endpoint::from_shared(proxy.url()).unwrap().connect_lazy())
}

fn request() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

#[tokio::test]
async fn calls_and_their_errors_pass_through() {
    let (upstream, _reporter, _running) = serve(any()).await;
    let mut client = client(&Proxy::start(upstream).await);
    // The proxy has been dropped.
    assert_eq!(
        client.check(request()).await.unwrap_err().code(),
        Code::Unavailable
    );

    let proxy = Proxy::start(upstream).await;
    let mut client = self::client(&proxy);
    assert_eq!(
        client.check(request()).await.unwrap().into_inner().status,
        1
    );
    let unknown = HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    assert_eq!(
        client.check(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn streams_pass_through_message_by_message() {
    let (upstream, reporter, _running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let mut changes = client(&proxy).watch(request()).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status, 1);
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    assert_eq!(changes.message().await.unwrap().unwrap().status, 2);
}

#[tokio::test]
async fn before_means_that_the_upstream_has_not_seen_the_request() {
    let (upstream, reporter, _running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let point = Point {
        method: CHECK,
        phase: Phase::Before,
    };
    let reached = proxy.at(point, async move {
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
    });
    assert_eq!(
        client(&proxy)
            .check(request())
            .await
            .unwrap()
            .into_inner()
            .status,
        2,
        "answered after the action"
    );
    reached.within(SOON).await;
}

#[tokio::test]
async fn after_means_that_the_upstream_has_answered() {
    let (upstream, reporter, _running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let point = Point {
        method: CHECK,
        phase: Phase::After,
    };
    let reached = proxy.at(point, async move {
        reporter
            .set_service_status("", ServingStatus::NotServing)
            .await;
    });
    assert_eq!(
        client(&proxy)
            .check(request())
            .await
            .unwrap()
            .into_inner()
            .status,
        1,
        "answered before the action"
    );
    reached.within(SOON).await;
}

#[tokio::test]
async fn a_point_fires_once_and_only_for_its_method() {
    let (upstream, _reporter, _running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counting = |method, phase| {
        let count = Arc::clone(&count);
        proxy.at(Point { method, phase }, async move {
            count.fetch_add(1, Ordering::Relaxed);
        })
    };
    let _other = counting("/grpc.health.v1.Health/List", Phase::Before);
    counting(CHECK, Phase::Before);
    let mut client = client(&proxy);
    for _ in 0..3 {
        client.check(request()).await.unwrap();
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_upstream_may_be_killed_in_a_call_and_come_back() {
    let (upstream, _reporter, running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let mut client = client(&proxy);
    client.check(request()).await.unwrap();

    let reached = proxy.at(
        Point {
            method: CHECK,
            phase: Phase::Before,
        },
        async move {
            let mut running = running;
            running.shutdown().await;
        },
    );
    assert_eq!(
        client.check(request()).await.unwrap_err().code(),
        Code::Unavailable
    );
    reached.within(SOON).await;
    assert_eq!(
        client.check(request()).await.unwrap_err().code(),
        Code::Unavailable
    );

    let (_, _reporter, _running) = serve(upstream).await;
    client
        .check(request())
        .await
        .expect("the first call after the restart is answered");
}

#[tokio::test]
async fn an_action_that_loses_its_caller_runs_to_its_end() {
    let (upstream, _reporter, _running) = serve(any()).await;
    let proxy = Proxy::start(upstream).await;
    let (caller_gone, wait_for_it) = tokio::sync::oneshot::channel();
    let reached = proxy.at(
        Point {
            method: CHECK,
            phase: Phase::After,
        },
        async move {
            wait_for_it.await.unwrap();
            tokio::task::yield_now().await;
        },
    );
    let mut client = client(&proxy);
    let call = tokio::time::timeout(
        std::time::Duration::from_millis(200),
        client.check(request()),
    );
    assert!(call.await.is_err());
    drop(client);
    caller_gone.send(()).unwrap();
    reached.within(SOON).await;
}

#[tokio::test]
#[should_panic(expected = "was not reached")]
async fn a_point_that_is_never_reached_fails_the_test() {
    let proxy = Proxy::start(any()).await;
    let reached = proxy.at(
        Point {
            method: CHECK,
            phase: Phase::After,
        },
        async {},
    );
    reached.within(std::time::Duration::from_millis(50)).await;
}
