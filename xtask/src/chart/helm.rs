//! Helm, run as a program.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// What is rendered.
pub(crate) struct Request<'a> {
    pub(crate) release: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) chart: &'a Path,
    pub(crate) values: &'a [PathBuf],
}

/// The manifests, or what Helm has against the values.
pub(crate) fn template(helm: &Path, request: &Request) -> anyhow::Result<Result<String, String>> {
    let mut arguments: Vec<OsString> = vec![
        "template".into(),
        request.release.into(),
        request.chart.into(),
        "--namespace".into(),
        request.namespace.into(),
    ];
    for file in request.values {
        arguments.extend(["--values".into(), file.into()]);
    }
    run(helm, &arguments)
}

/// What `helm lint` says of a chart, or has against it.
pub(crate) fn lint(
    helm: &Path,
    chart: &Path,
    values: &[PathBuf],
) -> anyhow::Result<Result<String, String>> {
    let mut arguments: Vec<OsString> = vec!["lint".into(), "--strict".into(), chart.into()];
    for file in values {
        arguments.extend(["--values".into(), file.into()]);
    }
    run(helm, &arguments)
}

/// Packs a chart into `folder`.
pub(crate) fn package(
    helm: &Path,
    chart: &Path,
    folder: &Path,
) -> anyhow::Result<Result<String, String>> {
    let arguments = [
        "package".into(),
        chart.into(),
        "--destination".into(),
        folder.into(),
    ];
    run(helm, &arguments)
}

fn run(helm: &Path, arguments: &[OsString]) -> anyhow::Result<Result<String, String>> {
    let output = duct::cmd(helm, arguments)
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .with_context(|| format!("cannot run {}", helm.display()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr) + &text(&output.stdout))
    })
}
