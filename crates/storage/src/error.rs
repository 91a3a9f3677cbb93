use sqlx::error::{DatabaseError, ErrorKind};

/// What went wrong, in the same words for both backends. Made from a [`sqlx::Error`] by `?`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used: for the operator, not for a client.
    #[error("{0}")]
    Config(String),

    /// No usable connection: the database is away, refuses us, or all connections are in use. Worth a retry.
    /// A commit that ends so may have happened.
    #[error("the database is unavailable: {0}")]
    Unavailable(#[source] sqlx::Error),

    /// Others hold the locks that this needed, or it took longer than the statement timeout. Nothing was written; worth a retry.
    #[error("the database is busy: {0}")]
    Busy(#[source] sqlx::Error),

    /// No space left. Nothing was written.
    #[error("the database has no space left: {0}")]
    Full(#[source] sqlx::Error),

    /// A constraint refused the write.
    #[error("constraint '{name}' is violated")]
    Constraint {
        /// The constraint's name, by PostgreSQL's rule for unnamed ones on both backends: `product_sku_key`, `product_pkey`,
        /// `product_name_not_null`. A check needs an explicit name; SQLite says of foreign keys only `foreign_key`.
        name: String,
    },

    /// A migration failed, and left nothing behind.
    #[error("migration {version} ({description}): {reason}")]
    Migration {
        /// The number that its file's name begins with.
        version: i64,
        /// The rest of the file's name.
        description: String,
        /// In the database's words.
        reason: String,
    },

    /// A mistake in a query, or in what it was given.
    #[error("the query failed: {0}")]
    Other(#[source] sqlx::Error),
}

impl Error {
    /// A short, fixed word for logs, spans (`error.type`) and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Unavailable(_) => "unavailable",
            Self::Busy(_) => "busy",
            Self::Full(_) => "full",
            Self::Constraint { .. } => "constraint",
            Self::Migration { .. } => "migration",
            Self::Other(_) => "other",
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            // What a connection says that died in the middle of an answer.
            | sqlx::Error::Protocol(_) => Self::Unavailable(error),
            sqlx::Error::Database(refusal) => match constraint_name(refusal.as_ref()) {
                Some(name) => Self::Constraint { name },
                None => from_code(refusal.code().unwrap_or_default().into_owned().as_str(), error),
            },
            _ => Self::Other(error),
        }
    }
}

/// SQLSTATE has five characters, [SQLite's result codes](https://www.sqlite.org/rescode.html) have at most four digits.
fn from_code(code: &str, error: sqlx::Error) -> Error {
    match code.parse::<u32>() {
        Ok(extended) if code.len() < 5 => match extended & 0xff {
            5 | 6 => Error::Busy(error),          // SQLITE_BUSY, SQLITE_LOCKED
            13 => Error::Full(error),             // SQLITE_FULL
            10 | 14 => Error::Unavailable(error), // SQLITE_IOERR, SQLITE_CANTOPEN
            _ => Error::Other(error),
        },
        _ => match code {
            // serialization_failure, deadlock_detected, lock_not_available, query_canceled (statement_timeout)
            "40001" | "40P01" | "55P03" | "57014" => Error::Busy(error),
            "53100" => Error::Full(error), // disk_full
            // read_only_sql_transaction: still connected to a primary that was demoted. invalid_catalog_name: no such database.
            "25006" | "3D000" => Error::Unavailable(error),
            // connection_exception, invalid_authorization, insufficient_resources, operator_intervention (shutdown, restart)
            _ if ["08", "28", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class)) =>
            {
                Error::Unavailable(error)
            }
            _ => Error::Other(error),
        },
    }
}

/// The violated unique or primary key's name (see [`Error::Constraint`]), when that is what went wrong.
#[must_use]
pub fn unique_violation(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .filter(|refusal| refusal.is_unique_violation())
        .and_then(constraint_name)
}

fn constraint_name(refusal: &dyn DatabaseError) -> Option<String> {
    if refusal.kind() == ErrorKind::Other {
        return None;
    }
    if let Some(name) = refusal.constraint() {
        return Some(name.to_owned());
    }
    if let Some(refusal) = refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // Up to version 17, NOT NULL has no name; this is the one that 18 gives it.
        return Some(format!(
            "{}_{}_not_null",
            refusal.table()?,
            refusal.column()?
        ));
    }
    let primary_key = refusal.code().is_some_and(|code| code == "1555"); // SQLITE_CONSTRAINT_PRIMARYKEY
    Some(sqlite_constraint_name(refusal.message(), primary_key))
}

/// From `UNIQUE constraint failed: orders.customer_id, orders.idempotency_key` to `orders_customer_id_idempotency_key_key`.
fn sqlite_constraint_name(message: &str, primary_key: bool) -> String {
    let Some((kind, subject)) = message.split_once(" constraint failed: ") else {
        return "foreign_key".to_owned();
    };
    if let Some(index) = subject.strip_prefix("index ") {
        return index.trim_matches('\'').to_owned();
    }
    let Some((table, _)) = subject.split_once('.').filter(|_| kind != "CHECK") else {
        return subject.to_owned();
    };
    let columns: Vec<_> = subject
        .split(", ")
        .filter_map(|column| Some(column.split_once('.')?.1))
        .collect();
    match kind {
        "NOT NULL" => format!("{table}_{}_not_null", columns.join("_")),
        _ if primary_key => format!("{table}_pkey"),
        _ => format!("{table}_{}_key", columns.join("_")),
    }
}
