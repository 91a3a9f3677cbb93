//! Logs, traces and metrics of a service: installed once by its `main`, flushed at its end.
//!
//! - Logs go to stdout, as text or JSON, each line with the `trace_id` and `span_id` that it belongs to.
//! - Traces are `tracing` spans of level `INFO` and above, exported by OTLP over gRPC when an endpoint is set. Without
//!   one, ids are made and [propagated](propagation) all the same, so that logs of several services can be joined.
//! - Metrics are those of the `metrics` macros, rendered in Prometheus' text format. Histograms whose name ends in
//!   `_seconds` share one set of buckets.
//!
//! Tests need none of it: without [`init`], the macros of `tracing` and `metrics` do nothing.
//!
//! ```
//! # #[derive(clap::Parser)] struct Settings { #[command(flatten)] telemetry: telemetry::Config }
//! # let config = <Settings as clap::Parser>::parse_from(["catalog"]).telemetry;
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let telemetry = telemetry::init(&config, "catalog", "1.4.2", "0a1b2c3")?;
//! let metrics = telemetry.metrics(); // for the admin port's /metrics
//!
//! let span = tracing::info_span!("reserve");
//! span.in_scope(|| tracing::info!(order = "4711", "reserved")); // the line carries trace_id and span_id
//! assert!(telemetry::propagation::traceparent(&span).starts_with("00-"));
//!
//! metrics::counter!("reservations_total").increment(1);
//! assert!(metrics().contains("reservations_total 1"));
//! telemetry.shutdown().await;
//! # Ok::<(), telemetry::Error>(())
//! # }).unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod logs;
mod metrics;
pub mod propagation;
mod traces;

pub use config::{Config, LogFormat};

use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::task::{JoinSet, spawn_blocking};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter is not one.
    #[error(
        "--log-filter (RUST_LOG): {0}; hint: takes levels by module, for example info,sqlx=warn"
    )]
    Filter(#[from] ParseError),
    /// The collector's address is not one that can be spoken to.
    #[error(
        "--otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT): {0}; hint: takes a URL, for example http://collector:4317"
    )]
    Endpoint(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Logs, traces and metrics belong to the process, and are installed once.
    #[error("telemetry is already installed in this process")]
    Installed,
}

/// The process's telemetry.
#[derive(Debug)]
#[must_use = "dropping it stops the metrics' upkeep, and loses the spans that were not yet exported"]
pub struct Telemetry {
    recorder: PrometheusHandle,
    traces: SdkTracerProvider,
    _upkeep: JoinSet<()>,
}

/// Installs logs, traces and metrics for the whole process: to be called once, in `main`, within the runtime.
///
/// # Errors
/// When the filter or the endpoint is wrong, or telemetry is installed already.
pub fn init(
    config: &Config,
    service: &'static str,
    version: &str,
    revision: &str,
) -> Result<Telemetry, Error> {
    let traces = traces::provider(config, service, version)?;
    let logs = logs::layer(config, std::io::stdout, std::io::stdout().is_terminal())?;
    let subscriber = tracing_subscriber::registry()
        .with(logs)
        .with(traces::layer(&traces, service));
    subscriber.try_init().map_err(|_| Error::Installed)?;
    logs::panics();
    let recorder = metrics::install()?;
    metrics::describe(service, version, revision);
    Ok(Telemetry {
        _upkeep: metrics::upkeep(recorder.clone()),
        recorder,
        traces,
    })
}

impl Telemetry {
    /// Renders all metrics in Prometheus' text format, for `/metrics`.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + Clone + 'static {
        metrics::renderer(self.recorder.clone())
    }

    /// Exports the spans that are left, for two seconds at most, and stops the metrics' upkeep.
    pub async fn shutdown(self) {
        let flush = move || self.traces.shutdown_with_timeout(Duration::from_secs(2));
        match spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(error) => tracing::warn!(%error, "the last spans were not exported"),
        }
    }
}
