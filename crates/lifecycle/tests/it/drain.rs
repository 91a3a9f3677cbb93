use crate::{config, eventually, get, start};
use lifecycle::{Config, DrainError, Lifecycle};
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn;

#[tokio::test]
async fn a_drain_is_not_ready_first_then_stops_accepting_then_waits_for_the_tasks() {
    let lifecycle = start(Config {
        drain_delay: Duration::from_millis(300),
        ..config()
    })
    .await;
    let (admin, shutdown, draining) = (
        lifecycle.admin_addr(),
        lifecycle.shutdown(),
        lifecycle.draining(),
    );
    let (finish, finished) = oneshot::channel::<()>();
    lifecycle.tasks().spawn(finished);
    let running = spawn(lifecycle.run_until_shutdown());
    eventually("ready", async || {
        get(admin, "/readyz").await.starts_with("HTTP/1.1 200")
    })
    .await;

    shutdown.cancel();
    eventually("not ready", async || {
        get(admin, "/readyz").await.contains("closed: draining")
    })
    .await;
    assert!(!draining.is_cancelled(), "still accepting during the delay");
    draining.cancelled().await;

    assert!(
        get(admin, "/livez").await.starts_with("HTTP/1.1 200"),
        "the admin port stops last"
    );
    assert!(!running.is_finished());
    finish.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn tasks_that_go_on_past_the_deadline_are_an_error() {
    let deadline = Duration::from_millis(50);
    let lifecycle = start(Config {
        drain_deadline: deadline,
        ..config()
    })
    .await;
    lifecycle.tasks().spawn(std::future::pending::<()>());
    lifecycle.shutdown().cancel();
    let error = lifecycle.run_until_shutdown().await.unwrap_err();
    assert_eq!(error, DrainError::Deadline { tasks: 1, deadline });
}

async fn ends_after(spawn: impl FnOnce(&Lifecycle)) {
    let lifecycle = start(config()).await;
    spawn(&lifecycle);
    let error = lifecycle.run_until_shutdown().await.unwrap_err();
    assert_eq!(error, DrainError::Task("worker"));
}

#[tokio::test]
async fn the_service_ends_when_an_essential_task_returns_fails_or_panics() {
    ends_after(|service| service.spawn("worker", async { Ok::<(), &str>(()) })).await;
    ends_after(|service| service.spawn("worker", async { Err("disk full") })).await;
    ends_after(|service| service.spawn::<&str>("worker", async { panic!("a bug") })).await;
}

#[tokio::test]
async fn an_essential_task_that_stops_in_the_drain_is_no_error() {
    let lifecycle = start(config()).await;
    let draining = lifecycle.draining();
    lifecycle.spawn("worker", async move {
        draining.cancelled().await;
        Ok::<(), Infallible>(())
    });
    lifecycle.shutdown().cancel();
    lifecycle.run_until_shutdown().await.unwrap();
}

#[tokio::test]
async fn dropping_a_lifecycle_closes_its_port_and_fires_its_tokens() {
    let lifecycle = start(config()).await;
    let (admin, draining, shutdown) = (
        lifecycle.admin_addr(),
        lifecycle.draining(),
        lifecycle.shutdown(),
    );
    drop(lifecycle);
    assert!(draining.is_cancelled() && shutdown.is_cancelled());
    eventually("closed", async || TcpStream::connect(admin).await.is_err()).await;
}
