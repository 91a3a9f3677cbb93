use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use sqlx::Executor;
use storage::{Database, Error};
use testkit::Backend;

use super::{BACKENDS, count, migrated, write};

#[tokio::test]
async fn a_violated_constraint_has_the_same_name_on_both_backends() {
    for backend in BACKENDS {
        let (_keep, database) = migrated(backend).await;
        write(
            &database,
            "INSERT INTO product (id, sku, name) VALUES (1, 'TEA', 'Tea')",
        )
        .await
        .unwrap();
        for (sql, expected) in [
            (
                "INSERT INTO product (id, sku, name) VALUES (2, 'TEA', 'Tea')",
                "product_sku_key",
            ),
            (
                "INSERT INTO product (id, sku, name) VALUES (1, 'POT', 'Pot')",
                "product_pkey",
            ),
            (
                "INSERT INTO product (id, sku) VALUES (2, 'POT')",
                "product_name_not_null",
            ),
            ("UPDATE product SET stock = -1", "product_stock_check"),
            (
                "INSERT INTO offer (product_id, season, country) VALUES (1, 'summer', 'NZ'), (1, 'summer', 'NZ')",
                "offer_season_country_key",
            ),
        ] {
            let error = write(&database, sql).await.unwrap_err();
            assert!(
                matches!(&error, Error::Constraint { name } if name == expected),
                "{backend}: {sql}: {error:?}"
            );
        }
        let orphan = write(
            &database,
            "INSERT INTO offer (product_id, season, country) VALUES (9, 'autumn', 'NZ')",
        )
        .await;
        let expected = match backend {
            Backend::Sqlite => "foreign_key",
            Backend::Postgres => "offer_product_id_fkey",
        };
        assert!(
            matches!(&orphan, Err(Error::Constraint { name }) if name == expected),
            "{backend}: {orphan:?}"
        );
    }
}

#[tokio::test]
async fn only_unique_and_primary_keys_are_unique_violations() {
    let (_keep, database) = migrated(Backend::Sqlite).await;
    let Database::Sqlite(sqlite) = database else {
        unreachable!()
    };
    let run = async |sql: &'static str| {
        storage::unique_violation(&sqlite.write.execute(sql).await.unwrap_err())
    };
    sqlite
        .write
        .execute("INSERT INTO product (id, sku, name) VALUES (1, 'TEA', 'Tea')")
        .await
        .unwrap();
    assert_eq!(
        run("INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')")
            .await
            .as_deref(),
        Some("product_sku_key")
    );
    assert_eq!(run("UPDATE product SET stock = -1").await, None);
    assert_eq!(run("SELECT nonsense").await, None);
}

#[tokio::test]
async fn a_mistake_in_a_query_is_other() {
    for backend in BACKENDS {
        let (_keep, database) = migrated(backend).await;
        let error = write(&database, "INSERT INTO nowhere VALUES (1)")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Other(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_sqlite_file_locked_by_another_is_busy_and_usable_afterwards() {
    let (test_database, database) = migrated(Backend::Sqlite).await;
    let Database::Sqlite(other) = test_database.connect() else {
        unreachable!()
    };
    let lock = other.begin_write().await.unwrap();

    let started = Instant::now();
    let refused = write(
        &database,
        "INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')",
    )
    .await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    assert!(
        started.elapsed() >= Duration::from_secs(5),
        "it waits for the busy timeout"
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM product").await,
        0,
        "readers do not wait for the writer"
    );

    lock.rollback().await.unwrap();
    write(
        &database,
        "INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_full_disk_is_full_and_keeps_what_was_there() {
    let (_keep, database) = migrated(Backend::Sqlite).await;
    let Database::Sqlite(sqlite) = &database else {
        unreachable!()
    };
    write(
        &database,
        "INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')",
    )
    .await
    .unwrap();
    sqlite
        .write
        .execute("PRAGMA max_page_count = 1")
        .await
        .unwrap(); // means: not one more than now

    let large = "INSERT INTO product (sku, name) VALUES ('BIG', hex(zeroblob(1000000)))";
    let refused = write(&database, large).await;
    assert!(matches!(refused, Err(Error::Full(_))), "{refused:?}");
    assert_eq!(count(&database, "SELECT count(*) FROM product").await, 1);

    // The connection that failed is replaced, and with it the limit is gone.
    write(&database, large).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM product").await, 2);
}

#[tokio::test]
async fn sqlite_readers_cannot_write() {
    let (_keep, database) = migrated(Backend::Sqlite).await;
    let Database::Sqlite(sqlite) = database else {
        unreachable!()
    };
    let refused = sqlite
        .read
        .execute("INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')")
        .await;
    assert!(refused.unwrap_err().to_string().contains("readonly"));
}

#[tokio::test]
async fn a_deadlock_on_postgres_is_busy() {
    let (_keep, database) = migrated(Backend::Postgres).await;
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    write(
        &database,
        "INSERT INTO product (id, sku, name) VALUES (1, 'TEA', 'Tea'), (2, 'POT', 'Pot')",
    )
    .await
    .unwrap();

    let first_lock = "UPDATE product SET stock = 1 WHERE id = 1";
    let second_lock = "UPDATE product SET stock = 1 WHERE id = 2";
    let mut one = postgres.begin().await.unwrap();
    let mut two = postgres.begin().await.unwrap();
    one.execute(first_lock).await.unwrap();
    two.execute(second_lock).await.unwrap();
    // The server ends one of the two after its deadlock_timeout; which one is its choice.
    let one_then = async { one.execute(second_lock).await.map(drop).inspect_err(|_| ()) };
    let two_then = async {
        let result = two.execute(first_lock).await.map(drop);
        drop(two);
        result
    };
    let (one_result, two_result) = tokio::join!(one_then, two_then);
    let error = Error::from(one_result.and(two_result).unwrap_err());
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
}

#[tokio::test]
async fn a_serialization_failure_on_postgres_is_busy() {
    let (_keep, database) = migrated(Backend::Postgres).await;
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    write(
        &database,
        "INSERT INTO product (id, sku, name) VALUES (1, 'TEA', 'Tea')",
    )
    .await
    .unwrap();

    let mut one = postgres
        .pool
        .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    one.execute("SELECT * FROM product").await.unwrap();
    write(&database, "UPDATE product SET stock = 1")
        .await
        .unwrap();
    let error = Error::from(
        one.execute("UPDATE product SET stock = 2")
            .await
            .unwrap_err(),
    );
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_and_busy() {
    let (_keep, database) = migrated(Backend::Postgres).await;
    let started = Instant::now();
    let refused = write(&database, "SELECT pg_sleep(60)").await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    assert!((Duration::from_secs(4)..Duration::from_secs(30)).contains(&started.elapsed()));
}

#[tokio::test]
async fn a_full_pool_is_unavailable_after_the_acquire_timeout() {
    let test_database = testkit::database(Backend::Postgres).await;
    let config = storage::Config {
        pool_max: 1,
        acquire_timeout: Duration::from_millis(200),
        ..test_database.config()
    };
    let database = storage::connect(&config, "test").unwrap();
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    let _in_use = postgres.begin().await.unwrap();
    let refused = write(&database, "SELECT 1").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn postgres_lists_connections_under_the_service_name() {
    let test_database = testkit::database(Backend::Postgres).await;
    let database = storage::connect(&test_database.config(), "catalog").unwrap();
    let Database::Postgres(postgres) = &database else {
        unreachable!()
    };
    let shown: String = sqlx::query_scalar("SHOW application_name")
        .fetch_one(&postgres.pool)
        .await
        .unwrap();
    assert_eq!(shown, "catalog");
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_takes_no_later_write_with_it() {
    for backend in BACKENDS {
        let (test_database, other) = migrated(backend).await;
        let insert = "INSERT INTO product (sku, name) VALUES ('TEA', 'Tea')";
        write(&other, insert).await.unwrap();
        // One connection, which the next user gets as it was left.
        let config = storage::Config {
            pool_max: 1,
            ..test_database.config()
        };
        let database = storage::connect(&config, "testkit").unwrap();
        for progress in 1..=8 {
            give_up_beginning(&database, progress).await;
            let update = "UPDATE product SET stock = stock + 1";
            match &database {
                Database::Postgres(postgres) => drop(postgres.pool.execute(update).await.unwrap()),
                Database::Sqlite(sqlite) => drop(sqlite.write.execute(update).await.unwrap()),
            }
            assert_eq!(
                count(&other, "SELECT stock FROM product").await,
                progress,
                "{backend}: others do not see what was said to be written"
            );
        }
    }
}

/// Begins a transaction, but waits for so many steps of it only.
async fn give_up_beginning(database: &Database, progress: i64) {
    let mut begin = Box::pin(async {
        match database {
            Database::Postgres(postgres) => postgres.begin().await.map(drop),
            Database::Sqlite(sqlite) => sqlite.begin_write().await.map(drop),
        }
    });
    for _ in 0..progress {
        if poll_fn(|context| Poll::Ready(begin.as_mut().poll(context)))
            .await
            .is_ready()
        {
            return;
        }
        // Long enough for the database to answer, so that each poll gets further.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
