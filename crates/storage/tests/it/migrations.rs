use futures_util::future::join_all;
use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};
use storage::{Error, MigrateArgs, Migrations};
use testkit::Backend;

use super::{BACKENDS, MIGRATIONS, count, migrated};

/// A build's migrations, in words that both backends understand.
fn build(files: &[(i64, &'static str, &'static str)]) -> Migrations {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        )
    };
    let migrator: &'static Migrator = Box::leak(Box::new(Migrator::with_migrations(
        files.iter().map(migration).collect(),
    )));
    Migrations {
        postgres: migrator,
        sqlite: migrator,
    }
}

const ONE: (i64, &str, &str) = (1, "customer", "CREATE TABLE customer (name text)");
const TWO: (i64, &str, &str) = (
    2,
    "first customer",
    "INSERT INTO customer (name) VALUES ('Ada')",
);

#[tokio::test]
async fn many_processes_may_migrate_at_once_and_each_migration_runs_once() {
    for backend in BACKENDS {
        for _ in 0..5 {
            let test_database = testkit::database(backend).await;
            let migrations = build(&[ONE, TWO]);
            // A pool of its own each: they share nothing but the database.
            let processes: Vec<_> = (0..6).map(|_| test_database.connect()).collect();
            for result in
                join_all(processes.iter().map(|process| process.migrate(migrations))).await
            {
                result.unwrap();
            }
            assert_eq!(
                count(&processes[0], "SELECT count(*) FROM customer").await,
                1
            );
            assert_eq!(
                processes[0].pending_migrations(migrations).await.unwrap(),
                0
            );
        }
    }
}

#[tokio::test]
async fn what_is_pending_is_told_without_writing() {
    for backend in BACKENDS {
        let database = testkit::database(backend).await;
        let pool = database.connect();
        assert_eq!(
            pool.pending_migrations(build(&[ONE, TWO])).await.unwrap(),
            2
        );
        pool.migrate(build(&[ONE])).await.unwrap();
        assert_eq!(
            pool.pending_migrations(build(&[ONE, TWO])).await.unwrap(),
            1
        );
    }
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    for backend in BACKENDS {
        let (_keep, database) = migrated(backend).await;
        database.migrate(MIGRATIONS).await.unwrap();
    }
}

#[tokio::test]
async fn an_older_build_accepts_the_newer_schema() {
    for backend in BACKENDS {
        let database = testkit::database(backend).await;
        let pool = database.connect();
        pool.migrate(build(&[ONE, TWO])).await.unwrap();
        pool.migrate(build(&[ONE])).await.unwrap();
        assert_eq!(pool.pending_migrations(build(&[ONE])).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_failing_migration_is_named_with_its_reason_and_can_be_repaired() {
    for backend in BACKENDS {
        let database = testkit::database(backend).await;
        let pool = database.connect();
        let broken = build(&[
            ONE,
            (
                2,
                "add colour",
                "ALTER TABLE costumer ADD COLUMN colour text",
            ),
        ]);
        let error = pool.migrate(broken).await.unwrap_err();
        let Error::Migration {
            version,
            description,
            reason,
        } = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*version, description.as_str()), (2, "add colour"));
        assert!(reason.contains("costumer"), "{reason}");
        pool.migrate(build(&[ONE, TWO])).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_file_is_refused() {
    for backend in BACKENDS {
        let database = testkit::database(backend).await;
        let pool = database.connect();
        pool.migrate(build(&[ONE])).await.unwrap();
        let error = pool
            .migrate(build(&[(
                1,
                "customer",
                "CREATE TABLE customer (title text)",
            )]))
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with("migration 1 (customer): "),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_migration_does_not_wait_long_for_a_table_in_use() {
    let test_database = testkit::database(Backend::Postgres).await;
    let pool = test_database.connect();
    pool.migrate(build(&[ONE])).await.unwrap();
    let storage::Database::Postgres(postgres) = &pool else {
        unreachable!()
    };
    let mut in_use = postgres.begin().await.unwrap();
    sqlx::query("SELECT * FROM customer")
        .execute(&mut *in_use)
        .await
        .unwrap();
    let error = pool
        .migrate(build(&[ONE, (2, "drop", "DROP TABLE customer")]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("lock timeout"), "{error}");
}

#[tokio::test]
async fn a_missing_postgres_database_is_created_where_that_is_asked_for() {
    let test_database = testkit::database(Backend::Postgres).await;
    test_database.take_away().await; // renames it: now there is none of this name
    let config = test_database.config();
    let migrate = async |create_database| {
        let args = MigrateArgs { create_database };
        storage::migrate(&config, "test", MIGRATIONS, args).await
    };
    let refused = migrate(false).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    for result in join_all((0..4).map(|_| migrate(true))).await {
        result.unwrap();
    }
    let pool = test_database.connect();
    assert_eq!(pool.pending_migrations(MIGRATIONS).await.unwrap(), 0);
}
