use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use sqlx::{Connection, Executor, PgConnection};
use testkit::{Backend, database, eventually};

use super::SOON;

#[tokio::test]
async fn every_database_is_empty_and_ones_own() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let (one, two) = (database(backend).await, database(backend).await);
        assert_ne!(one.url, two.url);
        for database in [&one, &two] {
            let create = "CREATE TABLE thing (id integer)";
            match database.connect() {
                storage::Database::Postgres(postgres) => {
                    postgres.pool.execute(create).await.map(drop).unwrap();
                }
                storage::Database::Sqlite(sqlite) => {
                    sqlite.write.execute(create).await.map(drop).unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_dropped_database_is_gone_even_while_somebody_is_connected() {
    let database = database(Backend::Postgres).await;
    let url = database.url.clone();
    let mut connected = PgConnection::connect(&url).await.unwrap();
    drop(database);
    assert!(connected.ping().await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());
}

#[tokio::test]
async fn a_database_can_be_away_for_a_while() {
    let database = database(Backend::Postgres).await;
    let mut connected = PgConnection::connect(&database.url).await.unwrap();
    database.take_away().await;
    assert!(connected.ping().await.is_err());
    assert!(PgConnection::connect(&database.url).await.is_err());
    database.bring_back().await;
    PgConnection::connect(&database.url).await.unwrap();
}

#[tokio::test]
async fn no_server_outlives_a_process_that_was_killed() {
    let (mut child, url) = other_process("hold");
    PgConnection::connect(&url).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    server_ends(&url).await;
}

#[tokio::test]
async fn no_server_outlives_a_process_whose_test_panics() {
    let (mut child, url) = other_process("panic");
    assert!(!child.wait().unwrap().success());
    server_ends(&url).await;
}

async fn server_ends(url: &str) {
    if std::env::var_os("TEST_DATABASE_URL").is_some_and(|url| !url.is_empty()) {
        return; // that server is not ours to end
    }
    // Of the server itself: this test's database might just have been dropped.
    let server = url.replace(
        url.split(['/', '?'])
            .find(|part| part.starts_with("testkit_"))
            .unwrap(),
        "postgres",
    );
    eventually(SOON, async || match PgConnection::connect(&server).await {
        Ok(_) => Err("it still answers"),
        Err(_) => Ok(()),
    })
    .await;
}

/// Runs [`in_another_process`] in a process of its own, and returns when that has a database.
fn other_process(what: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "db::in_another_process",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("TESTKIT_OTHER_PROCESS", what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("URL=")?.1.to_owned()))
        .unwrap();
    (child, url)
}

#[tokio::test]
#[ignore = "the other process of the tests above"]
#[expect(clippy::print_stdout, reason = "speaks to the test that started it")]
async fn in_another_process() {
    let database = database(Backend::Postgres).await;
    println!("URL={}", database.url);
    assert_ne!(
        std::env::var("TESTKIT_OTHER_PROCESS").as_deref(),
        Ok("panic")
    );
    std::io::stdin().lines().next(); // nothing comes: until killed
}
