//! `cargo xtask rollback`: an earlier release, held until resumed.

use jiff::Timestamp;

use super::record::{Target, Wait};
use crate::{gitops::Intent, hint::usage};

/// Takes a service in an environment back to an earlier release, and holds it there.
///
/// The earlier release comes from the record's history and must still be in the registry. While the
/// hold lasts, release and promote leave the service alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask rollback catalog --env production --reason \"INC-7: prices are wrong\"
  cargo xtask rollback catalog --env production --to 1.4.1 --reason \"INC-7\" --hold-until 4h
  cargo xtask rollback catalog --env production --reason \"INC-7\" --hold-until 2026-02-01T08:00:00Z")]
pub(crate) struct Args {
    /// The service.
    service: String,
    /// Where.
    #[arg(long, value_name = "ENVIRONMENT")]
    env: String,
    /// The version to go back to [default: the one before the one that runs].
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    /// Why; it is recorded.
    #[arg(long)]
    reason: String,
    /// When the hold ends by itself: a time in UTC, or a duration from now [default: when it is
    /// resumed].
    #[arg(long, value_name = "TIME", value_parser = moment)]
    hold_until: Option<Timestamp>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.reason.trim().is_empty() {
        return usage(
            "--reason is empty",
            "say why, for whoever finds the service held",
        );
    }
    let intent = Intent::Rollback {
        environment: args.env.clone(),
        service: args.service.clone(),
        version: args.to.clone(),
        reason: args.reason.clone(),
        until: args.hold_until,
    };
    args.target.record(&intent, Some(&args.wait))
}

/// A time that is still to come.
fn moment(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let moment = match humantime::parse_duration(text) {
        Ok(duration) => now
            .checked_add(duration)
            .map_err(|_| "is too far away".to_owned())?,
        Err(_) => text
            .parse::<Timestamp>()
            .map_err(|_| "takes 2026-02-01T08:00:00Z or a duration such as 4h".to_owned())?,
    };
    if moment.as_second() <= now.as_second() {
        return Err("is over already".to_owned());
    }
    Timestamp::from_second(moment.as_second()).map_err(|error| error.to_string())
}
