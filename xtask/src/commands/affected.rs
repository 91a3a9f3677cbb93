//! `cargo xtask affected`: services whose inputs differ from what an environment runs.

use std::thread;

use serde::Serialize;

use super::record::short;
use crate::{
    config::{self, Config, Overrides},
    gitops::{Record, Repository, Snapshot},
    output::{Format, table},
    workspace::{ContentKey, Service, Workspace},
};

/// Lists the services, and which of them differ from what an environment runs.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask affected                    against the first environment in slipway.toml
  cargo xtask affected --env production --json")]
pub(crate) struct Args {
    #[command(flatten)]
    comparison: Comparison,
}

/// What to compare the work tree with, and how to tell.
#[derive(clap::Args)]
pub(super) struct Comparison {
    /// The environment [default: the first in slipway.toml].
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    pub(super) format: Format,
}

/// Both sides of a comparison.
pub(super) struct Sides {
    pub(super) config: Config,
    pub(super) environment: String,
    pub(super) repository: Repository,
    pub(super) record: Snapshot,
    pub(super) workspace: Workspace,
}

impl Comparison {
    /// Reads the record and the workspace, at once: both wait for other programs.
    pub(super) fn load(&self) -> anyhow::Result<Sides> {
        let root = config::root()?;
        let config = Config::load(&root, &self.overrides)?;
        let environment = config
            .environment_or_first(self.env.as_deref())?
            .name
            .clone();
        let (record, workspace) = thread::scope(|scope| {
            let record = scope.spawn(|| {
                let repository = Repository::open(&root, &config)?;
                let snapshot = repository.snapshot()?;
                anyhow::Ok((repository, snapshot))
            });
            let workspace = Workspace::load(&root, &config.target);
            (
                record.join().expect("reading the record does not panic"),
                workspace,
            )
        });
        let (repository, record) = record?;
        Ok(Sides {
            repository,
            record,
            workspace: workspace?,
            config,
            environment,
        })
    }
}

#[derive(Serialize)]
struct Row {
    service: String,
    affected: bool,
    key: String,
    deployed_key: Option<String>,
    version: Option<String>,
    reason: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Sides {
        environment,
        record,
        workspace,
        ..
    } = args.comparison.load()?;
    let rows = workspace.each_key(|service, key| {
        let record = record.record(&environment, &service.name)?;
        Ok(row(&workspace, service, &key, &environment, record))
    })?;
    for gone in record.services(&environment) {
        if !rows.iter().any(|row| row.service == gone) {
            eprintln!(
                "note: {environment} has a record of {gone}, which is no service of this workspace"
            );
        }
    }
    args.comparison.format.print(&rows, || show(&rows))
}

fn row(
    workspace: &Workspace,
    service: &Service,
    key: &ContentKey,
    environment: &str,
    record: Option<Record>,
) -> Row {
    let (deployed_key, version) = record.map(|record| (record.key, record.tag)).unzip();
    let affected = deployed_key.as_ref() != Some(&key.key);
    let reason = match &deployed_key {
        _ if !key.dirty.is_empty() => {
            let files: Vec<String> = key
                .dirty
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!("not committed: {}", first(&files))
        }
        None => format!("new: {environment} has no record of it"),
        Some(_) if !affected => "unchanged".to_owned(),
        Some(deployed) => match workspace.kept(deployed) {
            Some(old) => first(&key.manifest.changes_from(&old)),
            None => format!(
                "another key: `cargo xtask why {}` says what changed",
                service.name
            ),
        },
    };
    Row {
        service: service.name.clone(),
        affected,
        key: key.key.clone(),
        deployed_key,
        version,
        reason,
    }
}

/// The first of several, and how many more there are.
fn first(all: &[impl ToString]) -> String {
    match all {
        [] => String::new(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.to_string(), rest.len()),
    }
}

fn show(rows: &[Row]) -> String {
    let mut cells = vec![["service", "affected", "version", "key", "reason"].map(str::to_owned)];
    for row in rows {
        let affected = if row.affected { "yes" } else { "no" };
        let version = row.version.as_deref().unwrap_or("-");
        cells.push(
            [
                &row.service,
                affected,
                version,
                short(&row.key),
                &row.reason,
            ]
            .map(str::to_owned),
        );
    }
    table(&cells)
}
