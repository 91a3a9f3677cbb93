//! What the commands that change the record have in common.

use crate::{
    config::{self, Config, Overrides},
    gitops::{Intent, Outcome, Repository},
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

impl Target {
    /// Records the intent and prints what was done.
    pub(super) fn record(&self, intent: &Intent) -> anyhow::Result<()> {
        let root = config::root()?;
        let config = Config::load(&root, &self.overrides)?;
        let repository = Repository::open(&root, &config)?;
        let registry = crate::image::registry::Registry::new();
        let outcome = if self.dry_run {
            repository.plan(intent, &registry)?
        } else {
            repository.apply(intent, &registry)?
        };
        print(&outcome, self.format)
    }
}

/// Prints what was done: the outcome on stdout, what else a person should know on stderr.
pub(crate) fn print(outcome: &Outcome, format: Format) -> anyhow::Result<()> {
    for note in &outcome.notes {
        eprintln!("note: {note}");
    }
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
        format!("{}\n{}: {commit}\n", table(&rows), outcome.environment)
    })
}

/// As much of a digest or commit as people compare.
pub(crate) fn short(id: &str) -> &str {
    let length = if id.starts_with("sha256:") { 19 } else { 12 };
    id.get(..length).unwrap_or(id)
}
