//! The contract that both stores keep.

use std::sync::Arc;

use orders::{
    domain::{
        NewLine, NewOrder, NextStep, Offer, Order, OrderState, Rejection, RejectionReason, SagaStep,
    },
    store::{
        self, Backlog, IdempotencyKey, Inserted, Lease, Leased, MIGRATIONS, NewEvent, Position,
        Store, Verdict,
    },
};
use testkit::{Backend, TestDatabase};
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::on_both_databases;

on_both_databases![
    an_order_comes_back_as_it_was_written,
    a_key_belongs_to_one_order_of_one_customer,
    the_same_key_at_once_makes_one_order,
    orders_are_listed_newest_first_and_continue_at_a_position,
    a_change_is_written_only_from_the_expected_state,
    of_changes_at_once_one_is_written,
    an_event_is_written_only_with_its_change,
    due_steps_are_claimed_once_most_overdue_first,
    claimers_at_once_share_the_steps,
    only_the_open_step_is_postponed_or_closed,
    events_are_leased_oldest_first_and_again_when_the_lease_ends,
    leasers_at_once_never_share_an_event,
    a_lease_can_be_extended_until_it_is_lost,
    an_acknowledged_event_is_gone,
    a_rejected_event_waits_and_does_not_block_others,
    an_event_out_of_attempts_is_a_dead_letter,
    the_last_rejection_is_the_reason_of_death,
    the_backlog_counts_what_waits,
    migrations_can_run_at_once_and_again,
];

const T0: OffsetDateTime = datetime!(2030-01-01 00:00:00.123456 UTC);
const NOTHING: [Uuid; 0] = [];

struct Db {
    store: Arc<dyn Store>,
    _database: TestDatabase,
}

async fn db(backend: Backend) -> Db {
    let database = testkit::database(backend).await;
    let connection = database.connect();
    connection.migrate(MIGRATIONS).await.unwrap();
    Db {
        store: store::open(&connection),
        _database: database,
    }
}

fn at(seconds: i64) -> OffsetDateTime {
    T0 + Duration::seconds(seconds)
}

fn new_order(customer_id: &str, placed_at: OffsetDateTime) -> Order {
    let new = NewOrder {
        customer_id: customer_id.into(),
        currency: "EUR".into(),
        lines: (1..=2)
            .map(|product| NewLine {
                product_id: Uuid::from_u128(product),
                quantity: 1_000,
            })
            .collect(),
    };
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    Order::place(new, Uuid::new_v4(), traceparent, placed_at, placed_at)
}

fn key(key: impl Into<String>) -> IdempotencyKey {
    IdempotencyKey {
        key: key.into(),
        content_hash: [7; 32],
    }
}

/// A way to move an order on.
type Move = fn(&mut Order, OffsetDateTime);

fn confirm(order: &mut Order, now: OffsetDateTime) {
    let offer = Offer {
        sku: "TEA-1".into(),
        name: "Tea \"Earl\" \\ ☕ 'x'".into(),
        unit_price: 123_456_789,
    };
    order.confirm(vec![offer; order.lines.len()], now).unwrap();
}

fn reject(order: &mut Order, now: OffsetDateTime) {
    let rejection = Rejection {
        reason: RejectionReason::OutOfStock,
        product_id: Some(Uuid::from_u128(1)),
        message: "Sold out 🫖".into(),
    };
    order.reject(rejection, now).unwrap();
}

fn cancel(order: &mut Order, now: OffsetDateTime) {
    order.cancel(now, now).unwrap();
}

impl Db {
    /// A stored, pending order, due at once.
    async fn placed(&self, placed_at: OffsetDateTime) -> Order {
        let order = new_order("ada", placed_at);
        let inserted = self.store.insert(&order, &key(order.id)).await.unwrap();
        assert_eq!(inserted, Inserted::New);
        order
    }

    async fn save(&self, order: &mut Order, change: Move, event: Option<&NewEvent>) -> bool {
        let from = order.state;
        change(order, at(1));
        self.store.save(from, order, event).await.unwrap()
    }

    /// An order that is confirmed, with its event in the outbox.
    async fn event(&self, occurred_at: OffsetDateTime) -> NewEvent {
        let mut order = self.placed(T0).await;
        let event = event(&order, occurred_at);
        assert!(self.save(&mut order, confirm, Some(&event)).await);
        event
    }

    async fn lease(&self, now: OffsetDateTime, limit: u32) -> (Uuid, Leased) {
        let lease = Lease {
            token: Uuid::new_v4(),
            now,
            until: now + Duration::seconds(30),
            limit,
        };
        let leased = self.store.lease_events(&lease, 3).await.unwrap();
        (lease.token, leased)
    }

    async fn leased_ids(&self, now: OffsetDateTime) -> Vec<Uuid> {
        ids(&self.lease(now, 100).await.1)
    }
}

fn event(order: &Order, occurred_at: OffsetDateTime) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        kind: "OrderConfirmed",
        order_id: order.id,
        payload: format!(r#"{{"order_id":"{}"}}"#, order.id),
        traceparent: order.traceparent.clone(),
        occurred_at,
    }
}

fn ids(leased: &Leased) -> Vec<Uuid> {
    leased.events.iter().map(|event| event.id).collect()
}

async fn an_order_comes_back_as_it_was_written(backend: Backend) {
    let db = db(backend).await;
    let paths: [&[Move]; 5] = [
        &[],
        &[confirm],
        &[reject],
        &[confirm, cancel],
        &[confirm, |order, now| {
            order.ship("T-1".into(), now, at(9)).unwrap();
        }],
    ];
    for path in paths {
        let mut order = db.placed(T0).await;
        for change in path {
            assert!(db.save(&mut order, *change, None).await);
        }
        assert_eq!(db.store.order(order.id).await.unwrap(), Some(order));
    }
    assert_eq!(db.store.order(Uuid::new_v4()).await.unwrap(), None);
}

async fn a_key_belongs_to_one_order_of_one_customer(backend: Backend) {
    let db = db(backend).await;
    let order = new_order("ada", T0);
    assert_eq!(
        db.store.insert(&order, &key("k")).await.unwrap(),
        Inserted::New
    );

    let again = new_order("ada", at(1));
    let replayed = db.store.insert(&again, &key("k")).await.unwrap();
    assert_eq!(replayed, Inserted::Replayed(Box::new(order)));

    let mut other = key("k");
    other.content_hash[31] = 0;
    assert_eq!(
        db.store.insert(&again, &other).await.unwrap(),
        Inserted::KeyReused
    );
    assert_eq!(db.store.order(again.id).await.unwrap(), None);

    for (customer, free) in [("bob", "k"), ("ada", "K")] {
        let order = new_order(customer, T0);
        assert_eq!(
            db.store.insert(&order, &key(free)).await.unwrap(),
            Inserted::New
        );
    }
}

async fn the_same_key_at_once_makes_one_order(backend: Backend) {
    let db = db(backend).await;
    let mut placing = JoinSet::new();
    for _ in 0..20 {
        let store = db.store.clone();
        placing.spawn(async move {
            let order = new_order("ada", T0);
            match store.insert(&order, &key("k")).await.unwrap() {
                Inserted::New => (order.id, true),
                Inserted::Replayed(first) => (first.id, false),
                Inserted::KeyReused => panic!("the content is the same"),
            }
        });
    }
    let placed = placing.join_all().await;
    assert_eq!(placed.iter().filter(|(_, new)| *new).count(), 1);
    assert!(placed.iter().all(|(id, _)| *id == placed[0].0));
    let orders = db
        .store
        .orders_of("ada", Position::START, 100)
        .await
        .unwrap();
    assert_eq!(orders.len(), 1);
}

async fn orders_are_listed_newest_first_and_continue_at_a_position(backend: Backend) {
    let db = db(backend).await;
    let mut orders = Vec::new();
    // Some at the same time: then the id decides.
    for second in [3, 1, 2, 2, 2, 0] {
        orders.push(db.placed(at(second)).await);
    }
    let other = new_order("bob", at(5));
    db.store.insert(&other, &key("k")).await.unwrap();

    orders.sort_by_key(|order| std::cmp::Reverse((order.placed_at, order.id)));
    let mut listed = Vec::new();
    let mut position = Position::START;
    loop {
        let page = db.store.orders_of("ada", position, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        position = Position {
            placed_at: last.placed_at,
            id: last.id,
        };
        listed.extend(page);
    }
    assert_eq!(listed, orders);
}

async fn a_change_is_written_only_from_the_expected_state(backend: Backend) {
    let db = db(backend).await;
    let pending = db.placed(T0).await;
    let mut cancelled = pending.clone();
    assert!(db.save(&mut cancelled, cancel, None).await);

    let mut confirmed = pending;
    let event = event(&confirmed, T0);
    assert!(!db.save(&mut confirmed, confirm, Some(&event)).await);
    assert_eq!(db.store.order(cancelled.id).await.unwrap(), Some(cancelled));
    assert_eq!(db.leased_ids(at(10)).await, NOTHING);
}

async fn of_changes_at_once_one_is_written(backend: Backend) {
    let db = db(backend).await;
    for _ in 0..10 {
        let pending = db.placed(T0).await;
        let mut changing = JoinSet::new();
        let changes: [Move; 3] = [confirm, reject, cancel];
        for change in changes {
            let (store, mut order) = (db.store.clone(), pending.clone());
            changing.spawn(async move {
                change(&mut order, at(1));
                let saved = store.save(OrderState::Pending, &order, None).await.unwrap();
                saved.then_some(order)
            });
        }
        let mut winners = changing.join_all().await.into_iter().flatten();
        let winner = winners.next();
        assert_eq!(winners.next(), None);
        assert_eq!(db.store.order(pending.id).await.unwrap(), winner);
    }
}

async fn an_event_is_written_only_with_its_change(backend: Backend) {
    let db = db(backend).await;
    let first = db.event(T0).await;
    let mut order = db.placed(T0).await;
    confirm(&mut order, at(1));
    let duplicate = NewEvent {
        order_id: order.id,
        ..first.clone()
    };
    // The event's insert fails after the order's update.
    let failed = db
        .store
        .save(OrderState::Pending, &order, Some(&duplicate))
        .await;
    assert!(matches!(failed, Err(storage::Error::Constraint { name }) if name == "outbox_pkey"));
    let stored = db.store.order(order.id).await.unwrap().unwrap();
    assert_eq!(stored.state, OrderState::Pending);
    assert_eq!(db.leased_ids(at(1)).await, [first.id]);
}

async fn due_steps_are_claimed_once_most_overdue_first(backend: Backend) {
    let db = db(backend).await;
    let late = db.placed(at(1)).await;
    let later = db.placed(at(0)).await;
    let not_due = db.placed(at(60)).await;
    let mut done = db.placed(at(0)).await;
    assert!(db.save(&mut done, confirm, None).await);

    let claimed = db.store.claim_steps(at(2), at(12), 1).await.unwrap();
    let expected = Order {
        next: Some(NextStep {
            step: SagaStep::Reserve,
            due: at(12),
            attempts: 1,
        }),
        ..later.clone()
    };
    assert_eq!(claimed, [expected]);
    let claimed = db.store.claim_steps(at(2), at(12), 10).await.unwrap();
    assert_eq!(
        claimed.iter().map(|order| order.id).collect::<Vec<_>>(),
        [late.id]
    );
    assert_eq!(db.store.claim_steps(at(2), at(12), 10).await.unwrap(), []);

    let mut again = db.store.claim_steps(at(12), at(22), 10).await.unwrap();
    again.sort_by_key(|order| order.placed_at);
    let attempts = again
        .iter()
        .map(|order| (order.id, order.next.unwrap().attempts));
    assert_eq!(attempts.collect::<Vec<_>>(), [(later.id, 2), (late.id, 2)]);
    assert_eq!(db.store.order(not_due.id).await.unwrap(), Some(not_due));
}

async fn claimers_at_once_share_the_steps(backend: Backend) {
    let db = db(backend).await;
    let mut placed = Vec::new();
    for _ in 0..30 {
        placed.push(db.placed(T0).await.id);
    }
    let mut claiming = JoinSet::new();
    for _ in 0..4 {
        let store = db.store.clone();
        claiming.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_steps(at(1), at(100), 3).await.unwrap();
                if claimed.is_empty() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|order| order.id));
            }
        });
    }
    let mut claimed = claiming.join_all().await.concat();
    // One that was just being claimed is skipped, and the skipper may stop early; nobody has it twice.
    claimed.extend(
        db.store
            .claim_steps(at(1), at(100), 100)
            .await
            .unwrap()
            .iter()
            .map(|order| order.id),
    );
    claimed.sort();
    placed.sort();
    assert_eq!(claimed, placed);
}

async fn only_the_open_step_is_postponed_or_closed(backend: Backend) {
    let db = db(backend).await;
    let mut order = db.placed(T0).await;
    assert!(db.save(&mut order, cancel, None).await);

    // What a recovery does that began before the cancellation.
    db.store
        .move_step(order.id, SagaStep::Reserve, Some(at(99)))
        .await
        .unwrap();
    db.store
        .move_step(order.id, SagaStep::Reserve, None)
        .await
        .unwrap();
    assert_eq!(db.store.order(order.id).await.unwrap(), Some(order.clone()));

    db.store
        .move_step(order.id, SagaStep::Release, Some(at(99)))
        .await
        .unwrap();
    let stored = db.store.order(order.id).await.unwrap().unwrap();
    assert_eq!(stored.next.map(|next| next.due), Some(at(99)));
    db.store
        .move_step(order.id, SagaStep::Release, None)
        .await
        .unwrap();
    order.close_step();
    assert_eq!(db.store.order(order.id).await.unwrap(), Some(order));
}

async fn events_are_leased_oldest_first_and_again_when_the_lease_ends(backend: Backend) {
    let db = db(backend).await;
    let second = db.event(at(2)).await;
    let first = db.event(at(1)).await;
    let third = db.event(at(3)).await;
    assert_eq!(db.leased_ids(at(0)).await, NOTHING);

    let (_, leased) = db.lease(at(10), 2).await;
    assert_eq!(ids(&leased), [first.id, second.id]);
    let event = &leased.events[0];
    assert_eq!((event.attempt, event.kind.as_str()), (1, first.kind));
    assert_eq!(
        (&event.payload, &event.traceparent),
        (&first.payload, &first.traceparent)
    );
    assert_eq!(event.occurred_at, first.occurred_at);

    assert_eq!(db.leased_ids(at(10)).await, [third.id]);
    assert_eq!(db.leased_ids(at(39)).await, NOTHING);
    let (_, again) = db.lease(at(40), 100).await;
    assert_eq!(ids(&again), [first.id, second.id, third.id]);
    assert!(again.events.iter().all(|event| event.attempt == 2));
}

async fn leasers_at_once_never_share_an_event(backend: Backend) {
    let db = db(backend).await;
    let mut written = Vec::new();
    for second in 0..30 {
        written.push(db.event(at(second)).await.id);
    }
    let mut leasing = JoinSet::new();
    for _ in 0..4 {
        let store = db.store.clone();
        leasing.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let lease = Lease {
                    token: Uuid::new_v4(),
                    now: at(60),
                    until: at(90),
                    limit: 3,
                };
                let leased = ids(&store.lease_events(&lease, 3).await.unwrap());
                if leased.is_empty() {
                    return mine;
                }
                mine.extend(leased);
            }
        });
    }
    let mut leased = leasing.join_all().await.concat();
    leased.extend(db.leased_ids(at(60)).await);
    leased.sort();
    written.sort();
    assert_eq!(leased, written);
}

async fn a_lease_can_be_extended_until_it_is_lost(backend: Backend) {
    let db = db(backend).await;
    let event = db.event(at(0)).await;
    let (first, _) = db.lease(at(0), 1).await;
    assert!(
        db.store
            .extend_lease(event.id, first, at(50))
            .await
            .unwrap()
    );
    assert_eq!(db.leased_ids(at(49)).await, NOTHING);
    // Late, but nobody else has it.
    assert!(
        db.store
            .extend_lease(event.id, first, at(60))
            .await
            .unwrap()
    );

    let (second, leased) = db.lease(at(60), 1).await;
    assert_eq!(ids(&leased), [event.id]);
    assert!(
        !db.store
            .extend_lease(event.id, first, at(99))
            .await
            .unwrap()
    );
    assert!(!db.store.acknowledge_event(event.id, first).await.unwrap());
    assert_eq!(db.store.lease_attempt(event.id, first).await.unwrap(), None);
    let lost = db
        .store
        .reject_event(event.id, first, "x", Verdict::Dead(at(61)));
    assert!(!lost.await.unwrap());
    assert_eq!(
        db.store.lease_attempt(event.id, second).await.unwrap(),
        Some(2)
    );
}

async fn an_acknowledged_event_is_gone(backend: Backend) {
    let db = db(backend).await;
    let event = db.event(at(0)).await;
    let (token, _) = db.lease(at(0), 1).await;
    assert!(
        !db.store
            .acknowledge_event(event.id, Uuid::new_v4())
            .await
            .unwrap()
    );
    for _ in 0..2 {
        assert!(db.store.acknowledge_event(event.id, token).await.unwrap());
    }
    assert_eq!(db.leased_ids(at(1_000)).await, NOTHING);
    assert_eq!(db.store.lease_attempt(event.id, token).await.unwrap(), None);
    assert!(
        !db.store
            .extend_lease(event.id, token, at(99))
            .await
            .unwrap()
    );
}

async fn a_rejected_event_waits_and_does_not_block_others(backend: Backend) {
    let db = db(backend).await;
    let stuck = db.event(at(0)).await;
    let other = db.event(at(1)).await;
    let (token, _) = db.lease(at(1), 1).await;
    let reject = || {
        db.store
            .reject_event(stuck.id, token, "no van", Verdict::Retry(at(20)))
    };
    assert!(reject().await.unwrap());
    assert!(!reject().await.unwrap());

    assert_eq!(db.leased_ids(at(2)).await, [other.id]);
    assert_eq!(db.leased_ids(at(19)).await, NOTHING);
    assert_eq!(db.leased_ids(at(20)).await, [stuck.id]);
}

async fn an_event_out_of_attempts_is_a_dead_letter(backend: Backend) {
    let db = db(backend).await;
    let event = db.event(at(0)).await;
    let mut token = Uuid::nil();
    for attempt in 1..=3 {
        let leased;
        (token, leased) = db.lease(at(attempt * 100), 1).await;
        assert_eq!(ids(&leased), [event.id]);
    }
    let fresh = db.event(at(350)).await;
    // The third lease still runs: it may yet be acknowledged.
    assert_eq!(db.lease(at(329), 1).await.1.died, 0);

    let (_, leased) = db.lease(at(400), 1).await;
    assert_eq!((leased.died, ids(&leased)), (1, vec![fresh.id]));
    let dead = db.store.dead_letters(10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].event_id, dead[0].order_id),
        (event.id, event.order_id)
    );
    assert_eq!(
        (dead[0].attempts, dead[0].kind.as_str()),
        (3, "OrderConfirmed")
    );
    assert_eq!(dead[0].reason, "lease expired 3 times");
    assert_eq!(dead[0].died_at, at(400));

    // Whoever had it last was only late: the work is done.
    assert!(
        !db.store
            .acknowledge_event(event.id, Uuid::new_v4())
            .await
            .unwrap()
    );
    assert!(db.store.acknowledge_event(event.id, token).await.unwrap());
    assert_eq!(db.store.dead_letters(10).await.unwrap(), []);
}

async fn the_last_rejection_is_the_reason_of_death(backend: Backend) {
    let db = db(backend).await;
    let event = db.event(at(0)).await;
    let (token, _) = db.lease(at(0), 1).await;
    let retry = db
        .store
        .reject_event(event.id, token, "no van", Verdict::Retry(at(1)));
    assert!(retry.await.unwrap());
    for attempt in 1..=2 {
        assert_eq!(db.leased_ids(at(attempt * 100)).await, [event.id]);
    }
    assert_eq!(db.lease(at(300), 1).await.1.died, 1);

    let poison = db.event(at(301)).await;
    let (token, _) = db.lease(at(301), 1).await;
    let died = db
        .store
        .reject_event(poison.id, token, "unreadable ☠", Verdict::Dead(at(302)));
    assert!(died.await.unwrap());
    assert_eq!(db.leased_ids(at(1_000)).await, NOTHING);

    let dead = db.store.dead_letters(10).await.unwrap();
    let reasons = dead
        .iter()
        .map(|letter| (letter.event_id, letter.reason.as_str()));
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [(poison.id, "unreadable ☠"), (event.id, "no van")]
    );
    assert_eq!(db.store.dead_letters(1).await.unwrap(), dead[..1]);
}

async fn the_backlog_counts_what_waits(backend: Backend) {
    let db = db(backend).await;
    assert_eq!(db.store.backlog().await.unwrap(), Backlog::default());

    db.placed(at(9)).await;
    db.placed(at(8)).await;
    let mut cancelled = db.placed(at(0)).await;
    assert!(db.save(&mut cancelled, cancel, None).await);
    let poison = db.event(at(1)).await;
    db.event(at(3)).await;
    db.event(at(2)).await;
    let (token, _) = db.lease(at(5), 1).await;
    let died = db
        .store
        .reject_event(poison.id, token, "x", Verdict::Dead(at(5)));
    assert!(died.await.unwrap());

    let expected = Backlog {
        events: 2,
        oldest_event: Some(at(2)),
        dead_letters: 1,
        oldest_pending: Some(at(8)),
    };
    assert_eq!(db.store.backlog().await.unwrap(), expected);
}

async fn migrations_can_run_at_once_and_again(backend: Backend) {
    let database = testkit::database(backend).await;
    let mut migrating = JoinSet::new();
    for _ in 0..3 {
        let connection = database.connect();
        migrating.spawn(async move { connection.migrate(MIGRATIONS).await });
    }
    for migrated in migrating.join_all().await {
        migrated.unwrap();
    }
    let connection = database.connect();
    assert_eq!(connection.pending_migrations(MIGRATIONS).await.unwrap(), 0);
}
