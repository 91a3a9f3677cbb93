//! Puts the service together, once.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Context;
use lifecycle::{Lifecycle, WrongSetting};
use proto::catalog::v1::catalog_service_server::SERVICE_NAME;
use storage::Database;
use tokio::net::TcpListener;

use crate::{
    grpc,
    seed::seed,
    store::{self, MIGRATIONS},
};

/// Keeps products, prices, stock, and the reservations that orders hold on stock.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "catalog", mut_arg("admin_listen", |arg| arg.default_value("0.0.0.0:9091")))]
pub struct Config {
    /// Where gRPC is served.
    #[arg(
        long,
        env,
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:50051"
    )]
    pub listen: SocketAddr,
    /// Where products and reservations are kept.
    #[command(flatten)]
    pub storage: storage::Config,
    /// Limits of the gRPC server.
    #[command(flatten)]
    pub rpc: rpc::server::Config,
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
    /// Put the demo catalogue into the database, then exit. Products that are there keep their stock.
    Seed,
}

/// A catalog service that listens.
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
    /// Opens both ports and serves. The database need not be there: until it is, the service isn't
    /// ready, and its calls fail with UNAVAILABLE.
    ///
    /// # Errors
    /// When a port cannot be opened, or the database's URL cannot be used.
    pub async fn start(
        config: &Config,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let database = storage::connect(&config.storage, "catalog")?;
        let lifecycle = Lifecycle::start(&config.lifecycle, "catalog", metrics).await?;
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            let listen = config.listen;
            format!("cannot listen on {listen}; hint: --listen (LISTEN) chooses another address")
        })?;
        let addr = listener.local_addr()?;

        let draining = lifecycle.draining();
        let health = watch_health(&lifecycle, database.clone());
        lifecycle
            .tasks()
            .spawn(draining.clone().run_until_cancelled_owned(health));
        let (routes, limits) = (grpc::routes(store::open(&database)), config.rpc.clone());
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
/// When it cannot start, does not drain in time, or the database fails a command.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.storage.check().map_err(WrongSetting::new)?;
    let life = &config.lifecycle;
    let (version, revision) = (&life.service_version, &life.service_revision);
    let telemetry = telemetry::init(&config.telemetry, "catalog", version, revision)?;
    let ended = match config.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config, telemetry.metrics()).await,
        Command::Migrate(args) => {
            let migrated = storage::migrate(&config.storage, "catalog", MIGRATIONS, args).await;
            Ok(migrated?)
        }
        Command::Seed => fill(&config).await,
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

async fn fill(config: &Config) -> anyhow::Result<()> {
    let database = storage::connect(&config.storage, "catalog")?;
    let seeded = seed(&*store::open(&database), grpc::now()).await?;
    database.close().await;
    tracing::info!(?seeded, "the demo catalogue is in place");
    Ok(())
}
