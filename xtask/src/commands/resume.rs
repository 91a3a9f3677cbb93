//! `cargo xtask resume`: lifts a hold.

use super::record::Target;
use crate::gitops::Intent;

/// Lifts the hold that a rollback set. What runs stays; the next release or promotion reaches the
/// service again.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  cargo xtask resume catalog --env production")]
pub(crate) struct Args {
    /// The service.
    service: String,
    /// Where.
    #[arg(long, value_name = "ENVIRONMENT")]
    env: String,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let intent = Intent::Resume {
        environment: args.env.clone(),
        service: args.service.clone(),
    };
    args.target.record(&intent, None)
}
