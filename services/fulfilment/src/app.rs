//! Puts the service together, once.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::Uri;
use lifecycle::{Lifecycle, WrongSetting};
use rpc::client::Channel;
use storage::Database;

use crate::{
    metrics,
    orders::Orders,
    shipping::Shipping,
    store::{self, MIGRATIONS},
    worker::Worker,
};

/// Ships confirmed orders.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "fulfilment", mut_arg("admin_listen", |arg| arg.default_value("0.0.0.0:9093")))]
pub struct Config {
    /// Where the orders service is.
    #[arg(long, env, value_name = "URL", default_value = "http://localhost:50052", value_parser = rpc::client::parse_url)]
    pub orders_url: Uri,
    /// How long packing an order takes before it has left.
    #[arg(long, env, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub shipping_time: Duration,
    /// How long an event is this worker's; work that takes longer extends it.
    #[arg(long, env, value_name = "DURATION", default_value = "30s", value_parser = lease)]
    pub lease: Duration,
    /// How often to look for events while there are none.
    #[arg(long, env, value_name = "DURATION", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub poll_interval: Duration,
    /// How many events are worked on at once.
    #[arg(long, env, value_name = "EVENTS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as the help's heading")]
    pub calls: rpc::client::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as the help's heading")]
    pub storage: storage::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as the help's heading")]
    pub lifecycle: lifecycle::Config,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would print it as the help's heading")]
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

/// The orders service leases events for so long and no longer.
fn lease(text: &str) -> Result<Duration, String> {
    let lease = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&lease) {
        return Ok(lease);
    }
    Err("must be 1s to 10m".to_owned())
}

/// A fulfilment service that works.
#[derive(Debug)]
pub struct App {
    /// Its life; [`Lifecycle::run_until_shutdown`] runs it.
    pub lifecycle: Lifecycle,
    /// Its database.
    pub database: Database,
}

impl App {
    /// Opens the admin port and begins to work. Neither the database nor the orders service need be
    /// there.
    ///
    /// # Errors
    /// When the port cannot be opened, or the database's URL cannot be used.
    pub async fn start(
        config: &Config,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let database = storage::connect(&config.storage, "fulfilment")?;
        metrics::describe();
        let lifecycle = Lifecycle::start(&config.lifecycle, "fulfilment", metrics).await?;
        let draining = lifecycle.draining();
        let health = watch_health(&lifecycle, database.clone());
        lifecycle
            .tasks()
            .spawn(draining.clone().run_until_cancelled_owned(health));

        let channel = Channel::connect_lazy(config.orders_url.clone(), &config.calls);
        let worker = Worker {
            shipping: Arc::new(Shipping {
                store: store::open(&database),
                orders: Orders::new(channel, &config.calls),
                shipping_time: config.shipping_time,
                lease: config.lease,
            }),
            concurrency: usize::from(config.concurrency),
            poll_interval: config.poll_interval,
            tasks: lifecycle.tasks().clone(),
            draining,
        };
        lifecycle.spawn("worker", async {
            worker.run().await;
            Ok::<(), Infallible>(())
        });
        Ok(Self {
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

/// Does what the command says; without one, works until SIGTERM.
///
/// # Errors
/// When it cannot start or migrate, or does not drain in time.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.storage.check().map_err(WrongSetting::new)?;
    let life = &config.lifecycle;
    let (version, revision) = (&life.service_version, &life.service_revision);
    let telemetry = telemetry::init(&config.telemetry, "fulfilment", version, revision)?;
    let ended = match config.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config, telemetry.metrics()).await,
        Command::Migrate(args) => {
            let migrated = storage::migrate(&config.storage, "fulfilment", MIGRATIONS, args).await;
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
