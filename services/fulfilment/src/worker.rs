//! The loop: leases as many events as there is room for, and works on each in a task of its own.

use std::{sync::Arc, time::Duration};

use proto::orders::v1::Event;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    metrics,
    orders::Lease,
    shipping::{Failure, Shipping},
};

/// The longest pause between two looks for events, while the orders service is away.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Leases events and has them shipped.
pub(crate) struct Worker {
    pub(crate) shipping: Arc<Shipping>,
    /// How many events are worked on at once.
    pub(crate) concurrency: usize,
    /// How often to look for events while there are none.
    pub(crate) poll_interval: Duration,
    /// Where the events' tasks live: the drain waits for them.
    pub(crate) tasks: TaskTracker,
    pub(crate) draining: CancellationToken,
}

impl Worker {
    /// Works until the drain.
    pub(crate) async fn run(self) {
        let room = Arc::new(Semaphore::new(self.concurrency));
        let mut failures = 0;
        loop {
            let acquired = tokio::select! {
                acquired = Arc::clone(&room).acquire_owned() => acquired,
                () = self.draining.cancelled() => return,
            };
            drop(acquired.expect("the semaphore is never closed"));
            // Only this loop takes room, so there is at least this much of it.
            let limit = i32::try_from(room.available_permits().min(100)).unwrap_or(100);
            let pause = match self.shipping.orders.lease(limit, self.shipping.lease).await {
                Ok(events) => {
                    failures = 0;
                    let idle = events.is_empty();
                    for event in events {
                        self.start(event, &room);
                    }
                    if idle {
                        self.poll_interval
                    } else {
                        Duration::ZERO
                    }
                }
                Err(status) => {
                    if failures == 0 {
                        tracing::warn!(code = ?status.code(), message = status.message(), "cannot lease events");
                    }
                    failures += 1;
                    MAX_PAUSE.min(self.poll_interval * (1 << failures.min(8)))
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.draining.cancelled() => return,
            }
        }
    }

    fn start(&self, event: Event, room: &Arc<Semaphore>) {
        let place = Arc::clone(room).try_acquire_owned();
        let place = place.expect("no more events are leased than there is room for");
        let shipping = Arc::clone(&self.shipping);
        let draining = self.draining.clone();
        // https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
        let span = tracing::info_span!(
            "process OrderConfirmed",
            otel.kind = "consumer",
            messaging.operation.type = "process",
            messaging.message.id = event.id,
            attempt = event.attempt,
        );
        telemetry::propagation::set_parent(&span, &event.traceparent);
        let work = async move {
            let started = Instant::now();
            let outcome = work(&shipping, &event, &draining).await;
            metrics::event(outcome, started.elapsed());
            drop(place);
        };
        self.tasks.spawn(work.instrument(span));
    }
}

/// Handles the event and gives it back when it could not be done. Returns what became of it.
async fn work(shipping: &Shipping, event: &Event, draining: &CancellationToken) -> &'static str {
    let failure = match shipping.handle(event, draining).await {
        Ok(state) => {
            tracing::info!(state = state.as_str(), "event done");
            return state.as_str();
        }
        Err(failure) => failure,
    };
    let (outcome, poison) = match &failure {
        Failure::LeaseLost => {
            tracing::warn!("{failure}");
            return "lease_lost";
        }
        Failure::Draining => ("given_back", false),
        Failure::Poison(_) => ("poison", true),
        Failure::Store(_) | Failure::Orders(_) => ("failed", false),
    };
    if !matches!(failure, Failure::Draining) {
        tracing::warn!(event_id = event.id, poison, "event failed: {failure}");
    }
    let lease = Lease {
        event_id: &event.id,
        token: &event.lease_token,
    };
    if let Err(status) = shipping
        .orders
        .reject(lease, &failure.to_string(), poison)
        .await
    {
        // It comes again when its lease ends.
        tracing::warn!(message = status.message(), "cannot give the event back");
    }
    outcome
}
