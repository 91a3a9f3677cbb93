//! The saga: an order and its stock change in two services, one step after the other.
//!
//! A change of state decides, in one transaction that also notes what the catalog must be told. The
//! catalog is told afterwards, as often as it takes: its calls are idempotent by order id, and what
//! one replica leaves undone another's recovery loop finishes. Whoever comes too late to change a
//! state finds the order as the winner left it.

use std::{sync::Arc, time::Duration};

use tracing::Span;
use uuid::Uuid;

use crate::{
    Clock,
    catalog::{Catalog, Failure, Reserved},
    domain::{Event, Order, OrderState, SagaStep},
    error::Error,
    metrics, outbox,
    store::{NewEvent, Store},
};

/// What the use cases work with.
#[derive(Clone)]
pub(crate) struct Saga {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    /// How long a request has for its own step before the recovery loop takes it up.
    pub(crate) grace: Duration,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The catalog has answered, and the order is changed accordingly.
    Done,
    /// Someone else has changed the order meanwhile.
    Overtaken,
    /// No clear answer: it may have happened or not.
    Unanswered,
    /// The catalog said what it may not say to this order; somebody has to look.
    Refused,
}

impl Saga {
    /// The order with this id.
    pub(crate) async fn find(&self, id: Uuid) -> Result<Order, Error> {
        let order = self.store.order(id).await?;
        order.ok_or(Error::OrderNotFound(id))
    }

    /// Writes a changed order if the stored one is still in the state `from`.
    pub(crate) async fn save(
        &self,
        from: OrderState,
        order: &Order,
        event: Option<&NewEvent>,
    ) -> Result<bool, Error> {
        let saved = self.store.save(from, order, event).await?;
        if saved {
            metrics::moved(from, order.state);
        }
        Ok(saved)
    }

    /// Tries the order's open step once. Never fails: the order is stored, so that what goes wrong
    /// is only late.
    pub(crate) async fn try_step(&self, order: Order) -> Order {
        match self.advance(order.clone()).await {
            Ok((order, _)) => order,
            Err(error) => {
                tracing::warn!(order.id = %order.id, %error, "step left to the recovery loop");
                order
            }
        }
    }

    /// Tells the catalog what the order's open step says, and the order what the catalog said.
    pub(crate) async fn advance(&self, mut order: Order) -> Result<(Order, Outcome), Error> {
        let Some(step) = order.next.map(|next| next.step) else {
            return Ok((order, Outcome::Done));
        };
        let told = match step {
            SagaStep::Reserve => return self.reserve(order).await,
            SagaStep::Release => self.catalog.release(order.id).await,
            SagaStep::Commit => self.catalog.commit(order.id).await,
        };
        if let Err(failure) = told {
            let outcome = not_done(&order, &failure);
            return Ok((order, outcome));
        }
        self.store.move_step(order.id, step, None).await?;
        order.close_step();
        Ok((order, Outcome::Done))
    }

    async fn reserve(&self, mut order: Order) -> Result<(Order, Outcome), Error> {
        let answer = self.catalog.reserve(&order).await;
        let (from, now) = (order.state, (self.clock)());
        let legal = match answer {
            Ok(Reserved::Held(offers)) => order.confirm(offers, now),
            Ok(Reserved::Impossible(rejection)) => order.reject(rejection, now),
            // Who released it has changed the order's state before.
            Ok(Reserved::Closed) => return self.overtaken(order.id).await,
            Err(failure) => {
                let outcome = not_done(&order, &failure);
                return Ok((order, outcome));
            }
        };
        let event = (order.state == OrderState::Confirmed).then(|| {
            let confirmed = Event::OrderConfirmed { order_id: order.id };
            let traceparent = telemetry::propagation::traceparent(&Span::current());
            outbox::encode(&confirmed, traceparent, now)
        });
        if legal.is_ok() && self.save(from, &order, event.as_ref()).await? {
            return Ok((order, Outcome::Done));
        }
        self.overtaken(order.id).await
    }

    /// The order as somebody else has left it.
    async fn overtaken(&self, id: Uuid) -> Result<(Order, Outcome), Error> {
        let order = self.find(id).await?;
        if order.state == OrderState::Pending {
            tracing::error!(order.id = %id, "the reservation of a pending order was released by hand");
            return Ok((order, Outcome::Refused));
        }
        Ok((order, Outcome::Overtaken))
    }
}

fn not_done(order: &Order, failure: &Failure) -> Outcome {
    let step = order.next.map(|next| next.step.as_str());
    match failure {
        Failure::Unanswered(status) => {
            let (code, reason) = (status.code(), status.message());
            tracing::warn!(order.id = %order.id, step, ?code, reason, "no clear answer from the catalog");
            Outcome::Unanswered
        }
        Failure::Refused(status) => {
            let (code, reason) = (status.code(), status.message());
            tracing::error!(order.id = %order.id, step, ?code, reason, "the catalog refuses");
            Outcome::Refused
        }
    }
}
