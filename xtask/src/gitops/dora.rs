//! The four keys, from the history alone.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::history::{Action, Entry};

/// The four keys of an environment over a time, each with the events that it was computed from.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Dora {
    pub(crate) environment: String,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// Deployments a day.
    pub(crate) deployment_frequency: Key<f64, Deployment>,
    /// Median seconds from the commit to its first record in the environment.
    pub(crate) lead_time: Key<u64, Lead>,
    /// The share of the deployments that had to be taken back or fixed.
    pub(crate) change_failure_rate: Key<f64, Failure>,
    /// Median seconds from a failed deployment to what restored the service.
    pub(crate) time_to_restore: Key<u64, Failure>,
}

/// One number, over how many it was computed, and over which.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Key<V, E> {
    /// None: no data, which is not zero.
    pub(crate) value: Option<V>,
    pub(crate) n: usize,
    pub(crate) events: Vec<E>,
}

/// A version that came to the environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Deployment {
    pub(crate) service: String,
    pub(crate) version: String,
    pub(crate) commit: String,
    pub(crate) at: Timestamp,
}

/// How long a change took.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Lead {
    #[serde(flatten)]
    pub(crate) deployment: Deployment,
    pub(crate) source: String,
    pub(crate) committed: Timestamp,
    pub(crate) seconds: u64,
}

/// A deployment that failed, and what restored the service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Failure {
    #[serde(flatten)]
    pub(crate) deployment: Deployment,
    /// A rollback, or a fix marked as such.
    pub(crate) restored_by: Action,
    pub(crate) restored_commit: String,
    pub(crate) restored_at: Timestamp,
    pub(crate) seconds: u64,
}

impl Dora {
    /// Computes them for what happened in `environment` from `since` to `until`. A marked fix
    /// counts what it replaces as failed if that came less than `failure_window` before.
    pub(crate) fn compute(
        history: &[Entry],
        environment: &str,
        since: Timestamp,
        until: Timestamp,
        failure_window: Duration,
    ) -> Self {
        let within = |at: Timestamp| since <= at && at <= until;
        let mut deployments = Vec::new();
        let mut leads: Vec<Lead> = Vec::new();
        let mut failures: Vec<Failure> = Vec::new();
        // What runs, until it is known to have failed; and when each digest's source was committed.
        let mut running: BTreeMap<&str, Deployment> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        for entry in history
            .iter()
            .filter(|entry| entry.environment == environment)
        {
            let fixes = |deployment: &Deployment| match entry.action {
                Action::Rollback => true,
                Action::Release | Action::Promote => {
                    entry.fix.is_some()
                        && since_then(deployment.at, entry.at) <= failure_window.as_secs()
                }
                Action::Resume => false,
            };
            if entry.action == Action::Resume {
                continue;
            }
            if let Some(failed) = running.remove(entry.service.as_str()).filter(fixes) {
                failures.push(Failure {
                    restored_by: entry.action,
                    restored_commit: entry.commit.clone(),
                    restored_at: entry.at,
                    seconds: since_then(failed.at, entry.at),
                    deployment: failed,
                });
            }
            if !entry.deploys() {
                continue;
            }
            let deployment = Deployment {
                service: entry.service.clone(),
                version: entry.version.clone(),
                commit: entry.commit.clone(),
                at: entry.at,
            };
            running.insert(&entry.service, deployment.clone());
            let first = seen.insert((&entry.service, &entry.digest));
            if first && let Some(committed) = committed(history, entry) {
                let seconds = since_then(committed, entry.at);
                leads.push(Lead {
                    deployment: deployment.clone(),
                    source: entry.source.clone(),
                    committed,
                    seconds,
                });
            }
            deployments.push(deployment);
        }
        deployments.retain(|deployment| within(deployment.at));
        leads.retain(|lead| within(lead.deployment.at));
        let failed: Vec<Failure> = failures
            .iter()
            .filter(|failure| within(failure.deployment.at))
            .cloned()
            .collect();
        failures.retain(|failure| within(failure.restored_at));

        let n = deployments.len();
        let days = since_then(since, until) as f64 / 86_400.0;
        Self {
            environment: environment.to_owned(),
            since,
            until,
            change_failure_rate: Key {
                value: (n > 0).then(|| failed.len() as f64 / n as f64),
                n,
                events: failed,
            },
            deployment_frequency: Key {
                value: (n > 0).then(|| n as f64 / days),
                n,
                events: deployments,
            },
            lead_time: Key {
                value: median(leads.iter().map(|lead| lead.seconds)),
                n: leads.len(),
                events: leads,
            },
            time_to_restore: Key {
                value: median(failures.iter().map(|failure| failure.seconds)),
                n: failures.len(),
                events: failures,
            },
        }
    }
}

/// When the source of what `entry` deployed was committed: its own trailer says so, or that of the
/// release that it promotes.
fn committed(history: &[Entry], entry: &Entry) -> Option<Timestamp> {
    let same = |other: &&Entry| {
        other.service == entry.service
            && other.digest == entry.digest
            && other.source == entry.source
    };
    entry.committed.or_else(|| {
        history
            .iter()
            .filter(same)
            .find_map(|other| other.committed)
    })
}

/// Whole seconds; clocks that disagree make none, not less.
fn since_then(then: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.duration_since(then).as_secs()).unwrap_or_default()
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len().is_multiple_of(2) {
        u64::midpoint(values[values.len() / 2 - 1], upper)
    } else {
        upper
    })
}

#[cfg(test)]
mod tests;
