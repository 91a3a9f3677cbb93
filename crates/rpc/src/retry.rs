//! Retries of calls that may be repeated.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{
    retry::budget::{Budget, TpsBudget},
    util::rng::{HasherRng, Rng},
};

use crate::{client::Config, deadline, metrics};

/// Over which time the budget compares retries with calls.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// Retries a second that are always in the budget, since ten percent of a quiet client's calls
/// is none.
const BUDGET_MINIMUM: u32 = 1;

/// Repeats calls that failed in passing. Only for idempotent calls: an attempt that failed may have
/// been executed all the same.
///
/// After UNAVAILABLE, RESOURCE_EXHAUSTED or an attempt's DEADLINE_EXCEEDED it waits a random part
/// of a growing pause ([full jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/))
/// and tries again, until the attempts or the total time are used up. Clones share one budget: when
/// a target fails for long, retries stay at a tenth of the traffic and don't keep it down.
///
/// ```no_run
/// # use proto::catalog::v1::{GetProductRequest, catalog_service_client::CatalogServiceClient};
/// # use rpc::client::{Channel, Retry};
/// # async fn f(client: CatalogServiceClient<Channel>, retry: Retry) -> Result<(), tonic::Status> {
/// let request = GetProductRequest { id: "0198".into() };
/// let response = retry
///     .call(|| {
///         let (mut client, request) = (client.clone(), request.clone());
///         async move { client.get_product(request).await }
///     })
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    target: &'static str,
    config: Config,
    budget: Arc<TpsBudget>,
}

impl Retry {
    /// Retries of calls to `target`, by which its metrics are labelled.
    ///
    /// # Panics
    /// When the configured ratio is negative or over 1,000.
    pub fn new(target: &'static str, config: &Config) -> Self {
        metrics::describe();
        let budget = TpsBudget::new(BUDGET_WINDOW, BUDGET_MINIMUM, config.retry_ratio);
        Self {
            target,
            config: config.clone(),
            budget: Arc::new(budget),
        }
    }

    /// Makes a call, and repeats it while that can help.
    ///
    /// # Errors
    /// The last attempt's status.
    pub async fn call<T, F, A>(&self, attempt: F) -> Result<T, Status>
    where
        F: FnMut() -> A,
        A: Future<Output = Result<T, Status>>,
    {
        let total =
            deadline::remaining().map_or(self.config.total, |left| left.min(self.config.total));
        let deadline = Instant::now() + total;
        deadline::scope(deadline, self.attempts(deadline, attempt)).await
    }

    async fn attempts<T, F, A>(&self, deadline: Instant, mut attempt: F) -> Result<T, Status>
    where
        F: FnMut() -> A,
        A: Future<Output = Result<T, Status>>,
    {
        self.budget.deposit();
        let mut made = 0;
        loop {
            let status = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            made += 1;
            let pause = self.pause(made);
            let can_help = matches!(
                status.code(),
                Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded
            );
            if !can_help || made >= self.config.max_attempts || Instant::now() + pause >= deadline {
                return Err(status);
            }
            if !self.budget.withdraw() {
                metrics::retry_budget_exhausted(self.target);
                return Err(status);
            }
            metrics::retried(self.target);
            tracing::debug!(target = self.target, code = ?status.code(), message = status.message(), "retrying");
            tokio::time::sleep(pause).await;
        }
    }

    /// The pause after so many attempts: anything from none to twice the bound of the pause before.
    fn pause(&self, made: u32) -> Duration {
        let bound = self.config.backoff_base.saturating_mul(1 << made.min(16));
        bound
            .min(self.config.backoff_limit)
            .mul_f64(HasherRng::new().next_f64())
    }
}
