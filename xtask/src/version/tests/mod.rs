//! Versions against real git remotes.

mod faults;
mod messages;
mod places;
mod races;
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{Claim, New, Next, Versions};
use crate::config::{Argocd, Config, Gitops, Source};

/// A digest for a content.
fn digest(content: &str) -> String {
    format!("sha256:{content:0>64}")
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    duct::cmd("git", arguments)
        .dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stderr_capture()
        .read()
        .unwrap_or_else(|error| panic!("git {arguments:?}: {error}"))
}

/// A remote and a clone of it.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        git(at, &["init", "--quiet", "--bare", "-b", "main", "app.git"]);
        let world = Self { folder };
        world.clone_as("app", &[]);
        world.commit("chore: begin", &["README.md"]);
        world
    }

    fn remote(&self) -> PathBuf {
        self.folder.path().join("app.git")
    }

    fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    fn clone_as(&self, name: &str, options: &[&str]) -> PathBuf {
        let url = format!("file://{}", self.remote().display());
        let mut clone = vec!["clone", "--quiet"];
        clone.extend(options);
        clone.extend([url.as_str(), name]);
        git(self.folder.path(), &clone);
        let clone = self.folder.path().join(name);
        git(&clone, &["checkout", "--quiet", "-B", "main"]);
        identify(&clone);
        clone
    }

    /// Changes these files, and pushes.
    fn commit(&self, message: &str, files: &[&str]) -> String {
        let commit = commit_in(&self.app(), message, files);
        git(&self.app(), &["push", "--quiet", "origin", "HEAD:main"]);
        commit
    }

    fn versions(&self) -> Versions {
        versions_in(&self.app())
    }

    fn next(&self, service: &str, key: &str) -> Next {
        next_in(&self.versions(), service, key)
    }

    /// The new version, which must be one.
    fn new_version(&self, service: &str, key: &str) -> New {
        new(self.next(service, key))
    }

    /// Claims a version for this key, which must be a new one.
    fn release(&self, service: &str, key: &str) -> String {
        let versions = self.versions();
        let new = new(next_in(&versions, service, key));
        let claim = versions.claim(&new, &digest(key)).expect("it is pushed");
        assert_eq!(claim, Claim::Claimed);
        new.version.to_string()
    }

    fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.remote().join("hooks").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(&path, script).expect("writable");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its own");
    }
}

fn identify(clone: &Path) {
    git(clone, &["config", "user.name", "Ada"]);
    git(clone, &["config", "user.email", "ada@example.org"]);
}

fn commit_in(clone: &Path, message: &str, files: &[&str]) -> String {
    for path in files {
        let path = clone.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, fastrand::u64(..).to_string()).expect("writable");
    }
    git(clone, &["add", "--all"]);
    git(
        clone,
        &["commit", "--quiet", "--allow-empty", "-m", message],
    );
    git(clone, &["rev-parse", "HEAD"])
}

fn config() -> Config {
    Config {
        argocd: Argocd::default(),
        registry: "localhost:5000/slipway".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        source: Source::default(),
        gitops: Gitops {
            remote: "origin".to_owned(),
            branch: "main".to_owned(),
            path: "gitops".to_owned(),
        },
        environments: Vec::new(),
    }
}

fn versions_in(clone: &Path) -> Versions {
    Versions::open(clone, &config()).expect("it opens")
}

/// A service is its folder and a crate that it shares with the others.
fn closure(service: &str) -> [PathBuf; 2] {
    [format!("services/{service}").into(), "crates/shared".into()]
}

fn next_in(versions: &Versions, service: &str, key: &str) -> Next {
    versions
        .next(service, &closure(service), key)
        .expect("an answer")
}

fn new(next: Next) -> New {
    match next {
        Next::New(new) => new,
        other => panic!("{other:?} is not new"),
    }
}
