//! Log lines, each with the trace that it belongs to.

use crate::{Config, Error, LogFormat};
use opentelemetry::{Context, trace::TraceContextExt};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::{EnvFilter, Layer, registry::LookupSpan};

pub(crate) fn layer<S, W>(
    config: &Config,
    writer: W,
    colour: bool,
) -> Result<impl Layer<S> + use<S, W>, Error>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colour);
    let lines = match config.log_format {
        LogFormat::Text => lines
            .map_event_format(|format| WithIds {
                format: format.with_ansi(colour),
                json: false,
            })
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .map_event_format(|format| WithIds { format, json: true })
            .boxed(),
    };
    Ok(lines.with_filter(EnvFilter::try_new(&config.log_filter)?))
}

/// Logs panics like everything else, instead of as several lines of text on stderr.
pub(crate) fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        tracing::error!(
            reason = panic.payload_as_str().unwrap_or("no text"),
            location = panic.location().map(tracing::field::display),
            backtrace = backtrace.as_ref().map(tracing::field::display),
            "panicked"
        );
    }));
}

/// Adds the current span's ids to the line that `format` writes: `... trace_id=... span_id=...`, or two JSON fields.
struct WithIds<F> {
    format: F,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end();
        let current = Context::current();
        let span = current.span().span_context().clone();
        if !span.is_valid() {
            return writeln!(writer, "{line}");
        }
        let (trace, span) = (span.trace_id(), span.span_id());
        match line.strip_suffix('}').filter(|_| self.json) {
            Some(object) => writeln!(
                writer,
                r#"{object},"trace_id":"{trace}","span_id":"{span}"}}"#
            ),
            None => writeln!(writer, "{line} trace_id={trace} span_id={span}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::traces;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::{info, info_span, subscriber::DefaultGuard};
    use tracing_subscriber::layer::SubscriberExt;

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn writer(&self) -> impl Fn() -> Self + Send + Sync + use<> {
            let lines = self.clone();
            move || lines.clone()
        }

        pub(crate) fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Telemetry without a collector, for this thread.
    pub(crate) fn installed(
        log_format: LogFormat,
        log_filter: &str,
    ) -> (Lines, DefaultGuard, SdkTracerProvider) {
        let config = Config {
            log_format,
            log_filter: log_filter.to_owned(),
            otlp_endpoint: None,
            trace_sample_ratio: 0.0,
        };
        let lines = Lines::default();
        let traces = traces::provider(&config, "shop", "1.2.3").unwrap();
        let logs = layer(&config, lines.writer(), false).unwrap();
        let subscriber = tracing_subscriber::registry()
            .with(logs)
            .with(traces::layer(&traces, "shop"));
        (lines, tracing::subscriber::set_default(subscriber), traces)
    }

    fn ids_of(span: &tracing::Span) -> (String, String) {
        let traceparent = crate::propagation::traceparent(span);
        let parts: Vec<_> = traceparent.split('-').collect();
        (parts[1].to_owned(), parts[2].to_owned())
    }

    #[test]
    fn json_lines_carry_fields_and_ids() {
        let (lines, _guard, _traces) = installed(LogFormat::Json, "info");
        let span = info_span!("reserve", order = "4711");
        span.in_scope(|| info!(lines = 3, text = "a \"quoted\"\nword", "reserved"));
        info!("outside");

        let lines = lines.take();
        let inside: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        let (trace_id, span_id) = ids_of(&span);
        assert_eq!(inside["message"], "reserved");
        assert_eq!(inside["text"], "a \"quoted\"\nword");
        assert_eq!(inside["lines"], 3);
        assert_eq!(inside["spans"][0]["order"], "4711");
        assert_eq!(
            (
                inside["trace_id"].as_str().unwrap(),
                inside["span_id"].as_str().unwrap()
            ),
            (&*trace_id, &*span_id)
        );
        let outside: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
        assert_eq!(outside["message"], "outside");
        assert!(outside.get("trace_id").is_none());
    }

    #[test]
    fn text_lines_carry_fields_and_ids() {
        let (lines, _guard, _traces) = installed(LogFormat::Text, "info");
        let span = info_span!("reserve", order = "4711");
        span.in_scope(|| info!(lines = 3, "reserved"));
        info!("outside");

        let lines = lines.take();
        let (trace_id, span_id) = ids_of(&span);
        let end = format!("reserved lines=3 trace_id={trace_id} span_id={span_id}");
        assert!(
            lines[0].contains("reserve{order=\"4711\"}") && lines[0].ends_with(&end),
            "{}",
            lines[0]
        );
        assert!(lines[1].ends_with("outside"), "{}", lines[1]);
    }

    #[test]
    fn ids_do_not_depend_on_the_filter() {
        let (lines, _guard, _traces) = installed(LogFormat::Text, "warn");
        let span = info_span!("reserve");
        span.in_scope(|| {
            info!("not written");
            tracing::warn!("written");
        });
        let lines = lines.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(&format!("trace_id={}", ids_of(&span).0)),
            "{}",
            lines[0]
        );
    }
}
