//! The outbox through gRPC.

use std::time::Duration;

use orders::{
    domain::{NewLine, NewOrder, Offer, Order, OrderState},
    store::{IdempotencyKey, NewEvent},
};
use proto::orders::v1::{self as pb, event::Payload};
use testkit::Backend;
use time::OffsetDateTime;
use tonic::Code;
use uuid::Uuid;

use crate::{
    on_both_databases,
    shop::{PATIENCE, Shop, refusal, violations},
};

on_both_databases![
    a_confirmed_order_is_an_event_until_it_is_acknowledged,
    a_lost_lease_is_refused,
    a_rejected_event_comes_again_after_a_pause,
    poison_is_a_dead_letter_at_once,
    an_event_is_given_up_after_its_attempts,
    an_event_whose_lease_ends_is_handed_out_again,
    what_this_version_cannot_read_is_handed_out_without_payload,
    broken_rules_of_event_calls_are_named,
];

fn acknowledgement(event: &pb::Event) -> pb::AcknowledgeEventRequest {
    pb::AcknowledgeEventRequest {
        event_id: event.id.clone(),
        lease_token: event.lease_token.clone(),
    }
}

fn rejection(event: &pb::Event, poison: bool) -> pb::RejectEventRequest {
    pb::RejectEventRequest {
        event_id: event.id.clone(),
        lease_token: event.lease_token.clone(),
        reason: "the van broke down".into(),
        poison,
    }
}

fn extension(event: &pb::Event) -> pb::ExtendLeaseRequest {
    pb::ExtendLeaseRequest {
        event_id: event.id.clone(),
        lease_token: event.lease_token.clone(),
        lease: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
    }
}

/// Waits until an event can be leased.
async fn next_event(shop: &Shop) -> pb::Event {
    testkit::eventually(PATIENCE, async || {
        shop.lease(1, 60).await.pop().ok_or("no event")
    })
    .await
}

async fn a_confirmed_order_is_an_event_until_it_is_acknowledged(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let first = shop.place("1", &[(tea, 1)]).await;
    let second = shop.place("2", &[(tea, 1)]).await;
    shop.place("rejected", &[(tea, 100)]).await;

    let events = shop.lease(10, 60).await;
    let orders = events.iter().map(|event| event.payload.clone().unwrap());
    let confirmed = |order: &pb::Order| {
        let order_id = order.id.clone();
        Payload::OrderConfirmed(pb::OrderConfirmed { order_id })
    };
    assert_eq!(
        orders.collect::<Vec<_>>(),
        [confirmed(&first), confirmed(&second)]
    );
    assert!(events.iter().all(|event| event.attempt == 1));
    assert_eq!(events[0].occurred_at, first.updated_at);
    assert_eq!(shop.lease(10, 60).await, []);

    for event in events.iter().chain(&events) {
        shop.client
            .clone()
            .acknowledge_event(acknowledgement(event))
            .await
            .unwrap();
    }
    assert_eq!(shop.store.backlog().await.unwrap().events, 0);
}

async fn a_lost_lease_is_refused(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.place("k", &[(tea, 1)]).await;
    let mut event = next_event(&shop).await;
    let token = std::mem::replace(&mut event.lease_token, Uuid::new_v4().to_string());
    let client = || shop.client.clone();
    let lost = (Code::FailedPrecondition, "LEASE_LOST".to_owned());
    assert_eq!(
        refusal(client().acknowledge_event(acknowledgement(&event)).await),
        lost
    );
    assert_eq!(
        refusal(client().reject_event(rejection(&event, true)).await),
        lost
    );
    assert_eq!(
        refusal(client().extend_lease(extension(&event)).await),
        lost
    );

    event.lease_token = token;
    let extended = client()
        .extend_lease(extension(&event))
        .await
        .unwrap()
        .into_inner();
    let (until, before) = (
        extended.lease_expires_at.unwrap(),
        event.lease_expires_at.unwrap(),
    );
    assert!((until.seconds, until.nanos) > (before.seconds, before.nanos));
    client()
        .acknowledge_event(acknowledgement(&event))
        .await
        .unwrap();
}

async fn a_rejected_event_comes_again_after_a_pause(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    shop.place("stuck", &[(tea, 1)]).await;
    shop.place("other", &[(tea, 1)]).await;
    let stuck = next_event(&shop).await;
    shop.client
        .clone()
        .reject_event(rejection(&stuck, false))
        .await
        .unwrap();

    let other = shop.lease(10, 60).await;
    assert_eq!(other.len(), 1);
    assert_ne!(other[0].id, stuck.id);
    let again = next_event(&shop).await;
    assert_eq!((again.id, again.attempt), (stuck.id, 2));
    assert_ne!(again.lease_token, stuck.lease_token);
    assert_eq!(shop.dead_letters().await, []);
}

async fn poison_is_a_dead_letter_at_once(backend: Backend) {
    let shop = Shop::start(backend).await;
    let tea = shop.catalog.add(450, 10);
    let order = shop.place("k", &[(tea, 1)]).await;
    let event = next_event(&shop).await;
    shop.client
        .clone()
        .reject_event(rejection(&event, true))
        .await
        .unwrap();

    let dead = shop.dead_letters().await;
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0].event_id, &dead[0].order_id),
        (&event.id, &order.id)
    );
    assert_eq!(
        (dead[0].kind.as_str(), dead[0].attempts),
        ("OrderConfirmed", 1)
    );
    assert_eq!(dead[0].reason, "the van broke down");
    assert_eq!(shop.store.backlog().await.unwrap().events, 0);
}

async fn an_event_is_given_up_after_its_attempts(backend: Backend) {
    let shop = Shop::with(backend, &["--max-delivery-attempts", "2"]).await;
    let tea = shop.catalog.add(450, 10);
    shop.place("k", &[(tea, 1)]).await;
    for attempt in 1..=2 {
        assert_eq!(shop.dead_letters().await, []);
        let event = next_event(&shop).await;
        assert_eq!(event.attempt, attempt);
        shop.client
            .clone()
            .reject_event(rejection(&event, false))
            .await
            .unwrap();
    }
    let dead = shop.dead_letters().await;
    assert_eq!(
        (dead[0].attempts, dead[0].reason.as_str()),
        (2, "the van broke down")
    );
}

async fn an_event_whose_lease_ends_is_handed_out_again(backend: Backend) {
    let shop = Shop::with(backend, &["--max-delivery-attempts", "1"]).await;
    let tea = shop.catalog.add(450, 10);
    shop.place("k", &[(tea, 1)]).await;
    assert_eq!(shop.lease(1, 1).await.len(), 1);
    let dead = testkit::eventually(PATIENCE, async || {
        assert_eq!(shop.lease(1, 1).await, []);
        shop.dead_letters().await.pop().ok_or("none")
    })
    .await;
    assert_eq!(dead.reason, "lease expired 1 times");
}

async fn what_this_version_cannot_read_is_handed_out_without_payload(backend: Backend) {
    let shop = Shop::start(backend).await;
    let now = OffsetDateTime::now_utc().truncate_to_second() - Duration::from_secs(60);
    for (kind, payload) in [("OrderPraised", "{}"), ("OrderConfirmed", "not JSON")] {
        let new = NewOrder {
            customer_id: "ada".into(),
            currency: "EUR".into(),
            lines: vec![NewLine {
                product_id: Uuid::new_v4(),
                quantity: 1,
            }],
        };
        let mut order = Order::place(
            new,
            Uuid::new_v4(),
            String::new(),
            now,
            OffsetDateTime::now_utc() + PATIENCE,
        );
        let key = IdempotencyKey {
            key: kind.into(),
            content_hash: [0; 32],
        };
        shop.store.insert(&order, &key).await.unwrap();
        let offer = Offer {
            sku: "TEA-1".into(),
            name: "Tea".into(),
            unit_price: 1,
        };
        order.confirm(vec![offer], now).unwrap();
        let event = NewEvent {
            id: Uuid::now_v7(),
            kind,
            order_id: order.id,
            payload: payload.into(),
            traceparent: String::new(),
            occurred_at: now,
        };
        assert!(
            shop.store
                .save(OrderState::Pending, &order, Some(&event))
                .await
                .unwrap()
        );
    }
    let tea = shop.catalog.add(450, 10);
    shop.place("k", &[(tea, 1)]).await;

    let events = shop.lease(10, 60).await;
    let readable = events.iter().map(|event| event.payload.is_some());
    assert_eq!(readable.collect::<Vec<_>>(), [false, false, true]);
    for event in &events[..2] {
        shop.client
            .clone()
            .reject_event(rejection(event, true))
            .await
            .unwrap();
    }
    let kinds = shop
        .dead_letters()
        .await
        .into_iter()
        .map(|letter| letter.kind);
    assert_eq!(
        kinds.collect::<Vec<_>>(),
        ["OrderConfirmed", "OrderPraised"]
    );
}

async fn broken_rules_of_event_calls_are_named(backend: Backend) {
    let shop = Shop::start(backend).await;
    let client = || shop.client.clone();
    for (limit, seconds, nanos) in [
        (0, 0, 0),
        (-1, -5, 0),
        (101, 601, 0),
        (i32::MAX, 600, 1),
        (101, i64::MAX, -1),
    ] {
        let lease = Some(prost_types::Duration { seconds, nanos });
        let answer = client()
            .lease_events(pb::LeaseEventsRequest { limit, lease })
            .await;
        assert_eq!(violations(answer), ["limit", "lease"]);
    }
    let absent = client()
        .lease_events(pb::LeaseEventsRequest {
            limit: 1,
            lease: None,
        })
        .await;
    assert_eq!(violations(absent), ["lease"]);

    let nobody = pb::Event::default();
    let ids = ["event_id", "lease_token"];
    assert_eq!(
        violations(client().acknowledge_event(acknowledgement(&nobody)).await),
        ids
    );
    for reason in ["", &"x".repeat(501), "a\0b"] {
        let request = pb::RejectEventRequest {
            reason: reason.into(),
            ..rejection(&nobody, false)
        };
        assert_eq!(
            violations(client().reject_event(request).await),
            ["event_id", "lease_token", "reason"]
        );
    }
    let request = pb::ExtendLeaseRequest {
        lease: None,
        ..extension(&nobody)
    };
    assert_eq!(
        violations(client().extend_lease(request).await),
        ["event_id", "lease_token", "lease"]
    );
    for limit in [-1, 101] {
        let answer = client()
            .list_dead_letters(pb::ListDeadLettersRequest { limit })
            .await;
        assert_eq!(violations(answer), ["limit"]);
    }
}
