//! Follows Argo CD until exactly what was recorded runs and is healthy, or says why it does not.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Access, Application, reason::Reason};
use crate::{
    gitops::{Record, Repository, Snapshot},
    hint::{causes, fail},
    pause::pause,
};

/// How often Argo CD is asked.
const TICK: Duration = Duration::from_secs(1);
/// How long something has to be wrong, for what often passes: an image that the registry has in a moment, a database
/// that is not up yet.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for what Argo CD or a controller has found after patience of their own.
const CONFIRMED: Duration = Duration::from_secs(5);

/// What is to run.
pub(crate) struct Wanted {
    pub(crate) service: String,
    pub(crate) record: Record,
}

/// How long a rollout took, from the start of waiting, in seconds.
pub(crate) struct Rollout {
    /// Until Argo CD had seen the commit.
    pub(crate) noticed: f64,
    /// Until all of it was healthy.
    pub(crate) healthy: f64,
}

/// A service that is waited for.
struct Follow<'a> {
    wanted: &'a Wanted,
    /// Where it stands, as people were told.
    stands: String,
    noticed: Option<Duration>,
    healthy: Option<Duration>,
    /// What is wrong, and since when.
    wrong: HashMap<String, Instant>,
    /// Whether the sync before was ended for it.
    unblocked: bool,
}

/// Waits until the environment runs what is wanted, for at most `timeout`. Returns how long the slowest took.
pub(crate) fn wait(
    access: &Access,
    repository: &Repository,
    environment: &str,
    wanted: &[Wanted],
    timeout: Duration,
) -> anyhow::Result<Rollout> {
    let started = Instant::now();
    let mut snapshots = HashMap::new();
    let mut follows: Vec<Follow<'_>> = wanted.iter().map(Follow::new).collect();
    for follow in &follows {
        // Who may not ask for it waits until Argo CD looks by itself.
        let _refused = access.refresh(&name(environment, &follow.wanted.service));
    }
    loop {
        let found = access.applications(environment)?;
        let applications: BTreeMap<&str, &Application> = found
            .iter()
            .map(|one| (one.metadata.name.as_str(), one))
            .collect();
        let is_late = started.elapsed() >= timeout;
        let mut failed = Vec::new();
        for follow in follows.iter_mut().filter(|one| one.healthy.is_none()) {
            let service = &follow.wanted.service;
            let Some(application) = applications.get(&*name(environment, service)) else {
                if is_late {
                    failed.push(format!("{service}: Argo CD has no application of it"));
                }
                continue;
            };
            let seen = match application.revision() {
                Some(revision) => Some(seen(
                    repository,
                    &mut snapshots,
                    revision,
                    environment,
                    follow.wanted,
                )?),
                None => None,
            };
            if let Some(Seen::Overtaken(version)) = &seen {
                failed.push(format!(
                    "{service}: {environment} was given {version} meanwhile, and its own run waits for that"
                ));
                continue;
            }
            if seen == Some(Seen::Ours) {
                follow.advance(application, started.elapsed());
            }
            if follow.healthy.is_some() || (follow.noticed.is_none() && !is_late) {
                continue;
            }
            // What cannot be looked at now is looked at again in a moment.
            let pods = access.pods(application).unwrap_or_default();
            if follow.noticed.is_some() {
                follow.unblock(access, application, &pods);
            }
            if let Some(why) = follow.verdict(access, application, &pods, is_late) {
                failed.push(format!("{service}: {why}"));
            }
        }
        if !failed.is_empty() {
            let first = follows.iter().find(|one| one.healthy.is_none());
            let service = first.map_or("SERVICE", |one| &one.wanted.service);
            return fail(
                format!("{environment} is not healthy:\n{}", failed.join("\n")),
                format!(
                    "pods of the release before go on serving; Argo CD goes on trying. Back to it: cargo xtask rollback {service} --env {environment} --reason \"…\""
                ),
            );
        }
        if follows.iter().all(|one| one.healthy.is_some()) {
            let slowest = |of: fn(&Follow<'_>) -> Option<Duration>| {
                follows.iter().filter_map(of).max().unwrap_or_default()
            };
            return Ok(Rollout {
                noticed: slowest(|one| one.noticed).as_secs_f64(),
                healthy: slowest(|one| one.healthy).as_secs_f64(),
            });
        }
        pause(TICK);
    }
}

/// What of it the environment does not run in good health now, and why.
pub(crate) fn unwell(
    access: &Access,
    repository: &Repository,
    environment: &str,
    wanted: &[Wanted],
) -> anyhow::Result<Vec<String>> {
    let applications = access.applications(environment)?;
    let mut snapshots = HashMap::new();
    let mut unwell = Vec::new();
    for one in wanted {
        let name = name(environment, &one.service);
        let application = applications.iter().find(|one| one.metadata.name == name);
        let why = match application {
            None => "Argo CD has no application of it".to_owned(),
            Some(application) => {
                let revision = application.revision();
                let seen = revision
                    .map(|revision| seen(repository, &mut snapshots, revision, environment, one));
                let status = &application.status;
                if seen.transpose()? != Some(Seen::Ours) {
                    "Argo CD has not seen it yet".to_owned()
                } else if application.is_well() {
                    continue;
                } else {
                    format!("{}, {}", status.sync.status, status.health.status)
                }
            }
        };
        unwell.push(format!("{} {}: {why}", one.service, one.record.tag));
    }
    Ok(unwell)
}

/// The name that the ApplicationSet gives to a service's application.
pub(crate) fn name(environment: &str, service: &str) -> String {
    format!("{environment}-{service}")
}

/// What the revision that Argo CD is at says of a service.
#[derive(Debug, PartialEq)]
enum Seen {
    /// What was there before, or nothing.
    Older,
    Ours,
    /// Something later, with its version.
    Overtaken(String),
}

fn seen(
    repository: &Repository,
    snapshots: &mut HashMap<String, Snapshot>,
    revision: &str,
    environment: &str,
    wanted: &Wanted,
) -> anyhow::Result<Seen> {
    if !snapshots.contains_key(revision) {
        snapshots.insert(revision.to_owned(), repository.snapshot_at(revision)?);
    }
    let record = snapshots[revision].record(environment, &wanted.service)?;
    Ok(compare(record.as_ref(), &wanted.record))
}

fn compare(found: Option<&Record>, wanted: &Record) -> Seen {
    match found {
        Some(found) if (&found.digest, found.at) == (&wanted.digest, wanted.at) => Seen::Ours,
        Some(found) if found.at > wanted.at => Seen::Overtaken(found.tag.clone()),
        _ => Seen::Older,
    }
}

impl<'a> Follow<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            stands: "not seen by Argo CD".to_owned(),
            noticed: None,
            healthy: None,
            wrong: HashMap::new(),
            unblocked: false,
        }
    }

    /// Takes in what the application says now, and tells people where something has changed.
    fn advance(&mut self, application: &Application, passed: Duration) {
        self.noticed.get_or_insert(passed);
        let status = &application.status;
        let stands = if application.is_well() {
            self.healthy = Some(passed);
            "healthy".to_owned()
        } else if status.sync.status == "Synced" {
            status.health.status.to_lowercase()
        } else {
            "being applied".to_owned()
        };
        if stands != self.stands {
            eprintln!(
                "{}: {} {stands} ({:.1} s)",
                self.wanted.service,
                self.wanted.record.tag,
                passed.as_secs_f64()
            );
            self.stands = stands;
        }
    }

    /// Argo CD ends a sync before it begins the next. One whose migrations cannot start, such as for want of their
    /// image, would keep ours waiting until their deadline: it is ended, since nothing of it has run.
    fn unblock(&mut self, access: &Access, application: &Application, pods: &[Value]) {
        let is_before = application.applied() != application.revision();
        if self.unblocked || !is_before || !application.is_syncing() {
            return;
        }
        let cannot_start = pods.iter().any(|pod| {
            pod["metadata"]["labels"]["app.kubernetes.io/component"] == "migrations"
                && Reason::of(pod).is_some_and(|reason| reason.is_definite)
        });
        if !cannot_start {
            return;
        }
        self.unblocked = true;
        let service = &self.wanted.service;
        match access.terminate(application) {
            Ok(()) => eprintln!("{service}: ending the sync before, whose migrations cannot start"),
            Err(error) => eprintln!(
                "note: the sync before keeps {service} waiting, since its migrations cannot start: {}",
                causes(&error)
            ),
        }
    }

    /// Why there is no use in waiting any longer, if there is none.
    fn verdict(
        &mut self,
        access: &Access,
        application: &Application,
        pods: &[Value],
        is_late: bool,
    ) -> Option<String> {
        let reasons: Vec<(Reason, &Value)> = pods
            .iter()
            .filter(|pod| runs(pod, &self.wanted.record.digest))
            .filter_map(|pod| Some((Reason::of(pod)?, pod)))
            .collect();
        let troubles = troubles(application);
        let stuck = reasons.iter().filter(|(reason, _)| reason.is_definite);
        let wrong: Vec<(&str, Duration)> = troubles
            .iter()
            .map(|(words, patience)| (words.as_str(), *patience))
            .chain(stuck.map(|(reason, _)| (reason.pod.as_str(), PATIENCE)))
            .collect();
        self.wrong
            .retain(|known, _| wrong.iter().any(|(what, _)| what == known));
        let mut is_final = is_late;
        for (what, patience) in wrong {
            let since = *self
                .wrong
                .entry(what.to_owned())
                .or_insert_with(Instant::now);
            is_final |= since.elapsed() >= patience;
        }
        is_final.then(|| {
            let mut lines: Vec<String> = troubles.into_iter().map(|(words, _)| words).collect();
            if lines.is_empty() {
                lines.push(self.stands.clone());
            }
            lines.extend(access.ailing(application).unwrap_or_default());
            // Of many pods with one trouble, one will do.
            let mut told: Vec<&str> = Vec::new();
            for (reason, pod) in &reasons {
                if !told.contains(&reason.words.as_str()) {
                    lines.push(reason.in_full(access, application, pod));
                    told.push(&reason.words);
                }
            }
            lines.join("\n")
        })
    }
}

/// What is wrong in the eyes of Argo CD, and how long it has to be so.
fn troubles(application: &Application) -> Vec<(String, Duration)> {
    let mut troubles = Vec::new();
    if let Some(complaint) = application.complaint() {
        troubles.push((complaint.to_owned(), PATIENCE));
    }
    let status = &application.status;
    let is_this_sync = application.applied() == application.revision();
    if let Some(operation) = status.operation_state.as_ref().filter(|_| is_this_sync)
        && (matches!(&*operation.phase, "Failed" | "Error") || application.hook_failed())
    {
        let mut failures = application.failures();
        if failures.is_empty() {
            failures.push(operation.message.clone());
        }
        troubles.push((failures.join("\n"), CONFIRMED));
    }
    if status.sync.status == "Synced" && status.health.status == "Degraded" {
        troubles.push(("Argo CD calls it degraded".to_owned(), CONFIRMED));
    }
    troubles
}

/// Whether a container of the pod runs this image.
pub(crate) fn runs(pod: &Value, digest: &str) -> bool {
    let containers = pod["spec"]["containers"].as_array();
    containers.into_iter().flatten().any(|container| {
        container["image"]
            .as_str()
            .is_some_and(|image| image.ends_with(digest))
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn record(tag: &str, digest: &str, second: i64) -> Record {
        Record {
            repository: "registry.example/catalog".to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
            key: "key".to_owned(),
            source: "commit".to_owned(),
            at: Timestamp::from_second(second).expect("a time"),
            hold: None,
        }
    }

    #[test]
    fn only_this_very_record_counts() {
        let wanted = record("1.0.0", "a", 20);
        assert_eq!(compare(None, &wanted), Seen::Older);
        assert_eq!(compare(Some(&wanted), &wanted), Seen::Ours);
        // The same digest, before it was replaced and brought back.
        assert_eq!(
            compare(Some(&record("1.0.0", "a", 10)), &wanted),
            Seen::Older
        );
        assert_eq!(
            compare(Some(&record("1.1.0", "b", 30)), &wanted),
            Seen::Overtaken("1.1.0".to_owned())
        );
    }

    #[test]
    fn trouble_of_the_sync_before_is_not_ours() {
        let application = |applied: &str, sync: &str| -> Application {
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "staging-catalog"},
                "spec": {"sources": [{"ref": "values"}]},
                "status": {
                    "sync": {"status": sync, "revisions": ["new"]},
                    "health": {"status": "Degraded"},
                    "operationState": {"phase": "Failed", "message": "refused", "syncResult": {"revisions": [applied]}},
                },
            }))
            .expect("an application")
        };
        assert_eq!(troubles(&application("old", "OutOfSync")), []);
        assert_eq!(
            troubles(&application("new", "Synced")),
            [
                ("refused".to_owned(), CONFIRMED),
                ("Argo CD calls it degraded".to_owned(), CONFIRMED)
            ]
        );
    }
}
