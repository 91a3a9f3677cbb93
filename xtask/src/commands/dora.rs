//! `cargo xtask dora`: the four keys, from Git alone.

use std::time::Duration;

use jiff::Timestamp;

use super::record::short;
use crate::{
    config::{self, Config, Overrides},
    gitops::{Dora, Repository},
    output::{Format, table},
};

/// Computes deployment frequency, lead time, change failure rate and time to restore, from the
/// record's history alone.
///
/// A deployment is a release or promotion of one service. It failed when it was rolled back, or
/// replaced within the failure window by one with --fix. Nothing deployed is `no data`, not zero.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask dora
  cargo xtask dora --env staging --since 30d --json")]
pub(crate) struct Args {
    /// Where [default: the last environment].
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// How far back.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = humantime::parse_duration)]
    since: Duration,
    /// How soon a fix must follow for what it replaces to count as failed.
    #[arg(long, value_name = "DURATION", default_value = "1day", value_parser = humantime::parse_duration)]
    failure_window: Duration,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = config::root()?;
    let config = Config::load(&root, &args.overrides)?;
    let environment = match &args.env {
        Some(env) => config::environment(&config.environments, env)?,
        None => config.last()?,
    };
    let history = Repository::open(&root, &config)?.history()?;
    let now = Timestamp::from_second(Timestamp::now().as_second())?;
    let dora = Dora::compute(
        &history,
        &environment.name,
        now.checked_sub(args.since)?,
        now,
        args.failure_window,
    );
    args.format.print(&dora, || show(&dora))
}

fn show(dora: &Dora) -> String {
    let none = || "no data".to_owned();
    let seconds = |value: u64| humantime::format_duration(Duration::from_secs(value)).to_string();
    let Dora {
        deployment_frequency,
        lead_time,
        change_failure_rate,
        time_to_restore,
        ..
    } = dora;
    let mut rows = vec![["key", "value", "n", "over"].map(str::to_owned)];
    let mut row = |key: &str, value: Option<String>, n: usize, over: Vec<String>| {
        rows.push([
            key.to_owned(),
            value.unwrap_or_else(none),
            n.to_string(),
            over.join(", "),
        ]);
    };
    row(
        "deployment frequency",
        deployment_frequency
            .value
            .map(|value| format!("{value:.2} a day")),
        deployment_frequency.n,
        deployment_frequency
            .events
            .iter()
            .map(|event| {
                format!(
                    "{} {} {}",
                    event.service,
                    event.version,
                    short(&event.commit)
                )
            })
            .collect(),
    );
    row(
        "lead time",
        lead_time.value.map(seconds),
        lead_time.n,
        lead_time
            .events
            .iter()
            .map(|lead| {
                format!(
                    "{} {} {}",
                    lead.deployment.service,
                    lead.deployment.version,
                    seconds(lead.seconds)
                )
            })
            .collect(),
    );
    let failed = |failures: &[crate::gitops::Failure]| {
        failures
            .iter()
            .map(|failure| {
                format!(
                    "{} {} {} {}",
                    failure.deployment.service,
                    failure.deployment.version,
                    short(&failure.restored_commit),
                    seconds(failure.seconds)
                )
            })
            .collect()
    };
    row(
        "change failure rate",
        change_failure_rate
            .value
            .map(|value| format!("{:.0} %", value * 100.0)),
        change_failure_rate.n,
        failed(&change_failure_rate.events),
    );
    row(
        "time to restore",
        time_to_restore.value.map(seconds),
        time_to_restore.n,
        failed(&time_to_restore.events),
    );
    format!(
        "{}\n{} from {} to {}\n",
        table(&rows),
        dora.environment,
        dora.since,
        dora.until
    )
}
