//! Settings, and the wiring of everything, once.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use axum_extra::extract::cookie::Key;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use http::Uri;
use lifecycle::Lifecycle;
use lifecycle::http::HttpConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::backends::Backends;
use crate::{api, assets, metrics, middleware, pages, problem};

/// The shop's HTTP edge: the REST API and the pages.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", mut_arg("admin_listen", |arg| arg.default_value("0.0.0.0:9090")))]
pub struct Config {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the API and the pages are served.
    #[arg(long, env, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Where the catalog is.
    #[arg(long, env, value_name = "URL", default_value = "http://127.0.0.1:50051", value_parser = rpc::client::parse_url)]
    pub catalog_url: Uri,
    /// Where the order service is.
    #[arg(long, env, value_name = "URL", default_value = "http://127.0.0.1:50052", value_parser = rpc::client::parse_url)]
    pub orders_url: Uri,
    /// The shop's address as browsers see it. With https, cookies are only sent encrypted.
    #[arg(long, env, value_name = "URL", value_parser = parse_public_url)]
    pub public_url: Option<Uri>,
    /// Signs the cookies: 64 or more random bytes, the same for all replicas. Where it is not set, a key is
    /// made at the start, and carts do not survive a restart.
    #[arg(
        long,
        env,
        value_name = "64 BYTES AS HEX OR BASE64",
        hide_env_values = true
    )]
    pub cookie_key: Option<CookieKey>,
    /// The longest that a request may take.
    #[arg(long, env, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub request_deadline: Duration,
    /// How many requests may be under way; more are refused with 503.
    #[arg(long, env, value_name = "REQUESTS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent: u32,
    /// The largest body of a request, in bytes.
    #[arg(long, env, value_name = "BYTES", default_value_t = 1 << 20)]
    pub max_body: usize,
    /// How many order pages may be updated live at once; those above it are not.
    #[arg(long, env, value_name = "STREAMS", default_value_t = 256)]
    pub max_event_streams: u32,
    /// How often a live order page looks for news.
    #[arg(long, env, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub event_interval: Duration,
    /// Patience with the services behind.
    #[command(flatten)]
    pub calls: rpc::client::Config,
    /// Probes, drain, version.
    #[command(flatten)]
    pub lifecycle: lifecycle::Config,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Config,
}

fn parse_public_url(text: &str) -> Result<Uri, &'static str> {
    let url: Option<Uri> = text.parse().ok();
    url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.path() == "/")
        .ok_or("takes https://HOST or http://HOST, with a port where it is needed")
}

/// What the gateway can do.
#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Serve until SIGTERM; the default.
    Serve,
}

/// The key that signs cookies.
#[derive(Clone)]
pub struct CookieKey(Key);

impl FromStr for CookieKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = hex(text).or_else(|| BASE64_STANDARD.decode(text).ok());
        bytes
            .filter(|bytes| bytes.len() >= 64)
            .map(|bytes| Self(Key::from(&bytes)))
            .ok_or("must be 64 or more bytes as hex or base64, for example from `openssl rand -hex 64`")
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()
        .filter(|_| text.len().is_multiple_of(2))
}

impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(hidden)")
    }
}

/// What every handler can reach.
pub type Shared = Arc<Shop>;

/// See [`Shared`].
pub struct Shop {
    /// The services behind the gateway.
    pub backends: Backends,
    /// Signs cookies.
    pub key: Key,
    /// The shop's address as browsers see it, where it is known.
    pub public_url: Option<Uri>,
    /// Whether browsers reach the shop over https.
    pub secure: bool,
    /// Room for requests.
    pub room: Semaphore,
    /// Room for streams of events.
    pub streams: Arc<Semaphore>,
    /// Fires when streams must end.
    pub draining: CancellationToken,
    /// Limits from the settings.
    pub limits: Limits,
}

/// Limits from the settings.
pub struct Limits {
    /// See [`Config::max_body`].
    pub body: usize,
    /// See [`Config::request_deadline`].
    pub request_deadline: Duration,
    /// See [`Config::event_interval`].
    pub event_interval: Duration,
}

impl Shop {
    pub(crate) fn new(config: &Config, draining: CancellationToken) -> Self {
        let key = config.cookie_key.clone().unwrap_or_else(|| {
            tracing::warn!("COOKIE_KEY is not set: carts do not survive a restart, and replicas do not share them");
            CookieKey(Key::generate())
        });
        let scheme = config.public_url.as_ref().and_then(Uri::scheme_str);
        Self {
            backends: Backends::connect_lazy(
                config.catalog_url.clone(),
                config.orders_url.clone(),
                &config.calls,
            ),
            key: key.0,
            public_url: config.public_url.clone(),
            secure: scheme == Some("https"),
            room: Semaphore::new(config.max_concurrent as usize),
            streams: Arc::new(Semaphore::new(config.max_event_streams as usize)),
            draining,
            limits: Limits {
                body: config.max_body,
                request_deadline: config.request_deadline,
                event_interval: config.event_interval,
            },
        }
    }
}

fn router(shop: &Shared) -> Router {
    let routes = api::openapi::router()
        .merge(pages::router())
        .route("/assets/{*path}", get(assets::serve))
        .route("/favicon.ico", get(assets::favicon))
        .route("/robots.txt", get(assets::robots))
        .route("/problems", get(problem::index))
        .route("/problems/{slug}", get(problem::page));
    middleware::wrap(routes, shop)
}

/// A gateway that listens.
pub struct App {
    /// Where the API and the pages are served.
    pub addr: SocketAddr,
    /// Its life; [`Lifecycle::run_until_shutdown`] runs it.
    pub lifecycle: Lifecycle,
}

impl App {
    /// Opens both ports and serves. Neither the catalog nor the order service need be there.
    ///
    /// # Errors
    /// When a port cannot be opened.
    pub async fn start(
        config: &Config,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        metrics::describe();
        let lifecycle = Lifecycle::start(&config.lifecycle, "gateway", metrics).await?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            let listen = config.listen;
            format!("cannot listen on {listen}; hint: --listen (LISTEN) chooses another address")
        })?;
        let addr = listener.local_addr()?;
        let shop = Arc::new(Shop::new(config, lifecycle.draining()));
        let http = HttpConfig {
            leaving: lifecycle.shutdown(),
            ..HttpConfig::default()
        };
        let server = lifecycle::http::serve(listener, router(&shop), http, lifecycle.draining());
        lifecycle.spawn("http", async {
            server.await;
            Ok::<(), std::convert::Infallible>(())
        });
        tracing::info!(%addr, "serving");
        Ok(Self { addr, lifecycle })
    }
}

/// Runs the gateway until SIGTERM.
///
/// # Errors
/// When it cannot start, or does not drain in time.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let life = &config.lifecycle;
    let (version, revision) = (&life.service_version, &life.service_revision);
    let telemetry = telemetry::init(&config.telemetry, "gateway", version, revision)?;
    let app = App::start(&config, telemetry.metrics()).await?;
    let ended = app.lifecycle.run_until_shutdown().await;
    telemetry.shutdown().await;
    Ok(ended?)
}
