//! The store on SQLite. A write transaction is alone from its start (`BEGIN IMMEDIATE`), so what it
//! has read stays true. Times are microseconds, lists of rows are written one by one: both are what
//! SQLite is at home with.

use std::slice;

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use storage::{Sqlite, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Change, Store, currency, insert_error, sku, state};
use crate::{
    domain::{Details, Money, Product, Refusal, Sku, Stock},
    error::Result,
    listing::{Listing, search_text},
    reservation::{NewReservation, Reservation, ReservationState, ReservedLine, Settlement},
};

pub(super) struct SqliteStore(pub(super) Sqlite);

macro_rules! select_products {
    ($rest:literal) => {
        concat!(
            "SELECT id, sku, name, description, currency, price, available, reserved, shipped, \
             revision, created_at, updated_at FROM products ",
            $rest
        )
    };
}

#[async_trait]
impl Store for SqliteStore {
    async fn list(&self, listing: &Listing) -> Result<Vec<Product>> {
        let query = sqlx::query(select_products!(
            "WHERE instr(search, $1) > 0 AND (name, id) > ($2, $3) ORDER BY name, id LIMIT $4"
        ))
        .bind(&listing.filter)
        .bind(&listing.after.name)
        .bind(listing.after.id)
        .bind(listing.limit() as i64)
        .try_map(|row| product(&row));
        let work = async { Ok(query.fetch_all(&self.0.read).await?) };
        self.0.observe("list_products", work).await
    }

    async fn products(&self, ids: &[Uuid]) -> Result<Vec<Product>> {
        let work = async {
            let mut connection = self.0.read.acquire().await?;
            Ok(products(&mut connection, ids).await?)
        };
        self.0.observe("get_products", work).await
    }

    async fn product_by_sku(&self, sku: &Sku) -> Result<Option<Product>> {
        let query = sqlx::query(select_products!("WHERE sku = $1"))
            .bind(sku.as_str())
            .try_map(|row| product(&row));
        let work = async { Ok(query.fetch_optional(&self.0.read).await?) };
        self.0.observe("get_product_by_sku", work).await
    }

    async fn create(&self, product: &Product) -> Result<()> {
        let query = sqlx::query(
            "INSERT INTO products (id, sku, name, description, search, currency, price, available, \
             reserved, shipped, revision, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(product.id)
        .bind(product.sku.as_str())
        .bind(&product.details.name)
        .bind(&product.details.description)
        .bind(search_text(product))
        .bind(product.details.price.currency.as_str())
        .bind(product.details.price.minor_units)
        .bind(product.stock.available)
        .bind(product.stock.reserved)
        .bind(product.stock.shipped)
        .bind(product.revision)
        .bind(Timestamp(product.created_at))
        .bind(Timestamp(product.updated_at));
        let work = async {
            let result = query.execute(&self.0.write).await;
            result.map_err(|error| insert_error(error, product))?;
            Ok(())
        };
        self.0.observe("create_product", work).await
    }

    async fn change(&self, id: Uuid, change: Change) -> Result<Product> {
        let work = async {
            let mut tx = self.0.begin_write().await?;
            let mut product = products(&mut tx, &[id])
                .await?
                .pop()
                .ok_or(Refusal::ProductNotFound { product_id: id })?;
            change(&mut product)?;
            update_products(&mut tx, slice::from_ref(&product)).await?;
            tx.commit().await?;
            Ok(product)
        };
        self.0.observe("change_product", work).await
    }

    async fn reservation(&self, order_id: Uuid) -> Result<Option<Reservation>> {
        let work = async {
            let mut connection = self.0.read.acquire().await?;
            Ok(reservation(&mut connection, order_id).await?)
        };
        self.0.observe("get_reservation", work).await
    }

    async fn reserve(&self, new: &NewReservation, now: OffsetDateTime) -> Result<Reservation> {
        let work = async {
            let order_id = new.order_id;
            let mut tx = self.0.begin_write().await?;
            if !insert_reservation(&mut tx, order_id, ReservationState::Held, now).await? {
                let first = reservation(&mut tx, order_id).await?;
                let first = first.ok_or(Refusal::ReservationNotFound { order_id })?;
                return Ok(first.replay(new)?);
            }
            let mut products = products(&mut tx, &new.product_ids()).await?;
            let reservation = new.take(&mut products, now)?;
            update_products(&mut tx, &products).await?;
            insert_lines(&mut tx, &reservation).await?;
            tx.commit().await?;
            Ok(reservation)
        };
        self.0.observe("reserve", work).await
    }

    async fn settle(
        &self,
        order_id: Uuid,
        settlement: Settlement,
        now: OffsetDateTime,
    ) -> Result<Reservation> {
        let work = async {
            let mut tx = self.0.begin_write().await?;
            if settlement == Settlement::Release
                && insert_reservation(&mut tx, order_id, ReservationState::Released, now).await?
            {
                tx.commit().await?;
                return Ok(Reservation::tombstone(order_id, now));
            }
            let mut reservation = reservation(&mut tx, order_id)
                .await?
                .ok_or(Refusal::ReservationNotFound { order_id })?;
            if reservation.needs(settlement)? {
                let mut products = products(&mut tx, &reservation.product_ids()).await?;
                reservation.settle(settlement, &mut products, now)?;
                update_products(&mut tx, &products).await?;
                update_reservation(&mut tx, &reservation).await?;
                tx.commit().await?;
            }
            Ok(reservation)
        };
        self.0.observe("settle_reservation", work).await
    }
}

/// The products in the order of their ids.
async fn products(db: &mut SqliteConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Product>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let mut products = Vec::with_capacity(ids.len());
    for id in ids {
        let query = sqlx::query(select_products!("WHERE id = $1")).bind(id);
        products.extend(
            query
                .try_map(|row| product(&row))
                .fetch_optional(&mut *db)
                .await?,
        );
    }
    Ok(products)
}

async fn update_products(db: &mut SqliteConnection, products: &[Product]) -> sqlx::Result<()> {
    for product in products {
        sqlx::query(
            "UPDATE products SET name = $2, description = $3, search = $4, currency = $5, \
             price = $6, available = $7, reserved = $8, shipped = $9, revision = $10, \
             updated_at = $11 WHERE id = $1",
        )
        .bind(product.id)
        .bind(&product.details.name)
        .bind(&product.details.description)
        .bind(search_text(product))
        .bind(product.details.price.currency.as_str())
        .bind(product.details.price.minor_units)
        .bind(product.stock.available)
        .bind(product.stock.reserved)
        .bind(product.stock.shipped)
        .bind(product.revision)
        .bind(Timestamp(product.updated_at))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// False when the order has a reservation.
async fn insert_reservation(
    db: &mut SqliteConnection,
    order_id: Uuid,
    state: ReservationState,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    let result = sqlx::query(
        "INSERT INTO reservations (order_id, state, created_at, updated_at) \
         VALUES ($1, $2, $3, $3) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order_id)
    .bind(state.as_str())
    .bind(Timestamp(now))
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

async fn insert_lines(db: &mut SqliteConnection, reservation: &Reservation) -> sqlx::Result<()> {
    for (position, line) in (1_i64..).zip(&reservation.lines) {
        sqlx::query(
            "INSERT INTO reservation_lines \
             (order_id, position, product_id, quantity, sku, name, currency, unit_price) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(reservation.order_id)
        .bind(position)
        .bind(line.product_id)
        .bind(line.quantity)
        .bind(line.sku.as_str())
        .bind(&line.name)
        .bind(line.unit_price.currency.as_str())
        .bind(line.unit_price.minor_units)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn update_reservation(
    db: &mut SqliteConnection,
    reservation: &Reservation,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE reservations SET state = $2, updated_at = $3 WHERE order_id = $1")
        .bind(reservation.order_id)
        .bind(reservation.state.as_str())
        .bind(Timestamp(reservation.updated_at))
        .execute(db)
        .await?;
    Ok(())
}

async fn reservation(
    db: &mut SqliteConnection,
    order_id: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    let head =
        sqlx::query("SELECT state, created_at, updated_at FROM reservations WHERE order_id = $1")
            .bind(order_id);
    let Some(head) = head.fetch_optional(&mut *db).await? else {
        return Ok(None);
    };
    let lines = sqlx::query(
        "SELECT product_id, quantity, sku, name, currency, unit_price FROM reservation_lines \
         WHERE order_id = $1 ORDER BY position",
    )
    .bind(order_id)
    .try_map(|row| line(&row))
    .fetch_all(db)
    .await?;
    Ok(Some(Reservation {
        order_id,
        state: state(head.try_get("state")?)?,
        lines,
        created_at: head.try_get::<Timestamp, _>("created_at")?.0,
        updated_at: head.try_get::<Timestamp, _>("updated_at")?.0,
    }))
}

fn product(row: &SqliteRow) -> sqlx::Result<Product> {
    Ok(Product {
        id: row.try_get("id")?,
        sku: sku(row.try_get("sku")?)?,
        details: Details {
            name: row.try_get("name")?,
            description: row.try_get("description")?,
            price: Money {
                currency: currency(row.try_get("currency")?)?,
                minor_units: row.try_get("price")?,
            },
        },
        stock: Stock {
            available: row.try_get("available")?,
            reserved: row.try_get("reserved")?,
            shipped: row.try_get("shipped")?,
        },
        revision: row.try_get("revision")?,
        created_at: row.try_get::<Timestamp, _>("created_at")?.0,
        updated_at: row.try_get::<Timestamp, _>("updated_at")?.0,
    })
}

fn line(row: &SqliteRow) -> sqlx::Result<ReservedLine> {
    Ok(ReservedLine {
        product_id: row.try_get("product_id")?,
        quantity: row.try_get("quantity")?,
        sku: sku(row.try_get("sku")?)?,
        name: row.try_get("name")?,
        unit_price: Money {
            currency: currency(row.try_get("currency")?)?,
            minor_units: row.try_get("unit_price")?,
        },
    })
}
