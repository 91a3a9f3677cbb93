//! Metrics that every service has, and how histograms are counted.

use crate::Error;
use metrics::{Unit, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tokio::task::JoinSet;

/// Always 1; its labels `service`, `version` and `revision` say what runs.
const SERVICE_INFO: &str = "service_info";

/// Upper bounds of the buckets of all histograms named `*_seconds`: from one millisecond to the longest deadline.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

pub(crate) fn install() -> Result<PrometheusHandle, Error> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .expect("there are buckets")
        .install_recorder()
        .map_err(|_| Error::Installed)
}

pub(crate) fn describe(service: &'static str, version: &str, revision: &str) {
    describe_gauge!(
        SERVICE_INFO,
        Unit::Count,
        "What runs: service, version and source revision."
    );
    let labels = [
        ("service", service.to_owned()),
        ("version", version.to_owned()),
        ("revision", revision.to_owned()),
    ];
    gauge!(SERVICE_INFO, &labels).set(1.0);
    metrics_process::Collector::default().describe();
}

/// The recorder keeps each sample of a histogram until it is rendered or maintained; nobody may ever scrape it.
pub(crate) fn upkeep(recorder: PrometheusHandle) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            recorder.run_upkeep();
        }
    });
    task
}

pub(crate) fn renderer(
    recorder: PrometheusHandle,
) -> impl Fn() -> String + Send + Sync + Clone + 'static {
    let process = metrics_process::Collector::default();
    move || {
        process.collect();
        recorder.render()
    }
}
