//! The programs and the sources of schemas that the charts are tested with, at fixed versions.
//!
//! `cargo xtask chart tools` puts them into target/tools with Go's own client, which checks each
//! module against the checksum database. A program of a fitting version on the PATH is as good.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use semver::Version;
use serde::Deserialize;

use super::schemas;
use crate::hint::{WithHint, fail};

/// A program from a Go module.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    package: &'static str,
    version: Version,
    /// The oldest version that will do, of the same major version.
    oldest: Version,
    /// How it is asked for its version.
    ask: &'static [&'static str],
}

/// Argo CD 3 renders with this one. 3.18 is the first that checks JSON Schema 2020-12.
pub(crate) const HELM_3: Tool = Tool {
    name: "helm",
    package: "helm.sh/helm/v3/cmd/helm",
    version: Version::new(3, 22, 0),
    oldest: Version::new(3, 18, 0),
    ask: &["version", "--template", "{{.Version}}"],
};

pub(crate) const HELM_4: Tool = Tool {
    name: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    version: Version::new(4, 3, 1),
    oldest: Version::new(4, 0, 0),
    ask: &["version", "--template", "{{.Version}}"],
};

pub(crate) const KUBECONFORM: Tool = Tool {
    name: "kubeconform",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    version: Version::new(0, 8, 0),
    oldest: Version::new(0, 7, 0),
    ask: &["-v"],
};

pub(crate) const HELM_DOCS: Tool = Tool {
    name: "helm-docs",
    package: "github.com/norwoodj/helm-docs/cmd/helm-docs",
    version: Version::new(1, 14, 2),
    oldest: Version::new(1, 14, 0),
    ask: &["--version"],
};

/// The three newest minor versions of Kubernetes.
pub(crate) const KUBERNETES: [&str; 3] = ["1.35.4", "1.36.3", "1.37.2"];

/// Where the schemas of custom resources come from: module, version, files.
const CUSTOM_RESOURCES: [(&str, &str, &[&str]); 5] = [
    (
        "github.com/argoproj/argo-cd/v3",
        "v3.2.12",
        &[
            "manifests/crds/application-crd.yaml",
            "manifests/crds/applicationset-crd.yaml",
            "manifests/crds/appproject-crd.yaml",
        ],
    ),
    (
        "github.com/argoproj/argo-rollouts",
        "v1.10.1",
        &[
            "manifests/crds/rollout-crd.yaml",
            "manifests/crds/analysis-template-crd.yaml",
        ],
    ),
    (
        "github.com/external-secrets/external-secrets",
        "v1.3.2",
        &["config/crds/bases/external-secrets.io_externalsecrets.yaml"],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ],
    ),
    (
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        &["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    ),
];

impl Tool {
    /// Where it is: the one of target/tools, else one of a fitting version on the PATH.
    pub(crate) fn find(&self, folder: &Path) -> Option<PathBuf> {
        // What `go install` builds does not always know its version; its folder does.
        let own = self.folder(folder).join(self.name);
        if own.is_file() {
            return Some(own);
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(self.name))
            .find(|program| program.is_file() && self.fits(program))
    }

    /// Its name with its major version, as people call it.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.name, self.version.major)
    }

    fn folder(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}", self.name, self.version))
    }

    fn fits(&self, program: &Path) -> bool {
        let asked = duct::cmd(program, self.ask)
            .stderr_null()
            .unchecked()
            .read();
        let version = asked.ok().and_then(|answer| version_in(&answer));
        version.is_some_and(|version| version >= self.oldest && version.major == self.oldest.major)
    }

    fn install(&self, folder: &Path) -> anyhow::Result<()> {
        let package = format!("{}@v{}", self.package, self.version);
        eprintln!("building {package}");
        let folder = self.folder(folder);
        fs::create_dir_all(&folder)?;
        duct::cmd!("go", "install", "-trimpath", "-ldflags=-s -w", &package)
            .env("GOBIN", &folder)
            .run()
            .with_context(|| format!("cannot build {package}"))
            .hint("it needs Go 1.26 or newer, and the Go module proxy")?;
        Ok(())
    }
}

/// Either Helm; the newer one first.
pub(crate) fn helm(folder: &Path) -> anyhow::Result<PathBuf> {
    let found = [HELM_4, HELM_3].iter().find_map(|tool| tool.find(folder));
    match found {
        Some(program) => Ok(program),
        None => fail(
            format!(
                "there is no Helm {} or newer on the PATH or in {}",
                HELM_3.oldest,
                folder.display()
            ),
            "install it from https://helm.sh/docs/intro/install, or with Go: cargo xtask chart tools",
        ),
    }
}

/// Builds what is missing, and makes the schemas that are missing.
pub(crate) fn install(folder: &Path) -> anyhow::Result<()> {
    for tool in [HELM_3, HELM_4, KUBECONFORM, HELM_DOCS] {
        if tool.find(folder).is_none() {
            tool.install(folder)?;
        }
    }
    for version in KUBERNETES {
        let place = schemas_of(folder, version);
        if !place.is_dir() {
            let source = download("k8s.io/kubernetes", &format!("v{version}"))?;
            let document = fs::read(source.join("api/openapi-spec/swagger.json"))?;
            whole(&place, |place| schemas::of_openapi(&document, place))?;
        }
    }
    let place = custom_schemas(folder);
    if !place.is_dir() {
        whole(&place, |place| {
            for (module, version, files) in CUSTOM_RESOURCES {
                let source = download(module, version)?;
                for file in files {
                    let text = fs::read_to_string(source.join(file))
                        .with_context(|| format!("{module}@{version}: {file}"))?;
                    schemas::of_custom_resource(&text, place)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The schemas of this version of Kubernetes.
pub(crate) fn schemas_of(folder: &Path, kubernetes: &str) -> PathBuf {
    folder
        .join("schemas")
        .join(format!("kubernetes-{kubernetes}"))
}

/// The schemas of custom resources; the name says which versions they are.
pub(crate) fn custom_schemas(folder: &Path) -> PathBuf {
    let versions = CUSTOM_RESOURCES.map(|(_, version, _)| version).join("-");
    folder.join("schemas").join(format!("custom-{versions}"))
}

/// Makes a folder that is there when it is complete.
fn whole(place: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    eprintln!("writing {}", place.display());
    let parent = place.parent().context("a folder stands in a folder")?;
    fs::create_dir_all(parent)?;
    let begun = tempfile::tempdir_in(parent)?;
    fill(begun.path())?;
    fs::rename(begun.keep(), place)?;
    Ok(())
}

/// The folder of a module in Go's cache.
fn download(module: &str, version: &str) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: Option<PathBuf>,
        error: Option<String>,
    }
    let module = format!("{module}@{version}");
    let output = duct::cmd!("go", "mod", "download", "-json", &module)
        .dir(std::env::temp_dir())
        .stdout_capture()
        .unchecked()
        .run()
        .with_context(|| format!("cannot download {module}"))
        .hint("it needs Go 1.26 or newer, and the Go module proxy")?;
    let downloaded: Downloaded = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("cannot download {module}"))?;
    match downloaded.dir {
        Some(dir) => Ok(dir),
        None => fail(
            format!(
                "cannot download {module}: {}",
                downloaded.error.unwrap_or_default()
            ),
            "it needs Go 1.26 or newer, and the Go module proxy",
        ),
    }
}

/// The first version in a program's answer; Helm's may lack the last number.
fn version_in(answer: &str) -> Option<Version> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    answer
        .split(|c| !digits(c))
        .map(|word| word.trim_matches('.'))
        .find_map(|word| match word.split('.').count() {
            2 => Version::parse(&format!("{word}.0")).ok(),
            _ => Version::parse(word).ok(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let told = |answer| version_in(answer).map(|version| version.to_string());
        assert_eq!(told("v3.22").as_deref(), Some("3.22.0"));
        assert_eq!(
            told("helm-docs version 1.14.2\n").as_deref(),
            Some("1.14.2")
        );
        assert_eq!(told("v4.3.1+g1234567").as_deref(), Some("4.3.1"));
        assert_eq!(told("development"), None);
    }
}
