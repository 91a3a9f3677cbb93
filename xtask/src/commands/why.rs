//! `cargo xtask why`: which file, package or feature made a service differ from what an environment runs.

use serde::Serialize;

use super::{
    affected::{Comparison, Sides},
    record::short,
};
use crate::{
    gitops::Record,
    hint::fail,
    image::registry::Registry,
    output::table,
    workspace::{Change, KeyManifest, Workspace},
};

/// Says which file, package or feature makes a service differ from what an environment runs.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask why catalog
  cargo xtask why catalog --env production --json")]
pub(crate) struct Args {
    /// The service.
    service: String,
    #[command(flatten)]
    comparison: Comparison,
}

#[derive(Serialize)]
struct Why {
    service: String,
    key: String,
    deployed_key: Option<String>,
    changes: Vec<Change>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Sides {
        environment,
        record,
        workspace,
        ..
    } = args.comparison.load()?;
    let record = record.record(&environment, &args.service)?;
    let service = workspace.service(&args.service)?;
    let key = workspace.key(service)?;
    let deployed = match &record {
        None => KeyManifest::default(),
        Some(record) if key.key.trim_end_matches("-dirty") == record.key => key.manifest.clone(),
        Some(record) => manifest_behind(record, &workspace, &Registry::new())?,
    };
    let why = Why {
        service: service.name.clone(),
        changes: key.manifest.changes_from(&deployed),
        key: key.key,
        deployed_key: record.map(|record| record.key),
    };
    args.comparison
        .format
        .print(&why, || show(&why, &environment))
}

/// The manifest behind what is deployed: this checkout may have computed it, and it travels with the image.
fn manifest_behind(
    record: &Record,
    workspace: &Workspace,
    registry: &Registry,
) -> anyhow::Result<KeyManifest> {
    if let Some(kept) = workspace.kept(&record.key) {
        return Ok(kept);
    }
    match registry.key_manifest(&record.repository, &record.digest)? {
        Some(manifest) => Ok(manifest),
        None => fail(
            format!(
                "{}@{} came without the manifest that its key was computed from",
                record.repository,
                short(&record.digest)
            ),
            format!(
                "compute it here: git checkout {} && cargo xtask affected && git checkout -",
                short(&record.source)
            ),
        ),
    }
}

fn show(why: &Why, environment: &str) -> String {
    match &why.deployed_key {
        None => {
            return format!(
                "{environment} has no record of {}: all of it is new",
                why.service
            );
        }
        Some(_) if why.changes.is_empty() => {
            return format!("{} is what {environment} runs", why.service);
        }
        Some(_) => {}
    }
    let mut rows = vec![["kind", "name", "change", "via"].map(str::to_owned)];
    for Change {
        kind,
        name,
        change,
        via,
    } in &why.changes
    {
        rows.push([
            kind.to_string(),
            name.clone(),
            change.to_string(),
            via.join(" -> "),
        ]);
    }
    table(&rows)
}
