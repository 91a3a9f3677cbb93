//! Constant traffic through the gateway, as clients with connections that they keep send it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{hint::fail, pause::pause};

/// Each sends its requests one after the other, on a connection of its own.
const CLIENTS: u32 = 8;
/// Requests a second of all clients together: more than the 50 that are asked for, so that a moment's delay still leaves
/// that many.
pub(super) const RATE: u32 = 64;
/// One request in so many places an order.
const ORDERS: u64 = 8;

/// Requests that go on until they are stopped.
pub(super) struct Traffic {
    stopped: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
    started: Instant,
    failed: Arc<AtomicU64>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) orders: u64,
    /// Those that got no answer, or one that says that the shop is at fault; the first few in words.
    pub(super) failed: u64,
    words: Vec<String>,
    slowest: Duration,
    seconds: f64,
}

impl Traffic {
    /// Begins to send requests to the shop at this address, which sells this product.
    pub(super) fn start(base_url: &str, product: &str) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(AtomicU64::new(0));
        let client = |number: u32| {
            let client = Client {
                number,
                base_url: base_url.to_owned(),
                product: product.to_owned(),
                stopped: Arc::clone(&stopped),
                failed: Arc::clone(&failed),
            };
            std::thread::spawn(move || client.run())
        };
        Self {
            clients: (0..CLIENTS).map(client).collect(),
            started: Instant::now(),
            stopped,
            failed,
        }
    }

    /// How many requests have failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends the traffic.
    pub(super) fn stop(self) -> Tally {
        self.stopped.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("no client panics");
            all.requests += tally.requests;
            all.orders += tally.orders;
            all.failed += tally.failed;
            all.words.extend(tally.words);
            all.slowest = all.slowest.max(tally.slowest);
        }
        all.seconds = self.started.elapsed().as_secs_f64();
        all
    }
}

impl Tally {
    /// Fails if a request failed, or if there were too few to say so.
    pub(super) fn without_failure(self) -> anyhow::Result<String> {
        let rate = self.requests as f64 / self.seconds;
        if self.failed > 0 {
            return fail(
                format!(
                    "{} of {} requests failed, such as: {}",
                    self.failed,
                    self.requests,
                    self.words.join("; ")
                ),
                "everything is left as it is, to be looked at",
            );
        }
        if rate < 50.0 {
            return fail(
                format!("only {rate:.0} requests a second were answered"),
                "this machine is too slow or too busy for at least 50",
            );
        }
        Ok(self.summary())
    }

    /// For people.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} requests ({} orders), {:.0} a second, {} failed, the slowest {:.2} s",
            self.requests,
            self.orders,
            self.requests as f64 / self.seconds,
            self.failed,
            self.slowest.as_secs_f64()
        )
    }
}

struct Client {
    number: u32,
    base_url: String,
    product: String,
    stopped: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
}

impl Client {
    fn run(self) -> Tally {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(15)))
            .http_status_as_error(false)
            .build()
            .into();
        let interval = Duration::from_secs(1) * CLIENTS / RATE;
        let mut tally = Tally::default();
        // Spread over the interval, not all at once.
        let mut next = Instant::now() + interval * self.number / CLIENTS;
        while !self.stopped.load(Ordering::Relaxed) {
            pause(next.saturating_duration_since(Instant::now()));
            // Whoever is late does not catch up in a burst.
            next = Instant::now().max(next + interval);
            let is_order = tally.requests % ORDERS == u64::from(self.number);
            let begun = Instant::now();
            let answer = if is_order {
                tally.orders += 1;
                self.order(&agent, tally.requests)
            } else {
                self.look(&agent)
            };
            tally.requests += 1;
            tally.slowest = tally.slowest.max(begun.elapsed());
            if let Err(words) = answer {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tally.failed += 1;
                if tally.words.len() < 3 {
                    tally.words.push(words);
                }
            }
        }
        tally
    }

    fn look(&self, agent: &ureq::Agent) -> Result<(), String> {
        judge(
            agent
                .get(format!("{}/api/v1/products", self.base_url))
                .call(),
        )
    }

    fn order(&self, agent: &ureq::Agent, number: u64) -> Result<(), String> {
        let order = serde_json::json!({
            "customer_id": format!("e2e-{}", self.number),
            "currency": "EUR",
            "lines": [{"product_id": self.product, "quantity": 1}],
        });
        let key = format!("e2e-{}-{}-{number}", std::process::id(), fastrand::u64(..));
        judge(
            agent
                .post(format!("{}/api/v1/orders", self.base_url))
                .header("idempotency-key", key)
                .header("content-type", "application/json")
                .send(order.to_string()),
        )
    }
}

/// Out of stock is an answer; anything else that is no success is a failure.
fn judge(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(), String> {
    let mut answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    // Read to its end, or the connection is not used again.
    let body = answer
        .body_mut()
        .read_to_string()
        .map_err(|error| error.to_string())?;
    if status.is_success() || status == ureq::http::StatusCode::CONFLICT {
        return Ok(());
    }
    Err(format!("{status}: {}", body.trim()))
}
