//! Spans and durations of store operations. A binary of its own: a subscriber that starts while other tests' threads
//! first pass the same call site may never see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusBuilder;
use sqlx::Executor;
use storage::{Database, Error};
use testkit::{Backend, eventually};
use tracing_subscriber::fmt::format::FmtSpan;

/// What a test's subscriber has written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A service's own error.
#[derive(Debug)]
enum StoreError {
    OutOfStock,
    Storage(Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::OutOfStock => None,
            Self::Storage(error) => Some(error),
        }
    }
}

async fn observe(
    database: &Database,
    operation: &'static str,
    work: impl Future<Output = Result<(), StoreError>>,
) -> Result<(), StoreError> {
    match database {
        Database::Postgres(postgres) => postgres.observe(operation, work).await,
        Database::Sqlite(sqlite) => sqlite.observe(operation, work).await,
    }
}

#[tokio::test]
async fn an_operation_has_one_span_with_its_failure_and_one_duration() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let log = Log::default();
    let sink = log.clone();
    tracing_subscriber::fmt()
        .json()
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(move || sink.clone())
        .init();

    for (backend, system, broken, refusing) in [
        (Backend::Sqlite, "sqlite", "break_sqlite", "refuse_sqlite"),
        (
            Backend::Postgres,
            "postgresql",
            "break_postgres",
            "refuse_postgres",
        ),
    ] {
        let test_database = testkit::database(backend).await;
        let database = test_database.connect();
        let breaks = observe(&database, broken, async {
            let query = "INSERT INTO nowhere VALUES (1)";
            match &database {
                Database::Postgres(postgres) => {
                    postgres.pool.execute(query).await.map_err(Error::from)?;
                }
                Database::Sqlite(sqlite) => {
                    sqlite.write.execute(query).await.map_err(Error::from)?;
                }
            }
            Ok(())
        });
        assert!(matches!(
            breaks.await,
            Err(StoreError::Storage(Error::Other(_)))
        ));
        let refuses = observe(&database, refusing, async { Err(StoreError::OutOfStock) });
        assert!(matches!(refuses.await, Err(StoreError::OutOfStock)));

        let span_of = async |operation: &str| {
            let name = format!(r#""db.operation.name":"{operation}""#);
            // sqlx's SQLite thread lets go of the span a little later than we do.
            let spans = eventually(Duration::from_secs(10), async || {
                let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
                let spans: Vec<_> = log
                    .lines()
                    .filter(|line| line.contains(&name))
                    .map(str::to_owned)
                    .collect();
                if spans.is_empty() {
                    Err(log)
                } else {
                    Ok(spans)
                }
            })
            .await;
            let [span] = &spans[..] else {
                panic!("{operation} has more than one span: {spans:?}")
            };
            assert!(span.contains(r#""name":"db.query""#), "{span}");
            assert!(
                span.contains(&format!(r#""db.system.name":"{system}""#)),
                "{span}"
            );
            let sample =
                format!("db_operation_duration_seconds_count{{operation=\"{operation}\"}} 1");
            assert!(recorder.handle().render().contains(&sample));
            span.clone()
        };
        let failed = span_of(broken).await;
        assert!(failed.contains(r#""error.type":"other""#), "{failed}");
        assert!(failed.contains(r#""otel.status_code":"ERROR""#), "{failed}");
        let refused = span_of(refusing).await;
        assert!(
            !refused.contains("ERROR"),
            "a domain's refusal is no failure: {refused}"
        );
    }
}
