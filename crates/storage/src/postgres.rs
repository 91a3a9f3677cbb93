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

    /// Begins a transaction (READ COMMITTED).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is no connection within the acquire timeout.
    pub async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, Error> {
        Ok(self.pool.begin().await?)
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
