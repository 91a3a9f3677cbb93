//! Several runs at once.

use std::{collections::BTreeSet, path::PathBuf, process::Stdio};

use serde_json::Value;

use crate::{
    shop::{Shop, command, told},
    world::git,
};

/// Releases alpha from clones at these commits, all at once; as if on machines of their own.
fn release_at_once(shop: &Shop, commits: &[String]) -> Vec<Value> {
    let clones: Vec<PathBuf> = commits
        .iter()
        .enumerate()
        .map(|(number, commit)| {
            let clone = shop.repo.around().join(format!("clone-{number}"));
            let name = clone.display().to_string();
            git(
                shop.repo.around(),
                &["clone", "--quiet", "origin.git", &name],
            );
            git(&clone, &["checkout", "--quiet", "--detach", commit]);
            for (key, value) in [("user.name", "Ada"), ("user.email", "ada@example.org")] {
                git(&clone, &["config", key, value]);
            }
            std::fs::create_dir(clone.join(".git/tmp")).unwrap();
            clone
        })
        .collect();
    let children: Vec<_> = clones
        .iter()
        .map(|clone| {
            command(clone, &["release", "--service", "alpha", "--json"])
                .env("TMPDIR", clone.join(".git/tmp"))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    children
        .into_iter()
        .map(|child| {
            let ran = child.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{errors}");
            serde_json::from_slice(&ran.stdout).unwrap()
        })
        .collect()
}

#[test]
fn runs_of_one_commit_release_it_once() {
    let shop = Shop::new();
    let head = git(&shop.repo.root, &["rev-parse", "HEAD"]);
    let outcomes = release_at_once(&shop, &[head.clone(), head.clone(), head]);
    let digests: BTreeSet<&str> = outcomes
        .iter()
        .map(|outcome| outcome["services"][0]["digest"].as_str().unwrap())
        .collect();
    assert_eq!(digests.len(), 1, "{outcomes:?}");
    assert_eq!(shop.tags(), ["alpha-v0.1.0"]);
    assert_eq!(shop.releases(), 1);
    let commits = outcomes
        .iter()
        .filter(|outcome| outcome["commit"].is_string());
    assert_eq!(commits.count(), 1, "{outcomes:?}");
}

#[test]
fn the_newest_commit_wins_whoever_ends_last() {
    let shop = Shop::new();
    shop.release();
    let commits: Vec<String> = (1..=4)
        .map(|number| {
            let line = format!("const _: u8 = {number};\n");
            shop.change("services/alpha/src/main.rs", &line, "feat(alpha): more")
        })
        .collect();
    let outcomes = release_at_once(&shop, &commits);
    let newest = outcomes.last().unwrap();
    let digest = newest["services"][0]["digest"].as_str().unwrap();
    let version = newest["services"][0]["version"].as_str().unwrap();
    assert_eq!(newest["services"][0]["action"], "released", "{newest}");
    assert_eq!(
        shop.recorded("staging", "alpha"),
        format!("{version} {digest}")
    );
    for outcome in &outcomes {
        let told = told(outcome).remove(0);
        assert!(
            told.starts_with("alpha released 0.") || told.starts_with("alpha superseded 0."),
            "{told}"
        );
    }
    // Each commit that has a version has one of its own.
    let commits: Vec<String> = shop
        .tags()
        .iter()
        .filter(|tag| tag.starts_with("alpha-v"))
        .map(|tag| git(&shop.origin(), &["rev-parse", &format!("{tag}^{{commit}}")]))
        .collect();
    assert_eq!(commits.iter().collect::<BTreeSet<_>>().len(), commits.len());
    let versions = outcomes
        .iter()
        .filter(|outcome| outcome["commit"].is_string())
        .count();
    assert_eq!(shop.releases(), 1 + versions);
}
