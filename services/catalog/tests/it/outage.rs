//! Bad days: the database is away, behind, or locked by others.

use std::time::{Duration, Instant};

use proto::catalog::v1::{CreateProductRequest, ListProductsRequest};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use testkit::Backend;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{TestApp, migrate, new_product, on_both_databases};

on_both_databases!(a_database_without_the_schema_makes_calls_unavailable_until_it_is_migrated);

/// Fails at once, and with UNAVAILABLE.
async fn assert_unavailable(app: &TestApp) {
    let started = Instant::now();
    let (mut reader, mut writer) = (app.client.clone(), app.client.clone());
    let (read, written) = tokio::join!(
        reader.list_products(ListProductsRequest::default()),
        writer.create_product(new_product("ROPE-13", 1)),
    );
    let (read, written) = (read.unwrap_err(), written.unwrap_err());
    for status in [read, written] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(!status.message().contains("sql"), "{status:?}");
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "took {took:?}");
}

/// Waits until `/readyz` gives this reason. Whatever it is, the process itself is well.
async fn wait_until_not_ready(app: &TestApp, reason: &str) {
    app.wait_for_readyz(503, reason).await;
    let (status, body) = app.admin("/livez").await.unwrap();
    assert_eq!(status, 200, "{body}");
}

async fn a_database_without_the_schema_makes_calls_unavailable_until_it_is_migrated(
    backend: Backend,
) {
    let app = TestApp::start_on(testkit::database(backend).await).await;
    wait_until_not_ready(&app, r#""migrations":"closed: 1 to apply"#).await;
    assert_unavailable(&app).await;

    migrate(&app.database).await;
    app.wait_until_ready().await;
    app.create("ROPE-12", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_come_late_and_go_and_come_back() {
    let database = testkit::database(Backend::Postgres).await;
    migrate(&database).await;
    database.take_away().await;
    let app = TestApp::start_on(database).await;
    wait_until_not_ready(&app, r#""database":"closed: the database is unavailable"#).await;
    assert_unavailable(&app).await;

    app.database.bring_back().await;
    app.wait_until_ready().await;
    let product = app.create("ROPE-12", 5).await;

    app.database.take_away().await;
    wait_until_not_ready(&app, r#""database":"closed: the database is unavailable"#).await;
    assert_unavailable(&app).await;

    app.database.bring_back().await;
    app.wait_until_ready().await;
    app.reserve(Uuid::new_v4(), &[(&product.id, 5)])
        .await
        .unwrap();
    assert_eq!(app.product(&product.id).await.available, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_sqlite_file_fails_writes_and_loses_nothing() {
    let app = TestApp::start(Backend::Sqlite).await;
    let product = app.create("ROPE-12", 5).await;

    let mut other = SqliteConnection::connect(&app.database.url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let order_id = Uuid::new_v4();
    let lines = [(product.id.as_str(), 2)];
    let status: Status = app.reserve(order_id, &lines).await.unwrap_err();
    let no_answer = [Code::Unavailable, Code::DeadlineExceeded];
    assert!(no_answer.contains(&status.code()), "{status:?}");
    // Readers don't wait for writers.
    assert_eq!(app.product(&product.id).await, product);

    other.execute("ROLLBACK").await.unwrap();
    let reserved = testkit::eventually(Duration::from_secs(20), async || {
        app.reserve(order_id, &lines).await
    });
    assert_eq!(reserved.await.lines.len(), 1);
    let product = app.product(&product.id).await;
    assert_eq!((product.available, product.reserved), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_writes_and_loses_nothing() {
    let app = TestApp::start(Backend::Sqlite).await;
    let product = app.create("ROPE-12", 5).await;

    let storage::Database::Sqlite(sqlite) = &app.pool else {
        unreachable!("asked for SQLite");
    };
    // The file may not grow any more, as far as the service's one writer goes.
    let limit = |pages: u32| AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlite.write.execute(limit(1)).await.unwrap();
    let mut created = 0;
    let status = loop {
        let request = CreateProductRequest {
            description: "x".repeat(2_000),
            ..new_product(&format!("SKU-{created}"), 1)
        };
        match app.client.clone().create_product(request).await {
            Ok(_) => created += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(app.product(&product.id).await, product);

    sqlite.write.execute(limit(1_000_000)).await.unwrap();
    app.create(&format!("SKU-{created}"), 1).await;
    app.reserve(Uuid::new_v4(), &[(&product.id, 5)])
        .await
        .unwrap();
}
