use crate::{eventually, get, read_to_end};
use axum::{Router, extract::ConnectInfo, routing::get as on_get};
use hyper::header::HOST;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle::http::{HttpConfig, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn};
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    leaving: CancellationToken,
    stop: CancellationToken,
    /// `/slow` answers take one permit each.
    slow: Arc<Semaphore>,
    running: JoinHandle<()>,
}

async fn server() -> Server {
    let slow = Arc::new(Semaphore::new(0));
    let permits = slow.clone();
    let answer = async move || {
        permits.acquire().await.unwrap().forget();
        "slow"
    };
    let router = Router::new()
        .route("/", on_get(async || "hello"))
        .route(
            "/peer",
            on_get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
        )
        .route("/slow", on_get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (leaving, stop) = (CancellationToken::new(), CancellationToken::new());
    let config = HttpConfig {
        header_read_timeout: Duration::from_millis(200),
        leaving: leaving.clone(),
        ..HttpConfig::default()
    };
    let running = spawn(serve(listener, router, config, stop.clone()));
    Server {
        address,
        leaving,
        stop,
        slow,
        running,
    }
}

impl Server {
    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// One answer on a connection that stays open, up to and with `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn handlers_know_the_clients_address() {
    let server = server().await;
    let answer = get(server.address, "/peer").await;
    assert!(answer.contains("\r\n\r\n127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn connections_that_send_nothing_or_half_a_head_are_closed() {
    let server = server().await;
    // The third could still become HTTP/2, whose first line is `PRI * HTTP/2.0`.
    for sent in ["", "GET / HTTP/1.1\r\nhost: test\r\nx-slow: ", "PRI * HT"] {
        let begun = Instant::now();
        let mut stream = server.send(sent).await;
        let answer = read_to_end(&mut stream).await;
        assert!(
            !answer.contains("200 OK"),
            "{sent:?} was answered with {answer}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{sent:?} took {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_refused_with_431() {
    let server = server().await;
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "a".repeat(64 * 1024));
    for headers in [many, long] {
        let mut stream = server
            .send(&format!("GET / HTTP/1.1\r\nhost: test\r\n{headers}\r\n"))
            .await;
        let answer = read_until(&mut stream, "\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_were_sent_before_the_stop_are_answered() {
    let server = server().await;
    let mut idle = server.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    read_until(&mut idle, "hello").await;
    let mut busy = server
        .send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    // No task of the server has run since it was sent: the connection is not even accepted.
    server.stop.cancel();

    assert_eq!(
        read_to_end(&mut idle).await,
        "",
        "idle connections are closed"
    );
    eventually("refused", async || {
        TcpStream::connect(server.address).await.is_err()
    })
    .await;
    assert!(!server.running.is_finished());
    server.slow.add_permits(1);
    let answer = read_to_end(&mut busy).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"),
        "{answer}"
    );
    server.running.await.unwrap();
}

#[tokio::test]
async fn answers_close_their_connections_once_the_server_is_leaving() {
    let server = server().await;
    let mut stream = server.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let answer = read_until(&mut stream, "hello").await;
    assert!(!answer.contains("connection: close"), "{answer}");
    server.leaving.cancel();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("hello"),
        "{answer}"
    );
}

#[tokio::test]
async fn http2_is_served_on_the_same_port_and_told_to_go_away_at_the_stop() {
    let server = server().await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = spawn(connection);
    let request = || {
        let request =
            hyper::Request::get(format!("http://{}/slow", server.address)).header(HOST, "test");
        request.body(String::new()).unwrap()
    };
    let answer = spawn(client.send_request(request()));
    server.slow.add_permits(1);
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    server.stop.cancel();
    connection.await.unwrap().unwrap();
    server.running.await.unwrap();
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let server = server().await;
    let mut stream = server
        .send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    server.running.abort();
    assert!(stream.read_u8().await.is_err());
}
