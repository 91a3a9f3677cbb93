//! The crate on real databases, through its public door.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod errors;
mod health;
mod migrations;

use sqlx::migrate::Migrator;
use storage::{Database, Error, Migrations};
use testkit::{Backend, TestDatabase};

static POSTGRES: Migrator = sqlx::migrate!("tests/migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("tests/migrations/sqlite");

const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

const BACKENDS: [Backend; 2] = [Backend::Sqlite, Backend::Postgres];

async fn migrated(backend: Backend) -> (TestDatabase, Database) {
    let test_database = testkit::database(backend).await;
    let database = test_database.connect();
    database.migrate(MIGRATIONS).await.unwrap();
    (test_database, database)
}

/// One statement in a transaction of its own, as a store would run it.
async fn write(database: &Database, sql: &'static str) -> Result<(), Error> {
    match database {
        Database::Postgres(postgres) => {
            let mut tx = postgres.begin().await?;
            sqlx::query(sql).execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        }
        Database::Sqlite(sqlite) => {
            let mut tx = sqlite.begin_write().await?;
            sqlx::query(sql).execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        }
    }
}

async fn count(database: &Database, sql: &'static str) -> i64 {
    match database {
        Database::Postgres(postgres) => sqlx::query_scalar(sql).fetch_one(&postgres.pool).await,
        Database::Sqlite(sqlite) => sqlx::query_scalar(sql).fetch_one(&sqlite.read).await,
    }
    .unwrap()
}
