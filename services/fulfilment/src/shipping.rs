//! One event's work: pack the order's parcel once, and say that it has left.

use std::{sync::Arc, time::Duration};

use proto::orders::v1::{Event, OrderConfirmed, event::Payload};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use crate::{
    domain::{Shipment, ShipmentState},
    orders::{self, Lease, Marked, Orders},
    store::Store,
};

/// Ships confirmed orders.
pub(crate) struct Shipping {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) orders: Orders,
    /// How long packing takes.
    pub(crate) shipping_time: Duration,
    /// How long an event is leased; extended at a third of it.
    pub(crate) lease: Duration,
}

/// Why an event isn't done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Trying again cannot help.
    #[error("{0}")]
    Poison(String),
    #[error("the database: {0}")]
    Store(#[from] storage::Error),
    #[error("the orders service: {} ({:?})", .0.message(), .0.code())]
    Orders(Status),
    #[error("the lease ended and another worker has the event")]
    LeaseLost,
    #[error("this worker is shutting down")]
    Draining,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if orders::lease_is_lost(&status) {
            Self::LeaseLost
        } else if orders::is_final(&status) {
            Self::Poison(format!(
                "the orders service refuses it: {}",
                status.message()
            ))
        } else {
            Self::Orders(status)
        }
    }
}

impl Shipping {
    /// Does the event's work and acknowledges it. What was done before is found and not done again.
    pub(crate) async fn handle(
        &self,
        event: &Event,
        draining: &CancellationToken,
    ) -> Result<ShipmentState, Failure> {
        let lease = Lease {
            event_id: &event.id,
            token: &event.lease_token,
        };
        let (event_id, order_id) = parse(event)?;
        let shipment = self.take_up(event_id, order_id).await?;
        self.pack(&shipment, lease, draining).await?;

        let marked = self.orders.mark_shipped(order_id, &shipment.tracking_code);
        let state = match marked.await? {
            Marked::Shipped => ShipmentState::Shipped,
            Marked::NotShippable => ShipmentState::Void,
        };
        self.store.finish(order_id, state, now()).await?;
        self.orders.acknowledge(lease).await?;
        Ok(state)
    }

    async fn take_up(&self, event_id: Uuid, order_id: Uuid) -> Result<Shipment, storage::Error> {
        let new = Shipment::new(order_id, Uuid::new_v4(), now(), self.shipping_time);
        self.store.take_up(event_id, &new, now()).await
    }

    /// Waits until the parcel is packed, and keeps the lease meanwhile.
    async fn pack(
        &self,
        shipment: &Shipment,
        lease: Lease<'_>,
        draining: &CancellationToken,
    ) -> Result<(), Failure> {
        loop {
            let remaining = shipment.remaining(now());
            if remaining.is_zero() {
                return Ok(());
            }
            let pause = remaining.min(self.lease / 3);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = draining.cancelled() => return Err(Failure::Draining),
            }
            self.orders.extend(lease, self.lease).await?;
        }
    }
}

/// The event's id and its order's.
fn parse(event: &Event) -> Result<(Uuid, Uuid), Failure> {
    let Some(Payload::OrderConfirmed(OrderConfirmed { order_id })) = &event.payload else {
        return Err(Failure::Poison(
            "its kind is unknown or its payload unreadable".to_owned(),
        ));
    };
    let uuid = |text: &str| {
        Uuid::parse_str(text).map_err(|_| Failure::Poison(format!("'{text}' is not a UUID")))
    };
    Ok((uuid(&event.id)?, uuid(order_id)?))
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
