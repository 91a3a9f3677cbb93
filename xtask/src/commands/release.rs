//! `cargo xtask release`: what changed, to the first environment.

use super::{affected::Comparison, record::Wait};
use crate::{config, release};

/// Builds what changed, once, gives it a version, pushes it and records it for an environment, in one commit.
///
/// Running it again does nothing, and finishes what a run that was cut off has begun. Services that are held are left
/// alone, and it says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask release                     all that changed
  cargo xtask release --wait              until it runs and is healthy
  cargo xtask release --service catalog --dry-run
  cargo xtask release --fix \"INC-7\"       what it replaces counts as a failed change")]
pub(crate) struct Args {
    /// Only this service; may be repeated.
    #[arg(long = "service", value_name = "SERVICE")]
    services: Vec<String>,
    /// Marks it as the fix of what runs there now: `dora` counts that as failed, and this as its repair.
    #[arg(long, value_name = "WHAT")]
    fix: Option<String>,
    /// Says what would be released, and does nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    comparison: Comparison,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let sides = args.comparison.load()?;
    let place = release::Place {
        root: &config::root()?,
        config: &sides.config,
        environment: &sides.environment,
        workspace: &sides.workspace,
        repository: &sides.repository,
        record: &sides.record,
    };
    let outcome = release::release(&place, &args.services, args.fix.clone(), args.dry_run)?;
    let format = args.comparison.format;
    args.wait
        .finish(outcome, &sides.config, &sides.repository, format)
}
