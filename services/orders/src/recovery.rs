//! The recovery loop: finishes the steps that requests have left undone. Every replica runs it; a
//! due step is claimed by one of them.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    backoff,
    domain::Order,
    error::Error,
    metrics,
    saga::{Outcome, Saga},
};

/// How many steps are under way at once.
const BATCH: u32 = 16;
/// For how long a claimed step is nobody else's: longer than the catalog's client takes at most.
const CLAIM: Duration = Duration::from_secs(10);
/// How long a customer waits at most for a catalog that is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Looks for due steps about every `interval` until `draining`; then finishes those it has begun.
pub(crate) async fn run(saga: Saga, interval: Duration, draining: CancellationToken) {
    let mut failing = false;
    loop {
        let pause = sleep(interval.mul_f64(0.75 + fastrand::f64() / 2.0));
        if draining.run_until_cancelled(pause).await.is_none() {
            return;
        }
        match saga.recover(&draining).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "recovery cannot look for due steps");
            }
            Err(_) => {}
        }
    }
}

impl Saga {
    /// Performs what is due, batch after batch while the catalog answers.
    async fn recover(&self, draining: &CancellationToken) -> Result<(), Error> {
        while !draining.is_cancelled() {
            let now = (self.clock)();
            let orders = self.store.claim_steps(now, now + CLAIM, BATCH).await?;
            let full = orders.len() == BATCH as usize;
            let mut steps = JoinSet::new();
            for order in orders {
                let saga = self.clone();
                steps.spawn(async move { saga.recover_step(order).await });
            }
            let mut answered = false;
            while let Some(step) = steps.join_next().await {
                match step {
                    Ok(out_of_the_way) => answered |= out_of_the_way,
                    Err(panic) => tracing::error!(error = %panic, "a step panicked"),
                }
            }
            if !(full && answered) {
                break;
            }
        }
        Ok(())
    }

    /// Tries one step; true when it is out of the way, else it is due again after a pause.
    async fn recover_step(&self, order: Order) -> bool {
        let Some(next) = order.next else {
            return true;
        };
        let (id, step) = (order.id, next.step);
        let span = tracing::info_span!(
            "recovery.step", order.id = %id, step = step.as_str(), attempt = next.attempts,
        );
        telemetry::propagation::set_parent(&span, &order.traceparent);
        let work = async {
            let outcome = match self.advance(order).await {
                Ok((_, outcome)) => outcome,
                Err(error) => {
                    tracing::warn!(%error, "step not recorded");
                    Outcome::Unanswered
                }
            };
            metrics::recovered(step, outcome);
            let out_of_the_way = matches!(outcome, Outcome::Done | Outcome::Overtaken);
            if !out_of_the_way {
                let due = (self.clock)() + backoff::pause(next.attempts, LONGEST_PAUSE);
                // Otherwise it is due when the claim ends.
                if let Err(error) = self.store.move_step(id, step, Some(due)).await {
                    tracing::warn!(%error, "step not postponed");
                }
            }
            out_of_the_way
        };
        work.instrument(span).await
    }
}
