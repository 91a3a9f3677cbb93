//! A copy of this repository that the cluster is given: a remote, a clone where people work, and the settings that this
//! cluster needs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;
use serde_norway::Value as Yaml;

use super::cluster::Cluster;
use crate::{git::in_clone, hint::fail, workspace};

/// The addresses that gitops/argocd names, of the values and of the charts.
const VALUES: &str = "https://git.example/slipway/slipway.git";
const CHARTS: &str = "https://git.example:443/slipway/slipway.git";

pub(super) struct Place {
    /// Remote, clone and logs.
    pub(super) folder: PathBuf,
    /// Compiled once, whatever becomes of the folder.
    target: PathBuf,
}

/// What a run of `cargo xtask` in the copy printed.
pub(super) struct Ran {
    ok: bool,
    arguments: String,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Its JSON; fails where it failed.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        if !self.ok {
            return fail(
                format!("cargo xtask {}: {}", self.arguments, self.error()),
                "everything is left as it is, to be looked at",
            );
        }
        serde_json::from_str(&self.stdout).with_context(|| self.arguments.clone())
    }

    /// What it said on failing, which must have these words in it.
    pub(super) fn refused(&self, words: &[&str]) -> anyhow::Result<String> {
        if self.ok {
            anyhow::bail!(
                "cargo xtask {} did not fail: {}",
                self.arguments,
                self.stdout
            );
        }
        for words in words {
            if !self.stderr.contains(words) {
                anyhow::bail!(
                    "cargo xtask {} failed without a word of {words:?}: {}",
                    self.arguments,
                    self.error()
                );
            }
        }
        Ok(self.stderr.clone())
    }

    /// Its error, without what was said before.
    fn error(&self) -> &str {
        let at = self.stderr.find("\nerror: ").unwrap_or_default();
        self.stderr[at..].trim()
    }
}

impl Place {
    /// Makes the remote from this checkout's last commit, with tags for its charts, and a clone of it.
    pub(super) fn create(root: &Path) -> anyhow::Result<Self> {
        let target = workspace::target()?;
        let folder = target.join("e2e");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        let place = Self {
            target: target.join("e2e-build"),
            folder,
        };
        let remote = place.remote();
        git(
            &place.folder,
            &["init", "--quiet", "--bare", "-b", "main", path(&remote)?],
        )?;
        // This checkout may have been cloned without its history.
        git(&remote, &["config", "receive.shallowUpdate", "true"])?;
        git(
            root,
            &["push", "--quiet", path(&remote)?, "HEAD:refs/heads/main"],
        )?;
        for chart in ["microservice", "postgres", "retired"] {
            let tag = crate::chart::Chart::load(&root.join("charts").join(chart))?.tag();
            git(&remote, &["tag", &tag, "main"])?;
        }
        // Argo CD takes the charts from another address than the values.
        std::os::unix::fs::symlink("slipway.git", place.folder.join("charts.git"))?;
        git(
            &place.folder,
            &["clone", "--quiet", path(&remote)?, "clone"],
        )?;
        let clone = place.clone();
        git(&clone, &["config", "user.name", "e2e"])?;
        git(&clone, &["config", "user.email", "e2e@localhost"])?;
        Ok(place)
    }

    pub(super) fn clone(&self) -> PathBuf {
        self.folder.join("clone")
    }

    fn remote(&self) -> PathBuf {
        self.folder.join("slipway.git")
    }

    /// Has Argo CD's applications take values and charts from these addresses, and look often.
    pub(super) fn address(&self, values: &str, charts: &str) -> anyhow::Result<()> {
        let pattern = self.clone().join("gitops/argocd/**/*.yaml");
        for file in glob::glob(path(&pattern)?)? {
            let file = file?;
            let text = fs::read_to_string(&file)?;
            let text = text.replace(VALUES, values).replace(CHARTS, charts);
            // No webhook reaches this cluster.
            let text = text.replace("requeueAfterSeconds: 120", "requeueAfterSeconds: 5");
            fs::write(&file, text)?;
        }
        Ok(())
    }

    /// Writes a file, with its folder.
    pub(super) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let file = self.clone().join(file);
        fs::create_dir_all(file.parent().context("a file stands in a folder")?)?;
        Ok(fs::write(file, text)?)
    }

    /// Replaces text in a file, which must be there.
    pub(super) fn replace(&self, file: &str, old: &str, new: &str) -> anyhow::Result<()> {
        let place = self.clone().join(file);
        let text =
            fs::read_to_string(&place).with_context(|| format!("{} is gone", place.display()))?;
        if !text.contains(old) {
            return fail(
                format!("{file} has no {old:?} any more, where this test breaks the service"),
                "change the test with it: xtask/src/e2e",
            );
        }
        Ok(fs::write(&place, text.replace(old, new))?)
    }

    /// Lays these values over those of a file.
    pub(super) fn overlay(&self, file: &str, values: &str) -> anyhow::Result<()> {
        let place = self.clone().join(file);
        let old = fs::read_to_string(&place).with_context(|| format!("{file} is gone"))?;
        let mut all: Yaml = serde_norway::from_str(&old).with_context(|| file.to_owned())?;
        merge(&mut all, serde_norway::from_str(values)?);
        Ok(fs::write(&place, serde_norway::to_string(&all)?)?)
    }

    /// Takes what is on the branch now, before it is changed.
    pub(super) fn pull(&self) -> anyhow::Result<()> {
        git(
            &self.clone(),
            &["pull", "--quiet", "--rebase", "origin", "main"],
        )
        .map(drop)
    }

    /// Commits what was changed, and pushes it. Returns the commit.
    pub(super) fn push(&self, message: &str) -> anyhow::Result<String> {
        let clone = self.clone();
        git(&clone, &["add", "--all"])?;
        git(&clone, &["commit", "--quiet", "-m", message])?;
        git(&clone, &["push", "--quiet", "origin", "HEAD:main"])?;
        git(&clone, &["rev-parse", "HEAD"])
    }

    /// Takes a commit back, in a commit of its own.
    pub(super) fn revert(&self, commit: &str) -> anyhow::Result<()> {
        self.pull()?;
        let clone = self.clone();
        git(&clone, &["revert", "--no-edit", commit])?;
        git(&clone, &["push", "--quiet", "origin", "HEAD:main"]).map(drop)
    }

    /// The clone's last commit.
    pub(super) fn head(&self) -> anyhow::Result<String> {
        git(&self.clone(), &["rev-parse", "HEAD"])
    }

    /// The last commit that touched this folder or file.
    pub(super) fn last_commit_of(&self, file: &str) -> anyhow::Result<String> {
        git(&self.clone(), &["log", "-1", "--format=%H", "--", file])
    }

    /// Runs `cargo xtask` in the clone, as people and pipelines do, on what is on the branch.
    pub(super) fn xtask(&self, cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.pull()?;
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let ran = cluster
            .aimed(duct::cmd(program, arguments))
            .dir(self.clone())
            .env("CARGO_TARGET_DIR", &self.target)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()?;
        Ok(Ran {
            ok: ran.status.success(),
            arguments: arguments.join(" "),
            stdout: String::from_utf8_lossy(&ran.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&ran.stderr).into_owned(),
        })
    }
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    in_clone(folder, arguments)?.text(&format!("git {}", arguments.join(" ")))
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Maps are merged, all else is replaced, as Helm merges values.
fn merge(into: &mut Yaml, values: Yaml) {
    match (into, values) {
        (Yaml::Mapping(into), Yaml::Mapping(values)) => {
            for (key, value) in values {
                match into.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (into, values) => *into = values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_merged_as_helm_merges_them() {
        let mut all = serde_norway::from_str("a: {b: 1, c: [1]}\nd: x").expect("YAML");
        let over = serde_norway::from_str("a: {c: [2], e: null}").expect("YAML");
        merge(&mut all, over);
        let wanted: Yaml =
            serde_norway::from_str("a: {b: 1, c: [2], e: null}\nd: x").expect("YAML");
        assert_eq!(all, wanted);
    }
}
