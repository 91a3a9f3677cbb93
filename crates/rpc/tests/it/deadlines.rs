use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use proto::catalog::v1::Product;
use rpc::{deadline, server};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::{Code, Status};

use crate::catalog::{LOCAL, PATIENCE, Server, product, request};

/// Work without end that tells when it begins and when it is stopped.
struct Work(mpsc::Sender<&'static str>);

impl Work {
    async fn run(events: mpsc::Sender<&'static str>) -> Result<Product, Status> {
        events.send("begun").await.unwrap();
        let _work = Self(events);
        std::future::pending().await
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.try_send("stopped").unwrap();
    }
}

async fn next(events: &mut mpsc::Receiver<&'static str>) -> &'static str {
    timeout(PATIENCE, events.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_deadline_travels_and_shrinks_from_hop_to_hop() {
    let left = || deadline::remaining().unwrap().as_micros().to_string();
    let inner = Server::start(move |_| async move { Ok(product(left())) }).await;
    let client = inner.client();
    let outer = Server::start(move |_| {
        let mut client = client.clone();
        async move {
            let here = left();
            let there = client
                .get_product(request(""))
                .await?
                .into_inner()
                .product
                .unwrap()
                .name;
            Ok(product(format!("{here} {there}")))
        }
    })
    .await;

    let sent = Duration::from_millis(700);
    let answer = deadline::scope(Instant::now() + sent, async {
        outer.client().get_product(request("")).await.unwrap()
    });
    let name = answer.await.into_inner().product.unwrap().name;
    let (here, there) = name.split_once(' ').unwrap();
    let (here, there): (u128, u128) = (here.parse().unwrap(), there.parse().unwrap());
    assert!(
        0 < there && there < here && here < sent.as_micros(),
        "{there} {here}"
    );
}

#[tokio::test]
async fn without_a_callers_deadline_the_servers_counts() {
    let (events, mut log) = mpsc::channel(4);
    let config = server::Config {
        request_deadline: Duration::from_millis(50),
        ..server::Config::default()
    };
    let server = Server::start_with(config, LOCAL, move |_| Work::run(events.clone())).await;
    let mut client = server.plain_client();

    let status = client.get_product(request("")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        (next(&mut log).await, next(&mut log).await),
        ("begun", "stopped")
    );
}

/// With a bare HTTP/2 client: any other gives up by itself at the same moment.
#[tokio::test]
async fn a_server_itself_says_that_the_callers_deadline_passed() {
    let server = Server::start(|_| std::future::pending()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);

    let mut in_time = 0;
    for _ in 0..20 {
        let request = Request::post("http://catalog/slipway.catalog.v1.CatalogService/GetProduct")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "10m")
            .body(())
            .unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        let response = timeout(PATIENCE, response).await.unwrap().unwrap();
        let exceeded = (Code::DeadlineExceeded as i32).to_string();
        in_time += u32::from(response.headers()["grpc-status"] == *exceeded);
    }
    // When the system stops the thread at the wrong moment, tonic's own timer is first.
    assert!(in_time >= 18, "{in_time}");
}

#[tokio::test]
async fn work_stops_when_its_time_is_up() {
    let (events, mut log) = mpsc::channel(4);
    let server = Server::start(move |_| Work::run(events.clone())).await;
    let mut client = server.client();

    let deadline = Instant::now() + Duration::from_millis(100);
    let status = deadline::scope(deadline, client.get_product(request("")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(
        (next(&mut log).await, next(&mut log).await),
        ("begun", "stopped")
    );
}

#[tokio::test]
async fn work_stops_when_its_caller_has_gone() {
    let (events, mut log) = mpsc::channel(4);
    let server = Server::start(move |_| Work::run(events.clone())).await;
    let mut client = server.client();

    let mut caller = JoinSet::new();
    caller.spawn(async move { client.get_product(request("")).await });
    assert_eq!(next(&mut log).await, "begun");
    caller.shutdown().await;
    assert_eq!(next(&mut log).await, "stopped");
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = Server::start(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(product("")) }
    })
    .await;
    let mut client = server.client();

    let late = deadline::scope(Instant::now(), client.get_product(request(""))).await;
    assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
    client.get_product(request("")).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}
