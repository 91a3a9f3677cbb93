//! `slipway.toml`: registry, GitOps branch, environments and their order. What the command line
//! says wins.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::git::without_secrets;
use crate::hint::{WithHint, fail, usage};

const FILE: &str = "slipway.toml";

/// What `slipway.toml` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where images are: host and path. A service's image is `<registry>/<service>`.
    pub(crate) registry: String,
    /// The target triple that services are built for.
    #[serde(default = "default_target")]
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) source: Source,
    pub(crate) gitops: Gitops,
    #[serde(default)]
    pub(crate) argocd: Argocd,
    /// In their order.
    pub(crate) environments: Vec<Environment>,
}

/// Where the source is. Its tags are the services' versions.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Source {
    /// A remote of this clone, a URL, or a folder.
    pub(crate) remote: String,
    /// The branch that is released.
    pub(crate) branch: String,
    /// Where people read it: an image's `org.opencontainers.image.source`.
    pub(crate) url: Option<String>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            remote: "origin".to_owned(),
            branch: "main".to_owned(),
            url: None,
        }
    }
}

/// Where the record is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gitops {
    /// A remote of this clone, a URL, or a folder.
    pub(crate) remote: String,
    pub(crate) branch: String,
    /// The folder in that branch that holds `environments/`.
    #[serde(default = "default_path")]
    pub(crate) path: String,
}

/// Where Argo CD is.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Argocd {
    /// The namespace of its Applications.
    pub(crate) namespace: String,
    /// Its API, for whoever has no access to the cluster. Without one, kubectl is asked.
    pub(crate) server: Option<String>,
}

impl Default for Argocd {
    fn default() -> Self {
        Self {
            namespace: "argocd".to_owned(),
            server: None,
        }
    }
}

/// A place where the services run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    pub(crate) name: String,
    /// The environment whose releases it is given. Without one, releases start here.
    pub(crate) from: Option<String>,
}

/// Flags of the commands that touch the registry or the record.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Overrides {
    /// Where images are [default: registry in slipway.toml].
    #[arg(long, value_name = "HOST/PATH")]
    registry: Option<String>,
    /// The repository with the record: a remote of this clone, a URL or a folder [default:
    /// gitops.remote in slipway.toml].
    #[arg(long, value_name = "REMOTE")]
    gitops_remote: Option<String>,
    /// The branch with the record [default: gitops.branch in slipway.toml].
    #[arg(long, value_name = "BRANCH")]
    gitops_branch: Option<String>,
}

impl Config {
    /// Reads `slipway.toml` in `root`.
    pub(crate) fn load(root: &Path, overrides: &Overrides) -> anyhow::Result<Self> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut config = Self::parse(&text).with_context(|| path.display().to_string())?;
        if let Some(registry) = &overrides.registry {
            config.registry.clone_from(registry);
        }
        if let Some(remote) = &overrides.gitops_remote {
            // A flag's path is meant from where one stands.
            let folder = std::env::current_dir()?.join(remote);
            let folder = folder
                .is_dir()
                .then(|| folder.to_string_lossy().into_owned());
            config.gitops.remote = folder.unwrap_or_else(|| remote.clone());
        }
        if let Some(branch) = &overrides.gitops_branch {
            config.gitops.branch.clone_from(branch);
        }
        Ok(config)
    }

    /// Where a service's images are: registry and path.
    pub(crate) fn repository(&self, service: &str) -> String {
        format!("{}/{service}", self.registry)
    }

    /// The environment with this name, else the first in the order.
    pub(crate) fn environment_or_first(&self, name: Option<&str>) -> anyhow::Result<&Environment> {
        match (name, self.environments.first()) {
            (Some(name), _) => environment(&self.environments, name),
            (None, Some(first)) => Ok(first),
            (None, None) => fail(
                format!("{FILE} lists no environment"),
                "add [[environments]] with a name",
            ),
        }
    }

    /// The environment at the end of the order.
    pub(crate) fn last(&self) -> anyhow::Result<&Environment> {
        match self.environments.last() {
            Some(last) => Ok(last),
            None => fail(
                format!("{FILE} lists no environment"),
                "add [[environments]] with a name",
            ),
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text).hint("it names registry, [gitops] with remote and branch, and [[environments]] with name and from")?;
        if let Some(url) = &config.source.url
            && without_secrets(url) != *url
        {
            return fail(
                "source.url holds a user or password, and every image would show it",
                "leave out what stands before the @",
            );
        }
        let mut earlier: Vec<&str> = Vec::new();
        for Environment { name, from } in &config.environments {
            let plain = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !plain || earlier.contains(&name.as_str()) {
                return fail(
                    format!("{name:?} cannot be an environment's name"),
                    "names are lower-case letters, digits and `-`, each once",
                );
            }
            if from
                .as_ref()
                .is_some_and(|from| !earlier.contains(&from.as_str()))
            {
                return fail(
                    format!("{name} comes from an environment that is not listed before it"),
                    format!("before it are: {}", earlier.join(", ")),
                );
            }
            earlier.push(name);
        }
        Ok(config)
    }
}

/// The environment with this name.
pub(crate) fn environment<'a>(
    environments: &'a [Environment],
    name: &str,
) -> anyhow::Result<&'a Environment> {
    let known = || {
        environments
            .iter()
            .map(|known| known.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match environments.iter().find(|known| known.name == name) {
        Some(environment) => Ok(environment),
        None => usage(
            format!("there is no environment `{name}`"),
            format!("slipway.toml lists {}", known()),
        ),
    }
}

/// The folder with `slipway.toml`: this one or the nearest above.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("cannot tell the current folder")?;
    match here.ancestors().find(|folder| folder.join(FILE).is_file()) {
        Some(root) => Ok(root.to_owned()),
        None => fail(
            format!("no {FILE} in {} or above it", here.display()),
            "run this in the repository",
        ),
    }
}

fn default_target() -> String {
    "x86_64-unknown-linux-gnu".to_owned()
}

fn default_path() -> String {
    "gitops".to_owned()
}

#[cfg(test)]
mod tests {
    use super::Config;

    const REST: &str = "\n[gitops]\nremote = \"origin\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n";

    fn parse(source: &str) -> anyhow::Result<Config> {
        Config::parse(&format!(
            "registry = \"localhost:5000/slipway\"\n{source}{REST}"
        ))
    }

    #[test]
    fn the_source_is_main_of_origin_unless_it_says_otherwise() {
        let source = parse("").expect("valid").source;
        assert_eq!(
            (source.remote.as_str(), source.branch.as_str()),
            ("origin", "main")
        );
        assert_eq!(source.url, None);
        let source = parse("[source]\nbranch = \"live\"\nurl = \"https://example.org/shop\"")
            .expect("valid")
            .source;
        assert_eq!(
            (source.remote.as_str(), source.branch.as_str()),
            ("origin", "live")
        );
        assert_eq!(source.url.as_deref(), Some("https://example.org/shop"));
    }

    #[test]
    fn a_password_in_the_sources_url_is_refused_and_not_repeated() {
        let error = parse("[source]\nurl = \"https://ada:s3cr3t@example.org/shop\"")
            .expect_err("it would be in each image");
        assert!(!format!("{error:#}").contains("s3cr3t"), "{error:#}");
    }
}
