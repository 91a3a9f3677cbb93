//! Many runs at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{World, digest, git, new, next_in, versions_in};
use crate::version::{Claim, Next};

const RUNS: usize = 20;

/// Claims until it has one, as `release` does.
fn release(clone: &std::path::Path, key: &str) -> String {
    let mut versions = versions_in(clone);
    loop {
        let new = match next_in(&versions, "catalog", key) {
            Next::New(new) => new,
            Next::Tagged { tag, .. } => return tag,
            Next::Superseded { tag, .. } => panic!("{tag} is no later commit's"),
        };
        match versions.claim(&new, &digest(key)).expect("answered") {
            Claim::Claimed => return new.tag,
            Claim::Taken => versions.refresh().expect("it reads"),
        }
    }
}

fn at_once(world: &World, key: impl Fn(usize) -> String + Sync) -> BTreeMap<usize, String> {
    let clones = ["one", "two"].map(|name| world.clone_as(name, &["--depth=1"]));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..RUNS)
            .map(|number| {
                let (clone, key) = (&clones[number % 2], &key);
                scope.spawn(move || (number, release(clone, &key(number))))
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no panic"))
            .collect()
    })
}

#[test]
fn twenty_runs_have_twenty_versions() {
    let world = World::new();
    world.commit("feat: begin", &["services/catalog/a"]);
    let tags = at_once(&world, |number| number.to_string());
    let distinct: BTreeSet<&String> = tags.values().collect();
    assert_eq!(distinct.len(), RUNS, "{tags:?}");
    let there = git(&world.remote(), &["tag"]);
    assert_eq!(there.lines().count(), RUNS, "{there}");
    for (number, tag) in tags {
        let text = git(&world.remote(), &["cat-file", "tag", &tag]);
        assert!(text.contains(&format!("Slipway-Key: {number}\n")), "{text}");
    }
}

#[test]
fn twenty_runs_for_one_key_have_one_version() {
    let world = World::new();
    world.commit("feat: begin", &["services/catalog/a"]);
    let tags = at_once(&world, |_| "1".to_owned());
    assert!(tags.values().all(|tag| tag == "catalog-v0.1.0"), "{tags:?}");
    assert_eq!(git(&world.remote(), &["tag"]), "catalog-v0.1.0");
}

#[test]
fn a_newer_commit_is_never_below_an_older_one() {
    let world = World::new();
    world.commit("feat: begin", &["services/catalog/a"]);
    let older = versions_in(&world.app());
    let claimed = new(next_in(&older, "catalog", "1"));
    let newer_clone = world.clone_as("newer", &[]);
    super::commit_in(&newer_clone, "fix: x", &["services/catalog/a"]);
    git(&newer_clone, &["push", "--quiet", "origin", "main"]);
    assert_eq!(release(&newer_clone, "2"), "catalog-v0.1.0");
    let mut older = older;
    assert_eq!(
        older.claim(&claimed, &digest("1")).expect("answered"),
        Claim::Taken
    );
    older.refresh().expect("it reads");
    assert!(matches!(
        next_in(&older, "catalog", "1"),
        Next::Superseded { .. }
    ));
}
