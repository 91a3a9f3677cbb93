//! The catalog as the saga sees it: three idempotent calls, and what their answers mean.

use std::time::Duration;

use proto::catalog::v1 as pb;
use rpc::{
    client::{Channel, Retry},
    deadline,
    error::ErrorReason,
};
use tokio::time::Instant;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::domain::{Offer, Order, Rejection, RejectionReason};

type Client = pb::catalog_service_client::CatalogServiceClient<Channel>;

/// What a request keeps of its time, to write down what the catalog said and to answer.
const KEPT_FOR_THE_ANSWER: Duration = Duration::from_millis(500);

/// A client of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    client: Client,
    retry: Retry,
}

/// A clear answer to a reservation.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// The stock is set aside at these prices, in the order of the order's lines.
    Held(Vec<Offer>),
    /// The order cannot be fulfilled.
    Impossible(Rejection),
    /// What was or would be set aside has been released.
    Closed,
}

/// Why there is no clear answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may have happened or not: to be repeated.
    Unanswered(Status),
    /// An answer that the contract doesn't give to such a call.
    Refused(Status),
}

impl Catalog {
    pub(crate) fn new(channel: Channel, config: &rpc::client::Config) -> Self {
        let client = Client::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_LIMIT)
            .max_encoding_message_size(rpc::MESSAGE_LIMIT);
        Self {
            client,
            retry: Retry::new("catalog", config),
        }
    }

    /// Sets the order's stock aside.
    pub(crate) async fn reserve(&self, order: &Order) -> Result<Reserved, Failure> {
        let lines = order.lines.iter().map(|line| pb::ReservationLine {
            product_id: line.product_id.to_string(),
            quantity: line.quantity,
        });
        let request = pb::ReserveRequest {
            order_id: order.id.to_string(),
            currency: order.currency.clone(),
            lines: lines.collect(),
        };
        let answer = self.call(request, async |mut client, request| {
            client.reserve(request).await
        });
        match answer.await {
            Ok(response) => match offers(order, response.reservation.unwrap_or_default()) {
                Some(offers) => Ok(Reserved::Held(offers)),
                None => Err(Failure::Refused(Status::internal(
                    "the reservation isn't the one that was asked for",
                ))),
            },
            Err(status) => refusal(&status).ok_or_else(|| failure(status)),
        }
    }

    /// Gives the order's stock back, or makes sure that it is never set aside.
    pub(crate) async fn release(&self, order_id: Uuid) -> Result<(), Failure> {
        let order_id = order_id.to_string();
        let request = pb::ReleaseRequest { order_id };
        self.call(request, async |mut client, request| {
            client.release(request).await
        })
        .await
        .map_err(failure)?;
        Ok(())
    }

    /// Books the order's stock as shipped.
    pub(crate) async fn commit(&self, order_id: Uuid) -> Result<(), Failure> {
        let order_id = order_id.to_string();
        let request = pb::CommitRequest { order_id };
        self.call(request, async |mut client, request| {
            client.commit(request).await
        })
        .await
        .map_err(failure)?;
        Ok(())
    }

    /// Calls with retries, within what is left of the request's time.
    async fn call<Q: Clone, R>(
        &self,
        request: Q,
        method: impl AsyncFn(Client, Q) -> Result<tonic::Response<R>, Status>,
    ) -> Result<R, Status> {
        let call = self
            .retry
            .call(|| method(self.client.clone(), request.clone()));
        let response = match deadline::remaining() {
            Some(left) => {
                let left = left.saturating_sub(KEPT_FOR_THE_ANSWER);
                deadline::scope(Instant::now() + left, call).await?
            }
            None => call.await?,
        };
        Ok(response.into_inner())
    }
}

/// The offers in the order of the order's lines; `None` when they don't match them.
fn offers(order: &Order, reservation: pb::Reservation) -> Option<Vec<Offer>> {
    let mut reserved = reservation.lines;
    let offers: Option<Vec<_>> = order
        .lines
        .iter()
        .map(|line| {
            let product_id = line.product_id.to_string();
            let at = reserved
                .iter()
                .position(|reserved| reserved.product_id == product_id)?;
            let reserved = reserved.swap_remove(at);
            let price = reserved.unit_price?;
            let matches = reserved.quantity == line.quantity
                && price.currency == order.currency
                && price.minor_units >= 0;
            matches.then_some(Offer {
                sku: reserved.sku,
                name: reserved.name,
                unit_price: price.minor_units,
            })
        })
        .collect();
    offers.filter(|_| reserved.is_empty())
}

/// What a refused reservation means; `None` when it isn't clear.
fn refusal(status: &Status) -> Option<Reserved> {
    let info = ErrorReason::of(status).filter(|info| info.domain == "catalog.slipway")?;
    let reason = match info.reason.as_str() {
        "RESERVATION_CLOSED" => return Some(Reserved::Closed),
        "OUT_OF_STOCK" => RejectionReason::OutOfStock,
        "PRODUCT_NOT_FOUND" => RejectionReason::ProductNotFound,
        "CURRENCY_MISMATCH" => RejectionReason::CurrencyMismatch,
        _ => return None,
    };
    Some(Reserved::Impossible(Rejection {
        reason,
        product_id: info
            .metadata
            .get("product_id")
            .and_then(|id| id.parse().ok()),
        message: status.message().to_owned(),
    }))
}

/// Which of the two: see the table in [`rpc::client`].
fn failure(status: Status) -> Failure {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::PermissionDenied
        | Code::Unauthenticated => Failure::Refused(status),
        _ => Failure::Unanswered(status),
    }
}
