//! From a database URL to a pool: PostgreSQL or SQLite, migrations, health, and errors that mean the same on both.
//!
//! The scheme of `DATABASE_URL` picks the backend. A service matches on [`Database`] once, builds its PostgreSQL or
//! SQLite store from the variant, and runs every store operation inside `observe`, which gives it a span, a
//! duration and, while the database is known not to be ready, an immediate [`Error::Unavailable`].
//!
//! ```
//! use sqlx::migrate::Migrator;
//! use storage::{Config, Database, Error, Migrations};
//!
//! static POSTGRES: Migrator = sqlx::migrate!("tests/migrations/postgres");
//! static SQLITE: Migrator = sqlx::migrate!("tests/migrations/sqlite");
//! const MIGRATIONS: Migrations = Migrations { postgres: &POSTGRES, sqlite: &SQLITE };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Error> {
//! let database = storage::connect(&Config::new("sqlite::memory:"), "catalog")?;
//! database.migrate(MIGRATIONS).await?;
//! assert_eq!(database.pending_migrations(MIGRATIONS).await?, 0);
//!
//! let Database::Sqlite(sqlite) = &database else { unreachable!("the URL says sqlite") };
//! let insert = || {
//!     sqlite.observe("insert_product", async {
//!         let mut tx = sqlite.begin_write().await?;
//!         sqlx::query("INSERT INTO product (sku, name) VALUES ('TEA-1', 'Tea')").execute(&mut *tx).await?;
//!         tx.commit().await?;
//!         Ok::<_, Error>(())
//!     })
//! };
//! insert().await?;
//! let again = insert().await.unwrap_err();
//! assert!(matches!(again, Error::Constraint { name } if name == "product_sku_key"));
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod health;
mod metrics;
mod migrate;
mod observe;
mod postgres;
mod sqlite;
mod timestamp;

pub use config::{Config, DatabaseUrl};
pub use error::{Error, unique_violation};
pub use health::{Health, watch};
pub use migrate::{MigrateArgs, Migrations, migrate};
pub use postgres::Postgres;
pub use sqlite::Sqlite;
pub use timestamp::Timestamp;

/// A pool on the backend that the URL named. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Database {
    /// `postgres://`
    Postgres(Postgres),
    /// `sqlite://`
    Sqlite(Sqlite),
}

/// Makes the pool without connecting, so that a service can start before its database.
///
/// `application` is the name under which PostgreSQL lists the connections (`pg_stat_activity`).
/// Call it inside a Tokio runtime: the pool has maintenance tasks.
///
/// # Errors
/// [`Error::Config`] when the URL is malformed, names another database than these two, or a SQLite file's folder is missing.
pub fn connect(config: &Config, application: &str) -> Result<Database, Error> {
    let url = config.database_url.as_str();
    match url.split_once(':').map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Ok(Database::Postgres(Postgres::open(
            url,
            config,
            application,
        )?)),
        Some("sqlite") => Ok(Database::Sqlite(Sqlite::open(url, config)?)),
        _ => Err(config::unsupported_scheme(url)),
    }
}

impl Database {
    pub(crate) fn away(&self) -> &observe::Away {
        match self {
            Self::Postgres(postgres) => &postgres.away,
            Self::Sqlite(sqlite) => &sqlite.away,
        }
    }

    /// Waits for connections in use to come back and closes all.
    pub async fn close(&self) {
        match self {
            Self::Postgres(postgres) => postgres.close().await,
            Self::Sqlite(sqlite) => sqlite.close().await,
        }
    }
}
