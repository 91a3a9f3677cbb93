//! The gateway's metrics: names, units and meanings.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

const REQUEST_DURATION: &str = "http_server_request_duration_seconds";
const ACTIVE_REQUESTS: &str = "http_server_active_requests";
const SHED_REQUESTS: &str = "http_server_shed_requests_total";
const EVENT_STREAMS: &str = "gateway_event_streams";

/// Tells the recorder what the metrics mean.
pub fn describe() {
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Time from a request's head to its answer's head, by method, route and status."
    );
    describe_gauge!(ACTIVE_REQUESTS, Unit::Count, "Requests being answered.");
    describe_counter!(
        SHED_REQUESTS,
        Unit::Count,
        "Requests refused with 503 because too many were being answered."
    );
    describe_gauge!(EVENT_STREAMS, Unit::Count, "Open streams of order events.");
    // A rate needs the zero before the first event.
    counter!(SHED_REQUESTS).increment(0);
}

/// Notes an answer. Each histogram is looked up in the recorder once.
pub fn answered(method: &'static str, route: &str, status: StatusCode, took: Duration) {
    type Series = HashMap<(&'static str, StatusCode), Histogram>;
    static ROUTES: Mutex<BTreeMap<String, Series>> = Mutex::new(BTreeMap::new());

    let mut routes = ROUTES.lock().unwrap_or_else(PoisonError::into_inner);
    if !routes.contains_key(route) {
        routes.insert(route.to_owned(), Series::new());
    }
    let Some(series) = routes.get_mut(route) else {
        return;
    };
    let histogram = series.entry((method, status)).or_insert_with(|| {
        let (route, status) = (route.to_owned(), status.as_str().to_owned());
        histogram!(REQUEST_DURATION, "method" => method, "route" => route, "status" => status)
    });
    histogram.record(took.as_secs_f64());
}

/// Notes a request that was refused for want of room.
pub fn shed() {
    static SHED: LazyLock<Counter> = LazyLock::new(|| counter!(SHED_REQUESTS));
    SHED.increment(1);
}

/// Counts something for as long as it lives.
pub struct Active(&'static Gauge);

impl Active {
    /// A request being answered.
    #[must_use]
    pub fn request() -> Self {
        static REQUESTS: LazyLock<Gauge> = LazyLock::new(|| gauge!(ACTIVE_REQUESTS));
        Self::enter(&REQUESTS)
    }

    /// An open stream of events.
    #[must_use]
    pub fn stream() -> Self {
        static STREAMS: LazyLock<Gauge> = LazyLock::new(|| gauge!(EVENT_STREAMS));
        Self::enter(&STREAMS)
    }

    fn enter(gauge: &'static Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
