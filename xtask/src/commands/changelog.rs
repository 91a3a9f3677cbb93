//! `cargo xtask changelog`: what changed in each version of a service.

use crate::{
    config::{self, Config, Overrides},
    hint::usage,
    output::Format,
    version,
};

/// Shows what changed in each version of a service, newest first.
///
/// Changelogs live in the tags `<service>-v<x.y.z>` at the remote; release writes them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask changelog catalog
  cargo xtask changelog catalog --json")]
pub(crate) struct Args {
    /// The service.
    service: String,
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = config::root()?;
    let config = Config::load(&root, &Overrides::default())?;
    let service = &args.service;
    let versions = version::history(&root, &config, service)?;
    // One that is no longer there still has its history.
    if versions.is_empty() && !root.join("services").join(service).is_dir() {
        return usage(
            format!("there is no service `{service}`, and no tag {service}-v… either"),
            "services/ has one folder for each",
        );
    }
    args.format
        .print(&versions, || version::render(service, &versions))
}
