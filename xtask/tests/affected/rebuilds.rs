//! Random changes against real builds: where the binary changes, the key has to.

use std::{fs, process::Command};

use crate::{repo::Repo, xtask};

const CHANGES: usize = 30;

/// A change at random, told in words.
fn change(repo: &Repo, random: &mut fastrand::Rng) -> String {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(&repo.root)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<&str> = listed
        .split_terminator('\0')
        .filter(|path| ![".gitignore", "slipway.toml"].contains(path))
        .collect();
    let path = files[random.usize(..files.len())];
    let number = random.u32(..);
    let (key, value) = [
        ("shared", "shred"),
        ("macro\"", "makro\""),
        ("generated\\", "made\\"),
        ("alpha\n", "omega\n"),
        ("opt-level = 0", "opt-level = 1"),
        ("edition = \"2024\"", "edition = \"2021\""),
        ("loud = []", "loud = []\ndefault = [\"loud\"]"),
        ("version = \"0.1.0\"", "version = \"0.1.1\""),
    ][random.usize(..8)];
    match random.u32(..5) {
        0 => repo.append(
            path,
            if path.ends_with(".rs") {
                "\n// a comment\n"
            } else {
                "\n"
            },
        ),
        1 if path.ends_with(".rs") => repo.append(
            path,
            &format!(
                "\n#[used]\nstatic X{number}: [u8; 4] = *b\"{:04}\";\n",
                number % 10_000
            ),
        ),
        2 => repo.write(
            &format!(
                "{}/new{number}.rs",
                path.rsplit_once('/').map_or("docs", |(folder, _)| folder)
            ),
            "fn main() {}\n",
        ),
        3 if !path.ends_with("Cargo.toml") => repo.remove(path),
        _ => {
            let having: Vec<&&str> = files
                .iter()
                .filter(|path| repo.read(path).contains(key))
                .collect();
            let Some(path) = having.get(random.usize(..having.len().max(1))) else {
                return "nothing".to_owned();
            };
            repo.replace(path, key, value);
            return format!("{key:?} -> {value:?} in {path}");
        }
    }
    format!("{path} ({number})")
}

/// The program, if it can be built.
fn build(repo: &Repo, service: &str) -> Option<Vec<u8>> {
    let built = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--offline",
            "--release",
            "--target",
            "x86_64-unknown-linux-gnu",
            "--package",
            service,
        ])
        .current_dir(&repo.root)
        .env("CARGO_TARGET_DIR", repo.root.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    built.status.success().then(|| {
        fs::read(
            repo.root
                .join("target/x86_64-unknown-linux-gnu/release")
                .join(service),
        )
        .unwrap()
    })
}

#[test]
fn where_the_binary_changes_the_key_does() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let repo = Repo::with_record();
    let mut rebuilt = 0;
    let state = |repo: &Repo| {
        (
            ["alpha", "beta"].map(|service| build(repo, service)),
            xtask::keys(&repo.affected()),
        )
    };
    let mut before = state(&repo);
    for round in 0..CHANGES {
        let said = if round == 0 {
            repo.replace("crates/shared/src/lib.rs", "SHARED", "SHARED TEXT");
            repo.replace("crates/shared/src/lib.rs", "\"shared\"", "\"shared text\"");
            "crates/shared".to_owned()
        } else {
            change(&repo, &mut random)
        };
        // What Cargo would do anyway: new versions and members go into the lock.
        let lock = Command::new("cargo")
            .args(["metadata", "--format-version=1", "--offline"])
            .current_dir(&repo.root)
            .output()
            .unwrap();
        repo.commit();
        if !lock.status.success() {
            repo.git(&["revert", "--no-edit", "HEAD"]);
            continue;
        }
        let after = state(&repo);
        for (index, service) in ["alpha", "beta"].into_iter().enumerate() {
            let (Some(old), Some(new)) = (&before.0[index], &after.0[index]) else {
                continue;
            };
            let key = before.1[service] != after.1[service];
            assert!(
                key || old == new,
                "SEED={seed}: {service}'s binary changed and its key did not: {said}"
            );
            rebuilt += usize::from(old != new);
        }
        if after.0.contains(&None) {
            repo.git(&["revert", "--no-edit", "HEAD"]);
        } else {
            before = after;
        }
    }
    assert!(rebuilt > 0, "SEED={seed}: no change reached a binary");
}
