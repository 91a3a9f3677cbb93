//! The event stream of an order's page.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use crate::harness::{Page, Shop, Visitor, eventually};
use crate::world::set;

/// Reads the stream until `text` has come; everything since the last call.
async fn until(stream: &mut Response, text: &str) -> String {
    let mut seen = String::new();
    let read = async {
        while !seen.contains(text) {
            let chunk = stream
                .chunk()
                .await
                .unwrap()
                .unwrap_or_else(|| panic!("ended before {text:?}: {seen}"));
            seen.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    timeout(Duration::from_secs(10), read)
        .await
        .unwrap_or_else(|_| panic!("not in time: {text:?}"));
    seen
}

async fn pending_order(shop: &Shop) -> (Visitor, Page) {
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    set(&shop.world.saga_stuck, true);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "2").await;
    let order = visitor.check_out().await;
    order.says("data-state=\"pending\"");
    (visitor, order)
}

async fn follow(visitor: &Visitor, order: &Page) -> Response {
    let url = format!("{}{}/events", visitor.url, order.path);
    visitor.client.get(url).send().await.unwrap()
}

#[tokio::test]
async fn the_page_follows_its_order_to_the_end() {
    let shop = Shop::open().await;
    let (visitor, order) = pending_order(&shop).await;
    order.says(&format!("data-events=\"{}/events\"", order.path));
    let mut stream = follow(&visitor, &order).await;
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");

    let first = until(&mut stream, "\n\n").await;
    assert!(
        first.starts_with("event: order\ndata: ") && first.contains("data-state=\"pending\""),
        "{first}"
    );
    shop.world.settle();
    until(&mut stream, "data-state=\"confirmed\"").await;
    // A gap is bridged.
    set(&shop.world.orders_down, true);
    tokio::time::sleep(Duration::from_millis(50)).await;
    set(&shop.world.orders_down, false);
    shop.world.ship();
    until(&mut stream, "data-state=\"shipped\"").await;
    until(&mut stream, "event: end\n").await;
    while let Some(rest) = timeout(Duration::from_secs(5), stream.chunk())
        .await
        .unwrap()
        .unwrap()
    {
        assert_eq!(rest.trim_ascii(), b"data: final");
    }
}

#[tokio::test]
async fn nobody_follows_somebody_elses_order() {
    let shop = Shop::open().await;
    let (_, order) = pending_order(&shop).await;
    let stranger = shop.visitor();
    assert_eq!(follow(&stranger, &order).await.status(), 404);
    assert_eq!(stranger.get(&order.path).await.status, 404);
}

#[tokio::test]
async fn streams_are_bounded_and_leave_room_when_they_end() {
    let shop = Shop::with(&["--max-event-streams", "1"]).await;
    let (visitor, order) = pending_order(&shop).await;
    let mut first = follow(&visitor, &order).await;
    until(&mut first, "pending").await;
    assert_eq!(follow(&visitor, &order).await.status(), 503);
    drop(first);
    eventually("there is room again", async || {
        follow(&visitor, &order).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_stream_outlives_the_request_deadline_but_not_the_drain() {
    let shop = Shop::with(&["--request-deadline", "200ms"]).await;
    let (visitor, order) = pending_order(&shop).await;
    let mut stream = follow(&visitor, &order).await;
    until(&mut stream, "pending").await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    shop.world.settle();
    until(&mut stream, "confirmed").await;

    shop.shutdown.cancel();
    let rest = timeout(Duration::from_secs(5), stream.text())
        .await
        .unwrap()
        .unwrap();
    assert!(
        !rest.contains("event: end"),
        "the browser shall come back: {rest}"
    );
    timeout(Duration::from_secs(5), shop.ended)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
