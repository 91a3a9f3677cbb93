//! What somebody wants of the record, and what became of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::record::Record;

/// A change to one environment. It is decided on the tip that the branch has when it is pushed, not
/// on the one that the caller saw.
#[derive(Clone, Debug)]
pub(crate) enum Intent {
    /// Records what was just built and pushed.
    Release {
        environment: String,
        releases: Vec<Release>,
        /// What was broken, where this is the fix: counts what it replaces as a failed change.
        fix: Option<String>,
    },
    /// Gives `to` what `from` runs.
    Promote {
        from: String,
        to: String,
        /// None: all that `from` runs.
        services: Option<Vec<String>>,
        /// Why a freeze is passed.
        break_glass: Option<String>,
        fix: Option<String>,
    },
    /// Goes back to an earlier release and holds it.
    Rollback {
        environment: String,
        service: String,
        /// None: the release before the one that runs.
        version: Option<String>,
        reason: String,
        until: Option<Timestamp>,
    },
    /// Lifts a hold.
    Resume {
        environment: String,
        service: String,
    },
}

impl Intent {
    /// Whether what stands in this place matters; an empty service is the environment's own policy.
    pub(super) fn concerns(&self, environment: &str, service: &str) -> bool {
        match self {
            Self::Release {
                environment: target,
                releases,
                ..
            } => target == environment && releases.iter().any(|release| release.service == service),
            Self::Promote {
                from, to, services, ..
            } => {
                let place = from == environment || to == environment;
                let named = |services: &Vec<String>| services.iter().any(|name| name == service);
                place && (service.is_empty() || services.as_ref().is_none_or(named))
            }
            Self::Rollback {
                environment: target,
                service: name,
                ..
            }
            | Self::Resume {
                environment: target,
                service: name,
            } => target == environment && name == service,
        }
    }
}

/// One service of a release.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) service: String,
    pub(crate) repository: String,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) key: String,
    /// The commit that is released.
    pub(crate) source: String,
    /// That commit's own time.
    pub(crate) committed: Timestamp,
    /// Whether the image was there already.
    pub(crate) reused: bool,
}

/// What became of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Done {
    Released,
    Promoted,
    RolledBack,
    Resumed,
    Unchanged,
    /// Left alone until it is resumed.
    Held,
    /// Left alone, since what is recorded was built from a later commit.
    Superseded,
}

/// What was done, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) environment: String,
    /// The commit that recorded it, where something changed.
    pub(crate) commit: Option<String>,
    pub(crate) services: Vec<ServiceOutcome>,
    pub(crate) took: Took,
    /// What a person should know besides.
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    /// Nothing yet.
    pub(crate) fn of(environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            commit: None,
            services: Vec::new(),
            took: Took::default(),
            notes: Vec::new(),
        }
    }

    /// Adds a service that stays as it is recorded.
    pub(crate) fn stays(&mut self, action: Done, service: &str, record: &Record) {
        self.services.push(ServiceOutcome {
            service: service.to_owned(),
            action,
            version: record.tag.clone(),
            digest: record.digest.clone(),
            key: record.key.clone(),
            reused: true,
        });
    }

    /// Adds what was recorded.
    pub(crate) fn add(&mut self, recorded: Self) {
        self.commit = recorded.commit;
        self.took.record = recorded.took.record;
        self.services.extend(recorded.services);
        self.notes.extend(recorded.notes);
    }

    pub(crate) fn sort(&mut self) {
        self.services.sort_by(|a, b| a.service.cmp(&b.service));
    }
}

/// How long each part of it took, in seconds; none where it was not done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Took {
    /// All compiling and packing.
    pub(crate) build: Option<f64>,
    /// All uploads to the registry.
    pub(crate) push: Option<f64>,
    /// The commit, from the decision to the push.
    pub(crate) record: Option<f64>,
    /// From the commit until Argo CD had seen it.
    pub(crate) notice: Option<f64>,
    /// From there until all was healthy.
    pub(crate) rollout: Option<f64>,
}

impl Took {
    /// Adds to one part of it.
    pub(crate) fn add(part: &mut Option<f64>, duration: Duration) {
        *part = Some(part.unwrap_or_default() + duration.as_secs_f64());
    }
}

/// One service of an [`Outcome`]: what the environment runs afterwards.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct ServiceOutcome {
    pub(crate) service: String,
    pub(crate) action: Done,
    pub(crate) version: String,
    pub(crate) digest: String,
    pub(crate) key: String,
    pub(crate) reused: bool,
}
