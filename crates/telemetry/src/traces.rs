//! Spans: made from `tracing`'s, sampled, and exported when there is a collector.

use crate::{Config, Error};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, registry::LookupSpan};

/// Spans that wait for export. Beyond that they are dropped, so that a collector that is away costs no memory.
const QUEUE: usize = 8192;

pub(crate) fn provider(
    config: &Config,
    service: &'static str,
    version: &str,
) -> Result<SdkTracerProvider, Error> {
    let resource = Resource::builder_empty()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", version.to_owned()))
        .build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
        config.trace_sample_ratio,
    )));
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler);
    let Some(endpoint) = config
        .otlp_endpoint
        .as_ref()
        .filter(|endpoint| !endpoint.is_empty())
    else {
        return Ok(provider.build());
    };
    let exporter = OtlpExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(Duration::from_secs(3))
        .build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let processor = BatchSpanProcessor::builder(Reported::new(exporter))
        .with_batch_config(batches)
        .build();
    Ok(provider.with_span_processor(processor).build())
}

/// The bridge from `tracing`. Its filter is its own: fewer log lines must not mean broken traces.
pub(crate) fn layer<S>(
    provider: &SdkTracerProvider,
    service: &'static str,
) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(service))
        .with_location(false)
        .with_target(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(LevelFilter::INFO)
}

/// Logs when export begins to fail and when it works again, not each batch in between.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    failing: AtomicBool,
}

impl<E> Reported<E> {
    fn new(exporter: E) -> Self {
        Self {
            exporter,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        match (
            &result,
            self.failing.swap(result.is_err(), Ordering::Relaxed),
        ) {
            (Err(error), false) => {
                tracing::warn!(%error, "traces are lost until the collector answers");
            }
            (Ok(()), true) => tracing::info!("traces are exported again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogFormat;
    use crate::logs::tests::Lines;
    use opentelemetry::trace::{Span, Tracer};
    use opentelemetry_sdk::error::OTelSdkError;
    use std::time::Instant;

    #[derive(Debug)]
    struct Collector {
        down: AtomicBool,
    }

    impl SpanExporter for Collector {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            match self.down.load(Ordering::Relaxed) {
                true => Err(OTelSdkError::InternalFailure(
                    "connection refused".to_owned(),
                )),
                false => Ok(()),
            }
        }
    }

    #[tokio::test]
    async fn a_collector_that_is_away_is_logged_once_and_so_is_its_return() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(
            tracing_subscriber::fmt()
                .with_writer(lines.writer())
                .finish(),
        );
        let exporter = Reported::new(Collector {
            down: AtomicBool::new(false),
        });
        for down in [false, true, true, true, false, false] {
            exporter.exporter.down.store(down, Ordering::Relaxed);
            let _ = exporter.export(Vec::new()).await;
        }
        let lines = lines.take();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("connection refused") && lines[1].contains("exported again"),
            "{lines:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_collector_that_is_away_holds_nobody_up() {
        let config = Config {
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            otlp_endpoint: Some("http://127.0.0.1:1".to_owned()),
            trace_sample_ratio: 1.0,
        };
        let provider = provider(&config, "shop", "1.2.3").unwrap();
        let begun = Instant::now();
        let tracer = provider.tracer("shop");
        for _ in 0..10 * QUEUE {
            tracer.start("reserve").end();
        }
        let ended = tokio::task::spawn_blocking(move || {
            provider.shutdown_with_timeout(Duration::from_secs(2))
        });
        // Spans were lost, and it may say so.
        let _ = ended.await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
    }
}
