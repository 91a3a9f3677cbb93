use std::{fmt, time::Duration};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::postgres::{Server, server};

/// The databases that every store runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own on the process's server.
    Postgres,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// An empty database that nobody else uses. Dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    /// For `DATABASE_URL`.
    pub url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(#[expect(dead_code, reason = "held until the database is dropped")] TempDir),
    Database {
        name: String,
        server: &'static Server,
    },
}

/// Makes an empty database.
///
/// PostgreSQL is the first of: the server of `TEST_DATABASE_URL`; Docker, through testcontainers (the image of
/// `SLIPWAY_POSTGRES_IMAGE`, `postgres:17` by default, no Docker when empty); `postgres` and `initdb`, on `PATH`
/// or where the distribution has them.
///
/// # Panics
/// When there is no PostgreSQL; the message says what to install.
pub async fn database(backend: Backend) -> TestDatabase {
    match backend {
        Backend::Sqlite => {
            let folder = tempfile::Builder::new()
                .prefix("testkit-sqlite-")
                .tempdir()
                .expect("a temporary folder");
            TestDatabase {
                url: format!("sqlite://{}", folder.path().join("test.db").display()),
                place: Place::Folder(folder),
            }
        }
        Backend::Postgres => {
            let server = server();
            let name = format!("testkit_{}", Uuid::now_v7().simple());
            server.execute(format!("CREATE DATABASE {name}")).await;
            TestDatabase {
                url: server.url_of(&name),
                place: Place::Database { name, server },
            }
        }
    }
}

impl TestDatabase {
    /// Settings for a small pool: many tests share one server. Patient, as a busy machine is no failure.
    #[must_use]
    pub fn config(&self) -> storage::Config {
        storage::Config {
            pool_max: 8,
            pool_min_idle: 0,
            acquire_timeout: Duration::from_secs(30),
            ..storage::Config::new(&*self.url)
        }
    }

    /// A pool on it.
    ///
    /// # Panics
    /// Never: the URL is ours.
    #[must_use]
    pub fn connect(&self) -> storage::Database {
        storage::connect(&self.config(), "testkit").expect("the URL is good")
    }

    /// PostgreSQL only: ends all connections and lets nobody in, as if the server were gone. Other tests' databases stay.
    ///
    /// # Panics
    /// On SQLite.
    pub async fn take_away(&self) {
        let (name, server) = self.on_server();
        // Renaming needs it unused, and a pool reconnects at once: first close the door.
        server
            .execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
            .await;
        server
            .execute(format!(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
            ))
            .await;
        server
            .execute(format!("ALTER DATABASE {name} RENAME TO {name}_away"))
            .await;
    }

    /// Undoes [`take_away`](Self::take_away).
    ///
    /// # Panics
    /// On SQLite.
    pub async fn bring_back(&self) {
        let (name, server) = self.on_server();
        server
            .execute(format!("ALTER DATABASE {name}_away RENAME TO {name}"))
            .await;
        server
            .execute(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
            .await;
    }

    fn on_server(&self) -> (&str, &'static Server) {
        match &self.place {
            Place::Database { name, server } => (name, server),
            Place::Folder(_) => panic!("a SQLite file cannot be taken away"),
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Database { name, server } = &self.place else {
            return;
        };
        let (name, server) = (name.clone(), *server);
        let dropping = crate::on_own_runtime(async move {
            server
                .try_execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await?;
            server
                .try_execute(format!("DROP DATABASE IF EXISTS {name}_away WITH (FORCE)"))
                .await
        });
        // Nothing follows from a failure: the server goes with the process, or its owner sees the `testkit_` names.
        let _ = dropping;
    }
}

impl Server {
    async fn execute(&self, sql: String) {
        let shown = sql.clone();
        if let Err(error) = self.try_execute(sql).await {
            panic!("{shown}: {error}");
        }
    }

    async fn try_execute(&self, sql: String) -> Result<(), sqlx::Error> {
        let mut connection = PgConnection::connect(&self.url).await?;
        connection.execute(AssertSqlSafe(sql)).await?;
        connection.close().await
    }
}
