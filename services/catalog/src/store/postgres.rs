//! The store on PostgreSQL. Writers lock rows, first the reservation's, then the products' in the
//! order of their ids, so that no two of them wait for each other.

use async_trait::async_trait;
use sqlx::{PgConnection, Row, postgres::PgRow};
use storage::Postgres;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Change, Store, currency, insert_error, sku, state};
use crate::{
    domain::{Details, Money, Product, Refusal, Sku, Stock},
    error::Result,
    listing::{Listing, search_text},
    reservation::{NewReservation, Reservation, ReservationState, ReservedLine, Settlement},
};

pub(super) struct PostgresStore(pub(super) Postgres);

/// Columns are named, not `*`: a migration that adds one must not break statements that a running
/// service has prepared.
macro_rules! select_products {
    ($rest:literal) => {
        concat!(
            "SELECT id, sku, name, description, currency, price, available, reserved, shipped, \
             revision, created_at, updated_at FROM products ",
            $rest
        )
    };
}

const RESERVATION: &str =
    "SELECT state, created_at, updated_at FROM reservations WHERE order_id = $1";
const RESERVATION_FOR_UPDATE: &str =
    "SELECT state, created_at, updated_at FROM reservations WHERE order_id = $1 FOR UPDATE";

#[async_trait]
impl Store for PostgresStore {
    async fn list(&self, listing: &Listing) -> Result<Vec<Product>> {
        let query = sqlx::query(select_products!(
            "WHERE strpos(search, $1) > 0 AND (name, id) > ($2, $3) ORDER BY name, id LIMIT $4"
        ))
        .bind(&listing.filter)
        .bind(&listing.after.name)
        .bind(listing.after.id)
        .bind(listing.limit() as i64)
        .try_map(|row| product(&row));
        let work = async { Ok(query.fetch_all(&self.0.pool).await?) };
        self.0.observe("list_products", work).await
    }

    async fn products(&self, ids: &[Uuid]) -> Result<Vec<Product>> {
        let query = sqlx::query(select_products!("WHERE id = ANY($1) ORDER BY id"))
            .bind(ids)
            .try_map(|row| product(&row));
        let work = async { Ok(query.fetch_all(&self.0.pool).await?) };
        self.0.observe("get_products", work).await
    }

    async fn product_by_sku(&self, sku: &Sku) -> Result<Option<Product>> {
        let query = sqlx::query(select_products!("WHERE sku = $1"))
            .bind(sku.as_str())
            .try_map(|row| product(&row));
        let work = async { Ok(query.fetch_optional(&self.0.pool).await?) };
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
        .bind(product.created_at)
        .bind(product.updated_at);
        let work = async {
            let result = query.execute(&self.0.pool).await;
            result.map_err(|error| insert_error(error, product))?;
            Ok(())
        };
        self.0.observe("create_product", work).await
    }

    async fn change(&self, id: Uuid, change: Change) -> Result<Product> {
        let work = async {
            let mut tx = self.0.begin().await?;
            let mut product = lock_products(&mut tx, &[id])
                .await?
                .pop()
                .ok_or(Refusal::ProductNotFound { product_id: id })?;
            change(&mut product)?;
            update_product(&mut tx, &product).await?;
            tx.commit().await?;
            Ok(product)
        };
        self.0.observe("change_product", work).await
    }

    async fn reservation(&self, order_id: Uuid) -> Result<Option<Reservation>> {
        let work = async {
            let mut connection = self.0.pool.acquire().await?;
            Ok(reservation(&mut connection, RESERVATION, order_id).await?)
        };
        self.0.observe("get_reservation", work).await
    }

    async fn reserve(&self, new: &NewReservation, now: OffsetDateTime) -> Result<Reservation> {
        let work = async {
            let order_id = new.order_id;
            let mut tx = self.0.begin().await?;
            if !insert_reservation(&mut tx, order_id, ReservationState::Held, now).await? {
                let first = reservation(&mut tx, RESERVATION, order_id).await?;
                let first = first.ok_or(Refusal::ReservationNotFound { order_id })?;
                return Ok(first.replay(new)?);
            }
            let mut products = lock_products(&mut tx, &new.product_ids()).await?;
            let reservation = new.take(&mut products, now)?;
            update_stock(&mut tx, &products).await?;
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
            let mut tx = self.0.begin().await?;
            if settlement == Settlement::Release
                && insert_reservation(&mut tx, order_id, ReservationState::Released, now).await?
            {
                tx.commit().await?;
                return Ok(Reservation::tombstone(order_id, now));
            }
            let mut reservation = reservation(&mut tx, RESERVATION_FOR_UPDATE, order_id)
                .await?
                .ok_or(Refusal::ReservationNotFound { order_id })?;
            if reservation.needs(settlement)? {
                let mut products = lock_products(&mut tx, &reservation.product_ids()).await?;
                reservation.settle(settlement, &mut products, now)?;
                update_stock(&mut tx, &products).await?;
                update_reservation(&mut tx, &reservation).await?;
                tx.commit().await?;
            }
            Ok(reservation)
        };
        self.0.observe("settle_reservation", work).await
    }
}

/// The products in the order of their ids, which is also the order in which they are locked.
async fn lock_products(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Product>> {
    sqlx::query(select_products!(
        "WHERE id = ANY($1) ORDER BY id FOR UPDATE"
    ))
    .bind(ids)
    .try_map(|row| product(&row))
    .fetch_all(db)
    .await
}

async fn update_product(db: &mut PgConnection, product: &Product) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE products SET name = $2, description = $3, search = $4, currency = $5, price = $6, \
         available = $7, reserved = $8, shipped = $9, revision = $10, updated_at = $11 \
         WHERE id = $1",
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
    .bind(product.updated_at)
    .execute(db)
    .await?;
    Ok(())
}

/// Stores what a reservation changes of products, in one statement for all.
async fn update_stock(db: &mut PgConnection, products: &[Product]) -> sqlx::Result<()> {
    let column = |of: fn(&Product) -> i64| products.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "UPDATE products SET available = new.available, reserved = new.reserved, \
         shipped = new.shipped, revision = new.revision, updated_at = new.updated_at \
         FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], \
         $6::timestamptz[]) AS new (id, available, reserved, shipped, revision, updated_at) \
         WHERE products.id = new.id",
    )
    .bind(products.iter().map(|p| p.id).collect::<Vec<_>>())
    .bind(column(|p| p.stock.available))
    .bind(column(|p| p.stock.reserved))
    .bind(column(|p| p.stock.shipped))
    .bind(column(|p| p.revision))
    .bind(products.iter().map(|p| p.updated_at).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// False when the order has a reservation. Waits for a transaction that is making one.
async fn insert_reservation(
    db: &mut PgConnection,
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
    .bind(now)
    .execute(db)
    .await?;
    Ok(result.rows_affected() == 1)
}

async fn insert_lines(db: &mut PgConnection, reservation: &Reservation) -> sqlx::Result<()> {
    let lines = &reservation.lines;
    let prices = lines.iter().map(|line| line.unit_price.minor_units);
    let texts = |of: fn(&ReservedLine) -> &str| lines.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO reservation_lines \
         (order_id, product_id, quantity, sku, name, currency, unit_price, position) \
         SELECT $1, * FROM UNNEST($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], \
         $7::bigint[]) WITH ORDINALITY",
    )
    .bind(reservation.order_id)
    .bind(reservation.product_ids())
    .bind(lines.iter().map(|line| line.quantity).collect::<Vec<_>>())
    .bind(texts(|line| line.sku.as_str()))
    .bind(texts(|line| &line.name))
    .bind(texts(|line| line.unit_price.currency.as_str()))
    .bind(prices.collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

async fn update_reservation(db: &mut PgConnection, reservation: &Reservation) -> sqlx::Result<()> {
    sqlx::query("UPDATE reservations SET state = $2, updated_at = $3 WHERE order_id = $1")
        .bind(reservation.order_id)
        .bind(reservation.state.as_str())
        .bind(reservation.updated_at)
        .execute(db)
        .await?;
    Ok(())
}

/// The reservation that `head` finds ([`RESERVATION`] or [`RESERVATION_FOR_UPDATE`]), and its lines.
async fn reservation(
    db: &mut PgConnection,
    head: &'static str,
    order_id: Uuid,
) -> sqlx::Result<Option<Reservation>> {
    let head = sqlx::query(head).bind(order_id);
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
        created_at: head.try_get("created_at")?,
        updated_at: head.try_get("updated_at")?,
    }))
}

fn product(row: &PgRow) -> sqlx::Result<Product> {
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
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn line(row: &PgRow) -> sqlx::Result<ReservedLine> {
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
