//! [W3C trace context](https://www.w3.org/TR/trace-context/) between processes, and through stored events.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// Puts the span's `traceparent` and `tracestate` into a request's headers. Without [`init`](crate::init), nothing.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Headers(headers));
}

/// The caller's context in a request's headers; an empty one when there is none or it is malformed.
pub fn parent_from(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

/// The span's `traceparent`, to be stored with an event. Empty without [`init`](crate::init).
pub fn traceparent(span: &Span) -> String {
    let mut headers = HeaderMap::new();
    inject(span, &mut headers);
    let value = headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

/// Makes the span, which must not have been entered yet, a child of a stored `traceparent`. One that is malformed or
/// empty is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Ok(value) = HeaderValue::from_str(traceparent) else {
        return;
    };
    let headers = HeaderMap::from_iter([(HeaderName::from_static(TRACEPARENT), value)]);
    // Fails without `init`, when the span is disabled, or was entered: then it stands alone, which harms nobody.
    let _ = span.set_parent(parent_from(&headers));
}

struct Headers<H>(H);

impl Injector for Headers<&mut HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        // An absent tracestate comes as an empty one.
        if let (false, Ok(name), Ok(value)) = (
            value.is_empty(),
            key.parse::<HeaderName>(),
            HeaderValue::try_from(value),
        ) {
            self.0.insert(name, value);
        }
    }
}

impl Extractor for Headers<&HeaderMap> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogFormat;
    use crate::logs::tests::installed;
    use tracing::info_span;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callee_continues_the_callers_trace() {
        let (_lines, _guard, _traces) = installed(LogFormat::Text, "info");
        let mut headers = HeaderMap::new();
        inject(&info_span!("caller"), &mut headers);
        let sent = headers[TRACEPARENT].to_str().unwrap().to_owned();
        assert!(!headers.contains_key("tracestate"));

        let callee = info_span!("callee");
        callee.set_parent(parent_from(&headers)).unwrap();
        let received = traceparent(&callee);
        assert_eq!(received[..35], sent[..35], "the same trace");
        assert_ne!(received, sent, "another span");
    }

    #[test]
    fn a_stored_traceparent_continues_its_trace_and_sampling() {
        let (_lines, _guard, _traces) = installed(LogFormat::Text, "info");
        let span = info_span!("delivery");
        set_parent(&span, CALLER);
        let continued = traceparent(&span);
        assert_eq!(continued[..35], CALLER[..35]);
        assert!(
            continued.ends_with("-01"),
            "sampled, though the ratio here is 0: {continued}"
        );
    }

    #[test]
    fn tracestate_travels_along() {
        let (_lines, _guard, _traces) = installed(LogFormat::Text, "info");
        let incoming = [(TRACEPARENT, CALLER), ("tracestate", "vendor=1")];
        let incoming = incoming.map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let span = info_span!("call");
        span.set_parent(parent_from(&HeaderMap::from_iter(incoming)))
            .unwrap();
        let mut outgoing = HeaderMap::new();
        inject(&span, &mut outgoing);
        assert_eq!(outgoing["tracestate"], "vendor=1");
    }

    #[test]
    fn a_malformed_traceparent_begins_a_new_trace() {
        let (_lines, _guard, _traces) = installed(LogFormat::Text, "info");
        let zeros = CALLER.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        let version = CALLER.replacen("00-", "ff-", 1);
        for malformed in [
            "",
            "00",
            "00-xyz-b7ad6b7169203331-01",
            "\n",
            "ü",
            &zeros,
            &version,
            &CALLER[..50],
        ] {
            let span = info_span!("delivery");
            set_parent(&span, malformed);
            let own = traceparent(&span);
            assert_eq!(own.len(), 55, "{malformed:?} gave {own:?}");
            assert_ne!(own[3..35], CALLER[3..35], "{malformed:?}");
            assert_ne!(own[3..35], zeros[3..35], "{malformed:?}");
        }
    }

    #[test]
    fn nothing_is_sent_without_a_tracer() {
        let span = info_span!("caller");
        let mut headers = HeaderMap::new();
        inject(&span, &mut headers);
        assert!(headers.is_empty());
        assert_eq!(traceparent(&span), "");
        set_parent(&span, CALLER);
    }
}
