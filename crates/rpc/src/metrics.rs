//! What is measured: every name, unit, description and label of this crate.

use std::{
    sync::{Once, OnceLock},
    time::Duration,
};

use metrics::{Histogram, Unit, counter, describe_counter, describe_histogram, histogram};
use tonic::Code;

pub(crate) const SERVER_DURATION: &str = "rpc_server_duration_seconds";
const SERVER_SHED: &str = "rpc_server_shed_total";
pub(crate) const CLIENT_DURATION: &str = "rpc_client_duration_seconds";
const CLIENT_RETRIES: &str = "rpc_client_retries_total";
const CLIENT_BUDGET_EXHAUSTED: &str = "rpc_client_retry_budget_exhausted_total";

/// Describes all metrics, once the process has its recorder. Counters exist from then on, since a
/// rate needs the zero before the first event.
pub(crate) fn describe() {
    static DESCRIBED: Once = Once::new();
    DESCRIBED.call_once(|| {
        describe_histogram!(
            SERVER_DURATION,
            Unit::Seconds,
            "Time from a call's arrival to the end of its answer, by service, method and code."
        );
        describe_counter!(
            SERVER_SHED,
            Unit::Count,
            "Calls refused because as many as allowed were under way."
        );
        describe_histogram!(
            CLIENT_DURATION,
            Unit::Seconds,
            "Time from sending a call (one attempt) to the end of its answer, by service, method and code."
        );
        describe_counter!(
            CLIENT_RETRIES,
            Unit::Count,
            "Attempts after the first, by target."
        );
        describe_counter!(
            CLIENT_BUDGET_EXHAUSTED,
            Unit::Count,
            "Calls given up early because retries had become too large a part of the traffic, by target."
        );
        counter!(SERVER_SHED).increment(0);
    });
}

/// Counts a call that was shed.
pub(crate) fn shed() {
    counter!(SERVER_SHED).increment(1);
}

/// Counts an attempt after the first.
pub(crate) fn retried(target: &'static str) {
    counter!(CLIENT_RETRIES, "target" => target).increment(1);
}

/// Counts a call that the retry budget cut short.
pub(crate) fn retry_budget_exhausted(target: &'static str) {
    counter!(CLIENT_BUDGET_EXHAUSTED, "target" => target).increment(1);
}

/// One method's durations on the server or the client side; each code's handle is looked up once.
pub(crate) struct Durations {
    name: &'static str,
    service: &'static str,
    method: &'static str,
    by_code: [OnceLock<Histogram>; CODES.len()],
}

impl Durations {
    pub(crate) fn new(name: &'static str, service: &'static str, method: &'static str) -> Self {
        Self {
            name,
            service,
            method,
            by_code: Default::default(),
        }
    }

    pub(crate) fn record(&self, code: Code, duration: Duration) {
        let Self {
            name,
            service,
            method,
            ..
        } = *self;
        self.by_code[code as usize]
            .get_or_init(|| {
                histogram!(name, "service" => service, "method" => method, "code" => CODES[code as usize])
            })
            .record(duration);
    }
}

/// The codes' names, by number. <https://grpc.io/docs/guides/status-codes/>
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_by_their_number() {
        assert_eq!(CODES[Code::DeadlineExceeded as usize], "DEADLINE_EXCEEDED");
        assert_eq!(CODES[Code::Unauthenticated as usize], "UNAUTHENTICATED");
    }
}
