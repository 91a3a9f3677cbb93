//! The service's one error, and what callers are told of it.

use rpc::error::reason;
use tonic::{Code, Status};

use crate::domain::Refusal;

/// The domain of this service's `google.rpc.ErrorInfo`.
const ERROR_DOMAIN: &str = "catalog.slipway";

/// What a call comes to.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call gets no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database doesn't do its part.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refused(&refusal),
            Error::Storage(error) => {
                // Callers get none of the database's words; the log does.
                let kind = error.kind();
                tracing::error!(kind, %error, "a call failed for the database");
                match error {
                    storage::Error::Unavailable(_) | storage::Error::Busy(_) => {
                        Status::unavailable("the catalog's database is away or busy; try again")
                    }
                    storage::Error::Full(_) => {
                        Status::resource_exhausted("the catalog's database has no space left")
                    }
                    _ => Status::internal("the catalog has a fault"),
                }
            }
        }
    }
}

fn refused(refusal: &Refusal) -> Status {
    use Code::{Aborted, AlreadyExists, FailedPrecondition, NotFound};
    let (code, name) = match refusal {
        Refusal::ProductNotFound { .. } => (NotFound, "PRODUCT_NOT_FOUND"),
        Refusal::SkuTaken { .. } => (AlreadyExists, "SKU_TAKEN"),
        Refusal::RevisionMismatch { .. } => (Aborted, "REVISION_MISMATCH"),
        Refusal::OutOfStock { .. } => (FailedPrecondition, "OUT_OF_STOCK"),
        Refusal::CurrencyMismatch { .. } => (FailedPrecondition, "CURRENCY_MISMATCH"),
        Refusal::ReservationNotFound { .. } => (NotFound, "RESERVATION_NOT_FOUND"),
        Refusal::ReservationMismatch { .. } => (FailedPrecondition, "RESERVATION_MISMATCH"),
        Refusal::ReservationClosed { .. } => (FailedPrecondition, "RESERVATION_CLOSED"),
        Refusal::ReservationCommitted { .. } => (FailedPrecondition, "RESERVATION_COMMITTED"),
    };
    let metadata = match refusal {
        Refusal::ProductNotFound { product_id } | Refusal::CurrencyMismatch { product_id, .. } => {
            vec![("product_id", product_id.to_string())]
        }
        Refusal::OutOfStock {
            product_id,
            requested,
            available,
            ..
        } => vec![
            ("product_id", product_id.to_string()),
            ("requested", requested.to_string()),
            ("available", available.to_string()),
        ],
        _ => vec![],
    };
    reason(code, ERROR_DOMAIN, name, refusal.to_string(), metadata)
}
