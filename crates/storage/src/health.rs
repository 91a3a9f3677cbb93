use std::{convert::Infallible, io, mem::discriminant, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{Database, Error, Migrations, metrics};

/// What a service's readiness hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Answers, and has all of this build's migrations.
    Ready,
    /// Answers, but lacks `pending` migrations: `<service> migrate` has not run yet.
    Behind {
        /// How many.
        pending: usize,
    },
    /// Does not answer.
    Away {
        /// Why, for the operator.
        reason: String,
    },
}

impl Health {
    /// Why the database does not answer, if so; for a readiness latch.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        match self {
            Self::Ready | Self::Behind { .. } => None,
            Self::Away { reason } => Some(reason.clone()),
        }
    }

    /// Why the schema is not known to be up to date, if so; for a readiness latch.
    #[must_use]
    pub fn behind(&self) -> Option<String> {
        match self {
            Self::Ready => None,
            Self::Behind { pending } => Some(format!("{pending} to apply; hint: run `migrate`")),
            Self::Away { .. } => Some("unknown while the database is away".to_owned()),
        }
    }
}

const ANSWER_WITHIN: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Checks the database every second for as long as it is polled. Passes the first result and every change to `report`;
/// while the database is not ready, [`Postgres::observe`](crate::Postgres::observe) and its like fail at once. Also keeps the
/// pool's gauges.
pub async fn watch(
    database: Database,
    migrations: Migrations,
    mut report: impl FnMut(&Health),
) -> Infallible {
    let mut reported: Option<Health> = None;
    let mut failures = 0;
    loop {
        let health = check(&database, migrations).await;
        record_pools(&database);
        let away = matches!(health, Health::Away { .. });
        failures = if away { failures + 1 } else { 0 };
        let changed = reported
            .as_ref()
            .is_none_or(|reported| discriminant(reported) != discriminant(&health));
        // One failure may be one broken connection; the next check opens another.
        if changed && failures != 1 {
            // Without the schema no operation can do its work either.
            database.away().set(health != Health::Ready);
            report(&health);
            reported = Some(health);
        }
        sleep(if away {
            BEAT.min(FIRST_RETRY * 2u32.pow(failures.min(5)))
        } else {
            BEAT
        })
        .await;
    }
}

async fn check(database: &Database, migrations: Migrations) -> Health {
    match answered(database.pending_migrations(migrations)).await {
        Ok(0) => Health::Ready,
        Ok(pending) => Health::Behind { pending },
        Err(error) => Health::Away {
            reason: error.to_string(),
        },
    }
}

impl Database {
    /// Asks the database for an answer within one second.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when there is none.
    pub async fn ping(&self) -> Result<(), Error> {
        answered(self.applied_migrations()).await.map(drop)
    }
}

async fn answered<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout(ANSWER_WITHIN, question).await.unwrap_or_else(|_| {
        let cause = io::Error::new(io::ErrorKind::TimedOut, "no answer within 1 s");
        Err(Error::Unavailable(cause.into()))
    })
}

fn record_pools(database: &Database) {
    match database {
        Database::Postgres(postgres) => metrics::record_pool("main", &postgres.pool),
        Database::Sqlite(sqlite) => {
            metrics::record_pool("read", &sqlite.read);
            metrics::record_pool("write", &sqlite.write);
        }
    }
}
