//! `slipway.orders.v1.OrdersService`: parse, call, convert.

use std::sync::Arc;

use prost_types::Timestamp;
use proto::orders::v1::{self as pb, orders_service_server::OrdersService};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};

use crate::{
    domain::{Event, Line, Order, OrderState, Rejection},
    error::Error,
    listing::page_token,
    outbox::{self, Delivery, Outbox},
    saga::Saga,
    store::{DeadLetter, LeasedEvent, Position, Store},
    validation,
};

/// The service's handlers.
pub(crate) struct Grpc {
    pub(crate) saga: Saga,
    pub(crate) outbox: Outbox,
    pub(crate) store: Arc<dyn Store>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OrdersService for Grpc {
    async fn place_order(
        &self,
        request: Request<pb::PlaceOrderRequest>,
    ) -> Answer<pb::PlaceOrderResponse> {
        let (new, key) = validation::place_order(request.into_inner())?;
        let (order, replayed) = self.saga.place(new, key).await?;
        let order = Some(order.into());
        Ok(Response::new(pb::PlaceOrderResponse { order, replayed }))
    }

    async fn get_order(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Answer<pb::GetOrderResponse> {
        let id = validation::order_id(&request.into_inner().id)?;
        let order = Some(self.saga.find(id).await?.into());
        Ok(Response::new(pb::GetOrderResponse { order }))
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Answer<pb::ListOrdersResponse> {
        let request = request.into_inner();
        let (size, position) = validation::list_orders(&request)?;
        // One more than the page shows tells whether another page follows.
        let orders = self
            .store
            .orders_of(&request.customer_id, position, size + 1);
        let orders = orders.await.map_err(Error::from)?;
        Ok(Response::new(page(
            &request.customer_id,
            orders,
            size as usize,
        )))
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Answer<pb::CancelOrderResponse> {
        let id = validation::order_id(&request.into_inner().id)?;
        let order = Some(self.saga.cancel(id).await?.into());
        Ok(Response::new(pb::CancelOrderResponse { order }))
    }

    async fn mark_shipped(
        &self,
        request: Request<pb::MarkShippedRequest>,
    ) -> Answer<pb::MarkShippedResponse> {
        let request = request.into_inner();
        let id = validation::mark_shipped(&request)?;
        let order = self.saga.ship(id, &request.tracking_code).await?;
        let order = Some(order.into());
        Ok(Response::new(pb::MarkShippedResponse { order }))
    }

    async fn lease_events(
        &self,
        request: Request<pb::LeaseEventsRequest>,
    ) -> Answer<pb::LeaseEventsResponse> {
        let (limit, lease) = validation::lease_events(&request.into_inner())?;
        let delivery = self.outbox.lease(limit, lease).await?;
        Ok(Response::new(delivery.into()))
    }

    async fn acknowledge_event(
        &self,
        request: Request<pb::AcknowledgeEventRequest>,
    ) -> Answer<pb::AcknowledgeEventResponse> {
        let (id, token) = validation::acknowledge_event(&request.into_inner())?;
        self.outbox.acknowledge(id, token).await?;
        Ok(Response::new(pb::AcknowledgeEventResponse {}))
    }

    async fn reject_event(
        &self,
        request: Request<pb::RejectEventRequest>,
    ) -> Answer<pb::RejectEventResponse> {
        let request = request.into_inner();
        let (id, token) = validation::reject_event(&request)?;
        self.outbox
            .reject(id, token, &request.reason, request.poison)
            .await?;
        Ok(Response::new(pb::RejectEventResponse {}))
    }

    async fn extend_lease(
        &self,
        request: Request<pb::ExtendLeaseRequest>,
    ) -> Answer<pb::ExtendLeaseResponse> {
        let (id, token, lease) = validation::extend_lease(&request.into_inner())?;
        let lease_expires_at = Some(timestamp(self.outbox.extend(id, token, lease).await?));
        Ok(Response::new(pb::ExtendLeaseResponse { lease_expires_at }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Answer<pb::ListDeadLettersResponse> {
        let limit = validation::list_dead_letters(&request.into_inner())?;
        let dead_letters = self.outbox.dead_letters(limit).await?;
        let dead_letters = dead_letters.into_iter().map(Into::into).collect();
        Ok(Response::new(pb::ListDeadLettersResponse { dead_letters }))
    }
}

fn page(customer_id: &str, mut orders: Vec<Order>, size: usize) -> pb::ListOrdersResponse {
    let more = orders.len() > size;
    orders.truncate(size);
    let next_page_token = match orders.last() {
        Some(&Order { placed_at, id, .. }) if more => {
            page_token(customer_id, Position { placed_at, id })
        }
        _ => String::new(),
    };
    pb::ListOrdersResponse {
        orders: orders.into_iter().map(Into::into).collect(),
        next_page_token,
    }
}

impl From<Order> for pb::Order {
    fn from(order: Order) -> Self {
        let state = match order.state {
            OrderState::Pending => pb::OrderState::Pending,
            OrderState::Confirmed => pb::OrderState::Confirmed,
            OrderState::Rejected => pb::OrderState::Rejected,
            OrderState::Cancelled => pb::OrderState::Cancelled,
            OrderState::Shipped => pb::OrderState::Shipped,
        };
        let lines = order
            .lines
            .into_iter()
            .map(|line| line_of(line, &order.currency));
        Self {
            id: order.id.to_string(),
            customer_id: order.customer_id,
            state: state.into(),
            lines: lines.collect(),
            total: order.total.map(|total| money(&order.currency, total)),
            currency: order.currency,
            rejection: order.rejection.map(Into::into),
            tracking_code: order.tracking_code.unwrap_or_default(),
            placed_at: Some(timestamp(order.placed_at)),
            updated_at: Some(timestamp(order.updated_at)),
        }
    }
}

fn line_of(line: Line, currency: &str) -> pb::OrderLine {
    let mut converted = pb::OrderLine {
        product_id: line.product_id.to_string(),
        quantity: line.quantity,
        ..Default::default()
    };
    if let Some(offer) = line.offer {
        converted.sku = offer.sku;
        converted.name = offer.name;
        converted.unit_price = Some(money(currency, offer.unit_price));
    }
    converted
}

impl From<Rejection> for pb::Rejection {
    fn from(rejection: Rejection) -> Self {
        Self {
            reason: rejection.reason.as_str().to_owned(),
            product_id: rejection
                .product_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            message: rejection.message,
        }
    }
}

impl From<Delivery> for pb::LeaseEventsResponse {
    fn from(delivery: Delivery) -> Self {
        let convert = |event: LeasedEvent| pb::Event {
            payload: outbox::decode(&event.kind, &event.payload).map(Into::into),
            id: event.id.to_string(),
            attempt: i32::try_from(event.attempt).unwrap_or(i32::MAX),
            lease_token: delivery.token.to_string(),
            lease_expires_at: Some(timestamp(delivery.until)),
            occurred_at: Some(timestamp(event.occurred_at)),
            traceparent: event.traceparent,
        };
        Self {
            events: delivery.events.into_iter().map(convert).collect(),
        }
    }
}

impl From<Event> for pb::event::Payload {
    fn from(event: Event) -> Self {
        let Event::OrderConfirmed { order_id } = event;
        let order_id = order_id.to_string();
        Self::OrderConfirmed(pb::OrderConfirmed { order_id })
    }
}

impl From<DeadLetter> for pb::DeadLetter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            event_id: letter.event_id.to_string(),
            kind: letter.kind,
            order_id: letter.order_id.to_string(),
            attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
            reason: letter.reason,
            died_at: Some(timestamp(letter.died_at)),
        }
    }
}

fn money(currency: &str, minor_units: i64) -> pb::Money {
    pb::Money {
        currency: currency.to_owned(),
        minor_units,
    }
}

fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: at.unix_timestamp(),
        nanos: i32::try_from(at.nanosecond()).expect("is below a billion"),
    }
}
