//! What every environment makes of every service, committed beside the values, so that a review
//! shows what a change does.

use std::path::{Path, PathBuf};

use super::{Chart, Deployment, Tree, helm};

/// What stands in for the record, which automation changes with every release.
pub(super) const NO_RECORD: &str = "\
image:
  repository: registry.example/service
  tag: \"0.0.0\"
";

/// The file of values that a chart cannot be rendered without, where there was no release. Only
/// services are released.
pub(super) fn stand_in(tree: &Tree, chart: &Chart) -> Vec<PathBuf> {
    let released = chart.name == "microservice";
    released
        .then(|| tree.no_record.clone())
        .into_iter()
        .collect()
}

/// Renders a service as its environment has it; `recorded`: with its record, if there is one.
/// Else it says what Helm has against the values.
pub(crate) fn render(
    tree: &Tree,
    helm: &Path,
    deployment: &Deployment,
    recorded: bool,
) -> anyhow::Result<Result<String, String>> {
    let record = match &deployment.record {
        Some(record) if recorded => vec![record.clone()],
        _ => stand_in(tree, &deployment.chart),
    };
    let request = helm::Request {
        release: &deployment.service,
        namespace: &deployment.environment,
        chart: &deployment.chart.folder,
        values: &[deployment.values.clone(), record].concat(),
    };
    // Helm 4 ends each file with a blank line, Helm 3 does not.
    let even = |text: String| text.replace("\n\n---\n", "\n---\n").trim_end().to_owned() + "\n";
    Ok(helm::template(helm, &request)?.map(even))
}

/// Where a service's snapshot is.
pub(crate) fn path(tree: &Tree, deployment: &Deployment) -> PathBuf {
    let folder = tree.gitops().join("rendered").join(&deployment.environment);
    folder.join(format!("{}.yaml", deployment.service))
}

/// The snapshots that no service has any more.
pub(crate) fn orphans(tree: &Tree, deployments: &[Deployment]) -> anyhow::Result<Vec<PathBuf>> {
    let known: Vec<PathBuf> = deployments
        .iter()
        .map(|deployment| path(tree, deployment))
        .collect();
    let pattern = tree
        .gitops()
        .join("rendered/*/*.yaml")
        .display()
        .to_string();
    let mut orphans = Vec::new();
    for file in glob::glob(&pattern)? {
        let file = file?;
        if !known.contains(&file) {
            orphans.push(file);
        }
    }
    Ok(orphans)
}

/// The first lines in which two texts differ.
pub(crate) fn difference(committed: &str, rendered: &str) -> String {
    let first = committed
        .lines()
        .zip(rendered.lines())
        .position(|(old, new)| old != new);
    let at = first.unwrap_or_else(|| committed.lines().count().min(rendered.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("(its end)").to_owned();
    format!(
        "line {}: committed `{}`, rendered `{}`",
        at + 1,
        line(committed).trim(),
        line(rendered).trim()
    )
}
