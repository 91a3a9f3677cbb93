//! A service's life, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that fails may panic, and its tasks end with its runtime"
)]

mod admin;
mod drain;
mod http;
mod process;

use lifecycle::{Config, Lifecycle};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// On a free port, and without waiting for load balancers.
fn config() -> Config {
    Config {
        admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        drain_delay: Duration::ZERO,
        drain_deadline: Duration::from_secs(10),
        service_version: "1.2.3".to_owned(),
        service_revision: "abc".to_owned(),
    }
}

async fn start(config: Config) -> Lifecycle {
    Lifecycle::start(&config, "shop", || "up 1\n".to_owned())
        .await
        .unwrap()
}

/// The whole answer to one GET request on a connection of its own.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Waits for a condition, for ten seconds at most.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("not within 10 s: {what}"));
}
