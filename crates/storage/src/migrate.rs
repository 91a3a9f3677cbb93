use std::time::{Duration, Instant};

use sqlx::{
    Connection, Executor,
    error::DatabaseError,
    migrate::{AppliedMigration, Migrate, MigrateDatabase, MigrateError, Migration, Migrator},
};

use crate::{Config, Database, Error, Postgres, Sqlite};

/// The same schema in each backend's words, embedded with `sqlx::migrate!`.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// For `postgres://`.
    pub postgres: &'static Migrator,
    /// For `sqlite://`.
    pub sqlite: &'static Migrator,
}

/// What `<service> migrate` can be told.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct MigrateArgs {
    /// Create the database first, where the PostgreSQL server has none of this name
    #[arg(long)]
    pub create_database: bool,
}

/// What `<service> migrate` does: brings the schema up to date, creating the database first if `args` say so.
/// A SQLite file is always created.
///
/// # Errors
/// As [`connect`](crate::connect) and [`Database::migrate`].
pub async fn migrate(
    config: &Config,
    application: &str,
    migrations: Migrations,
    args: MigrateArgs,
) -> Result<(), Error> {
    let database = crate::connect(config, application)?;
    if args.create_database && matches!(database, Database::Postgres(_)) {
        create_if_missing(config.database_url.as_str()).await?;
    }
    database.migrate(migrations).await?;
    database.close().await;
    Ok(())
}

async fn create_if_missing(url: &str) -> Result<(), sqlx::Error> {
    if sqlx::Postgres::database_exists(url).await? {
        return Ok(());
    }
    match sqlx::Postgres::create_database(url).await {
        // Another process was faster: duplicate_database, or unique_violation in the catalog.
        Err(sqlx::Error::Database(refusal))
            if matches!(refusal.code().as_deref(), Some("42P04" | "23505")) =>
        {
            Ok(())
        }
        created => created,
    }
}

/// sqlx's own, so that `sqlx migrate info` works.
const TABLE: &str = "_sqlx_migrations";

/// How long a process waits for another one that migrates the same SQLite file.
const PATIENCE: Duration = Duration::from_secs(60);

impl Database {
    /// Applies what is missing, in order. Any number of processes may call it at once: one works, the others wait and
    /// find nothing to do.
    ///
    /// # Errors
    /// [`Error::Migration`] names the migration and the reason; the connection's errors as ever.
    pub async fn migrate(&self, migrations: Migrations) -> Result<(), Error> {
        match self {
            Self::Postgres(postgres) => run_on_postgres(postgres, migrations.postgres).await,
            Self::Sqlite(sqlite) => run_on_sqlite(sqlite, migrations.sqlite).await,
        }
    }

    /// How many of this build's migrations the database has not seen. Reads only.
    ///
    /// # Errors
    /// As a query's.
    pub async fn pending_migrations(&self, migrations: Migrations) -> Result<usize, Error> {
        let migrator = match self {
            Self::Postgres(_) => migrations.postgres,
            Self::Sqlite(_) => migrations.sqlite,
        };
        let applied = self.applied_migrations().await?;
        let missing = migrator
            .iter()
            .filter(|migration| find(&applied, migration).is_none());
        Ok(missing.count())
    }

    /// Doubles as the health check's question: it reads the smallest table that every database of ours has.
    pub(crate) async fn applied_migrations(&self) -> Result<Vec<AppliedMigration>, Error> {
        match self {
            Self::Postgres(postgres) => {
                let mut probe = postgres.take_probe().await?;
                let applied = list_applied(&mut probe).await?;
                postgres.keep_probe(probe).await;
                Ok(applied)
            }
            Self::Sqlite(sqlite) => list_applied(&mut *sqlite.read.acquire().await?).await,
        }
    }
}

async fn run_on_postgres(postgres: &Postgres, migrator: &Migrator) -> Result<(), Error> {
    let mut connection = postgres.connect().await?;
    // A migration may run long, and so may the wait for another process's.
    connection.execute("SET statement_timeout = 0").await?;
    connection.lock().await.map_err(flatten)?;
    // But while one waits for a table's lock, every later query on that table waits behind it.
    connection.execute("SET lock_timeout = '2s'").await?;
    let result = apply_missing(&mut connection, migrator).await;
    // Closing gives the lock back, after a failure as well: it belongs to the session.
    connection.close().await?;
    result
}

async fn run_on_sqlite(sqlite: &Sqlite, migrator: &Migrator) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    // sqlx has no migration lock for SQLite. The file's write lock serves, around all of them.
    let mut tx = loop {
        match sqlite.begin_write().await {
            Err(Error::Busy(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            begun => break begun?,
        }
    };
    apply_missing(&mut *tx, migrator).await?;
    Ok(tx.commit().await?)
}

/// Unlike [`Migrator::run`], accepts migrations that only a newer build knows: a rollback runs the older build's `migrate`
/// on the newer schema, and expand-then-contract keeps that schema fit for it.
async fn apply_missing(connection: &mut impl Migrate, migrator: &Migrator) -> Result<(), Error> {
    connection
        .ensure_migrations_table(TABLE)
        .await
        .map_err(flatten)?;
    let applied = list_applied(connection).await?;
    for migration in migrator.iter() {
        match find(&applied, migration) {
            Some(known) if known.checksum != migration.checksum => {
                return Err(failed(
                    migration,
                    &"its file was changed after this database had applied it",
                ));
            }
            Some(_) => {}
            None => {
                let applied = connection.apply(TABLE, migration).await;
                let took = applied.map_err(|error| match error {
                    MigrateError::ExecuteMigration(reason, _) => failed(migration, &reason),
                    other => flatten(other),
                })?;
                tracing::info!(version = migration.version, description = %migration.description, ?took, "migration applied");
            }
        }
    }
    Ok(())
}

async fn list_applied(connection: &mut impl Migrate) -> Result<Vec<AppliedMigration>, Error> {
    match connection.list_applied_migrations(TABLE).await {
        Err(MigrateError::Execute(sqlx::Error::Database(refusal))) if no_such_table(&*refusal) => {
            Ok(Vec::new())
        }
        listed => listed.map_err(flatten),
    }
}

fn find<'a>(
    applied: &'a [AppliedMigration],
    migration: &Migration,
) -> Option<&'a AppliedMigration> {
    applied
        .iter()
        .find(|known| known.version == migration.version)
}

fn no_such_table(refusal: &dyn DatabaseError) -> bool {
    refusal.code().is_some_and(|code| code == "42P01")
        || refusal.message().starts_with("no such table")
}

fn failed(migration: &Migration, reason: &dyn std::fmt::Display) -> Error {
    Error::Migration {
        version: migration.version,
        description: migration.description.to_string(),
        reason: reason.to_string(),
    }
}

fn flatten(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(error) => error.into(),
        other => sqlx::Error::from(other).into(),
    }
}
