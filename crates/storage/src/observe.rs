use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tracing::{Instrument, Span, field::Empty};

use crate::{Error, Postgres, Sqlite, metrics};

/// Whether the last health check found the database not ready. Shared by a pool's clones; only [`watch`](crate::watch) writes it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Away(Arc<AtomicBool>);

impl Away {
    pub(crate) fn set(&self, away: bool) {
        self.0.store(away, Ordering::Relaxed);
    }

    /// Spares a request the pool's acquire timeout when the answer is known.
    fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            let cause = io::Error::new(io::ErrorKind::NotConnected, "the last health check failed");
            return Err(Error::Unavailable(cause.into()));
        }
        Ok(())
    }
}

macro_rules! observe {
    ($backend:ty, $system:literal) => {
        impl $backend {
            /// Runs one store operation in a span `db.query` and adds its time to `db_operation_duration_seconds`.
            /// Fails at once while [`watch`](crate::watch) knows that the database is not ready.
            ///
            /// The span is marked as failed when a [`Error`] is the operation's error or one of its sources:
            /// a refusal of the domain (out of stock) is no failure.
            ///
            /// # Errors
            /// What `work` returns, or [`Error::Unavailable`].
            pub async fn observe<T, E>(
                &self,
                operation: &'static str,
                work: impl Future<Output = Result<T, E>>,
            ) -> Result<T, E>
            where
                E: From<Error> + std::error::Error + 'static,
            {
                observe(&self.away, $system, operation, work).await
            }
        }
    };
}

// Values of `db.system.name`: https://opentelemetry.io/docs/specs/semconv/registry/attributes/db/
observe!(Postgres, "postgresql");
observe!(Sqlite, "sqlite");

async fn observe<T, E>(
    away: &Away,
    system: &'static str,
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E>
where
    E: From<Error> + std::error::Error + 'static,
{
    let span = tracing::info_span!(
        "db.query",
        otel.name = operation,
        otel.kind = "client",
        otel.status_code = Empty,
        error.type = Empty,
        db.system.name = system,
        db.operation.name = operation,
    );
    let started = Instant::now();
    let result = match away.check() {
        Ok(()) => work.instrument(span.clone()).await,
        Err(error) => Err(error.into()),
    };
    metrics::operation_duration(operation).record(started.elapsed());
    if let Err(error) = &result {
        mark_failed(&span, error);
    }
    result
}

fn mark_failed(span: &Span, error: &(dyn std::error::Error + 'static)) {
    let chain = std::iter::successors(Some(error), |error| error.source());
    if let Some(error) = chain
        .filter_map(|error| error.downcast_ref::<Error>())
        .next()
    {
        span.record("otel.status_code", "ERROR")
            .record("error.type", error.kind());
    }
}
