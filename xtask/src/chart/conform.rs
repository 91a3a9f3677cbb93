//! kubeconform: whether an API server of some version would know every field.

use std::{fs, path::Path};

use anyhow::Context;
use serde::Deserialize;

use super::{schemas, tools};

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    resources: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    filename: String,
    kind: String,
    name: String,
    msg: String,
}

/// Checks manifests, each with its name, against a version of Kubernetes.
pub(crate) fn check(
    kubeconform: &Path,
    tools: &Path,
    kubernetes: &str,
    manifests: &[(String, String)],
) -> anyhow::Result<Result<(), String>> {
    let folder = tempfile::tempdir()?;
    for (at, (_, text)) in manifests.iter().enumerate() {
        fs::write(folder.path().join(format!("{at}.yaml")), text)?;
    }
    let location = |folder: std::path::PathBuf| folder.join(schemas::TEMPLATE).into_os_string();
    let output = duct::cmd(
        kubeconform,
        [
            "-strict".into(),
            "-output".into(),
            "json".into(),
            "-schema-location".into(),
            location(tools::schemas_of(tools, kubernetes)),
            "-schema-location".into(),
            location(tools::custom_schemas(tools)),
            folder.path().as_os_str().to_owned(),
        ],
    )
    .stdout_capture()
    .stderr_capture()
    .unchecked()
    .run()
    .context("cannot run kubeconform")?;
    let report: Report = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let name = |file: &str| {
        let at = Path::new(file)
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<usize>().ok());
        at.and_then(|at| manifests.get(at))
            .map_or(file, |(name, _)| name.as_str())
            .to_owned()
    };
    let wrong: Vec<String> = report
        .resources
        .iter()
        .map(|finding| {
            format!(
                "{}: {}/{}: {}",
                name(&finding.filename),
                finding.kind,
                finding.name,
                finding.msg
            )
        })
        .collect();
    Ok(if wrong.is_empty() && output.status.success() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    })
}
