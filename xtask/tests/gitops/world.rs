//! A repository with its remote, and a registry, for runs of the real program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::registry::Registry;

impl Registry {
    /// Pushes something small, and returns its digest.
    pub(crate) fn push(&self, service: &str, version: &str) -> String {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"service":"{service}","version":"{version}"}}}}"#
        );
        let answer = ureq::put(format!(
            "http://{}/v2/slipway/{service}/manifests/{version}",
            self.address
        ))
        .header("Content-Type", "application/vnd.oci.image.index.v1+json")
        .send(manifest)
        .expect("the registry takes it");
        let digest = answer.headers()["Docker-Content-Digest"]
            .to_str()
            .expect("ASCII");
        digest.to_owned()
    }

    pub(crate) fn delete(&self, service: &str, digest: &str) {
        ureq::delete(format!(
            "http://{}/v2/slipway/{service}/manifests/{digest}",
            self.address
        ))
        .call()
        .expect("deleted");
    }
}

/// Has production take catalog from staging.
pub(crate) const PROMOTE: [&str; 6] = [
    "promote",
    "catalog",
    "--from",
    "staging",
    "--to",
    "production",
];

/// What a run printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    pub(crate) fn failed(self, words: &str) -> Self {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        assert!(
            self.stderr.contains(words),
            "no {words:?} in {}",
            self.stderr
        );
        assert!(self.stderr.contains("hint: "), "{}", self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// What became of the only service.
    pub(crate) fn action(&self) -> String {
        self.json()["services"][0]["action"]
            .as_str()
            .expect("an action")
            .to_owned()
    }
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) registry: Registry,
}

/// The git that is meant, before a test puts another one before it.
pub(crate) fn real_git() -> &'static str {
    static GIT: OnceLock<String> = OnceLock::new();
    GIT.get_or_init(|| {
        let out = Command::new("sh")
            .args(["-c", "command -v git"])
            .output()
            .expect("a shell");
        String::from_utf8(out.stdout)
            .expect("UTF-8")
            .trim()
            .to_owned()
    })
}

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let out = Command::new(real_git())
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(
        out.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
            registry: Registry::start(),
        };
        let at = world.folder.path();
        fs::create_dir(at.join("tmp")).expect("writable");
        git(at, &["init", "--quiet", "--bare", "-b", "main", "app.git"]);
        git(at, &["init", "--quiet", "-b", "main", "app"]);
        let app = world.app();
        git(&app, &["config", "user.name", "Ada"]);
        git(&app, &["config", "user.email", "ada@example.org"]);
        git(&app, &["remote", "add", "origin", "../app.git"]);
        let config = format!(
            "registry = \"{}/slipway\"\n[gitops]\nremote = \"origin\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n[[environments]]\nname = \"production\"\nfrom = \"staging\"\n",
            world.registry.address
        );
        world.commit(
            "chore: begin",
            &[
                ("slipway.toml", &config),
                ("services/catalog/Cargo.toml", ""),
            ],
        );
        world
    }

    pub(crate) fn app(&self) -> PathBuf {
        self.folder.path().join("app")
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.folder.path().join("app.git")
    }

    /// Commits these files on top of the branch and pushes them, as a person does.
    pub(crate) fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        let app = self.app();
        if !git(&app, &["ls-remote", "origin", "main"]).is_empty() {
            git(&app, &["pull", "--quiet", "--rebase", "origin", "main"]);
        }
        for (path, text) in files {
            let path = app.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        git(&app, &["add", "--all"]);
        git(&app, &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&app, &["push", "--quiet", "origin", "HEAD:main"]);
        git(&app, &["rev-parse", "HEAD"])
    }

    /// Has staging run a version since `at`, as a release records it.
    pub(crate) fn stage_at(&self, service: &str, version: &str, at: &str) -> String {
        let source = self.commit(&format!("feat({service}): {version}"), &[]);
        let digest = self.registry.push(service, version);
        let key = format!("{version:0>64}");
        let record = format!(
            "# {service} in staging\nimage:\n  repository: {}/slipway/{service}\n  tag: \"{version}\"\n  digest: {digest}\nrelease:\n  key: \"{key}\"\n  source: \"{source}\"\n  at: \"{at}\"\n",
            self.registry.address
        );
        let message = format!(
            "release(staging): {service} {version}\n\nSlipway-Action: release\nSlipway-Environment: staging\nSlipway-Service: {service}\nSlipway-Version: {version}\nSlipway-Digest: {digest}\nSlipway-Key: {key}\nSlipway-Source: {source}\nSlipway-Committed: {at}\n"
        );
        self.commit(
            &message,
            &[(
                &format!("gitops/environments/staging/{service}/image.yaml"),
                &record,
            )],
        );
        digest
    }

    pub(crate) fn stage(&self, service: &str, version: &str) -> String {
        self.stage_at(service, version, "2026-01-01T00:00:00Z")
    }

    /// The program, ready to run in the clone.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .current_dir(self.app())
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    pub(crate) fn promote(&self, service: &str) -> Ran {
        self.run(&[
            "promote",
            service,
            "--from",
            "staging",
            "--to",
            "production",
            "--json",
        ])
    }

    /// The branch's tip at the remote.
    pub(crate) fn tip(&self) -> String {
        git(&self.remote(), &["rev-parse", "main"])
    }

    /// A file at the remote's tip.
    pub(crate) fn file(&self, path: &str) -> String {
        git(&self.remote(), &["show", &format!("main:{path}")])
    }

    /// How many commits at the remote did this to a version of a service.
    pub(crate) fn times(&self, action: &str, service: &str, version: &str) -> usize {
        let log = git(
            &self.remote(),
            &[
                "log",
                "--format=%(trailers:key=Slipway-Action,valueonly,separator=%x2C) %(trailers:key=Slipway-Service,valueonly,separator=%x2C) %(trailers:key=Slipway-Version,valueonly,separator=%x2C)",
                "main",
            ],
        );
        log.lines()
            .filter(|line| *line == format!("{action} {service} {version}"))
            .count()
    }

    /// Puts a hook into the remote.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        executable(&self.remote().join("hooks").join(name), script);
    }

    /// Puts a program called git before the real one.
    pub(crate) fn wrap_git(&self, script: &str) -> String {
        let bin = self.folder.path().join("bin");
        fs::create_dir_all(&bin).expect("writable");
        executable(&bin.join("git"), script);
        format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").expect("a PATH")
        )
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let out = command.output().expect("it starts");
    Ran {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).expect("UTF-8"),
        stderr: String::from_utf8(out.stderr).expect("UTF-8"),
    }
}

pub(crate) fn executable(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    fs::write(path, script).expect("writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its own");
}
