//! Requests as bytes, for what an HTTP client refuses to send.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use shop::{Answer, Shop};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// An HTTP/1.1 request, byte by byte.
pub(crate) struct Request {
    method: &'static str,
    target: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: impl Into<Vec<u8>>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", length)
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat();
        let own = [
            ("Host".to_owned(), host.into()),
            ("Connection".to_owned(), b"close".to_vec()),
        ];
        for (name, value) in own.iter().chain(&self.headers) {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// Sends the request on a connection of its own.
pub(crate) async fn send(shop: &Shop, request: &Request) -> Answer {
    let host = shop.base.trim_start_matches("http://");
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let target = String::from_utf8_lossy(&request.target);
    let told = format!("{} {target:.200}", request.method);

    let mut connection = TcpStream::connect(&address)
        .await
        .expect("a connection to the shop");
    let (mut read, mut write) = connection.split();
    let bytes = request.bytes(host);
    let mut answer = Vec::new();
    // The server may answer, and close, before it has read everything.
    let talk = async { tokio::join!(write.write_all(&bytes), read.read_to_end(&mut answer)) };
    let ended = timeout(Duration::from_secs(15), talk).await;
    ended
        .unwrap_or_else(|_| panic!("{told}: no answer within 15 s"))
        .1
        .ok();
    parse(told, &answer)
}

fn parse(request: String, answer: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{request}: no answer, only {text:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let header = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value).ok()?,
        ))
    };
    Answer {
        status: status.unwrap_or_else(|| panic!("{request}: no status in {head:?}")),
        headers: lines.filter_map(header).collect::<HeaderMap>(),
        body: body.to_owned(),
        request,
    }
}
