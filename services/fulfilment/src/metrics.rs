//! The worker's metrics: names, units and descriptions in one place.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const EVENTS: &str = "fulfilment_events_total";
const DURATION: &str = "fulfilment_event_duration_seconds";

/// Registers the descriptions.
pub(crate) fn describe() {
    describe_counter!(
        EVENTS,
        "Events worked on, by outcome: shipped, void, failed, poison, lease_lost, given_back"
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "From the lease of an event to its end, packing included"
    );
}

/// An event's work has ended.
pub(crate) fn event(outcome: &'static str, took: Duration) {
    counter!(EVENTS, "outcome" => outcome).increment(1);
    histogram!(DURATION).record(took);
}
