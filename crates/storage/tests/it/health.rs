use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use sqlx::{AssertSqlSafe, Executor};
use storage::{Config, Database, Error, Health};
use testkit::{Backend, eventually};
use tokio::net::TcpListener;

use super::{BACKENDS, MIGRATIONS, migrated, write};

const SOON: Duration = Duration::from_secs(20);

/// What `watch` has reported so far, while `test` runs.
async fn watching(database: &Database, test: impl AsyncFnOnce(&dyn Fn() -> Vec<Health>)) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&reports);
    let watch = storage::watch(database.clone(), MIGRATIONS, move |health| {
        sink.lock().unwrap().push(health.clone());
    });
    let seen = move || reports.lock().unwrap().clone();
    tokio::select! {
        never = watch => match never {},
        () = test(&seen) => {}
    }
}

async fn reported(seen: &dyn Fn() -> Vec<Health>, is_last: impl Fn(&Health) -> bool) {
    eventually(SOON, async || {
        let seen = seen();
        if seen.last().is_some_and(&is_last) {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_is_behind_until_it_has_been_migrated() {
    for backend in BACKENDS {
        let test_database = testkit::database(backend).await;
        let (service, migrate) = (test_database.connect(), test_database.connect());
        watching(&service, async |seen| {
            reported(seen, |health| *health == Health::Behind { pending: 1 }).await;
            let refused = match &service {
                Database::Postgres(postgres) => postgres.observe("behind", async { Ok(()) }).await,
                Database::Sqlite(sqlite) => sqlite.observe("behind", async { Ok(()) }).await,
            };
            assert!(
                matches!(refused, Err(Error::Unavailable(_))),
                "it could only fail"
            );
            migrate.migrate(MIGRATIONS).await.unwrap();
            reported(seen, |health| *health == Health::Ready).await;
            assert_eq!(seen().len(), 2, "each change once");
        })
        .await;
    }
}

#[tokio::test]
async fn while_postgres_is_away_operations_fail_at_once_and_then_recover() {
    let (test_database, database) = migrated(Backend::Postgres).await;
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    let operation = async || {
        postgres
            .observe("probe_away", async { write(&database, "SELECT 1").await })
            .await
    };

    watching(&database, async |seen| {
        reported(seen, |health| *health == Health::Ready).await;
        operation().await.unwrap();

        test_database.take_away().await;
        reported(seen, |health| matches!(health, Health::Away { .. })).await;
        let started = Instant::now();
        for _ in 0..100 {
            assert!(matches!(operation().await, Err(Error::Unavailable(_))));
        }
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );

        test_database.bring_back().await;
        reported(seen, |health| *health == Health::Ready).await;
        operation().await.unwrap();
        assert_eq!(seen().len(), 3, "each change once: {:?}", seen());
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_all_in_use_is_not_away() {
    let test_database = testkit::database(Backend::Postgres).await;
    let database = storage::connect(
        &Config {
            pool_max: 1,
            ..test_database.config()
        },
        "test",
    )
    .unwrap();
    database.migrate(MIGRATIONS).await.unwrap();
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    let _in_use = postgres.begin().await.unwrap();
    database.ping().await.unwrap();
}

#[tokio::test]
async fn a_lost_connection_alone_is_not_away() {
    let (_keep, database) = migrated(Backend::Postgres).await;
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    watching(&database, async |seen| {
        reported(seen, |health| *health == Health::Ready).await;
        let others =
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        for _ in 0..3 {
            let end = format!("SELECT pg_terminate_backend(pid, 5000) {others}");
            postgres.pool.execute(AssertSqlSafe(end)).await.unwrap();
            eventually(SOON, async || {
                let count: i64 =
                    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) {others}")))
                        .fetch_one(&postgres.pool)
                        .await
                        .unwrap();
                if count > 0 {
                    Ok(())
                } else {
                    Err("the watch has not connected again")
                }
            })
            .await;
        }
        assert_eq!(seen(), [Health::Ready]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_away_fast() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let database = storage::connect(
        &Config::new(format!("postgres://ada:s3cret@{unused}/shop")),
        "test",
    )
    .unwrap();
    let started = Instant::now();
    let error = database.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
    assert!(!error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_away_after_a_second() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let database = storage::connect(
        &Config::new(format!(
            "postgres://ada@{}/shop",
            silent.local_addr().unwrap()
        )),
        "test",
    )
    .unwrap();
    let started = Instant::now();
    assert!(matches!(database.ping().await, Err(Error::Unavailable(_))));
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&started.elapsed()));
}

#[tokio::test]
async fn a_sqlite_file_that_is_no_database_is_reported() {
    let test_database = testkit::database(Backend::Sqlite).await;
    let file = test_database.url.strip_prefix("sqlite://").unwrap();
    std::fs::write(
        file,
        "This is a shopping list, and it is longer than the header of a database.".repeat(20),
    )
    .unwrap();
    let database = test_database.connect();
    assert!(database.ping().await.is_err());
    watching(&database, async |seen| {
        reported(
            seen,
            |health| matches!(health, Health::Away { reason } if reason.contains("not a database")),
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_watch_keeps_the_pool_gauges() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let (_keep, database) = migrated(Backend::Sqlite).await;
    watching(&database, async |_| {
        eventually(SOON, async || {
            let metrics = recorder.handle().render();
            let shown = [
                r#"db_pool_connections{pool="write"} 1"#,
                r#"db_pool_idle{pool="write"} 1"#,
            ];
            if shown.iter().all(|sample| metrics.contains(sample)) {
                Ok(())
            } else {
                Err(metrics)
            }
        })
        .await;
    })
    .await;
}
