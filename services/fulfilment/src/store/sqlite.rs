//! The store on SQLite. Ids are blobs; times are microseconds since 1970 UTC.

use async_trait::async_trait;
use sqlx::{Row, sqlite::SqliteRow};
use storage::{Error, Sqlite, Timestamp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, state};
use crate::domain::{Shipment, ShipmentState};

pub(super) struct SqliteStore(pub(super) Sqlite);

const SELECT: &str =
    "SELECT order_id, tracking_code, state, ready_at FROM shipments WHERE order_id = ?1";

#[async_trait]
impl Store for SqliteStore {
    async fn take_up(
        &self,
        event_id: Uuid,
        shipment: &Shipment,
        now: OffsetDateTime,
    ) -> Result<Shipment, Error> {
        self.0
            .observe("take_up_event", async {
                let mut tx = self.0.begin_write().await?;
                sqlx::query(
                    "INSERT INTO shipments (order_id, tracking_code, state, ready_at, created_at, \
                     updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (order_id) DO NOTHING",
                )
                .bind(shipment.order_id)
                .bind(&shipment.tracking_code)
                .bind(shipment.state.as_str())
                .bind(Timestamp(shipment.ready_at))
                .bind(Timestamp(now))
                .execute(&mut *tx)
                .await?;
                sqlx::query(
                    "INSERT INTO inbox (event_id, order_id, received_at) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (event_id) DO NOTHING",
                )
                .bind(event_id)
                .bind(shipment.order_id)
                .bind(Timestamp(now))
                .execute(&mut *tx)
                .await?;
                let stored = sqlx::query(SELECT)
                    .bind(shipment.order_id)
                    .try_map(|row| from_row(&row))
                    .fetch_one(&mut *tx)
                    .await?;
                tx.commit().await?;
                Ok(stored)
            })
            .await
    }

    async fn finish(
        &self,
        order_id: Uuid,
        state: ShipmentState,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let query = sqlx::query(
            "UPDATE shipments SET state = ?2, updated_at = ?3 \
             WHERE order_id = ?1 AND state = 'packing'",
        )
        .bind(order_id)
        .bind(state.as_str())
        .bind(Timestamp(now));
        self.0
            .observe("finish_shipment", async {
                query.execute(&self.0.write).await?;
                Ok(())
            })
            .await
    }

    async fn shipment(&self, order_id: Uuid) -> Result<Option<Shipment>, Error> {
        let query = sqlx::query(SELECT)
            .bind(order_id)
            .try_map(|row| from_row(&row));
        self.0
            .observe("get_shipment", async {
                Ok(query.fetch_optional(&self.0.read).await?)
            })
            .await
    }
}

fn from_row(row: &SqliteRow) -> Result<Shipment, sqlx::Error> {
    Ok(Shipment {
        order_id: row.try_get("order_id")?,
        tracking_code: row.try_get("tracking_code")?,
        state: state(row.try_get("state")?)?,
        ready_at: row.try_get::<Timestamp, _>("ready_at")?.0,
    })
}
