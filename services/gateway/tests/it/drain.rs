//! SIGTERM under load: no failed request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Client;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::harness::{Shop, eventually};

/// As a load balancer does it: eight clients with keep-alive connections send without a pause until some
/// time after the gateway has become not ready; then they finish what they have begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_under_load_fails_no_request() {
    let shop = Shop::with(&["--drain-delay", "2s", "--drain-deadline", "5s"]).await;
    shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    shop.world.millis.store(20, Ordering::Relaxed);
    let answered = Arc::new(AtomicUsize::new(0));
    let closed = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let url = format!("{}/api/v1/products", shop.url);
        let (answered, closed, stop) = (answered.clone(), closed.clone(), stop.clone());
        clients.push(shop.tasks.spawn(async move {
            let client = Client::new();
            while !stop.is_cancelled() {
                let response = client.get(&url).send().await.expect("no failed request");
                assert_eq!(response.status(), 200);
                let closes = response
                    .headers()
                    .get("connection")
                    .is_some_and(|value| value == "close");
                closed.fetch_add(usize::from(closes), Ordering::Relaxed);
                response.bytes().await.expect("a whole answer");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let more = async |count| {
        let goal = answered.load(Ordering::Relaxed) + count;
        eventually("under load", async || {
            answered.load(Ordering::Relaxed) >= goal
        })
        .await;
    };
    more(50).await;
    assert_eq!(closed.load(Ordering::Relaxed), 0, "connections are kept");
    shop.shutdown.cancel();
    let ready = format!("{}/readyz", shop.admin);
    eventually("not ready", async || {
        let ready = shop.client.get(&ready).send().await;
        ready.is_ok_and(|response| response.status() == 503)
    })
    .await;
    more(50).await;
    stop.cancel();
    for client in clients {
        client.await.expect("no failed request");
    }
    assert!(
        closed.load(Ordering::Relaxed) > 0,
        "connections are told to go"
    );
    timeout(Duration::from_secs(5), shop.ended)
        .await
        .unwrap()
        .unwrap()
        .expect("a clean end");
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_new_is_accepted() {
    let shop = Shop::with(&["--drain-delay", "0s", "--drain-deadline", "5s"]).await;
    shop.world.millis.store(400, Ordering::Relaxed);
    let url = format!("{}/api/v1/products", shop.url);
    let slow = shop.tasks.spawn(shop.client.get(&url).send());
    tokio::time::sleep(Duration::from_millis(100)).await;
    shop.shutdown.cancel();
    eventually("accepting has stopped", async || {
        Client::new()
            .get(&url)
            .send()
            .await
            .is_err_and(|error| error.is_connect())
    })
    .await;
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    timeout(Duration::from_secs(5), shop.ended)
        .await
        .unwrap()
        .unwrap()
        .expect("a clean end");
}
