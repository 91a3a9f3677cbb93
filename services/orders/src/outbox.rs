//! The outbox: events are written with the change that causes them, leased by consumers, and kept
//! until one says that it is done (at least once) or they are given up (dead letters).

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Clock, backoff,
    domain::Event,
    error::Error,
    store::{DeadLetter, Lease, LeasedEvent, NewEvent, Store, Verdict},
};

/// With ten attempts, an event is retried for some six minutes before it is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(256);

const ORDER_CONFIRMED: &str = "OrderConfirmed";

#[derive(Serialize, Deserialize)]
struct OrderConfirmed {
    order_id: Uuid,
}

/// The event as a row.
pub(crate) fn encode(event: &Event, traceparent: String, now: OffsetDateTime) -> NewEvent {
    let Event::OrderConfirmed { order_id } = *event;
    NewEvent {
        id: Uuid::now_v7(),
        kind: ORDER_CONFIRMED,
        order_id,
        payload: serde_json::to_string(&OrderConfirmed { order_id }).expect("has only text keys"),
        traceparent,
        occurred_at: now,
    }
}

/// What a row says; `None` when this version cannot read it, perhaps because a newer one wrote it.
pub(crate) fn decode(kind: &str, payload: &str) -> Option<Event> {
    match kind {
        ORDER_CONFIRMED => {
            let OrderConfirmed { order_id } = serde_json::from_str(payload).ok()?;
            Some(Event::OrderConfirmed { order_id })
        }
        _ => None,
    }
}

/// Hands events out.
#[derive(Clone)]
pub(crate) struct Outbox {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    /// How many leases an event gets before it is given up.
    pub(crate) max_attempts: u32,
}

/// Events that were handed out together.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Proves that the lease is held.
    pub token: Uuid,
    /// When the lease ends.
    pub until: OffsetDateTime,
    /// Oldest first.
    pub events: Vec<LeasedEvent>,
}

impl Outbox {
    /// Leases up to `limit` events that nobody holds.
    pub(crate) async fn lease(&self, limit: u32, lease: Duration) -> Result<Delivery, Error> {
        let now = (self.clock)();
        let (token, until) = (Uuid::new_v4(), now + lease);
        let request = Lease {
            token,
            now,
            until,
            limit,
        };
        let leased = self.store.lease_events(&request, self.max_attempts).await?;
        if leased.died > 0 {
            tracing::warn!(events = leased.died, "out of attempts, now dead letters");
        }
        Ok(Delivery {
            token,
            until,
            events: leased.events,
        })
    }

    /// An event is done. Idempotent.
    pub(crate) async fn acknowledge(&self, id: Uuid, token: Uuid) -> Result<(), Error> {
        held(self.store.acknowledge_event(id, token).await?)
    }

    /// An event could not be dealt with: again after a pause, or a dead letter when that cannot
    /// help or it had its attempts.
    pub(crate) async fn reject(
        &self,
        id: Uuid,
        token: Uuid,
        reason: &str,
        poison: bool,
    ) -> Result<(), Error> {
        let attempt = self.store.lease_attempt(id, token).await?;
        let attempt = attempt.ok_or(Error::LeaseLost)?;
        let now = (self.clock)();
        let verdict = if poison || attempt >= self.max_attempts {
            tracing::warn!(event.id = %id, attempt, reason, "rejected for good, now a dead letter");
            Verdict::Dead(now)
        } else {
            Verdict::Retry(now + backoff::pause(attempt, LONGEST_PAUSE))
        };
        held(self.store.reject_event(id, token, reason, verdict).await?)
    }

    /// A lease lasts longer. Returns its new end.
    pub(crate) async fn extend(
        &self,
        id: Uuid,
        token: Uuid,
        lease: Duration,
    ) -> Result<OffsetDateTime, Error> {
        let until = (self.clock)() + lease;
        held(self.store.extend_lease(id, token, until).await?)?;
        Ok(until)
    }

    /// Events that were given up, newest first.
    pub(crate) async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        Ok(self.store.dead_letters(limit).await?)
    }
}

fn held(held: bool) -> Result<(), Error> {
    if held { Ok(()) } else { Err(Error::LeaseLost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let order_id = Uuid::from_u128(7);
        let event = Event::OrderConfirmed { order_id };
        let row = encode(&event, String::new(), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(decode(row.kind, &row.payload), Some(event));
    }

    #[test]
    fn what_a_newer_version_wrote_is_no_event() {
        let payload = r#"{"order_id":"00000000-0000-0000-0000-000000000007"}"#;
        assert_eq!(decode("OrderPraised", payload), None);
        for payload in ["", "{}", "[]", r#"{"order_id":7}"#] {
            assert_eq!(decode(ORDER_CONFIRMED, payload), None, "{payload}");
        }
        let grown = payload.replace('}', r#","gift":true}"#);
        assert!(decode(ORDER_CONFIRMED, &grown).is_some());
    }
}
