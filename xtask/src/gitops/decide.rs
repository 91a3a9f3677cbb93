//! What an intent changes on a given tip of the branch.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    Digests, Entry,
    history::{self, Action, Line},
    intent::{Done, Intent, Outcome, Release, ServiceOutcome, Took},
    policy::Policy,
    record::{Hold, Record},
    repository::Repository,
    snapshot::Snapshot,
};
use crate::{
    argocd::Wanted,
    config::{self, Environment},
    hint::fail,
};

/// What a decision rests on.
pub(super) struct Facts<'a> {
    pub(super) repository: &'a Repository,
    pub(super) environments: &'a [Environment],
    pub(super) snapshot: &'a Snapshot,
    pub(super) digests: &'a dyn Digests,
    pub(super) now: Timestamp,
}

/// What is to be written. Without a message nothing is.
pub(super) struct Decision {
    pub(super) outcome: Outcome,
    /// Paths and their new texts.
    pub(super) files: Vec<(String, String)>,
    pub(super) message: Option<String>,
}

/// A service's way from one record to the next.
struct Step {
    service: String,
    done: Done,
    before: Option<Record>,
    after: Record,
    reused: bool,
    committed: Option<Timestamp>,
    note: Option<String>,
}

impl Step {
    fn changes(&self) -> bool {
        !matches!(self.done, Done::Unchanged | Done::Held | Done::Superseded)
    }

    fn new(service: &str, done: Done, before: Option<Record>, after: Record) -> Self {
        Self {
            service: service.to_owned(),
            done,
            before,
            after,
            reused: true,
            committed: None,
            note: None,
        }
    }

    /// A service that stays as it is.
    fn stays(service: &str, done: Done, record: Record, note: Option<String>) -> Self {
        Self {
            note,
            ..Self::new(service, done, Some(record.clone()), record)
        }
    }
}

/// Decides what the intent changes on this snapshot.
pub(super) fn decide(intent: &Intent, facts: &Facts<'_>) -> anyhow::Result<Decision> {
    let mut marks: Vec<(&str, String)> = Vec::new();
    let mut notes = Vec::new();
    let mut mark = |name, text: &Option<String>| {
        marks.extend(text.as_ref().map(|text| (name, one_line(text))));
    };
    let (action, environment, steps) = match intent {
        Intent::Release {
            environment,
            releases,
            fix,
        } => {
            let known = config::environment(facts.environments, environment)?;
            if let Some(from) = &known.from {
                return fail(
                    format!("{environment} takes no releases"),
                    format!(
                        "it takes what {from} runs: cargo xtask promote … --from {from} --to {environment}"
                    ),
                );
            }
            mark("Fix", fix);
            let steps = releases
                .iter()
                .map(|release| facts.release(environment, release));
            (
                Action::Release,
                environment,
                steps.collect::<anyhow::Result<Vec<_>>>()?,
            )
        }
        Intent::Promote {
            from,
            to,
            services,
            break_glass,
            fix,
        } => {
            mark("Break-Glass", break_glass);
            mark("Fix", fix);
            (
                Action::Promote,
                to,
                facts.promote(
                    from,
                    to,
                    services.as_deref(),
                    break_glass.is_some(),
                    &mut notes,
                )?,
            )
        }
        Intent::Rollback {
            environment,
            service,
            version,
            reason,
            until,
        } => {
            config::environment(facts.environments, environment)?;
            mark("Reason", &Some(reason.clone()));
            mark("Hold-Until", &until.map(|until| until.to_string()));
            let hold = Hold {
                reason: one_line(reason),
                until: *until,
                by: facts.repository.identity()?.to_owned(),
            };
            (
                Action::Rollback,
                environment,
                vec![facts.roll_back(environment, service, version.as_deref(), hold)?],
            )
        }
        Intent::Resume {
            environment,
            service,
        } => {
            config::environment(facts.environments, environment)?;
            (
                Action::Resume,
                environment,
                vec![facts.resume(environment, service)?],
            )
        }
    };
    facts.write(action, environment, steps, &marks, notes)
}

impl Facts<'_> {
    fn release(&self, environment: &str, release: &Release) -> anyhow::Result<Step> {
        let Release {
            service, source, ..
        } = release;
        let before = self.snapshot.record(environment, service)?;
        if let Some(before) = &before {
            if let Some(hold) = before.held(self.now) {
                let note = hold.note(environment, service);
                return Ok(Step::stays(service, Done::Held, before.clone(), Some(note)));
            }
            let same = (&before.repository, &before.tag, &before.digest, &before.key)
                == (
                    &release.repository,
                    &release.version,
                    &release.digest,
                    &release.key,
                );
            if same {
                return Ok(Step::stays(service, Done::Unchanged, before.clone(), None));
            }
            if before.source != *source && self.repository.is_ancestor(source, &before.source)? {
                let note = format!(
                    "{service}: {} in {environment} was built from {}, which comes after {source}",
                    before.tag, before.source
                );
                return Ok(Step::stays(
                    service,
                    Done::Superseded,
                    before.clone(),
                    Some(note),
                ));
            }
        }
        let after = Record {
            repository: release.repository.clone(),
            tag: release.version.clone(),
            digest: release.digest.clone(),
            key: release.key.clone(),
            source: source.clone(),
            at: self.now,
            hold: None,
        };
        let step = Step::new(service, Done::Released, before, after);
        Ok(Step {
            reused: release.reused,
            committed: Some(release.committed),
            ..step
        })
    }

    fn promote(
        &self,
        from: &str,
        to: &str,
        services: Option<&[String]>,
        break_glass: bool,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Step>> {
        let policy = self.policy(from, to, notes)?;
        let names: BTreeSet<String> = match services {
            Some(names) => names.iter().cloned().collect(),
            None => self.snapshot.services(from),
        };
        let mut steps = Vec::new();
        let mut too_young = Vec::new();
        for service in &names {
            let Some(record) = self.snapshot.record(from, service)? else {
                if services.is_some() {
                    return self.not_recorded(from, service);
                }
                continue;
            };
            let ran = Duration::try_from(self.now.duration_since(record.at)).unwrap_or_default();
            let step = self.promote_one(to, service, record)?;
            let left = policy.soak.saturating_sub(ran);
            if step.changes() && !left.is_zero() {
                let left = format_duration(left);
                too_young.push(format!("{service} {} ({left} to go)", step.after.tag));
            }
            steps.push(step);
        }
        if !too_young.is_empty() {
            let (soak, these) = (format_duration(policy.soak), too_young.join(", "));
            return fail(
                format!("{from} has to run these for {soak} before {to} takes them: {these}"),
                "promote them later, or name the services that can go now",
            );
        }
        if !steps.iter().any(Step::changes) {
            return Ok(steps);
        }
        if let Some(frozen) = policy.frozen(self.now).filter(|_| !break_glass) {
            return fail(
                format!("{to} is frozen until {}: {}", frozen.until, frozen.reason),
                "promote then; an emergency passes with --break-glass \"why\", which is recorded",
            );
        }
        if policy.health && break_glass {
            notes.push(format!(
                "not asked whether the releases are healthy in {from}: --break-glass"
            ));
        } else if policy.health {
            self.check_health(from, to, &steps)?;
        }
        for step in steps.iter().filter(|step| step.changes()) {
            self.check_digest(&step.after)?;
        }
        Ok(steps)
    }

    /// Asks Argo CD whether `from` runs what `to` is to take, and in good health.
    fn check_health(&self, from: &str, to: &str, steps: &[Step]) -> anyhow::Result<()> {
        let mut wanted = Vec::new();
        for step in steps.iter().filter(|step| step.changes()) {
            // As recorded there: with the time since which it runs.
            let record = self.snapshot.record(from, &step.service)?;
            wanted.extend(record.map(|record| Wanted {
                service: step.service.clone(),
                record,
            }));
        }
        let ailing = self.repository.unwell(from, &wanted)?;
        if ailing.is_empty() {
            return Ok(());
        }
        fail(
            format!(
                "{to} takes what is healthy in {from}: {}",
                ailing.join(", ")
            ),
            "an emergency passes with --break-glass \"why\", which is recorded",
        )
    }

    /// The policy of `to`, which must name `from` as its source.
    fn policy(&self, from: &str, to: &str, notes: &mut Vec<String>) -> anyhow::Result<Policy> {
        let target = config::environment(self.environments, to)?;
        config::environment(self.environments, from)?;
        let policy = match self.snapshot.policy(to)? {
            Some(policy) => policy,
            None => {
                notes.push(format!(
                    "{to} has no policy.yaml: no soak and no freeze were checked"
                ));
                Policy::default()
            }
        };
        let source = policy.source.as_ref().or(target.from.as_ref());
        if source.is_none_or(|source| source != from) {
            return match source {
                Some(source) => fail(
                    format!("{to} takes nothing from {from}"),
                    format!("it takes what {source} runs: --from {source}"),
                ),
                None => fail(
                    format!("{to} takes no promotions"),
                    "it is where releases start: cargo xtask release",
                ),
            };
        }
        Ok(policy)
    }

    fn promote_one(&self, to: &str, service: &str, new: Record) -> anyhow::Result<Step> {
        let before = self.snapshot.record(to, service)?;
        if let Some(before) = &before {
            if let Some(hold) = before.held(self.now) {
                let note = hold.note(to, service);
                return Ok(Step::stays(service, Done::Held, before.clone(), Some(note)));
            }
            let after = Record {
                at: before.at,
                hold: before.hold.clone(),
                ..new.clone()
            };
            if *before == after {
                return Ok(Step::stays(service, Done::Unchanged, after, None));
            }
        }
        Ok(Step::new(
            service,
            Done::Promoted,
            before,
            Record {
                at: self.now,
                hold: None,
                ..new
            },
        ))
    }

    fn roll_back(
        &self,
        environment: &str,
        service: &str,
        version: Option<&str>,
        hold: Hold,
    ) -> anyhow::Result<Step> {
        let Some(before) = self.snapshot.record(environment, service)? else {
            return self.not_recorded(environment, service);
        };
        if let Some(held) = before.held(self.now)
            && version.is_none_or(|version| version == before.tag)
        {
            let note = format!(
                "{}; --to names a release to go back to from here",
                held.note(environment, service)
            );
            return Ok(Step::stays(service, Done::Unchanged, before, Some(note)));
        }
        let history: Vec<Entry> = self
            .repository
            .history()?
            .into_iter()
            .filter(|entry| entry.environment == environment && entry.service == service)
            .collect();
        let target = match version {
            Some(version) => history
                .iter()
                .rev()
                .find(|entry| entry.version == version && entry.digest != before.digest),
            None => release_before(&history, &before.digest),
        };
        let Some(target) = target else {
            let known: BTreeSet<&str> = history
                .iter()
                .filter(|entry| entry.digest != before.digest)
                .map(|entry| entry.version.as_str())
                .collect();
            let wanted = version.map_or("earlier release".to_owned(), |version| {
                format!("other release {version}")
            });
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return fail(
                format!(
                    "{environment} runs {service} {} and its history has no {wanted}",
                    before.tag
                ),
                if known.is_empty() {
                    "there is nothing to go back to: release a fix".to_owned()
                } else {
                    format!("--to takes one of {known}")
                },
            );
        };
        let after = Record {
            repository: before.repository.clone(),
            tag: target.version.clone(),
            digest: target.digest.clone(),
            key: target.key.clone(),
            source: target.source.clone(),
            at: self.now,
            hold: Some(hold),
        };
        self.check_digest(&after)?;
        Ok(Step::new(service, Done::RolledBack, Some(before), after))
    }

    fn resume(&self, environment: &str, service: &str) -> anyhow::Result<Step> {
        match self.snapshot.record(environment, service)? {
            None => self.not_recorded(environment, service),
            Some(record) if record.hold.is_none() => {
                Ok(Step::stays(service, Done::Unchanged, record, None))
            }
            Some(record) => {
                let after = Record {
                    hold: None,
                    ..record.clone()
                };
                Ok(Step::new(service, Done::Resumed, Some(record), after))
            }
        }
    }

    fn check_digest(&self, record: &Record) -> anyhow::Result<()> {
        let Record {
            repository,
            tag,
            digest,
            ..
        } = record;
        if self.digests.exists(repository, digest)? {
            return Ok(());
        }
        fail(
            format!("the registry no longer has {repository}:{tag}, {digest}"),
            "`cargo xtask rebuild --verify SERVICE@VERSION` builds it again from its source; or choose another version",
        )
    }

    fn not_recorded<T>(&self, environment: &str, service: &str) -> anyhow::Result<T> {
        let known = self
            .snapshot
            .services(environment)
            .into_iter()
            .collect::<Vec<_>>()
            .join(", ");
        fail(
            format!("{environment} runs no service `{service}`"),
            format!("it runs: {known}"),
        )
    }

    /// The files and the message that the steps amount to.
    fn write(
        &self,
        action: Action,
        environment: &str,
        steps: Vec<Step>,
        marks: &[(&str, String)],
        mut notes: Vec<String>,
    ) -> anyhow::Result<Decision> {
        let mut files = Vec::new();
        let mut lines = Vec::new();
        for step in steps.iter().filter(|step| step.changes()) {
            check_name(&step.service)?;
            let path = self.snapshot.path(environment, &step.service);
            let old = self.snapshot.text(&path)?;
            let text = step.after.write(&path, old)?;
            if old != Some(text.as_str()) {
                files.push((path, text));
                lines.push(Line {
                    service: &step.service,
                    before: step.before.as_ref().map(|record| record.tag.as_str()),
                    after: &step.after,
                    committed: step.committed,
                });
            }
        }
        let message =
            (!lines.is_empty()).then(|| history::message(action, environment, &lines, marks));
        let services = steps.into_iter().map(|step| {
            notes.extend(step.note);
            let Record {
                tag, digest, key, ..
            } = step.after;
            ServiceOutcome {
                service: step.service,
                action: step.done,
                version: tag,
                digest,
                key,
                reused: step.reused,
            }
        });
        let services = services.collect();
        let outcome = Outcome {
            took: Took::default(),
            environment: environment.to_owned(),
            commit: None,
            services,
            notes,
        };
        Ok(Decision {
            outcome,
            files,
            message,
        })
    }
}

/// The release that ran before the one with this digest first came: not simply the entry before,
/// which after a rollback is the release that was taken back.
fn release_before<'a>(history: &'a [Entry], digest: &str) -> Option<&'a Entry> {
    let came = history
        .iter()
        .rposition(|entry| entry.deploys() && entry.digest == digest)
        .unwrap_or(history.len());
    history[..came]
        .iter()
        .rev()
        .find(|entry| entry.deploys() && entry.digest != digest)
}

/// A name that is a folder's name and no way out of it.
fn check_name(service: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if service.starts_with(|c: char| c.is_ascii_alphanumeric()) && service.chars().all(plain) {
        return Ok(());
    }
    fail(
        format!("{service:?} cannot be a service's name"),
        "names are letters, digits, `.`, `_` and `-`, and start with a letter or digit",
    )
}

/// People's words as one line, so that they cannot pass for a trailer.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// In whole seconds.
fn format_duration(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}
