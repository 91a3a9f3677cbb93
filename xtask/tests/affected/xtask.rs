//! Runs of the program in a repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::repo::{Repo, git, run};

/// What a run printed, and whether it succeeded.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program in this folder.
pub(crate) fn xtask(folder: &Path, arguments: &[&str]) -> Ran {
    let ran = command(folder, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran {
        ok: ran.status.success(),
        stdout: text(&ran.stdout),
        stderr: text(&ran.stderr),
    }
}

pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

impl Ran {
    pub(crate) fn json(self) -> Value {
        assert!(self.ok, "{}", self.stderr);
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The error of a run that had to fail.
    pub(crate) fn error(self) -> String {
        assert!(!self.ok, "{}", self.stdout);
        assert!(self.stderr.contains("hint: "), "{}", self.stderr);
        self.stderr
    }
}

impl Repo {
    /// The workspace, with a record that names nothing yet.
    pub(crate) fn with_record() -> Self {
        let repo = Self::new();
        repo.record(&BTreeMap::new(), "");
        repo
    }

    pub(crate) fn affected(&self) -> Value {
        xtask(&self.root, &["affected", "--json"]).json()
    }

    pub(crate) fn keys(&self) -> BTreeMap<String, String> {
        keys(&self.affected())
    }

    pub(crate) fn why(&self, service: &str) -> Value {
        xtask(&self.root, &["why", service, "--json"]).json()
    }

    /// The services whose keys another state of the repository changes; that state is committed.
    pub(crate) fn changed(&self, change: impl FnOnce(&Self)) -> Vec<String> {
        let before = self.keys();
        change(self);
        self.commit();
        let after = self.keys();
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        names
            .into_iter()
            .filter(|name| before.get(*name) != after.get(*name))
            .cloned()
            .collect()
    }

    /// Records the present keys for staging.
    pub(crate) fn deploy(&self) {
        self.deploy_from("127.0.0.1:1");
    }

    /// The same with images in a registry that listens at this address.
    pub(crate) fn deploy_from(&self, registry: &str) {
        self.record(&self.keys(), registry);
    }

    fn record(&self, keys: &BTreeMap<String, String>, registry: &str) {
        let tree = self.around().join("gitops");
        let remote = self.around().join("gitops.git");
        let first = !tree.exists();
        fs::create_dir_all(tree.join("gitops/environments/staging")).unwrap();
        fs::write(tree.join("gitops/environments/staging/README"), "").unwrap();
        for (service, key) in keys {
            let folder = tree.join("gitops/environments/staging").join(service);
            fs::create_dir_all(&folder).unwrap();
            let (digest, commit) = ("0".repeat(64), "1".repeat(40));
            let text = format!(
                "image:\n  repository: {registry}/shop/{service}\n  tag: \"1.4.2\"\n  digest: sha256:{digest}\nrelease:\n  key: {key}\n  source: {commit}\n  at: \"2026-01-31T12:00:00Z\"\n"
            );
            fs::write(folder.join("image.yaml"), text).unwrap();
        }
        if first {
            run(git()
                .args(["init", "--quiet", "--bare", "--initial-branch=main"])
                .arg(&remote));
            run(git()
                .args(["init", "--quiet", "--initial-branch=main"])
                .current_dir(&tree));
        }
        run(git().args(["add", "--all"]).current_dir(&tree));
        run(git()
            .args(["commit", "--quiet", "--allow-empty", "--message=deploy"])
            .current_dir(&tree));
        run(git()
            .args(["push", "--quiet"])
            .arg(&remote)
            .arg("main")
            .current_dir(&tree));
    }
}

pub(crate) fn keys(affected: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    affected
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["service"]), text(&row["key"])))
        .collect()
}
