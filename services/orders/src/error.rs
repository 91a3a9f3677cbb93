//! The service's one error, and what callers are told of it.

use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::OrderState;

const DOMAIN: &str = "orders.slipway";

/// Why a call gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id belongs to no order.
    #[error("there is no order {0}")]
    OrderNotFound(Uuid),
    /// The customer has used the key for something else.
    #[error("this idempotency key belongs to an order with other content")]
    IdempotencyKeyReused,
    /// It is too late, or there is nothing to cancel.
    #[error("an order that is {} cannot be cancelled", .0.as_str())]
    NotCancellable(OrderState),
    /// Only a confirmed order is.
    #[error("an order that is {} cannot be shipped", .0.as_str())]
    NotShippable(OrderState),
    /// The event has been leased to another, was given back, or was given up.
    #[error("this lease no longer holds the event")]
    LeaseLost,
    /// The database doesn't do its part.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason, metadata) = match &error {
            Error::OrderNotFound(_) => (Code::NotFound, "ORDER_NOT_FOUND", None),
            Error::IdempotencyKeyReused => {
                (Code::FailedPrecondition, "IDEMPOTENCY_KEY_REUSED", None)
            }
            Error::NotCancellable(state) => (
                Code::FailedPrecondition,
                "ORDER_NOT_CANCELLABLE",
                Some(state),
            ),
            Error::NotShippable(state) => {
                (Code::FailedPrecondition, "ORDER_NOT_SHIPPABLE", Some(state))
            }
            Error::LeaseLost => (Code::FailedPrecondition, "LEASE_LOST", None),
            Error::Storage(error) => return storage_status(error),
        };
        let metadata = metadata.map(|state| ("state", state.as_str().to_owned()));
        rpc::error::reason(code, DOMAIN, reason, error.to_string(), metadata)
    }
}

/// The operator gets the reason, the caller only what to do.
fn storage_status(error: &storage::Error) -> Status {
    use storage::Error::{Busy, Full, Unavailable};
    match error {
        Unavailable(_) | Busy(_) | Full(_) => {
            tracing::warn!(%error, "storage unavailable");
            let message = "orders cannot be stored or read for now; try again later";
            rpc::error::reason(
                Code::Unavailable,
                DOMAIN,
                "STORAGE_UNAVAILABLE",
                message,
                [],
            )
        }
        _ => {
            tracing::error!(%error, "storage failed");
            Status::internal("the service has a fault")
        }
    }
}
