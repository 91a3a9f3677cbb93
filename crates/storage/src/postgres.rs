use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Mutex;

use crate::{Config, Error, config, metrics, observe::Away};

/// A PostgreSQL pool.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// For queries.
    pub pool: PgPool,
    pub(crate) away: Away,
    /// The health check's own connection: a pool whose connections are all in use is busy, not away.
    probe: Arc<Mutex<Option<PgConnection>>>,
}

impl Postgres {
    pub(crate) fn open(url: &str, config: &Config, application: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(|error| match error {
            sqlx::Error::Configuration(reason) => config::invalid(reason),
            other => config::invalid(other),
        })?;
        let options = options
            .application_name(application)
            .options([("statement_timeout", "5s")]);
        metrics::describe();
        let pool = PgPoolOptions::new()
            .max_connections(config.pool_max)
            .min_connections(config.pool_min_idle.min(config.pool_max))
            .acquire_timeout(config.acquire_timeout)
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            away: Away::default(),
            probe: Arc::default(),
        })
    }

    /// Begins a transaction (READ COMMITTED). May be given up half-way.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no connection within the acquire timeout.
    pub async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, Error> {
        let connection = self.pool.acquire().await?;
        // sqlx 0.9.0 loses track of a BEGIN that is dropped before its answer: the connection goes back to the pool
        // inside a transaction, where the next user's writes succeed and are never committed
        // (https://github.com/transact-rs/sqlx/issues/4393). On a task of its own it is always answered, and a
        // transaction that nobody waits for any more is rolled back as it is dropped.
        #[expect(clippy::disallowed_methods, reason = "ends with the database's answer")]
        let beginning = tokio::spawn(Transaction::begin(connection, None));
        let begun = beginning.await.map_err(|_| sqlx::Error::PoolClosed)?;
        Ok(begun?)
    }

    /// The health check's connection, taken out: who got an answer from it puts it back with [`keep_probe`](Self::keep_probe).
    pub(crate) async fn take_probe(&self) -> Result<PgConnection, sqlx::Error> {
        let kept = self.probe.lock().await.take();
        match kept {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    pub(crate) async fn keep_probe(&self, connection: PgConnection) {
        *self.probe.lock().await = Some(connection);
    }

    /// A connection outside the pool.
    pub(crate) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.pool.connect_options()).await
    }

    pub(crate) async fn close(&self) {
        if let Some(probe) = self.probe.lock().await.take() {
            // The server notices a connection that just goes away, too.
            let _ = tokio::time::timeout(Duration::from_secs(1), probe.close()).await;
        }
        self.pool.close().await;
    }
}
