//! `cargo xtask status`: what runs where, since when, by whom.

use jiff::Timestamp;
use serde::Serialize;

use super::record::short;
use crate::{
    config::{self, Config, Overrides},
    gitops::{Entry, Hold, Repository, Snapshot},
    output::{Format, table},
};

/// Shows what each environment runs, since when, by whom, what is held, and what it lacks of its
/// predecessor.
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
        for service in snapshot.services(&environment.name) {
            rows.extend(row(&snapshot, &history, environment, &service, now)?);
        }
    }
    args.format.print(&rows, || show(&rows))
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
            held.unwrap_or_default(),
        ]);
    }
    table(&lines)
}
