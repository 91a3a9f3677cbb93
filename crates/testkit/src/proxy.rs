//! A gRPC proxy that stops at chosen points of a call, for tests that kill a process exactly there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{body::Incoming, client, rt::Executor, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::task::TaskTracker;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = BoxBody<Bytes, Error>;

/// A moment in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request has arrived and is not yet forwarded.
    Before,
    /// The upstream's whole response has arrived and is not yet returned.
    After,
}

/// A moment in the calls of one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The method's path: `/slipway.catalog.v1.CatalogService/Reserve`
    pub method: &'static str,
    /// When.
    pub phase: Phase,
}

/// A proxy on the loopback; ends when dropped.
///
/// ```no_run
/// # async fn example(catalog: testkit::service::Service) {
/// use std::time::Duration;
/// use testkit::proxy::{Phase, Point, Proxy};
///
/// let proxy = Proxy::start(catalog.address()).await;
/// let reserve = "/slipway.catalog.v1.CatalogService/Reserve";
/// let reached = proxy.at(Point { method: reserve, phase: Phase::After }, async move { drop(catalog) });
/// // ... place an order with orders' CATALOG_URL set to `proxy.url()` ...
/// reached.within(Duration::from_secs(10)).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    armed: Armed,
    _accepting: JoinSet<()>,
}

/// Says whether a point was reached and its action has ended.
#[derive(Debug)]
pub struct Reached {
    point: Point,
    done: oneshot::Receiver<()>,
}

impl Reached {
    /// Waits for it: without, a test could pass because nothing happened.
    ///
    /// # Panics
    /// When it has not ended by then, or has panicked.
    pub async fn within(self, time: Duration) {
        match tokio::time::timeout(time, self.done).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => panic!(
                "the action at {:?} panicked, or the proxy is gone",
                self.point
            ),
            Err(_) => panic!(
                "{:?} was not reached, or its action has not ended, within {time:?}",
                self.point
            ),
        }
    }
}

impl Proxy {
    /// Forwards HTTP/2 without TLS to `upstream`, which may come and go: without it, a call ends as UNAVAILABLE.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let armed = Armed::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, upstream, armed.clone()));
        Self {
            address,
            armed,
            _accepting: accepting,
        }
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs `action` when a call next reaches `point`, once; the call goes on when it has ended.
    /// It runs to its end even when it kills the caller.
    pub fn at(&self, point: Point, action: impl Future<Output = ()> + Send + 'static) -> Reached {
        let (tell, done) = oneshot::channel();
        let action = async move {
            action.await;
            // The test may have lost interest.
            let _ = tell.send(());
        };
        self.armed.points().push((point, action.boxed()));
        Reached { point, done }
    }
}

type Waiting = (Point, BoxFuture<'static, ()>);

/// The points that wait for a call, and the actions that run.
#[derive(Clone, Default)]
struct Armed {
    points: Arc<Mutex<Vec<Waiting>>>,
    running: TaskTracker,
}

impl std::fmt::Debug for Armed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.points().iter().map(|(point, _)| point))
            .finish()
    }
}

impl Armed {
    fn points(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaits(&self, method: &str, phase: Phase) -> bool {
        self.points()
            .iter()
            .any(|(point, _)| point.method == method && point.phase == phase)
    }

    async fn reach(&self, method: &str, phase: Phase) {
        let action = {
            let mut points = self.points();
            let index = points
                .iter()
                .position(|(point, _)| point.method == method && point.phase == phase);
            index.map(|index| points.remove(index).1)
        };
        if let Some(action) = action {
            // Its failure reaches the test through `Reached`.
            let _ = self.running.spawn(action).await;
        }
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, armed: Armed) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let armed = armed.clone();
                let service = service_fn(move |request| answer(request, upstream, armed.clone()));
                connections.spawn(async move {
                    // A caller that was killed ends its connection with an error, as it should.
                    let _ = server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    upstream: SocketAddr,
    armed: Armed,
) -> Result<Response<Body>, Error> {
    let method = request.uri().path().to_owned();
    armed.reach(&method, Phase::Before).await;
    let forwarded = forward(request, upstream).await;
    let returned = match forwarded {
        Ok(response) if armed.awaits(&method, Phase::After) => {
            let whole = whole(response).await;
            armed.reach(&method, Phase::After).await;
            whole
        }
        streamed => streamed,
    };
    Ok(returned.unwrap_or_else(|error| unavailable(&error)))
}

async fn whole(response: Response<Body>) -> Result<Response<Body>, Error> {
    let (head, body) = response.into_parts();
    let body = body
        .collect()
        .await?
        .map_err(|never| match never {})
        .boxed();
    Ok(Response::from_parts(head, body))
}

/// What a gRPC client makes of a refused connection:
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses> (Trailers-Only).
fn unavailable(error: &Error) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("14"));
    if let Ok(message) = HeaderValue::try_from(format!("proxy: {error}")) {
        headers.insert("grpc-message", message);
    }
    response
}

/// On a connection of its own, so that a killed and restarted upstream leaves nothing stale behind.
async fn forward(
    request: Request<Incoming>,
    upstream: SocketAddr,
) -> Result<Response<Body>, Error> {
    let stream = TcpStream::connect(upstream).await?;
    let (mut sender, connection) =
        client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // Ends with the response's body.
    TokioExecutor::new().execute(async move {
        let _ = connection.await;
    });
    Ok(sender
        .send_request(request)
        .await?
        .map(|body| body.map_err(Error::from).boxed()))
}
