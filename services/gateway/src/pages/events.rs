//! `GET /orders/{id}/events`: an order's state as server-sent events, for the page that shows it.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::Visit;
use super::orders::{names, own, status};
use super::view::OrderStatusFragment;
use crate::api::Id;
use crate::app::Shared;
use crate::domain::{Order, OrderState};
use crate::metrics::Active;
use crate::problem::{Kind, Problem};

/// After this time the browser comes back by itself, with fresh cookies and perhaps to another replica.
const LONGEST: Duration = Duration::from_secs(600);
/// Proxies close what is silent for long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// While the order service is down, it is not asked as often.
const PAUSE: Duration = Duration::from_secs(5);

/// The event stream of the visitor's own order. Each `order` event has the status as HTML; `end` says
/// that nothing will change any more.
pub(super) async fn follow(
    State(shop): State<Shared>,
    visit: Visit,
    id: Result<Id, Problem>,
) -> Result<Response, Problem> {
    let order = own(&shop, &visit, id).await?;
    let room = shop.streams.clone().try_acquire_owned();
    let room = room.map_err(|_| Kind::Overloaded)?;
    let mut looks = interval(shop.limits.event_interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let draining = shop.draining.clone();
    let over = async move {
        tokio::select! {
            () = draining.cancelled() => {}
            () = sleep(LONGEST) => {}
        }
    };
    let watch = Watch {
        id: order.id,
        shop,
        looks,
        shown: None,
        ended: false,
        _room: room,
        _active: Active::stream(),
    };
    let events = unfold(watch, Watch::next).map(Ok::<_, Infallible>);
    let sse = Sse::new(Box::pin(events.take_until(Box::pin(over))))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // nginx would hold events back until its buffer is full.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
    Ok(([unbuffered, (header::CACHE_CONTROL, "no-store")], sse).into_response())
}

struct Watch {
    shop: Shared,
    id: Uuid,
    looks: Interval,
    shown: Option<OrderState>,
    ended: bool,
    _room: OwnedSemaphorePermit,
    _active: Active,
}

impl Watch {
    /// Waits for the order's next state.
    async fn next(mut self) -> Option<(Event, Self)> {
        if self.ended {
            return None;
        }
        if self.shown.is_some_and(OrderState::is_final) {
            self.ended = true;
            return Some((Event::default().event("end").data("final"), self));
        }
        loop {
            self.looks.tick().await;
            // A stream outlives its request's deadline; each look has one of its own.
            let deadline = Instant::now() + self.shop.limits.request_deadline;
            match rpc::deadline::scope(deadline, self.look()).await {
                Ok(Some(event)) => return Some((event, self)),
                Ok(None) => {}
                Err(problem) if problem.kind == Kind::OrdersUnavailable => {
                    self.looks.reset_after(PAUSE);
                }
                Err(_) => return None,
            }
        }
    }

    async fn look(&mut self) -> Result<Option<Event>, Problem> {
        let order = self.shop.backends.order(self.id).await?;
        if self.shown == Some(order.state) {
            return Ok(None);
        }
        let event = self.event(&order).await;
        self.shown = Some(order.state);
        Ok(Some(event))
    }

    async fn event(&self, order: &Order) -> Event {
        let products = names(&self.shop, order).await;
        let fragment = OrderStatusFragment {
            status: status(order, &products),
        };
        let event = Event::default().event("order");
        match fragment.render() {
            Ok(html) => event.data(html),
            Err(error) => {
                tracing::error!(%error, "a fragment cannot be rendered");
                event
            }
        }
    }
}
