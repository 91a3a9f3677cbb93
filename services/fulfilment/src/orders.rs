//! The orders service as the worker sees it: events to lease, and orders to mark as shipped.

use std::time::Duration;

use proto::orders::v1 as pb;
use rpc::{
    client::{Channel, Config, Retry},
    error::ErrorReason,
};
use tonic::{Code, Status};
use uuid::Uuid;

type Client = pb::orders_service_client::OrdersServiceClient<Channel>;

/// A client of the orders service.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    client: Client,
    retry: Retry,
}

/// A lease on an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease<'a> {
    pub(crate) event_id: &'a str,
    pub(crate) token: &'a str,
}

/// What a shipped order's owner says.
pub(crate) enum Marked {
    /// The order is shipped.
    Shipped,
    /// The order was cancelled before, or was never to be shipped.
    NotShippable,
}

impl Orders {
    pub(crate) fn new(channel: Channel, config: &Config) -> Self {
        let client = Client::new(channel)
            .max_decoding_message_size(rpc::MESSAGE_LIMIT)
            .max_encoding_message_size(rpc::MESSAGE_LIMIT);
        Self {
            client,
            retry: Retry::new("orders", config),
        }
    }

    /// Leases up to `limit` events. Not repeated: an answer that got lost has leased events, which
    /// come again when their leases end.
    pub(crate) async fn lease(
        &self,
        limit: i32,
        lease: Duration,
    ) -> Result<Vec<pb::Event>, Status> {
        let request = pb::LeaseEventsRequest {
            limit,
            lease: Some(duration(lease)),
        };
        let response = self.client.clone().lease_events(request).await?;
        Ok(response.into_inner().events)
    }

    pub(crate) async fn extend(&self, lease: Lease<'_>, by: Duration) -> Result<(), Status> {
        let request = pb::ExtendLeaseRequest {
            event_id: lease.event_id.to_owned(),
            lease_token: lease.token.to_owned(),
            lease: Some(duration(by)),
        };
        self.call(request, async |mut client, request| {
            client.extend_lease(request).await
        })
        .await?;
        Ok(())
    }

    pub(crate) async fn acknowledge(&self, lease: Lease<'_>) -> Result<(), Status> {
        let request = pb::AcknowledgeEventRequest {
            event_id: lease.event_id.to_owned(),
            lease_token: lease.token.to_owned(),
        };
        self.call(request, async |mut client, request| {
            client.acknowledge_event(request).await
        })
        .await?;
        Ok(())
    }

    /// Gives an event back; `poison` says that trying again cannot help.
    pub(crate) async fn reject(
        &self,
        lease: Lease<'_>,
        reason: &str,
        poison: bool,
    ) -> Result<(), Status> {
        let request = pb::RejectEventRequest {
            event_id: lease.event_id.to_owned(),
            lease_token: lease.token.to_owned(),
            reason: reason.chars().take(500).collect(),
            poison,
        };
        self.call(request, async |mut client, request| {
            client.reject_event(request).await
        })
        .await?;
        Ok(())
    }

    pub(crate) async fn mark_shipped(
        &self,
        order_id: Uuid,
        tracking_code: &str,
    ) -> Result<Marked, Status> {
        let request = pb::MarkShippedRequest {
            id: order_id.to_string(),
            tracking_code: tracking_code.to_owned(),
        };
        let answer = self
            .call(request, async |mut client, request| {
                client.mark_shipped(request).await
            })
            .await;
        match answer {
            Ok(_) => Ok(Marked::Shipped),
            Err(status) if is(&status, "ORDER_NOT_SHIPPABLE") => Ok(Marked::NotShippable),
            Err(status) => Err(status),
        }
    }

    /// An idempotent call, repeated within the budget.
    async fn call<Q: Clone, A>(
        &self,
        request: Q,
        attempt: impl AsyncFn(Client, Q) -> Result<A, Status>,
    ) -> Result<A, Status> {
        self.retry
            .call(|| attempt(self.client.clone(), request.clone()))
            .await
    }
}

/// Whether somebody else holds the event by now.
pub(crate) fn lease_is_lost(status: &Status) -> bool {
    is(status, "LEASE_LOST")
}

/// Whether repeating the call cannot change the answer.
pub(crate) fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition
    )
}

fn is(status: &Status, reason: &str) -> bool {
    ErrorReason::of(status).is_some_and(|found| found.reason == reason)
}

/// Leases are seconds to minutes, as the settings check.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
