use crate::{config, eventually, get, start};
use lifecycle::{Config, Lifecycle};
use serde_json::{Value, json};

fn json(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn ready_means_that_all_latches_are_open() {
    let lifecycle = start(config()).await;
    let (admin, shutdown) = (lifecycle.admin_addr(), lifecycle.shutdown());
    let (database, migrations) = (lifecycle.latch("database"), lifecycle.latch("migrations"));
    let running = tokio::task::spawn(lifecycle.run_until_shutdown());

    migrations.open();
    let answer = get(admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(json(&answer)["latches"]["database"], "closed: not yet");

    database.open();
    eventually("ready", async || {
        get(admin, "/readyz").await.starts_with("HTTP/1.1 200")
    })
    .await;
    let latches = json!({"database": "open", "migrations": "open", "serving": "open"});
    let answer = get(admin, "/readyz").await;
    assert_eq!(json(&answer), json!({"ready": true, "latches": latches}));

    database.close("connection refused");
    let answer = get(admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(
        json(&answer)["latches"]["database"],
        "closed: connection refused"
    );
    assert!(get(admin, "/livez").await.starts_with("HTTP/1.1 200"));

    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_service_that_is_still_starting_is_alive_but_not_ready() {
    let lifecycle = start(config()).await;
    let admin = lifecycle.admin_addr();
    assert!(get(admin, "/livez").await.starts_with("HTTP/1.1 200"));
    let answer = get(admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(
        json(&answer)["latches"],
        json!({"serving": "closed: not yet"})
    );
}

#[tokio::test]
async fn metrics_and_version_are_served() {
    let lifecycle = start(config()).await;
    let metrics = get(lifecycle.admin_addr(), "/metrics").await;
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(metrics.ends_with("\r\n\r\nup 1\n"), "{metrics}");
    let version = json(&get(lifecycle.admin_addr(), "/version").await);
    assert_eq!(
        version,
        json!({"service": "shop", "version": "1.2.3", "revision": "abc"})
    );
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_setting() {
    let first = start(config()).await;
    let taken = Config {
        admin_listen: first.admin_addr(),
        ..config()
    };
    let error = Lifecycle::start(&taken, "shop", String::new)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&first.admin_addr().to_string()), "{error}");
    assert!(error.contains("--admin-listen (ADMIN_LISTEN)"), "{error}");
}
