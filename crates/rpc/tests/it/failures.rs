use std::time::Duration;

use proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use rpc::{
    client::{self, Channel},
    error::Violations,
};
use tokio::{
    io::{self, AsyncReadExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::Code;

use crate::catalog::{PATIENCE, Server, product, request};

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = client::parse_url(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let mut client =
        CatalogServiceClient::new(Channel::connect_lazy(url, &client::Config::default()));

    let status = client.get_product(request("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("refused"), "{status}");
}

/// A client behind a proxy that passes only so many bytes of the answers on, and then hangs up or
/// stays silent. It lives as long as the set.
async fn cut_client(
    server: &Server,
    bytes: u64,
    hang_up: bool,
    proxies: &mut JoinSet<()>,
) -> CatalogServiceClient<Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = client::parse_url(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let upstream = server.address;
    proxies.spawn(async move {
        let (mut caller, _) = listener.accept().await.unwrap();
        let (mut from_caller, mut to_caller) = caller.split();
        let mut server = TcpStream::connect(upstream).await.unwrap();
        let (from_server, mut to_server) = server.split();
        let mut beginning = from_server.take(bytes);
        let answers = async {
            io::copy(&mut beginning, &mut to_caller).await.unwrap();
            if !hang_up {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = io::copy(&mut from_caller, &mut to_server) => {}
            () = answers => {}
        }
    });
    let config = client::Config {
        attempt: Duration::from_millis(if hang_up { 5_000 } else { 100 }),
        ..client::Config::default()
    };
    CatalogServiceClient::new(Channel::connect_lazy(url, &config))
}

/// Nothing of an answer, part of the connection's settings, of the headers, of the message.
const CUTS: [u64; 6] = [0, 5, 70, 100, 1_000, 500_000];

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable_at_whatever_moment() {
    let server = Server::start(|_| async { Ok(product("x".repeat(1 << 20))) }).await;
    let mut proxies = JoinSet::new();
    for bytes in CUTS {
        let mut client = cut_client(&server, bytes, true, &mut proxies).await;
        let status = client.get_product(request("")).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::Unavailable,
            "after {bytes} bytes: {status}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_stops_coming_costs_one_attempts_time_at_whatever_moment() {
    let server = Server::start(|_| async { Ok(product("x".repeat(1 << 20))) }).await;
    let mut proxies = JoinSet::new();
    for bytes in CUTS {
        let mut client = cut_client(&server, bytes, false, &mut proxies).await;
        let call = timeout(PATIENCE, client.get_product(request("")));
        let status = call.await.unwrap().unwrap_err();
        assert_eq!(
            status.code(),
            Code::DeadlineExceeded,
            "after {bytes} bytes: {status}"
        );
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_receiver_and_by_its_sender() {
    let server = Server::start(|request| async move {
        let size: usize = request.into_inner().id.parse().unwrap_or(0);
        Ok(product("x".repeat(size)))
    })
    .await;
    let fits = (rpc::MESSAGE_LIMIT - 100).to_string();
    let too_long = (rpc::MESSAGE_LIMIT + 1).to_string();
    let mut open = server.client();
    let mut limited = server
        .client()
        .max_encoding_message_size(rpc::MESSAGE_LIMIT);

    open.get_product(request(&fits)).await.unwrap();
    for (what, result) in [
        (
            "an answer, by the server",
            open.get_product(request(&too_long)).await,
        ),
        (
            "a request, by the server",
            open.get_product(request(&"9".repeat(5 << 20))).await,
        ),
        (
            "a request, by the client",
            limited.get_product(request(&"9".repeat(5 << 20))).await,
        ),
    ] {
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{what}: {status}");
    }
    open.get_product(request("1")).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_internal_and_harms_no_other_call() {
    let server = Server::start(|request| async move {
        assert_ne!(request.into_inner().id, "bad", "a secret");
        Ok(product("good"))
    })
    .await;
    let mut client = server.client();

    let status = client.get_product(request("bad")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("secret"));
    client.get_product(request("good")).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_violations_still_arrive() {
    let server = Server::start(|_| async {
        let mut violations = Violations::default();
        for line in 0..10_001 {
            violations.check(false, format!("lines[{line}].quantity"), "1 to 1,000");
        }
        Err(violations.into_status())
    })
    .await;

    let status = server.client().get_product(request("")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let named = rpc::error::violations(&status);
    assert_eq!(named[0].field, "lines[0].quantity");
    assert!(
        status
            .message()
            .contains(&format!("{} more", 10_001 - named.len())),
        "{status}"
    );
}

#[test]
fn only_plain_http_urls_name_a_service() {
    for good in [
        "http://catalog:50051",
        "http://127.0.0.1:1/",
        "http://[::1]:50051",
    ] {
        client::parse_url(good).unwrap();
    }
    for bad in [
        "",
        "catalog:50051",
        "/",
        "https://catalog",
        "http://",
        "http://a/b",
        "http://a?b",
        "unix:x",
    ] {
        assert!(client::parse_url(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn one_channel_survives_a_servers_restart() {
    let mut first = Server::start(|_| async { Ok(product("first")) }).await;
    let channel = first.channel();
    let name = |channel: Channel| async move {
        let answer = CatalogServiceClient::new(channel)
            .get_product(request(""))
            .await;
        answer.map(|answer| answer.into_inner().product.unwrap().name)
    };
    assert_eq!(name(channel.clone()).await.unwrap(), "first");

    first.drained().await;
    assert_eq!(
        name(channel.clone()).await.unwrap_err().code(),
        Code::Unavailable
    );

    let address = first.address;
    let _second = Server::start_with(Default::default(), address, |_| async {
        Ok(product("second"))
    })
    .await;
    let back = timeout(PATIENCE, async {
        loop {
            match name(channel.clone()).await {
                Ok(name) => return name,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    assert_eq!(back.await.unwrap(), "second");
}
