//! Every metric of this service beside those of its crates.

use metrics::{Counter, counter, describe_counter};

use crate::{
    domain::Refusal,
    error::Error,
    reservation::{
        Reservation,
        ReservationState::{Committed, Held, Released},
    },
};

const RESERVATIONS: &str = "catalog_reservations_total";

/// Handles to the metrics, looked up in the recorder once.
pub(crate) struct Metrics {
    held: Counter,
    released: Counter,
    committed: Counter,
    out_of_stock: Counter,
    refused: Counter,
    failed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!(
            RESERVATIONS,
            "Answers to Reserve, Release and Commit, repeated ones included, by outcome"
        );
        let outcome = |outcome: &'static str| counter!(RESERVATIONS, "outcome" => outcome);
        Self {
            held: outcome("held"),
            released: outcome("released"),
            committed: outcome("committed"),
            out_of_stock: outcome("out_of_stock"),
            refused: outcome("refused"),
            failed: outcome("failed"),
        }
    }

    /// Counts an answer to Reserve, Release or Commit.
    pub(crate) fn answered(&self, answer: &Result<Reservation, Error>) {
        let counter = match answer {
            Ok(reservation) => match reservation.state {
                Held => &self.held,
                Released => &self.released,
                Committed => &self.committed,
            },
            Err(Error::Refused(Refusal::OutOfStock { .. })) => &self.out_of_stock,
            Err(Error::Refused(_)) => &self.refused,
            Err(Error::Storage(_)) => &self.failed,
        };
        counter.increment(1);
    }
}
