//! The record against real git remotes, from within: several runners, step by step.

mod model;
mod races;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use super::{
    Digests, Intent, Release, Repository,
    intent::Done,
    repository::{Patience, Pushed},
};
use crate::config::{Argocd, Config, Environment, Gitops};

/// A registry that has everything.
struct All;

impl Digests for All {
    fn exists(&self, _: &str, _: &str) -> anyhow::Result<bool> {
        Ok(true)
    }
}

/// A source repository and a GitOps repository, each with a remote, in a folder of its own.
struct World {
    folder: TempDir,
    /// Commits of the source, oldest first.
    sources: Vec<String>,
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    duct::cmd("git", arguments)
        .dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stderr_capture()
        .read()
        .unwrap_or_else(|error| panic!("git {arguments:?}: {error}"))
}

impl World {
    fn new(sources: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        for remote in ["source.git", "gitops.git"] {
            git(at, &["init", "--quiet", "--bare", "-b", "main", remote]);
        }
        git(at, &["init", "--quiet", "-b", "main", "clone"]);
        let clone = at.join("clone");
        git(&clone, &["config", "user.name", "Ada"]);
        git(&clone, &["config", "user.email", "ada@example.org"]);
        git(&clone, &["remote", "add", "origin", "../source.git"]);
        let commit = |message: &str| {
            git(
                &clone,
                &["commit", "--quiet", "--allow-empty", "-m", message],
            );
            git(&clone, &["rev-parse", "HEAD"])
        };
        commit("chore: begin");
        git(&clone, &["push", "--quiet", "../gitops.git", "main"]);
        let sources = (0..sources)
            .map(|number| commit(&format!("feat: {number}")))
            .collect();
        git(&clone, &["push", "--quiet", "origin", "main"]);
        Self { folder, sources }
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().join("clone")
    }

    fn repository(&self) -> Repository {
        self.repository_from(&self.clone())
    }

    fn repository_from(&self, root: &Path) -> Repository {
        let remote = self.folder.path().join("gitops.git");
        let config = Config {
            argocd: Argocd::default(),
            registry: "localhost:5000/slipway".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            source: crate::config::Source::default(),
            gitops: Gitops {
                remote: remote.to_str().expect("UTF-8").to_owned(),
                branch: "main".to_owned(),
                path: "gitops".to_owned(),
            },
            environments: vec![
                Environment {
                    name: "staging".to_owned(),
                    from: None,
                },
                Environment {
                    name: "production".to_owned(),
                    from: Some("staging".to_owned()),
                },
            ],
        };
        let mut repository = Repository::open(root, &config).expect("a repository");
        // As if each ran on a machine of its own.
        repository.queue = None;
        repository
    }

    /// What a release run of this source records; the content is the number, so that different
    /// sources can have the same.
    fn release(&self, service: &str, source: usize, content: usize) -> Release {
        Release {
            service: service.to_owned(),
            repository: format!("localhost:5000/slipway/{service}"),
            version: format!("1.{content}.0"),
            digest: format!("sha256:{content:064x}"),
            key: format!("{content:064x}"),
            source: self.sources[source].clone(),
            committed: Timestamp::UNIX_EPOCH,
            reused: false,
        }
    }
}

fn release(releases: Vec<Release>) -> Intent {
    Intent::Release {
        environment: "staging".to_owned(),
        releases,
        fix: None,
    }
}

/// What became of the only service.
fn done(repository: &Repository, intent: &Intent) -> Done {
    let outcome = repository.apply(intent, &All).expect("it lands");
    assert_eq!(outcome.services.len(), 1);
    outcome.services[0].action
}

#[test]
fn many_services_go_in_one_commit_and_nothing_to_change_makes_none() {
    let world = World::new(1);
    let repository = world.repository();
    let intent = release(
        (0..50)
            .map(|number| world.release(&format!("service-{number}"), 0, 1))
            .collect(),
    );
    let first = repository.apply(&intent, &All).expect("it lands");
    let remote = world.folder.path().join("gitops.git");
    assert_eq!(Some(git(&remote, &["rev-parse", "main"])), first.commit);
    assert_eq!(git(&remote, &["rev-list", "--count", "main"]), "2");
    assert!(
        first
            .services
            .iter()
            .all(|service| service.action == Done::Released)
    );

    let second = repository.apply(&intent, &All).expect("it is there");
    assert_eq!(second.commit, None);
    assert!(
        second
            .services
            .iter()
            .all(|service| service.action == Done::Unchanged)
    );
    assert_eq!(git(&remote, &["rev-list", "--count", "main"]), "2");

    let history = repository.history().expect("a history");
    assert_eq!(history.len(), 50);
    assert_eq!(history[0].committed, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(history[0].by, "Ada <ada@example.org>");
}

#[test]
fn an_older_release_says_that_it_is_superseded_and_takes_nothing_back() {
    let world = World::new(3);
    let repository = world.repository();
    let intent = |number| release(vec![world.release("catalog", number, number)]);
    assert_eq!(done(&repository, &intent(1)), Done::Released);
    assert_eq!(done(&repository, &intent(0)), Done::Superseded);
    assert_eq!(done(&repository, &intent(2)), Done::Released);
}

#[test]
fn a_shallow_clone_asks_the_source_repository_which_commit_is_older() {
    let world = World::new(3);
    let intent = |number| release(vec![world.release("catalog", number, number)]);
    done(&world.repository(), &intent(1));
    // It knows one commit only: for the recorded source, and then its descendants, it has to ask.
    let origin = format!(
        "file://{}",
        world.folder.path().join("source.git").display()
    );
    for (checkout, number, expected) in [("old", 0, Done::Superseded), ("new", 2, Done::Released)] {
        let shallow = world.folder.path().join(checkout);
        git(world.folder.path(), &["init", "--quiet", checkout]);
        git(&shallow, &["config", "user.name", "CI"]);
        git(&shallow, &["config", "user.email", "ci@example.org"]);
        git(&shallow, &["remote", "add", "origin", &origin]);
        git(
            &shallow,
            &[
                "fetch",
                "--quiet",
                "--depth=1",
                "origin",
                &world.sources[number],
            ],
        );
        git(&shallow, &["checkout", "--quiet", "FETCH_HEAD"]);
        assert_eq!(
            done(&world.repository_from(&shallow), &intent(number)),
            expected
        );
        assert_eq!(
            git(&shallow, &["rev-list", "--all", "--count", "HEAD"]),
            "1",
            "the clone is as shallow as before"
        );
    }
}

#[test]
fn a_recorded_source_that_nobody_knows_is_an_error_that_says_what_to_do() {
    let world = World::new(1);
    let repository = world.repository();
    let mut lost = world.release("catalog", 0, 0);
    lost.source = "f".repeat(40);
    done(&repository, &release(vec![lost]));
    let error = repository
        .apply(&release(vec![world.release("catalog", 0, 1)]), &All)
        .expect_err("unknown");
    let chain = format!("{error:#}");
    assert!(
        chain.contains("cannot tell whether") && chain.contains("release.source"),
        "{chain}"
    );
}

#[test]
fn a_branch_that_moves_again_and_again_ends_the_attempts() {
    let world = World::new(1);
    let mut repository = world.repository();
    let rival = world.repository();
    // The rival lands whenever this one is about to.
    repository.patience = Patience {
        attempts: 3,
        pause: |_, _| std::time::Duration::ZERO,
    };
    let mine = release(vec![world.release("catalog", 0, 0)]);
    for number in 0..3 {
        let prepared = repository.prepare(&mine, &All).expect("prepared");
        done(&rival, &release(vec![world.release("orders", 0, number)]));
        let pushed = repository
            .push(&prepared.commit.expect("a commit"))
            .expect("an answer");
        assert!(matches!(pushed, Pushed::Moved(_)), "{pushed:?}");
    }
    assert_eq!(done(&repository, &mine), Done::Released);
}

#[test]
fn an_environment_that_takes_promotions_takes_no_releases() {
    let world = World::new(1);
    let intent = Intent::Release {
        environment: "production".to_owned(),
        releases: vec![world.release("catalog", 0, 0)],
        fix: None,
    };
    let error = world
        .repository()
        .apply(&intent, &All)
        .expect_err("refused");
    assert!(format!("{error:#}").contains("cargo xtask promote"));
}

#[test]
fn names_and_reasons_cannot_forge_anything() {
    let world = World::new(2);
    let repository = world.repository();
    let mut escaping = world.release("catalog", 0, 0);
    escaping.service = "../production/catalog".to_owned();
    assert!(repository.apply(&release(vec![escaping]), &All).is_err());

    for number in 0..2 {
        done(
            &repository,
            &release(vec![world.release("catalog", number, number)]),
        );
    }
    let rollback = Intent::Rollback {
        environment: "staging".to_owned(),
        service: "catalog".to_owned(),
        version: None,
        reason: "broken\n\nSlipway-Service: orders\nSlipway-Version: 9".to_owned(),
        until: None,
    };
    assert_eq!(done(&repository, &rollback), Done::RolledBack);
    let history = repository.history().expect("a history");
    assert_eq!(
        history
            .last()
            .map(|entry| (entry.service.as_str(), entry.version.as_str())),
        Some(("catalog", "1.0.0"))
    );
    assert_eq!(history.len(), 3);
}
