//! Where products and reservations are kept: one trait, and an implementation in the words of each
//! database. What a change means is decided by the domain, inside the transaction; that it is
//! decided once is up to the locks and unique keys here.

mod postgres;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use storage::{Database, Migrations};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Currency, Product, Refusal, Sku},
    error::{Error, Result},
    listing::Listing,
    reservation::{NewReservation, Reservation, ReservationState, Settlement},
};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// The schema.
pub const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// A change of one product, made while its row is locked.
pub type Change = Box<dyn FnOnce(&mut Product) -> Result<(), Refusal> + Send>;

/// The catalogue's memory. Every method is one transaction: it happens as a whole or not at all.
#[async_trait]
pub trait Store: Send + Sync {
    /// Up to [`Listing::limit`] products, in the order of (name, id), from its position.
    async fn list(&self, listing: &Listing) -> Result<Vec<Product>>;

    /// Those products of `ids` that there are, in the order of their ids.
    async fn products(&self, ids: &[Uuid]) -> Result<Vec<Product>>;

    /// The product with this SKU.
    async fn product_by_sku(&self, sku: &Sku) -> Result<Option<Product>>;

    /// Adds a product, or refuses with [`Refusal::SkuTaken`].
    async fn create(&self, product: &Product) -> Result<()>;

    /// Makes `change` to the product, or refuses for its reason.
    async fn change(&self, id: Uuid, change: Change) -> Result<Product>;

    /// The order's reservation.
    async fn reservation(&self, order_id: Uuid) -> Result<Option<Reservation>>;

    /// Takes all lines out of the stock, or refuses and takes none. The first call of an order
    /// decides; later ones get the same answer.
    async fn reserve(&self, new: &NewReservation, now: OffsetDateTime) -> Result<Reservation>;

    /// Ends the order's reservation, once. Releasing what isn't there leaves a tombstone.
    async fn settle(
        &self,
        order_id: Uuid,
        settlement: Settlement,
        now: OffsetDateTime,
    ) -> Result<Reservation>;
}

/// The store on `database`.
pub fn open(database: &Database) -> Arc<dyn Store> {
    match database {
        Database::Postgres(database) => Arc::new(postgres::PostgresStore(database.clone())),
        Database::Sqlite(database) => Arc::new(sqlite::SqliteStore(database.clone())),
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error.into())
    }
}

/// The unique key of `products.sku`, named alike on both databases.
const SKU_KEY: &str = "products_sku_key";

/// What an insert's error means.
fn insert_error(error: sqlx::Error, product: &Product) -> Error {
    if storage::unique_violation(&error).as_deref() == Some(SKU_KEY) {
        let sku = product.sku.clone();
        return Refusal::SkuTaken { sku }.into();
    }
    error.into()
}

// What a row holds has passed these rules on its way in; if it doesn't any more, it's corrupt.

fn sku(text: &str) -> sqlx::Result<Sku> {
    Sku::parse(text).ok_or_else(|| corrupt("SKU", text))
}

fn currency(text: &str) -> sqlx::Result<Currency> {
    Currency::parse(text).ok_or_else(|| corrupt("currency", text))
}

fn state(text: &str) -> sqlx::Result<ReservationState> {
    ReservationState::parse(text).ok_or_else(|| corrupt("state", text))
}

fn corrupt(what: &str, text: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("'{text}' is not a {what}").into())
}
