//! The only place with SQL. No transaction outlives its operation, or holds a network call.

mod postgres;
mod row;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{FromRow, migrate::Migrator};
use storage::{Database, Error, Migrations, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Order, OrderState, SagaStep};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// The schema that this build needs.
pub const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// Orders and their outbox. Times have whole microseconds: PostgreSQL keeps no more.
#[async_trait]
pub trait Store: Send + Sync {
    /// Inserts `order` unless its customer has used the key before; the unique constraint decides.
    async fn insert(&self, order: &Order, key: &IdempotencyKey) -> Result<Inserted, Error>;

    /// One order.
    async fn order(&self, id: Uuid) -> Result<Option<Order>, Error>;

    /// At most `limit` orders of a customer that are older than `before`, newest first.
    async fn orders_of(
        &self,
        customer_id: &str,
        before: Position,
        limit: u32,
    ) -> Result<Vec<Order>, Error>;

    /// Writes `order`, and `event` with it, if the stored order is still in the state `from`.
    /// False when it has moved on, and then nothing is written.
    async fn save(
        &self,
        from: OrderState,
        order: &Order,
        event: Option<&NewEvent>,
    ) -> Result<bool, Error>;

    /// Takes up to `limit` orders whose step is due, counts an attempt for each, and makes them
    /// due again at `until`: nobody else gets them before. Most overdue first.
    async fn claim_steps(
        &self,
        now: OffsetDateTime,
        until: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<Order>, Error>;

    /// The order's open step, if it still is `step`, is due at `due`; or done when there is no `due`.
    async fn move_step(
        &self,
        id: Uuid,
        step: SagaStep,
        due: Option<OffsetDateTime>,
    ) -> Result<(), Error>;

    /// Leases the oldest events that are due. Those among the due ones that had `max_attempts`
    /// leases go to the dead letters instead.
    async fn lease_events(&self, lease: &Lease, max_attempts: u32) -> Result<Leased, Error>;

    /// Deletes an event that is done. False when another lease than `token` has it; true when it
    /// is already gone.
    async fn acknowledge_event(&self, id: Uuid, token: Uuid) -> Result<bool, Error>;

    /// Which attempt the lease `token` is; `None` when it is lost.
    async fn lease_attempt(&self, id: Uuid, token: Uuid) -> Result<Option<u32>, Error>;

    /// Ends the lease `token` with `verdict`. False when it is lost.
    async fn reject_event(
        &self,
        id: Uuid,
        token: Uuid,
        reason: &str,
        verdict: Verdict,
    ) -> Result<bool, Error>;

    /// Makes the lease `token` end at `until`. False when it is lost.
    async fn extend_lease(
        &self,
        id: Uuid,
        token: Uuid,
        until: OffsetDateTime,
    ) -> Result<bool, Error>;

    /// At most `limit` dead letters, newest first.
    async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, Error>;

    /// What the gauges show.
    async fn backlog(&self) -> Result<Backlog, Error>;
}

/// The store on `database`.
#[must_use]
pub fn open(database: &Database) -> Arc<dyn Store> {
    match database {
        Database::Postgres(database) => Arc::new(postgres::PostgresStore(database.clone())),
        Database::Sqlite(database) => Arc::new(sqlite::SqliteStore(database.clone())),
    }
}

/// Under what an order is placed; the customer is the order's.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// Chosen by the client.
    pub key: String,
    /// SHA-256 of what is asked for.
    pub content_hash: [u8; 32],
}

/// What [`Store::insert`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The key was free.
    New,
    /// The key belongs to this order, with the same content.
    Replayed(Box<Order>),
    /// The key belongs to an order with other content.
    KeyReused,
}

/// Where a page of orders ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// When its last order was placed.
    pub placed_at: OffsetDateTime,
    /// The last order.
    pub id: Uuid,
}

impl Position {
    /// Before the first page.
    pub const START: Self = Self {
        placed_at: time::macros::datetime!(9999-12-31 23:59:59 UTC),
        id: Uuid::max(),
    };
}

/// An event for the outbox.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Unique.
    pub id: Uuid,
    /// What it is, see `outbox`.
    pub kind: &'static str,
    /// The order that it is about.
    pub order_id: Uuid,
    /// JSON, as the kind defines it.
    pub payload: String,
    /// W3C Trace Context; may be empty.
    pub traceparent: String,
    /// When it happened.
    pub occurred_at: OffsetDateTime,
}

/// What a consumer asks for.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Proves that the lease is held; new for each.
    pub token: Uuid,
    /// Events due by now.
    pub now: OffsetDateTime,
    /// When the lease ends.
    pub until: OffsetDateTime,
    /// The most events.
    pub limit: u32,
}

/// What [`Store::lease_events`] did.
#[derive(Debug, Default)]
pub struct Leased {
    /// The events, oldest first.
    pub events: Vec<LeasedEvent>,
    /// How many went to the dead letters.
    pub died: u64,
}

/// An event as it stands in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct LeasedEvent {
    /// Unique.
    pub id: Uuid,
    /// What it is; maybe something that this version doesn't know.
    pub kind: String,
    /// As the kind defines it.
    pub payload: String,
    /// W3C Trace Context; may be empty.
    pub traceparent: String,
    /// When it happened.
    #[sqlx(try_from = "Timestamp")]
    pub occurred_at: OffsetDateTime,
    /// Which attempt this is, from 1.
    #[sqlx(rename = "attempts", try_from = "i32")]
    pub attempt: u32,
}

/// What becomes of a rejected event.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// It may be leased again from then on.
    Retry(OffsetDateTime),
    /// It goes to the dead letters, now.
    Dead(OffsetDateTime),
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct DeadLetter {
    /// The event.
    #[sqlx(rename = "id")]
    pub event_id: Uuid,
    /// What it is.
    pub kind: String,
    /// The order that it is about.
    pub order_id: Uuid,
    /// How often it was leased.
    #[sqlx(try_from = "i32")]
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When.
    #[sqlx(try_from = "Timestamp")]
    pub died_at: OffsetDateTime,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events in the outbox, dead letters aside.
    pub events: u64,
    /// When the oldest of them happened.
    pub oldest_event: Option<OffsetDateTime>,
    /// Events that were given up.
    pub dead_letters: u64,
    /// When the oldest pending order was placed.
    pub oldest_pending: Option<OffsetDateTime>,
}
