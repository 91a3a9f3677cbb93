//! Every metric of this service.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, gauge};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Clock,
    domain::{OrderState, SagaStep},
    saga::Outcome,
    store::Store,
};

const PLACED: &str = "orders_placed_total";
const TRANSITIONS: &str = "orders_state_transitions_total";
const RECOVERY_STEPS: &str = "orders_recovery_steps_total";
const OUTBOX_DEPTH: &str = "orders_outbox_depth";
const OUTBOX_OLDEST_AGE: &str = "orders_outbox_oldest_age_seconds";
const DEAD_LETTERS: &str = "orders_dead_letters";
const PENDING_OLDEST_AGE: &str = "orders_pending_oldest_age_seconds";

/// How a placement ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Placed {
    Confirmed,
    Rejected,
    Pending,
    Cancelled,
    Replayed,
    KeyReused,
}

static PLACED_COUNTERS: LazyLock<[Counter; 6]> = LazyLock::new(|| {
    [
        "confirmed",
        "rejected",
        "pending",
        "cancelled",
        "replayed",
        "key_reused",
    ]
    .map(|outcome| counter!(PLACED, "outcome" => outcome))
});

static TRANSITION_COUNTERS: LazyLock<[[Counter; 5]; 5]> = LazyLock::new(|| {
    let counter = |from: OrderState, to: OrderState| counter!(TRANSITIONS, "from" => from.as_str(), "to" => to.as_str());
    OrderState::ALL.map(|from| OrderState::ALL.map(|to| counter(from, to)))
});

static RECOVERY_COUNTERS: LazyLock<[[Counter; 4]; 3]> = LazyLock::new(|| {
    let outcomes = ["done", "overtaken", "unanswered", "refused"];
    SagaStep::ALL.map(|step| {
        outcomes
            .map(|outcome| counter!(RECOVERY_STEPS, "step" => step.as_str(), "outcome" => outcome))
    })
});

/// Names, units and descriptions, told to the recorder once.
pub(crate) fn describe() {
    describe_counter!(
        PLACED,
        Unit::Count,
        "Calls of PlaceOrder that were not refused as malformed, by outcome"
    );
    describe_counter!(
        TRANSITIONS,
        Unit::Count,
        "Changes of an order's state, by the state before and after"
    );
    describe_counter!(
        RECOVERY_STEPS,
        Unit::Count,
        "Steps that the recovery loop tried, by step and outcome"
    );
    describe_gauge!(
        OUTBOX_DEPTH,
        Unit::Count,
        "Events that nobody has acknowledged, dead letters aside; each replica shows all"
    );
    describe_gauge!(
        OUTBOX_OLDEST_AGE,
        Unit::Seconds,
        "Age of the oldest of these events"
    );
    describe_gauge!(
        DEAD_LETTERS,
        Unit::Count,
        "Events that were given up; each replica shows all"
    );
    describe_gauge!(
        PENDING_OLDEST_AGE,
        Unit::Seconds,
        "Age of the oldest pending order"
    );
}

pub(crate) fn placed(outcome: Placed) {
    PLACED_COUNTERS[outcome as usize].increment(1);
}

pub(crate) fn moved(from: OrderState, to: OrderState) {
    TRANSITION_COUNTERS[from as usize][to as usize].increment(1);
}

pub(crate) fn recovered(step: SagaStep, outcome: Outcome) {
    RECOVERY_COUNTERS[step as usize][outcome as usize].increment(1);
}

/// Keeps the gauges for as long as it is polled.
pub(crate) async fn watch(store: Arc<dyn Store>, clock: Clock) {
    let [depth, outbox_age] = [OUTBOX_DEPTH, OUTBOX_OLDEST_AGE].map(|name| gauge!(name));
    let [dead_letters, pending_age] = [DEAD_LETTERS, PENDING_OLDEST_AGE].map(|name| gauge!(name));
    let mut beat = interval(Duration::from_secs(10));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        // While the database is away, the latch says so, and these keep their last values.
        if let Ok(backlog) = store.backlog().await {
            let now = clock();
            let age = |since: Option<OffsetDateTime>| {
                since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
            };
            depth.set(backlog.events as f64);
            outbox_age.set(age(backlog.oldest_event));
            dead_letters.set(backlog.dead_letters as f64);
            pending_age.set(age(backlog.oldest_pending));
        }
    }
}
