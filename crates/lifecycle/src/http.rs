//! An HTTP server for ports that strangers can reach.

use axum::{Router, extract::ConnectInfo, response::Response};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Version, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::{io, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Timeouts and limits of [`serve`].
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// How long a client may take to send a request's head. `axum::serve` sets no limit, so that clients that send
    /// theirs byte by byte ("slowloris") can hold every connection. Also how long one may idle between two requests.
    pub header_read_timeout: Duration,
    /// The most header fields of one request; more are answered with 431.
    pub max_headers: usize,
    /// The most bytes of one request's head; more are answered with 431. At least 8192.
    pub max_head_bytes: u32,
    /// From when on answers say `connection: close` (HTTP/1.1), so that clients have moved to other connections before
    /// this server stops: give it [`Lifecycle::shutdown`](crate::Lifecycle::shutdown).
    pub leaving: CancellationToken,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            max_headers: 100,
            max_head_bytes: 32 * 1024,
            leaving: CancellationToken::new(),
        }
    }
}

/// How long idle connections are kept after the stop: their next request may be on its way already.
const LINGER: Duration = Duration::from_millis(100);

/// Serves HTTP/1.1 and HTTP/2 (prior knowledge) until `stop` fires and the requests in flight are answered.
///
/// Handlers find the client's address in [`ConnectInfo`]. Dropping the future closes all connections at once.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: HttpConfig,
    stop: CancellationToken,
) {
    let server = Server {
        builder: builder(&config),
        router,
        config,
        stop,
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = server.stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => { connections.spawn(server.clone().connection(stream, peer)); }
                Err(error) => refused(&error).await,
            }
        }
    }
    while let Some((stream, peer)) = waiting(&listener) {
        connections.spawn(server.clone().connection(stream, peer));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A connection that waits in the kernel's queue, which is reset when the listener closes.
fn waiting(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.poll_accept(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(accepted) => accepted.ok(),
        Poll::Pending => None,
    }
}

async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        // Out of file descriptors, most likely: accepting at once again would only burn the processor.
        tracing::error!(%error, "cannot accept a connection");
        sleep(Duration::from_secs(1)).await;
    }
}

fn builder(config: &HttpConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_headers(config.max_headers)
        .max_buf_size(config.max_head_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(config.max_head_bytes)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

#[derive(Clone)]
struct Server {
    builder: Builder<TokioExecutor>,
    router: Router,
    config: HttpConfig,
    stop: CancellationToken,
}

impl Server {
    async fn connection(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection was gone when accepted");
            return;
        }
        let asked = AtomicBool::new(false);
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            self.clone().answer(request, peer)
        });
        let stopped = async {
            self.stop.cancelled().await;
            sleep(LINGER).await;
        };
        // hyper's header timeout begins once it knows the HTTP version, which a client that sends nothing never tells.
        let silence = async {
            sleep(self.config.header_read_timeout).await;
            if asked.load(Ordering::Relaxed) {
                pending::<()>().await;
            }
        };
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stopped => { connection.as_mut().graceful_shutdown(); connection.await }
            () = silence => { connection.as_mut().graceful_shutdown(); connection.await }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, error, "connection broke off");
        }
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response, Infallible> {
        let version = request.version();
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut response = self.router.oneshot(request).await?;
        let leaving = self.config.leaving.is_cancelled() || self.stop.is_cancelled();
        // HTTP/2 has GOAWAY for this, and forbids the header (RFC 9113, 8.2.2).
        if leaving && version < Version::HTTP_2 {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}
