//! Rows as both databases return them. What a row says is checked here, so that a value that no
//! version has written becomes an error, not a panic.

use sqlx::{FromRow, error::BoxDynError};
use storage::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Backlog, LeasedEvent};
use crate::domain::{NextStep, Order, OrderState, Rejection, RejectionReason, SagaStep};

/// The columns of [`OrderRow`], by name: with `*`, PostgreSQL refuses statements that were
/// prepared before a migration added a column.
macro_rules! order_columns {
    () => {
        "id, customer_id, state, next_step, next_attempt_at, attempts, currency, \
         CAST(lines AS text) AS lines, total, rejection_reason, rejection_product_id, \
         rejection_message, tracking_code, traceparent, placed_at, updated_at"
    };
}
pub(super) use order_columns;

#[derive(FromRow)]
pub(super) struct OrderRow {
    id: Uuid,
    customer_id: String,
    state: String,
    next_step: Option<String>,
    next_attempt_at: Option<Timestamp>,
    attempts: i32,
    currency: String,
    lines: String,
    total: Option<i64>,
    rejection_reason: Option<String>,
    rejection_product_id: Option<Uuid>,
    rejection_message: Option<String>,
    tracking_code: Option<String>,
    traceparent: String,
    placed_at: Timestamp,
    updated_at: Timestamp,
}

impl OrderRow {
    pub(super) fn into_order(self) -> Result<Order, sqlx::Error> {
        let next = match (self.next_step, self.next_attempt_at) {
            (Some(step), Some(due)) => Some(NextStep {
                step: named(&SagaStep::ALL, SagaStep::as_str, &step)?,
                due: due.0,
                attempts: self.attempts.unsigned_abs(),
            }),
            _ => None,
        };
        let rejection = match (self.rejection_reason, self.rejection_message) {
            (Some(reason), Some(message)) => Some(Rejection {
                reason: named(&RejectionReason::ALL, RejectionReason::as_str, &reason)?,
                product_id: self.rejection_product_id,
                message,
            }),
            _ => None,
        };
        Ok(Order {
            id: self.id,
            customer_id: self.customer_id,
            state: named(&OrderState::ALL, OrderState::as_str, &self.state)?,
            next,
            currency: self.currency,
            lines: serde_json::from_str(&self.lines).map_err(decode_error)?,
            total: self.total,
            rejection,
            tracking_code: self.tracking_code,
            traceparent: self.traceparent,
            placed_at: self.placed_at.0,
            updated_at: self.updated_at.0,
        })
    }
}

pub(super) fn into_orders(rows: Vec<OrderRow>) -> Result<Vec<Order>, sqlx::Error> {
    rows.into_iter().map(OrderRow::into_order).collect()
}

/// What an [`Order`] is written as; the columns of the same names.
pub(super) struct OrderValues<'a> {
    pub(super) next_step: Option<&'static str>,
    pub(super) next_attempt_at: Option<OffsetDateTime>,
    pub(super) lines: String,
    pub(super) rejection_reason: Option<&'static str>,
    pub(super) rejection_product_id: Option<Uuid>,
    pub(super) rejection_message: Option<&'a str>,
}

impl<'a> OrderValues<'a> {
    pub(super) fn of(order: &'a Order) -> Self {
        let rejection = order.rejection.as_ref();
        Self {
            next_step: order.next.map(|next| next.step.as_str()),
            next_attempt_at: order.next.map(|next| next.due),
            lines: serde_json::to_string(&order.lines).expect("has only text keys"),
            rejection_reason: rejection.map(|rejection| rejection.reason.as_str()),
            rejection_product_id: rejection.and_then(|rejection| rejection.product_id),
            rejection_message: rejection.map(|rejection| rejection.message.as_str()),
        }
    }
}

/// In the order in which they happened; `UPDATE ... RETURNING` has none.
pub(super) fn oldest_first(mut events: Vec<LeasedEvent>) -> Vec<LeasedEvent> {
    events.sort_by_key(|event| (event.occurred_at, event.id));
    events
}

pub(super) type BacklogRow = (i64, Option<Timestamp>, i64, Option<Timestamp>);

pub(super) fn into_backlog(row: BacklogRow) -> Backlog {
    let (events, oldest_event, dead_letters, oldest_pending) = row;
    Backlog {
        events: events.unsigned_abs(),
        oldest_event: oldest_event.map(Into::into),
        dead_letters: dead_letters.unsigned_abs(),
        oldest_pending: oldest_pending.map(Into::into),
    }
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Result<T, sqlx::Error> {
    let known = all.iter().copied().find(|known| name(*known) == text);
    known.ok_or_else(|| decode_error(format!("unknown value {text:?}")))
}

fn decode_error(error: impl Into<BoxDynError>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Line, Offer};

    #[test]
    fn lines_are_stored_as_they_always_were() {
        let stored = r#"[{"product_id":"00000000-0000-0000-0000-000000000001","quantity":2,"offer":null},{"product_id":"00000000-0000-0000-0000-000000000002","quantity":1,"offer":{"sku":"TEA-1","name":"Tea","unit_price":450}}]"#;
        let offer = Offer {
            sku: "TEA-1".into(),
            name: "Tea".into(),
            unit_price: 450,
        };
        let line = |product, quantity, offer| Line {
            product_id: Uuid::from_u128(product),
            quantity,
            offer,
        };
        let lines = vec![line(1, 2, None), line(2, 1, Some(offer))];
        assert_eq!(serde_json::to_string(&lines).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Vec<Line>>(stored).unwrap(), lines);
    }
}
