//! Puts the service together, once.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use http::Uri;
use lifecycle::{Lifecycle, WrongSetting};
use proto::orders::v1::orders_service_server::{OrdersServiceServer, SERVICE_NAME};
use rpc::client::Channel;
use storage::Database;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{
    catalog::Catalog,
    grpc::Grpc,
    metrics,
    outbox::Outbox,
    recovery,
    saga::Saga,
    store::{self, MIGRATIONS, Store},
};

/// Places orders and sees each to its end.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "orders", mut_arg("admin_listen", |arg| arg.default_value("0.0.0.0:9092")))]
pub struct Config {
    /// Where gRPC is served.
    #[arg(
        long,
        env,
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:50052"
    )]
    pub listen: SocketAddr,
    /// Where the catalog service is.
    #[arg(long, env, value_name = "URL", default_value = "http://127.0.0.1:50051", value_parser = rpc::client::parse_url)]
    pub catalog_url: Uri,
    /// How often to look for steps of orders that were left undone.
    #[arg(long, env, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub recovery_interval: Duration,
    /// How long a request has for its own step before that is taken up by whoever looks.
    #[arg(long, env, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub recovery_grace: Duration,
    /// How often an event is handed out before it is given up.
    #[arg(long, env, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_delivery_attempts: u32,
    /// Where orders are kept.
    #[command(flatten)]
    pub storage: storage::Config,
    /// Limits of the gRPC server.
    #[command(flatten)]
    pub rpc: rpc::server::Config,
    /// Patience with the catalog.
    #[command(flatten)]
    pub calls: rpc::client::Config,
    /// Probes, drain, version.
    #[command(flatten)]
    pub lifecycle: lifecycle::Config,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: telemetry::Config,
    /// What to do; serve when there is none.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the process does.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum Command {
    /// Serve until SIGTERM.
    Serve,
    /// Bring the database's schema up to date, then exit.
    Migrate(storage::MigrateArgs),
}

/// An orders service that listens.
#[derive(Debug)]
pub struct App {
    /// Where gRPC is served.
    pub addr: SocketAddr,
    /// Its life; [`Lifecycle::run_until_shutdown`] runs it.
    pub lifecycle: Lifecycle,
    /// Its database.
    pub database: Database,
}

impl App {
    /// Opens both ports and serves. Neither the database nor the catalog need be there.
    ///
    /// # Errors
    /// When a port cannot be opened, or the database's URL cannot be used.
    pub async fn start(
        config: &Config,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let database = storage::connect(&config.storage, "orders")?;
        metrics::describe();
        let lifecycle = Lifecycle::start(&config.lifecycle, "orders", metrics).await?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            let listen = config.listen;
            format!("cannot listen on {listen}; hint: --listen (LISTEN) chooses another address")
        })?;
        let addr = listener.local_addr()?;

        let store = store::open(&database);
        let (saga, outbox) = use_cases(config, &store);
        let draining = lifecycle.draining();
        let health = watch_health(&lifecycle, database.clone());
        lifecycle
            .tasks()
            .spawn(draining.clone().run_until_cancelled_owned(health));
        let gauges = metrics::watch(store.clone(), now);
        lifecycle
            .tasks()
            .spawn(draining.clone().run_until_cancelled_owned(gauges));
        let recovery = recovery::run(saga.clone(), config.recovery_interval, draining.clone());
        lifecycle.spawn("recovery", async {
            recovery.await;
            Ok::<(), Infallible>(())
        });
        let service = OrdersServiceServer::new(Grpc {
            saga,
            outbox,
            store,
        })
        .max_decoding_message_size(rpc::MESSAGE_LIMIT)
        .max_encoding_message_size(rpc::MESSAGE_LIMIT);
        let (routes, limits) = (Routes::new(service), config.rpc.clone());
        let server = rpc::server::serve(listener, routes, &[SERVICE_NAME], limits, draining);
        lifecycle.spawn("grpc", server);
        tracing::info!(%addr, "serving");
        Ok(Self {
            addr,
            lifecycle,
            database,
        })
    }
}

fn use_cases(config: &Config, store: &Arc<dyn Store>) -> (Saga, Outbox) {
    let channel = Channel::connect_lazy(config.catalog_url.clone(), &config.calls);
    let saga = Saga {
        store: store.clone(),
        catalog: Catalog::new(channel, &config.calls),
        clock: now,
        grace: config.recovery_grace,
    };
    let outbox = Outbox {
        store: store.clone(),
        clock: now,
        max_attempts: config.max_delivery_attempts,
    };
    (saga, outbox)
}

/// Moves the latches with the database's health.
fn watch_health(
    lifecycle: &Lifecycle,
    database: Database,
) -> impl Future<Output = Infallible> + Send + 'static {
    let reachable = lifecycle.latch("database");
    let migrated = lifecycle.latch("migrations");
    storage::watch(database, MIGRATIONS, move |health| {
        reachable.set(health.away());
        migrated.set(health.behind());
    })
}

/// Does what the command says; without one, serves until SIGTERM.
///
/// # Errors
/// When it cannot start or migrate, or does not drain in time.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.storage.check().map_err(WrongSetting::new)?;
    let life = &config.lifecycle;
    let (version, revision) = (&life.service_version, &life.service_revision);
    let telemetry = telemetry::init(&config.telemetry, "orders", version, revision)?;
    let ended = match config.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config, telemetry.metrics()).await,
        Command::Migrate(args) => {
            let migrated = storage::migrate(&config.storage, "orders", MIGRATIONS, args).await;
            Ok(migrated?)
        }
    };
    telemetry.shutdown().await;
    ended
}

async fn serve(
    config: &Config,
    metrics: impl Fn() -> String + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let app = App::start(config, metrics).await?;
    let ended = app.lifecycle.run_until_shutdown().await;
    app.database.close().await;
    Ok(ended?)
}

/// Parses the time between two looks, which must leave the database time for others.
fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(10) => Ok(duration),
        Ok(_) => Err("must be at least 10ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().truncate_to_microsecond()
}
