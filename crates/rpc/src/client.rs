//! The client side: a channel to a service, and retries.
//!
//! # What a failed call's code says
//!
//! | code | was the call executed? |
//! |---|---|
//! | UNAVAILABLE | not when the connection failed; perhaps when it broke later |
//! | DEADLINE_EXCEEDED, CANCELLED | perhaps, and perhaps it still is |
//! | UNKNOWN, INTERNAL, DATA_LOSS | perhaps; the service has a fault |
//! | RESOURCE_EXHAUSTED | certainly not: the server refused it before the handler |
//! | UNIMPLEMENTED | certainly not: there is no handler |
//! | OUT_OF_RANGE | not when the request was too large, but when the answer was |
//! | every other code | the handler refused it, and by the contracts changed nothing |
//!
//! So where it says perhaps, only an idempotent call may be repeated, and of a call that isn't
//! idempotent nobody may be told that it failed before its effect was looked up.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, TimeoutExpired, body::Body, transport::Endpoint};
use tower::{Service, ServiceExt};
use tracing::Instrument;

pub use crate::retry::Retry;
use crate::{
    call::{self, Call},
    deadline, duration,
};

/// HTTP/2 and TCP keepalive: a peer that vanished without a word is noticed after the two together.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a request is sent again that left no trace; each time means another connection that
/// ended at that very moment.
const MAX_RESENDS: u32 = 3;

/// How a client waits and retries. Flatten it into the service's own settings.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[group(skip)] // every crate calls its settings Config, and clap wants distinct groups
pub struct Config {
    /// How long one attempt of a call to another service may take, connecting included.
    #[arg(long = "attempt-timeout", env = "ATTEMPT_TIMEOUT", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub attempt: Duration,
    /// How long all attempts of one such call may take together, pauses included.
    #[arg(long = "call-timeout", env = "CALL_TIMEOUT", value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub total: Duration,
    /// How long connecting may take. 1 s.
    #[arg(skip = Self::default().connect)]
    pub connect: Duration,
    /// How often a call is tried at most, the first attempt included. 3.
    #[arg(skip = Self::default().max_attempts)]
    pub max_attempts: u32,
    /// The first retry waits up to twice this time, each further one up to twice as long. 50 ms.
    #[arg(skip = Self::default().backoff_base)]
    pub backoff_base: Duration,
    /// No retry waits longer than this. 2 s.
    #[arg(skip = Self::default().backoff_limit)]
    pub backoff_limit: Duration,
    /// The part of the calls that may be retries, beside one retry a second. 0.1.
    #[arg(skip = Self::default().retry_ratio)]
    pub retry_ratio: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempt: Duration::from_secs(1),
            total: Duration::from_secs(3),
            max_attempts: 3,
            backoff_base: Duration::from_millis(50),
            backoff_limit: Duration::from_secs(2),
            retry_ratio: 0.1,
        }
    }
}

/// A text is not the URL of a gRPC service.
#[derive(Debug, thiserror::Error)]
#[error("a gRPC service's URL is http://HOST:PORT")]
pub struct InvalidUrl;

/// Parses a service's URL; a value parser for clap.
///
/// # Errors
/// When the URL isn't `http://` with a host and at most a port. TLS is the service mesh's work.
pub fn parse_url(text: &str) -> Result<Uri, InvalidUrl> {
    text.parse()
        .ok()
        .filter(|uri: &Uri| {
            uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none()
        })
        .filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
        .ok_or(InvalidUrl)
}

/// A connection to one service, made when it is first needed and again whenever it is lost.
/// Clones share it. Give it to the generated clients: `CatalogServiceClient::new(channel)`.
///
/// Each call is one attempt. It ends after [`Config::attempt`] or at the current
/// [deadline], whichever comes first, with DEADLINE_EXCEEDED; at a deadline that
/// is already past it isn't sent at all. Whatever goes wrong on the way is UNAVAILABLE.
///
/// Requests are collected before they are sent: a call whose stream of requests depends on its
/// answers can't use this.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: tonic::transport::Channel,
    attempt: Duration,
}

impl Channel {
    /// A channel to `uri`. Nothing is connected yet, so the service may start later.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn connect_lazy(uri: Uri, config: &Config) -> Self {
        call::prepare();
        // No `Endpoint::timeout`: it would end the wait for the headers, not for the whole answer.
        let inner = Endpoint::from(uri)
            .connect_timeout(config.connect)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(KEEPALIVE_INTERVAL))
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Self {
            inner,
            attempt: config.attempt,
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    /// Always ready: waiting for the connection is part of the attempt and of its time.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let mut call = Call::sent(&path, request.headers_mut());
        let timeout = [deadline::remaining(), deadline::asked(request.headers())]
            .into_iter()
            .flatten()
            .fold(self.attempt, Duration::min);
        let deadline = Instant::now() + timeout;
        let channel = self.inner.clone();

        Box::pin(async move {
            let sent = send(channel, request, deadline).instrument(call.span());
            let answer = match timeout_at(deadline, sent).await {
                Ok(answer) => answer,
                Err(_) => Err(deadline::exceeded()),
            };
            match answer {
                Ok(response) => Ok(call.answered(response, deadline).map(Body::new)),
                Err(status) => {
                    call.ended(status.code());
                    Err(status)
                }
            }
        })
    }
}

/// Sends a request, and again on a new connection as long as it certainly left no trace on the
/// old one. That happens whenever a server drains or a connection comes of age under load, and
/// isn't a failure ([transparent retry](https://github.com/grpc/proposal/blob/master/A6-client-retries.md#transparent-retries)).
async fn send(
    channel: tonic::transport::Channel,
    request: Request<Body>,
    deadline: Instant,
) -> Result<Response<Body>, Status> {
    let (mut head, body) = request.into_parts();
    // Fails when the message is over the client's limit.
    let body = body.collect().await?.to_bytes();
    let mut resends = 0;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(deadline::exceeded());
        }
        deadline::ask(&mut head.headers, left);
        let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
        match channel.clone().oneshot(request).await {
            Ok(response) => return Ok(response),
            Err(error) if resends < MAX_RESENDS && left_no_trace(&error) => resends += 1,
            Err(error) => return Err(transport_status(&error)),
        }
    }
}

/// Whether a request certainly wasn't processed: it still waited in the client when the connection
/// ended, or the server said so ([RFC 9113, 6.8 and 8.7](https://www.rfc-editor.org/rfc/rfc9113.html#section-8.7)).
fn left_no_trace(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| {
        let waited = error.downcast_ref().is_some_and(hyper::Error::is_canceled);
        let refused = error.downcast_ref().is_some_and(|error: &h2::Error| {
            error.is_remote()
                && match error.reason() {
                    Some(h2::Reason::NO_ERROR) => error.is_go_away(),
                    reason => reason == Some(h2::Reason::REFUSED_STREAM),
                }
        });
        waited || refused
    })
}

/// What an error on the way means. tonic alone makes UNKNOWN, INTERNAL or CANCELLED of a
/// connection that broke, depending on the moment.
pub(crate) fn transport_status(error: &(dyn Error + 'static)) -> Status {
    let root = chain(error).last().unwrap_or(error);
    // tonic times the `grpc-timeout` header too, and may be first by a hair.
    if root.is::<TimeoutExpired>() {
        return deadline::exceeded();
    }
    Status::unavailable(format!("the connection failed: {root}"))
}

/// The error and what caused it, down to the root.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}
