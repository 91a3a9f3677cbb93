//! How long the record takes: `cargo bench -p xtask --bench gitops`.
//!
//! xtask is one program without a library, so its modules are built in here.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints what it measures"
)]
#![allow(
    dead_code,
    unused_imports,
    reason = "it measures a part of what the modules can do"
)]

#[path = "../src/argocd/mod.rs"]
mod argocd;
#[path = "../src/config.rs"]
mod config;
#[path = "../src/git.rs"]
mod git;
#[path = "../src/gitops/mod.rs"]
mod gitops;
#[path = "../src/hint.rs"]
mod hint;
#[path = "../src/pause.rs"]
mod pause;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use config::{Argocd, Config, Environment, Gitops};
use gitops::{Digests, Intent, Release, Repository};
use jiff::Timestamp;

/// A registry that has everything.
struct All;

impl Digests for All {
    fn exists(&self, _: &str, _: &str) -> anyhow::Result<bool> {
        Ok(true)
    }
}

const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, writer, number, content, folder] = &arguments[..]
        && writer == "writer"
    {
        return write_one(number, content, folder);
    }
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    let config = config(folder.path());
    let root = folder.path().join("clone");
    let source = duct::cmd!("git", "rev-parse", "HEAD").dir(&root).read()?;
    let open = || Repository::open(&root, &config);

    // Each round changes all records; from opening the repository to the remote's answer.
    let mut took = Vec::new();
    for round in 0..=ROUNDS {
        let releases = (0..1000)
            .map(|number| release(&format!("service-{number}"), round, &source))
            .collect();
        let started = Instant::now();
        let outcome = open()?.apply(&intent(releases), &All)?;
        took.push(started.elapsed());
        anyhow::ensure!(outcome.commit.is_some(), "nothing was recorded");
    }
    println!(
        "1,000 new records in one commit: {:.3} s",
        took.remove(0).as_secs_f64()
    );
    print("1,000 changed records in one commit", &mut took);

    // A branch that holds those 1,000 records, and twenty runs at once that change one each.
    for (place, machines) in [("on one machine", false), ("as on twenty machines", true)] {
        let mut slowest = Vec::new();
        for round in 0..ROUNDS {
            slowest.push(writers(folder.path(), round, machines)?);
        }
        print(
            &format!("twenty writers at once {place}, all landed, the slowest"),
            &mut slowest,
        );
    }
    Ok(())
}

/// Twenty runs of this program, which change a record each, and how long the slowest took. Runs on
/// one machine queue in the temporary folder: each one's own makes them strangers.
fn writers(folder: &Path, round: usize, machines: bool) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut children = Vec::new();
    for number in 0..20 {
        let temporary = folder.join(if machines {
            format!("tmp-{number}")
        } else {
            "tmp".to_owned()
        });
        std::fs::create_dir_all(&temporary)?;
        let content = format!("{}", started.elapsed().as_nanos() as usize + round);
        let child = std::process::Command::new(std::env::current_exe()?)
            .args(["writer", &number.to_string(), &content])
            .arg(folder)
            .env("TMPDIR", temporary)
            .spawn()?;
        children.push(child);
    }
    for mut child in children {
        anyhow::ensure!(child.wait()?.success(), "one did not land");
    }
    Ok(started.elapsed())
}

fn write_one(number: &str, content: &str, folder: &str) -> anyhow::Result<()> {
    let root = Path::new(folder).join("clone");
    let source = duct::cmd!("git", "rev-parse", "HEAD").dir(&root).read()?;
    let releases = vec![release(
        &format!("service-{number}"),
        content.parse()?,
        &source,
    )];
    let outcome =
        Repository::open(&root, &config(Path::new(folder)))?.apply(&intent(releases), &All)?;
    anyhow::ensure!(outcome.commit.is_some(), "it did not land");
    Ok(())
}

fn print(what: &str, took: &mut [Duration]) {
    took.sort_unstable();
    let (median, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "{what}: median {:.3} s, most {:.3} s of {}",
        median.as_secs_f64(),
        most.as_secs_f64(),
        took.len()
    );
}

fn intent(releases: Vec<Release>) -> Intent {
    Intent::Release {
        environment: "staging".to_owned(),
        releases,
        fix: None,
    }
}

fn release(service: &str, content: usize, source: &str) -> Release {
    Release {
        service: service.to_owned(),
        repository: format!("localhost:5000/slipway/{service}"),
        version: format!("1.{content}.0"),
        digest: format!("sha256:{content:064x}"),
        key: format!("{content:064x}"),
        source: source.to_owned(),
        committed: Timestamp::UNIX_EPOCH,
        reused: false,
    }
}

/// A bare remote, and a clone to run from.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    for arguments in [
        "init --quiet --bare -b main remote.git",
        "-C remote.git config receive.autogc false",
        "init --quiet -b main clone",
        "-C clone config user.name Bench",
        "-C clone config user.email bench@example.org",
        "-C clone commit --quiet --allow-empty -m begin",
        "-C clone push --quiet ../remote.git main",
    ] {
        duct::cmd("git", arguments.split(' ')).dir(folder).run()?;
    }
    Ok(())
}

fn config(folder: &Path) -> Config {
    Config {
        argocd: Argocd::default(),
        registry: "localhost:5000/slipway".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        source: crate::config::Source::default(),
        gitops: Gitops {
            remote: folder.join("remote.git").display().to_string(),
            branch: "main".to_owned(),
            path: "gitops".to_owned(),
        },
        environments: vec![Environment {
            name: "staging".to_owned(),
            from: None,
        }],
    }
}
