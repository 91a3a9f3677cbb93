//! What the commands that change the record have in common.

use std::time::Duration;

use crate::{
    argocd::{self, Access, Wanted},
    config::{self, Config, Overrides},
    gitops::{Done, Intent, Outcome, Repository, Took},
    output::{Format, table},
};

/// Where the record and the images are, and how to tell what was done.
#[derive(clap::Args)]
pub(crate) struct Target {
    #[command(flatten)]
    overrides: Overrides,
    /// Says what would be recorded, and records nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

/// Whether to follow the release into the cluster.
#[derive(clap::Args)]
pub(crate) struct Wait {
    /// Waits until Argo CD has made it so and all of it is healthy; where that fails, says what the
    /// pods say, and ends with 1. Where nothing had to be recorded, waits for what is.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration, requires = "wait")]
    timeout: Duration,
}

impl Wait {
    /// Waits, if that was asked for, and prints what was done, also where waiting fails.
    pub(super) fn finish(
        &self,
        mut outcome: Outcome,
        config: &Config,
        repository: &Repository,
        format: Format,
    ) -> anyhow::Result<()> {
        tell(&outcome);
        let waited = if self.wait {
            self.follow(&mut outcome, config, repository)
        } else {
            Ok(())
        };
        print(&outcome, format)?;
        waited
    }

    fn follow(
        &self,
        outcome: &mut Outcome,
        config: &Config,
        repository: &Repository,
    ) -> anyhow::Result<()> {
        let snapshot = match &outcome.commit {
            Some(commit) => repository.snapshot_at(commit)?,
            None => repository.snapshot()?,
        };
        let mut wanted = Vec::new();
        for service in &outcome.services {
            let is_meant = match service.action {
                Done::Released | Done::Promoted | Done::RolledBack => true,
                // A run before this one may have been cut off while it waited.
                Done::Unchanged => outcome.commit.is_none(),
                Done::Resumed | Done::Held | Done::Superseded => false,
            };
            if is_meant
                && let Some(record) = snapshot.record(&outcome.environment, &service.service)?
            {
                wanted.push(Wanted {
                    service: service.service.clone(),
                    record,
                });
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let access = Access::of(&config.argocd)?;
        let rollout = argocd::wait(
            &access,
            repository,
            &outcome.environment,
            &wanted,
            self.timeout,
        )?;
        outcome.took.notice = Some(rollout.noticed);
        outcome.took.rollout = Some(rollout.healthy - rollout.noticed);
        Ok(())
    }
}

impl Target {
    /// Records the intent and prints what was done.
    pub(super) fn record(&self, intent: &Intent, wait: Option<&Wait>) -> anyhow::Result<()> {
        let root = config::root()?;
        let config = Config::load(&root, &self.overrides)?;
        let repository = Repository::open(&root, &config)?;
        let registry = crate::image::registry::Registry::new();
        let outcome = if self.dry_run {
            repository.plan(intent, &registry)?
        } else {
            repository.apply(intent, &registry)?
        };
        match wait {
            Some(wait) => wait.finish(outcome, &config, &repository, self.format),
            None => {
                tell(&outcome);
                print(&outcome, self.format)
            }
        }
    }
}

/// Says what a person should know besides, on stderr.
fn tell(outcome: &Outcome) {
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
}

/// Prints what was done on stdout.
fn print(outcome: &Outcome, format: Format) -> anyhow::Result<()> {
    format.print(outcome, || {
        let mut rows = vec![["service", "action", "version", "digest"].map(str::to_owned)];
        for service in &outcome.services {
            let action = serde_json::to_value(service.action).ok();
            let action = action
                .as_ref()
                .and_then(|action| action.as_str())
                .unwrap_or_default();
            rows.push([
                service.service.clone(),
                action.to_owned(),
                service.version.clone(),
                short(&service.digest).to_owned(),
            ]);
        }
        let commit = outcome.commit.as_deref().map_or("no commit", short);
        let took = took(&outcome.took);
        format!(
            "{}\n{}: {commit}{took}\n",
            table(&rows),
            outcome.environment
        )
    })
}

/// The parts of it that took time.
fn took(took: &Took) -> String {
    let parts = [
        (took.build, "built"),
        (took.push, "pushed"),
        (took.record, "recorded"),
        (took.notice, "seen by Argo CD"),
        (took.rollout, "rolled out"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(seconds, done)| Some(format!("{done} in {:.1} s", seconds?)))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!("; {}", parts.join(", "))
}

/// As much of a digest or commit as people compare.
pub(crate) fn short(id: &str) -> &str {
    let length = if id.starts_with("sha256:") { 19 } else { 12 };
    id.get(..length).unwrap_or(id)
}
