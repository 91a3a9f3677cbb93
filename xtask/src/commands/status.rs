//! `cargo xtask status`: what runs where, since when, by whom, and how it is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::record::short;
use crate::{
    argocd::{self, Access, Application},
    config::{self, Config, Overrides},
    gitops::{Entry, Hold, Repository, Snapshot},
    hint,
    output::{Format, table},
};

/// Shows what each environment runs, since when, by whom, what is held, what it lacks of its
/// predecessor, and, where Argo CD can be asked, whether the cluster has it and how it is.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask status
  cargo xtask status --env production --json")]
pub(crate) struct Args {
    /// This environment only.
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    format: Format,
}

/// One service in one environment.
#[derive(Debug, Serialize)]
struct Row {
    environment: String,
    service: String,
    version: String,
    digest: String,
    source: String,
    since: Timestamp,
    /// None: no run of these commands recorded it.
    by: Option<String>,
    hold: Option<Hold>,
    /// The versions that came to the environment before this one in the order and not to this one;
    /// none where releases start.
    behind: Option<Vec<String>>,
    /// `Synced` or `OutOfSync`, as Argo CD sees it; none where it cannot be asked.
    sync: Option<String>,
    /// `Healthy`, `Progressing`, `Degraded` and so on, likewise.
    health: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = config::root()?;
    let config = Config::load(&root, &args.overrides)?;
    if let Some(env) = &args.env {
        config::environment(&config.environments, env)?;
    }
    let repository = Repository::open(&root, &config)?;
    let snapshot = repository.snapshot()?;
    let history = repository.history()?;
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for environment in &config.environments {
        if args
            .env
            .as_ref()
            .is_some_and(|env| *env != environment.name)
        {
            continue;
        }
        let applications = applications(&config, &environment.name);
        for service in snapshot.services(&environment.name) {
            let Some(mut row) = row(&snapshot, &history, environment, &service, now)? else {
                continue;
            };
            if let Some(application) = applications.get(&argocd::name(&environment.name, &service))
            {
                row.sync = Some(application.status.sync.status.clone());
                row.health = Some(application.status.health.status.clone());
            }
            rows.push(row);
        }
    }
    args.format.print(&rows, || show(&rows))
}

/// The environment's applications by name. Where Argo CD cannot be asked it says so, and the record is shown alone.
fn applications(config: &Config, environment: &str) -> BTreeMap<String, Application> {
    let asked = Access::of(&config.argocd).and_then(|access| access.applications(environment));
    match asked {
        Ok(applications) => applications
            .into_iter()
            .map(|application| (application.metadata.name.clone(), application))
            .collect(),
        Err(error) => {
            eprintln!(
                "note: Argo CD cannot be asked about {environment}: {}",
                hint::causes(&error)
            );
            BTreeMap::new()
        }
    }
}

fn row(
    snapshot: &Snapshot,
    history: &[Entry],
    environment: &config::Environment,
    service: &str,
    now: Timestamp,
) -> anyhow::Result<Option<Row>> {
    let Some(record) = snapshot.record(&environment.name, service)? else {
        return Ok(None);
    };
    let by = history
        .iter()
        .rev()
        .find(|entry| {
            entry.environment == environment.name
                && entry.service == service
                && entry.digest == record.digest
        })
        .map(|entry| entry.by.clone());
    let behind = match &environment.from {
        None => None,
        Some(from) => snapshot
            .record(from, service)?
            .map(|ahead| behind(history, from, service, &record.digest, &ahead)),
    };
    Ok(Some(Row {
        environment: environment.name.clone(),
        service: service.to_owned(),
        since: record.at,
        by,
        hold: record.held(now).cloned(),
        behind,
        sync: None,
        health: None,
        version: record.tag,
        digest: record.digest,
        source: record.source,
    }))
}

/// The versions of `service` that came to `from` after `digest`, up to what runs there now.
fn behind(
    history: &[Entry],
    from: &str,
    service: &str,
    digest: &str,
    ahead: &crate::gitops::Record,
) -> Vec<String> {
    if ahead.digest == digest {
        return Vec::new();
    }
    let mut missing: Vec<String> = Vec::new();
    let theirs = history
        .iter()
        .filter(|entry| entry.environment == from && entry.service == service && entry.deploys());
    for entry in theirs {
        if entry.digest == digest {
            missing.clear();
        } else if !missing.contains(&entry.version) {
            missing.push(entry.version.clone());
        }
    }
    missing.retain(|version| *version != ahead.tag);
    missing.push(ahead.tag.clone());
    missing
}

fn show(rows: &[Row]) -> String {
    let heading = [
        "environment",
        "service",
        "version",
        "digest",
        "source",
        "since",
        "by",
        "behind",
        "sync",
        "health",
        "held",
    ];
    let mut lines = vec![heading.map(str::to_owned)];
    for row in rows {
        let held = row.hold.as_ref().map(|hold| {
            let until = hold
                .until
                .map_or("resumed".to_owned(), |until| until.to_string());
            format!("until {until}: {}", hold.reason)
        });
        lines.push([
            row.environment.clone(),
            row.service.clone(),
            row.version.clone(),
            short(&row.digest).to_owned(),
            short(&row.source).to_owned(),
            row.since.to_string(),
            row.by.clone().unwrap_or_else(|| "(by hand)".to_owned()),
            row.behind
                .as_ref()
                .map(|behind| behind.join(" "))
                .unwrap_or_default(),
            row.sync.clone().unwrap_or_default(),
            row.health.clone().unwrap_or_default(),
            held.unwrap_or_default(),
        ]);
    }
    table(&lines)
}
