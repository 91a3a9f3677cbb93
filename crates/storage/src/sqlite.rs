use std::{path::Path, time::Duration};

use sqlx::{
    Connection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{Config, Error, config, metrics, observe::Away};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite: many readers beside one writer.
#[derive(Clone, Debug)]
pub struct Sqlite {
    /// For queries that only read; writing fails (`PRAGMA query_only`).
    pub read: SqlitePool,
    /// The one connection that writes, so that this process's writers queue in order instead of fighting for the file's lock.
    /// Use [`begin_write`](Self::begin_write). In memory it is also the one that reads: ask for the other only when this is free.
    pub write: SqlitePool,
    pub(crate) away: Away,
}

impl Sqlite {
    pub(crate) fn open(url: &str, config: &Config) -> Result<Self, Error> {
        let options: SqliteConnectOptions = url.parse().map_err(|error| match error {
            sqlx::Error::Configuration(reason) => config::invalid(reason),
            other => config::invalid(other),
        })?;
        let options = options
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Normal);
        metrics::describe();
        // A connection to a local file does not go stale: keep it, and the database in memory lives in it.
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            // After some failures (disk full) SQLite has rolled back by itself, and sqlx's own rollback fails. sqlx
            // goes on to believe that a transaction is open, and would never again begin one on this connection.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(std::future::ready(Ok(usable)))
            });
        if in_memory(url) {
            let shared = pool.max_connections(1).connect_lazy_with(options);
            return Ok(Self {
                read: shared.clone(),
                write: shared,
                away: Away::default(),
            });
        }
        check_folder(options.get_filename())?;
        // WAL is a property of the file. Only the writer switches it on: the switch needs the file alone, and cannot wait for that.
        let write = pool
            .clone()
            .max_connections(1)
            .connect_lazy_with(options.clone().journal_mode(SqliteJournalMode::Wal));
        let read = pool
            .max_connections(config.pool_max)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(Self {
            read,
            write,
            away: Away::default(),
        })
    }

    /// Begins a transaction that holds the write lock from its start (`BEGIN IMMEDIATE`): what it reads stays true until it commits.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process holds the lock for longer than 5 s; [`Error::Unavailable`] when this process's own
    /// writers do, for longer than the acquire timeout.
    pub async fn begin_write(&self) -> Result<Transaction<'static, sqlx::Sqlite>, Error> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

fn in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn check_folder(file: &Path) -> Result<(), Error> {
    if file.as_os_str().is_empty() {
        return Err(config::invalid("names no file"));
    }
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(config::invalid(
            format_args!("the folder '{}' does not exist", folder.display()),
        )),
        _ => Ok(()),
    }
}
