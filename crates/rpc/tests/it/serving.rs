use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use proto::catalog::v1::catalog_service_server::SERVICE_NAME;
use rpc::server;
use tokio::{
    net::TcpStream,
    sync::{Barrier, Notify, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::catalog::{LOCAL, PATIENCE, Server, product, request};

fn check() -> HealthCheckRequest {
    HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    }
}

#[tokio::test]
async fn calls_over_the_limit_are_shed_and_health_checks_are_not() {
    let (begun, mut running) = mpsc::channel(2);
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let config = server::Config {
        max_concurrent: 2,
        ..server::Config::default()
    };
    let server = Server::start_with(config, LOCAL, move |_| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).await.unwrap();
            gate.notified().await;
            Ok(product(""))
        }
    })
    .await;

    let mut client = server.client();
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        let mut client = client.clone();
        callers.spawn(async move { client.get_product(request("")).await });
        running.recv().await.unwrap();
    }
    // On their connection and on another one: the limit is the server's, and nobody waits for it.
    for mut client in [client.clone(), server.client()] {
        let status = client.get_product(request("")).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
    }
    HealthClient::new(server.channel())
        .check(check())
        .await
        .unwrap();

    go.notify_waiters();
    for answer in callers.join_all().await {
        answer.unwrap();
    }
    go.notify_one();
    client.get_product(request("")).await.unwrap();
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_refuses_what_is_new() {
    let together = Arc::new(Barrier::new(2));
    let (begun, go) = (together.clone(), Arc::new(Notify::new()));
    let gate = go.clone();
    let mut server = Server::start(move |_| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.wait().await;
            gate.notified().await;
            Ok(product("finished"))
        }
    })
    .await;
    let mut client = server.client();
    let mut caller = JoinSet::new();
    caller.spawn(async move { client.get_product(request("")).await });
    together.wait().await;

    server.start_draining();
    let refused = timeout(PATIENCE, async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.client().get_product(request("")).await.unwrap_err()
    });
    assert_eq!(refused.await.unwrap().code(), Code::Unavailable);

    go.notify_one();
    let answer = caller.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(answer.into_inner().product.unwrap().name, "finished");
    server.drained().await;
}

#[tokio::test]
async fn health_watchers_hear_of_the_drain_and_dont_hold_it_up() {
    let mut server = Server::start(|_| async { Ok(product("")) }).await;
    // A plain channel: ours would end the stream at the attempt's deadline.
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address));
    let mut health = HealthClient::new(plain.unwrap().connect_lazy());
    let mut watch = health.watch(check()).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap().status();
    assert_eq!(first, ServingStatus::Serving.into());

    server.start_draining();
    let mut next = async || timeout(PATIENCE, watch.next()).await.unwrap().unwrap();
    let last = next().await.unwrap().status();
    assert_eq!(last, ServingStatus::NotServing.into());
    assert_eq!(next().await.unwrap_err().code(), Code::Unavailable);
    server.drained().await;
}

fn short_lived_connections(age: Duration) -> server::Config {
    server::Config {
        connection_age: age,
        ..server::Config::default()
    }
}

#[tokio::test]
async fn a_call_may_outlive_its_connections_age() {
    let age = Duration::from_millis(20);
    let server = Server::start_with(short_lived_connections(age), LOCAL, move |_| async move {
        tokio::time::sleep(3 * age).await;
        Ok(product(""))
    })
    .await;
    let mut client = server.client();
    for _ in 0..5 {
        client.get_product(request("")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_connections_under_load_fails_no_call() {
    let config = short_lived_connections(Duration::from_millis(100));
    let server = Server::start_with(config, LOCAL, |_| async { Ok(product("")) }).await;
    let client = server.client();
    let end = Instant::now() + Duration::from_secs(1);

    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        callers.spawn(async move {
            while Instant::now() < end {
                client.get_product(request("")).await.unwrap();
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test]
async fn reflection_tells_of_the_service_and_of_error_details() {
    let server = Server::start(|_| async { Ok(product("")) }).await;
    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(
            SERVICE_NAME.to_owned(),
        )),
        ask(MessageRequest::FileContainingSymbol(
            "google.rpc.BadRequest".to_owned(),
        )),
        ask(MessageRequest::FileByFilename(
            "google/protobuf/timestamp.proto".to_owned(),
        )),
    ];
    let mut answers = ServerReflectionClient::new(server.channel())
        .server_reflection_info(futures_util::stream::iter(questions))
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        answers
            .next()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap()
    };

    let MessageResponse::ListServicesResponse(services) = next().await else {
        panic!()
    };
    let names: Vec<_> = services
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(names, [SERVICE_NAME, "grpc.health.v1.Health"]);
    for _ in 0..3 {
        assert!(matches!(
            next().await,
            MessageResponse::FileDescriptorResponse(_)
        ));
    }
}
