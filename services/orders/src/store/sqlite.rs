//! SQLite: one writer at a time, which takes the lock when its transaction begins.

use async_trait::async_trait;
use sqlx::{query, query::Query, query_as, query_scalar, sqlite::SqliteArguments};
use storage::{Error, Sqlite, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Backlog, DeadLetter, IdempotencyKey, Inserted, Lease, Leased, LeasedEvent, NewEvent, Position,
    Store, Verdict,
    row::{
        BacklogRow, OrderRow, OrderValues, into_backlog, into_orders, oldest_first, order_columns,
    },
};
use crate::domain::{Order, OrderState, SagaStep};

pub(super) struct SqliteStore(pub(super) Sqlite);

impl SqliteStore {
    /// Runs one statement that writes; whether it found its row.
    async fn update(
        &self,
        operation: &'static str,
        statement: Query<'_, sqlx::Sqlite, SqliteArguments>,
    ) -> Result<bool, Error> {
        let work = async { Ok(statement.execute(&self.0.write).await?.rows_affected() == 1) };
        self.0.observe(operation, work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert(&self, order: &Order, key: &IdempotencyKey) -> Result<Inserted, Error> {
        let values = OrderValues::of(order);
        let work = async {
            let mut tx = self.0.begin_write().await?;
            let inserted = query(
                "INSERT INTO orders (id, customer_id, idempotency_key, content_hash, state, \
                     next_step, next_attempt_at, attempts, currency, lines, traceparent, \
                     placed_at, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12) \
                 ON CONFLICT (customer_id, idempotency_key) DO NOTHING",
            )
            .bind(order.id)
            .bind(&order.customer_id)
            .bind(&key.key)
            .bind(&key.content_hash[..])
            .bind(order.state.as_str())
            .bind(values.next_step)
            .bind(values.next_attempt_at.map(Timestamp))
            .bind(&order.currency)
            .bind(values.lines)
            .bind(&order.traceparent)
            .bind(Timestamp(order.placed_at))
            .bind(Timestamp(order.updated_at))
            .execute(&mut *tx)
            .await?;
            if inserted.rows_affected() == 1 {
                tx.commit().await?;
                return Ok(Inserted::New);
            }
            let same: Option<OrderRow> = query_as(concat!(
                "SELECT ",
                order_columns!(),
                " FROM orders WHERE customer_id = $1 AND idempotency_key = $2 AND content_hash = $3"
            ))
            .bind(&order.customer_id)
            .bind(&key.key)
            .bind(&key.content_hash[..])
            .fetch_optional(&mut *tx)
            .await?;
            Ok(match same {
                Some(row) => Inserted::Replayed(Box::new(row.into_order()?)),
                None => Inserted::KeyReused,
            })
        };
        self.0.observe("insert_order", work).await
    }

    async fn order(&self, id: Uuid) -> Result<Option<Order>, Error> {
        let work = async {
            let row: Option<OrderRow> = query_as(concat!(
                "SELECT ",
                order_columns!(),
                " FROM orders WHERE id = $1"
            ))
            .bind(id)
            .fetch_optional(&self.0.read)
            .await?;
            Ok(row.map(OrderRow::into_order).transpose()?)
        };
        self.0.observe("get_order", work).await
    }

    async fn orders_of(
        &self,
        customer_id: &str,
        before: Position,
        limit: u32,
    ) -> Result<Vec<Order>, Error> {
        let work = async {
            let rows: Vec<OrderRow> = query_as(concat!(
                "SELECT ",
                order_columns!(),
                " FROM orders WHERE customer_id = $1 AND (placed_at, id) < ($2, $3) \
                 ORDER BY placed_at DESC, id DESC LIMIT $4"
            ))
            .bind(customer_id)
            .bind(Timestamp(before.placed_at))
            .bind(before.id)
            .bind(limit)
            .fetch_all(&self.0.read)
            .await?;
            Ok(into_orders(rows)?)
        };
        self.0.observe("list_orders", work).await
    }

    async fn save(
        &self,
        from: OrderState,
        order: &Order,
        event: Option<&NewEvent>,
    ) -> Result<bool, Error> {
        let values = OrderValues::of(order);
        let work = async {
            let mut tx = self.0.begin_write().await?;
            let updated = query(
                "UPDATE orders SET state = $3, next_step = $4, next_attempt_at = $5, attempts = 0, \
                     lines = $6, total = $7, rejection_reason = $8, rejection_product_id = $9, \
                     rejection_message = $10, tracking_code = $11, updated_at = $12 \
                 WHERE id = $1 AND state = $2",
            )
            .bind(order.id)
            .bind(from.as_str())
            .bind(order.state.as_str())
            .bind(values.next_step)
            .bind(values.next_attempt_at.map(Timestamp))
            .bind(values.lines)
            .bind(order.total)
            .bind(values.rejection_reason)
            .bind(values.rejection_product_id)
            .bind(values.rejection_message)
            .bind(&order.tracking_code)
            .bind(Timestamp(order.updated_at))
            .execute(&mut *tx)
            .await?;
            if updated.rows_affected() == 0 {
                return Ok(false);
            }
            if let Some(event) = event {
                query(
                    "INSERT INTO outbox (id, kind, order_id, payload, traceparent, occurred_at, \
                         due_at, attempts) \
                     VALUES ($1, $2, $3, $4, $5, $6, $6, 0)",
                )
                .bind(event.id)
                .bind(event.kind)
                .bind(event.order_id)
                .bind(&event.payload)
                .bind(&event.traceparent)
                .bind(Timestamp(event.occurred_at))
                .execute(&mut *tx)
                .await?;
            }
            tx.commit().await?;
            Ok(true)
        };
        self.0.observe("save_order", work).await
    }

    async fn claim_steps(
        &self,
        now: OffsetDateTime,
        until: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<Order>, Error> {
        let work = async {
            let mut tx = self.0.begin_write().await?;
            let rows: Vec<OrderRow> = query_as(concat!(
                "UPDATE orders SET next_attempt_at = $2, attempts = attempts + 1 \
                 WHERE id IN (SELECT id FROM orders \
                     WHERE next_step IS NOT NULL AND next_attempt_at <= $1 \
                     ORDER BY next_attempt_at LIMIT $3) \
                 RETURNING ",
                order_columns!()
            ))
            .bind(Timestamp(now))
            .bind(Timestamp(until))
            .bind(limit)
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(into_orders(rows)?)
        };
        self.0.observe("claim_steps", work).await
    }

    async fn move_step(
        &self,
        id: Uuid,
        step: SagaStep,
        due: Option<OffsetDateTime>,
    ) -> Result<(), Error> {
        let statement = query(
            "UPDATE orders SET next_attempt_at = $3, \
                 next_step = CASE WHEN $3 IS NOT NULL THEN next_step END \
             WHERE id = $1 AND next_step = $2",
        )
        .bind(id)
        .bind(step.as_str())
        .bind(due.map(Timestamp));
        self.update("move_step", statement).await?;
        Ok(())
    }

    async fn lease_events(&self, lease: &Lease, max_attempts: u32) -> Result<Leased, Error> {
        let work = async {
            let mut tx = self.0.begin_write().await?;
            let died = query(
                "UPDATE outbox SET died_at = $1, \
                     reason = coalesce(reason, 'lease expired ' || attempts || ' times') \
                 WHERE died_at IS NULL AND due_at <= $1 AND attempts >= $2",
            )
            .bind(Timestamp(lease.now))
            .bind(max_attempts)
            .execute(&mut *tx)
            .await?;
            let events: Vec<LeasedEvent> = query_as(
                "UPDATE outbox SET lease_token = $1, due_at = $2, attempts = attempts + 1 \
                 WHERE id IN (SELECT id FROM outbox WHERE died_at IS NULL AND due_at <= $3 \
                     ORDER BY occurred_at, id LIMIT $4) \
                 RETURNING id, kind, payload, traceparent, occurred_at, attempts",
            )
            .bind(lease.token)
            .bind(Timestamp(lease.until))
            .bind(Timestamp(lease.now))
            .bind(lease.limit)
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(Leased {
                events: oldest_first(events),
                died: died.rows_affected(),
            })
        };
        self.0.observe("lease_events", work).await
    }

    async fn acknowledge_event(&self, id: Uuid, token: Uuid) -> Result<bool, Error> {
        let work = async {
            let mut tx = self.0.begin_write().await?;
            query("DELETE FROM outbox WHERE id = $1 AND lease_token = $2")
                .bind(id)
                .bind(token)
                .execute(&mut *tx)
                .await?;
            let gone = query_scalar("SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE id = $1)")
                .bind(id)
                .fetch_one(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(gone)
        };
        self.0.observe("acknowledge_event", work).await
    }

    async fn lease_attempt(&self, id: Uuid, token: Uuid) -> Result<Option<u32>, Error> {
        let work = async {
            let attempts = query_scalar(
                "SELECT attempts FROM outbox \
                 WHERE id = $1 AND lease_token = $2 AND died_at IS NULL",
            )
            .bind(id)
            .bind(token)
            .fetch_optional(&self.0.read)
            .await?;
            Ok(attempts)
        };
        self.0.observe("lease_attempt", work).await
    }

    async fn reject_event(
        &self,
        id: Uuid,
        token: Uuid,
        reason: &str,
        verdict: Verdict,
    ) -> Result<bool, Error> {
        let (due_at, died_at) = match verdict {
            Verdict::Retry(due_at) => (Some(Timestamp(due_at)), None),
            Verdict::Dead(died_at) => (None, Some(Timestamp(died_at))),
        };
        let statement = query(
            "UPDATE outbox SET lease_token = NULL, reason = $3, \
                 due_at = coalesce($4, due_at), died_at = $5 \
             WHERE id = $1 AND lease_token = $2 AND died_at IS NULL",
        )
        .bind(id)
        .bind(token)
        .bind(reason)
        .bind(due_at)
        .bind(died_at);
        self.update("reject_event", statement).await
    }

    async fn extend_lease(
        &self,
        id: Uuid,
        token: Uuid,
        until: OffsetDateTime,
    ) -> Result<bool, Error> {
        let statement = query(
            "UPDATE outbox SET due_at = $3 \
             WHERE id = $1 AND lease_token = $2 AND died_at IS NULL",
        )
        .bind(id)
        .bind(token)
        .bind(Timestamp(until));
        self.update("extend_lease", statement).await
    }

    async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        let work = async {
            let dead_letters = query_as(
                "SELECT id, kind, order_id, attempts, reason, died_at FROM outbox \
                 WHERE died_at IS NOT NULL ORDER BY died_at DESC, id LIMIT $1",
            )
            .bind(limit)
            .fetch_all(&self.0.read)
            .await?;
            Ok(dead_letters)
        };
        self.0.observe("list_dead_letters", work).await
    }

    async fn backlog(&self) -> Result<Backlog, Error> {
        let work = async {
            let row: BacklogRow = query_as(
                "SELECT (SELECT count(*) FROM outbox WHERE died_at IS NULL) AS events, \
                     (SELECT min(occurred_at) FROM outbox WHERE died_at IS NULL) AS oldest_event, \
                     (SELECT count(*) FROM outbox WHERE died_at IS NOT NULL) AS dead_letters, \
                     (SELECT min(placed_at) FROM orders WHERE next_step IS NOT NULL \
                         AND state = 'pending') AS oldest_pending",
            )
            .fetch_one(&self.0.read)
            .await?;
            Ok(into_backlog(row))
        };
        self.0.observe("backlog", work).await
    }
}
