//! `cargo xtask promote`: the same digest from one environment to the next.

use super::record::{Target, Wait};
use crate::gitops::Intent;

/// Gives an environment the digests that another one runs. Builds nothing.
///
/// Checks the environment's policy.yaml: source environment, soak, health, freezes. Services that are held
/// are left alone, and it says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask promote catalog --from staging --to production
  cargo xtask promote --all --from staging --to production --dry-run
  cargo xtask promote catalog --from staging --to production --wait
  cargo xtask promote orders --from staging --to production --break-glass \"INC-7: orders are lost\" --fix \"INC-7\"")]
pub(crate) struct Args {
    /// The services.
    #[arg(
        required_unless_present = "all",
        conflicts_with = "all",
        value_name = "SERVICE"
    )]
    services: Vec<String>,
    /// All that the source environment runs.
    #[arg(long)]
    all: bool,
    /// Whose releases to take.
    #[arg(long, value_name = "ENVIRONMENT")]
    from: String,
    /// Who takes them.
    #[arg(long, value_name = "ENVIRONMENT")]
    to: String,
    /// Passes a freeze, and asks nobody for health, for this reason, which is recorded.
    #[arg(long, value_name = "REASON")]
    break_glass: Option<String>,
    /// Marks it as the fix of what runs there now: `dora` counts that as failed, and this as its
    /// repair.
    #[arg(long, value_name = "WHAT")]
    fix: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    wait: Wait,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let intent = Intent::Promote {
        from: args.from.clone(),
        to: args.to.clone(),
        services: (!args.all).then(|| args.services.clone()),
        break_glass: args.break_glass.clone(),
        fix: args.fix.clone(),
    };
    args.target.record(&intent, Some(&args.wait))
}
