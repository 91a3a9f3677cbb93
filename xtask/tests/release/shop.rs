//! The small workspace with its remote and its registry.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{
    repo::Repo,
    world::{Ran, Registry, git, run},
};

pub(crate) struct Shop {
    pub(crate) repo: Repo,
    pub(crate) registry: Registry,
}

impl Shop {
    /// Pushed, and nothing released.
    pub(crate) fn new() -> Self {
        let registry = Registry::start();
        let repo = Repo::new();
        repo.write(
            "slipway.toml",
            &format!(
                "registry = \"{}/shop\"\n[gitops]\nremote = \"origin\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n[[environments]]\nname = \"production\"\nfrom = \"staging\"\n",
                registry.address
            ),
        );
        let shop = Self { repo, registry };
        std::fs::create_dir(shop.repo.around().join("tmp")).unwrap();
        git(
            shop.repo.around(),
            &["init", "--quiet", "--bare", "-b", "main", "origin.git"],
        );
        for (key, value) in [("user.name", "Ada"), ("user.email", "ada@example.org")] {
            git(&shop.repo.root, &["config", key, value]);
        }
        git(
            &shop.repo.root,
            &["remote", "add", "origin", "../origin.git"],
        );
        shop.push("chore: begin");
        shop
    }

    /// The bare repository.
    pub(crate) fn origin(&self) -> PathBuf {
        self.repo.around().join("origin.git")
    }

    /// Commits everything on top of the branch and pushes it, as a person does.
    pub(crate) fn push(&self, message: &str) -> String {
        let root = &self.repo.root;
        git(root, &["add", "--all"]);
        git(root, &["commit", "--quiet", "--allow-empty", "-m", message]);
        if !git(root, &["ls-remote", "origin", "main"]).is_empty() {
            git(root, &["pull", "--quiet", "--rebase", "origin", "main"]);
        }
        git(root, &["push", "--quiet", "origin", "HEAD:main"]);
        git(root, &["rev-parse", "HEAD"])
    }

    /// A commit with one more line in this file.
    pub(crate) fn change(&self, path: &str, line: &str, message: &str) -> String {
        self.repo.append(path, line);
        self.push(message)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.repo.root, arguments);
        // What a killed run leaves there goes with the test.
        command.env("TMPDIR", self.repo.around().join("tmp"));
        command
    }

    /// Releases, and returns what was done: the document.
    pub(crate) fn release(&self) -> Value {
        self.run(&["release", "--json"]).ok().json()
    }

    /// `<version> <digest>` of what an environment runs, as the record says.
    pub(crate) fn recorded(&self, environment: &str, service: &str) -> String {
        let path = format!("main:gitops/environments/{environment}/{service}/image.yaml");
        let record = git(&self.origin(), &["show", &path]);
        let field = |name: &str| {
            let line = record.lines().find(|line| line.trim().starts_with(name));
            line.unwrap()
                .split_once(':')
                .unwrap()
                .1
                .trim()
                .trim_matches('"')
                .to_owned()
        };
        format!("{} {}", field("tag:"), field("digest:"))
    }

    /// How many commits recorded a release.
    pub(crate) fn releases(&self) -> usize {
        let log = git(&self.origin(), &["log", "--format=%s", "main"]);
        log.lines()
            .filter(|line| line.starts_with("release("))
            .count()
    }

    /// The remote's tags.
    pub(crate) fn tags(&self) -> Vec<String> {
        let tags = git(&self.origin(), &["tag"]);
        tags.lines().map(str::to_owned).collect()
    }

    /// The digest of a tag in the registry; its path is the repository's there.
    pub(crate) fn digest(&self, path: &str, tag: &str) -> Option<String> {
        let answer = ureq::head(format!(
            "http://{}/v2/{path}/manifests/{tag}",
            self.registry.address
        ))
        .header("Accept", "application/vnd.oci.image.manifest.v1+json")
        .call()
        .ok()?;
        Some(
            answer.headers()["Docker-Content-Digest"]
                .to_str()
                .unwrap()
                .to_owned(),
        )
    }
}

/// The program in this clone.
pub(crate) fn command(clone: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments)
        .current_dir(clone)
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_NET_OFFLINE", "true")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// `<service> <action> <version>` of each service of an outcome.
pub(crate) fn told(outcome: &Value) -> Vec<String> {
    let text = |service: &Value, field: &str| service[field].as_str().unwrap().to_owned();
    let services = outcome["services"].as_array().unwrap().iter();
    services
        .map(|service| {
            ["service", "action", "version"]
                .map(|field| text(service, field))
                .join(" ")
        })
        .collect()
}
