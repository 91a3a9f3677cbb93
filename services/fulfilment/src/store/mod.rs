//! Where shipments and the inbox are kept: one trait, and an implementation in the words of each
//! database.

mod postgres;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use storage::{Database, Migrations};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Shipment, ShipmentState};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// The schema.
pub const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// The shipments' memory. Every method is one transaction: it happens as a whole or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes the event into the inbox and opens `shipment` for its order. An event that is there
    /// already, or an order that has a shipment, changes nothing. Returns the order's shipment.
    async fn take_up(
        &self,
        event_id: Uuid,
        shipment: &Shipment,
        now: OffsetDateTime,
    ) -> Result<Shipment, storage::Error>;

    /// Ends the packing of the order's shipment. One that has ended stays as it is.
    async fn finish(
        &self,
        order_id: Uuid,
        state: ShipmentState,
        now: OffsetDateTime,
    ) -> Result<(), storage::Error>;

    /// The order's shipment.
    async fn shipment(&self, order_id: Uuid) -> Result<Option<Shipment>, storage::Error>;
}

/// The store on `database`.
pub fn open(database: &Database) -> Arc<dyn Store> {
    match database {
        Database::Postgres(database) => Arc::new(postgres::PostgresStore(database.clone())),
        Database::Sqlite(database) => Arc::new(sqlite::SqliteStore(database.clone())),
    }
}

/// The state that a row names; the table's check lets no other in.
fn state(name: &str) -> Result<ShipmentState, sqlx::Error> {
    ShipmentState::parse(name)
        .ok_or_else(|| sqlx::Error::Decode(format!("'{name}' is not a state").into()))
}
