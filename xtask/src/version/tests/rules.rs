//! Which version a commit gives.

use semver::Version;

use super::{World, commit_in, digest, git, identify, new, next_in, versions_in};
use crate::version::{Claim, Next, history};

const CATALOG: &[&str] = &["services/catalog/a"];
const ORDERS: &[&str] = &["services/orders/a"];

fn tagged(version: &str, tag: &str, key: &str) -> Next {
    Next::Tagged {
        version: Version::parse(version).expect("a version"),
        tag: tag.to_owned(),
        digest: digest(key),
    }
}

#[test]
fn a_first_release_is_0_1_0_and_is_found_again() {
    let world = World::new();
    world.commit("feat(catalog)!: list products", CATALOG);
    assert_eq!(world.release("catalog", "1"), "0.1.0");
    assert_eq!(
        world.next("catalog", "1"),
        tagged("0.1.0", "catalog-v0.1.0", "1")
    );
    // As are the commits after it that change nothing of the image.
    world.commit("docs(catalog): more", CATALOG);
    assert_eq!(
        world.next("catalog", "1"),
        tagged("0.1.0", "catalog-v0.1.0", "1")
    );
}

#[test]
fn versions_follow_from_the_commits_that_touch_the_closure() {
    let world = World::new();
    let steps = [
        ("feat: begin", CATALOG, "0.1.0"),
        ("fix: count", CATALOG, "0.1.1"),
        ("feat!: drop", CATALOG, "0.2.0"),
        ("feat: add", CATALOG, "0.3.0"),
        ("whatever", CATALOG, "0.3.1"),
        // What touches another service says nothing here; that the key is another one does.
        ("feat(orders)!: drop", ORDERS, "0.3.2"),
        (
            "feat: both",
            &["services/orders/a", "crates/shared/a"],
            "0.4.0",
        ),
        ("chore: a lock file", &["Cargo.lock"], "0.4.1"),
    ];
    for (index, (message, files, version)) in steps.into_iter().enumerate() {
        world.commit(message, files);
        assert_eq!(
            world.release("catalog", &index.to_string()),
            version,
            "{message}"
        );
    }
    // Each service for itself.
    assert_eq!(world.release("orders", "1"), "0.1.0");
    world.commit("feat: both", &["services/orders/a", "services/catalog/a"]);
    assert_eq!(world.release("catalog", "a"), "0.5.0");
    assert_eq!(world.release("orders", "a"), "0.2.0");

    git(
        &world.app(),
        &["tag", "-a", "-m", "by hand", "catalog-v1.0.0"],
    );
    git(
        &world.app(),
        &["push", "--quiet", "origin", "catalog-v1.0.0"],
    );
    world.commit("fix: x\n\nBREAKING CHANGE: y", CATALOG);
    assert_eq!(world.release("catalog", "b"), "2.0.0");
    world.commit("fix: x", CATALOG);
    world.commit("feat: x", CATALOG);
    world.commit("fix: x", CATALOG);
    assert_eq!(world.release("catalog", "c"), "2.1.0");
}

#[test]
fn what_a_person_moves_or_deletes_counts() {
    let world = World::new();
    world.commit(
        "feat: begin",
        &["services/catalog/a", "services/catalog/b c/ü \"q\""],
    );
    world.release("catalog", "1");
    let app = world.app();
    git(&app, &["mv", "services/catalog/b c", "elsewhere"]);
    world.commit("feat: without b", &[]);
    assert_eq!(world.release("catalog", "2"), "0.2.0");
    git(&app, &["rm", "--quiet", "services/catalog/a"]);
    world.commit("fix: without a", &[]);
    assert_eq!(world.release("catalog", "3"), "0.2.1");
}

#[test]
fn a_closure_without_paths_has_no_commits() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    world.release("catalog", "1");
    world.commit("feat: more", CATALOG);
    let next = world
        .versions()
        .next("catalog", &[], "2")
        .expect("an answer");
    let next = new(next);
    assert_eq!(next.tag, "catalog-v0.1.1");
    assert!(
        next.changelog.contains("No commit of its own"),
        "{}",
        next.changelog
    );
}

#[test]
fn both_sides_of_a_merge_count() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    world.release("catalog", "1");
    let app = world.app();
    // A branch that came to nothing in the end still has its commits in history.
    git(&app, &["checkout", "--quiet", "-b", "side"]);
    commit_in(&app, "feat: from the side", CATALOG);
    git(&app, &["checkout", "--quiet", "main"]);
    world.commit("fix: meanwhile", &["services/catalog/b"]);
    git(
        &app,
        &[
            "merge",
            "--quiet",
            "--no-ff",
            "-m",
            "Merge branch 'side'",
            "side",
        ],
    );
    git(&app, &["push", "--quiet", "origin", "main"]);
    let new = world.new_version("catalog", "2");
    assert_eq!(new.tag, "catalog-v0.2.0");
    assert!(new.changelog.contains("from the side"), "{}", new.changelog);
    assert!(new.changelog.contains("meanwhile"), "{}", new.changelog);
    assert!(!new.changelog.contains("Merge"), "{}", new.changelog);
    world.release("catalog", "2");

    // The commits say nothing, but the merge does.
    git(&app, &["checkout", "--quiet", "-b", "wip"]);
    commit_in(&app, "wip", CATALOG);
    git(&app, &["checkout", "--quiet", "main"]);
    git(
        &app,
        &["merge", "--quiet", "--no-ff", "-m", "feat: reserve", "wip"],
    );
    git(&app, &["checkout", "--quiet", "-b", "other"]);
    commit_in(&app, "wip", ORDERS);
    git(&app, &["checkout", "--quiet", "main"]);
    git(
        &app,
        &[
            "merge",
            "--quiet",
            "--no-ff",
            "-m",
            "feat!: elsewhere",
            "other",
        ],
    );
    git(&app, &["push", "--quiet", "origin", "main"]);
    let new = world.new_version("catalog", "3");
    assert_eq!(new.tag, "catalog-v0.3.0");
    assert!(new.changelog.contains("reserve"), "{}", new.changelog);
    assert!(!new.changelog.contains("elsewhere"), "{}", new.changelog);
}

#[test]
fn a_revert_is_a_patch_with_the_earlier_digest() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    world.release("catalog", "1");
    world.commit("feat: more", CATALOG);
    assert_eq!(world.release("catalog", "2"), "0.2.0");
    git(&world.app(), &["revert", "--no-edit", "HEAD"]);
    git(&world.app(), &["push", "--quiet", "origin", "main"]);
    assert_eq!(world.release("catalog", "1"), "0.2.1");
    assert_eq!(
        world.next("catalog", "1"),
        tagged("0.2.1", "catalog-v0.2.1", "1")
    );
}

#[test]
fn a_number_that_is_taken_elsewhere_is_skipped() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    let app = world.app();
    git(&app, &["checkout", "--quiet", "-b", "release-0"]);
    commit_in(&app, "fix: on a branch", CATALOG);
    for tag in [
        "catalog-v0.1.0",
        "catalog-v0.2.0",
        "catalog-v0.3.1",
        "catalog-v0.5.0",
    ] {
        git(&app, &["tag", "-a", "-m", "by hand", tag]);
    }
    git(&app, &["push", "--quiet", "origin", "release-0", "--tags"]);
    git(&app, &["checkout", "--quiet", "main"]);
    assert_eq!(world.release("catalog", "1"), "0.3.0");
    world.commit("fix: x", CATALOG);
    assert_eq!(world.release("catalog", "2"), "0.3.2");
    world.commit("feat: x", CATALOG);
    assert_eq!(world.release("catalog", "3"), "0.4.0");
    world.commit("feat: x", CATALOG);
    assert_eq!(world.release("catalog", "4"), "0.6.0");
}

#[test]
fn tags_that_are_no_releases_of_this_service_are_not_mistaken() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    let app = world.app();
    for tag in [
        "catalog-v2-v7.0.0",
        "catalog-vnext",
        "orders-catalog-v7.0.0",
        "catalog-v7.0.0-rc.1",
        "catalog-v7",
    ] {
        git(&app, &["tag", "-a", "-m", "x", tag]);
    }
    // One that names no commit is no release, but has its name.
    let blob = git(&app, &["rev-parse", "HEAD:README.md"]);
    git(&app, &["tag", "catalog-v0.1.0", &blob]);
    git(&app, &["push", "--quiet", "origin", "--tags"]);
    assert_eq!(world.release("catalog", "1"), "0.2.0");
    // A tag without a message is a release, without a key.
    world.commit("fix: x", CATALOG);
    git(&app, &["tag", "catalog-v0.9.0"]);
    git(&app, &["push", "--quiet", "origin", "--tags"]);
    assert_eq!(world.release("catalog", "1"), "0.9.1");
    let versions = history(&app, &super::config(), "catalog").expect("readable");
    let names: Vec<&str> = versions
        .iter()
        .map(|version| version.version.as_str())
        .collect();
    assert_eq!(names, ["0.9.1", "0.9.0", "0.2.0"]);
}

#[test]
fn an_older_run_is_superseded_but_finds_its_own_work() {
    let world = World::new();
    let first = world.commit("feat: begin", CATALOG);
    world.release("catalog", "1");
    let between = world.commit("fix: x", CATALOG);
    world.commit("fix: y", CATALOG);
    assert_eq!(world.release("catalog", "3"), "0.1.1");

    git(&world.app(), &["checkout", "--quiet", "--detach", &between]);
    let superseded = Next::Superseded {
        version: Version::new(0, 1, 1),
        tag: "catalog-v0.1.1".to_owned(),
    };
    assert_eq!(world.next("catalog", "2"), superseded);
    // A tag on a branch is not later.
    git(&world.app(), &["checkout", "--quiet", "--detach", &first]);
    assert_eq!(
        world.next("catalog", "1"),
        tagged("0.1.0", "catalog-v0.1.0", "1")
    );
}

#[test]
fn two_keys_at_one_commit_are_two_versions_and_each_is_found() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    assert_eq!(world.release("catalog", "1"), "0.1.0");
    assert_eq!(world.release("catalog", "2"), "0.1.1");
    assert_eq!(
        world.next("catalog", "1"),
        tagged("0.1.0", "catalog-v0.1.0", "1")
    );
    assert_eq!(
        world.next("catalog", "2"),
        tagged("0.1.1", "catalog-v0.1.1", "2")
    );
}

#[test]
fn the_loser_of_a_version_reads_again() {
    let world = World::new();
    world.commit("feat: begin", CATALOG);
    let (one, mut other) = (world.versions(), world.versions());
    let (first, second) = (
        new(next_in(&one, "catalog", "1")),
        new(next_in(&other, "catalog", "2")),
    );
    assert_eq!((&first.tag, &second.tag), (&first.tag, &first.tag));
    assert_eq!(
        one.claim(&first, &digest("1")).expect("pushed"),
        Claim::Claimed
    );
    assert_eq!(
        other.claim(&second, &digest("2")).expect("answered"),
        Claim::Taken
    );
    other.refresh().expect("it reads");
    let second = new(next_in(&other, "catalog", "2"));
    assert_eq!(second.tag, "catalog-v0.1.1");
    assert_eq!(
        other.claim(&second, &digest("2")).expect("pushed"),
        Claim::Claimed
    );
    // And one for the very same key finds the other's.
    let mut third = world.versions();
    third.refresh().expect("it reads");
    assert_eq!(
        next_in(&third, "catalog", "1"),
        tagged("0.1.0", "catalog-v0.1.0", "1")
    );
}

#[test]
fn one_that_is_taken_hinders_no_other() {
    let world = World::new();
    world.commit(
        "feat: begin",
        &[
            "services/catalog/a",
            "services/orders/a",
            "services/gateway/a",
        ],
    );
    let versions = world.versions();
    let services = ["catalog", "gateway", "orders"];
    let wanted = services.map(|service| new(next_in(&versions, service, "1")));
    world.release("gateway", "2");
    let digest = digest("1");
    let claims: Vec<_> = wanted.iter().map(|new| (new, digest.as_str())).collect();
    assert_eq!(
        versions.claim_all(&claims).expect("answered"),
        [Claim::Claimed, Claim::Taken, Claim::Claimed]
    );
    assert_eq!(versions.claim_all(&[]).expect("answered"), []);
}

#[test]
fn the_changelog_lives_in_the_tags() {
    let world = World::new();
    world.commit("feat(api): list <all>", CATALOG);
    world.release("catalog", "1");
    let commit = world.commit("fix: count\n\nfeat: reserve", CATALOG);
    world.release("catalog", "2");
    git(
        &world.app(),
        &["tag", "-a", "-m", "A word\n\nMore words.", "catalog-v9.0.0"],
    );
    git(&world.app(), &["tag", "catalog-v9.0.1"]);
    git(&world.app(), &["push", "--quiet", "origin", "--tags"]);
    let shown = git(&world.remote(), &["cat-file", "tag", "catalog-v0.2.0"]);
    let message = shown.split_once("\n\n").expect("a message").1;
    let short = &commit[..8];
    assert_eq!(
        message,
        format!(
            "catalog 0.2.0\n\n### Features\n\n- reserve ({short})\n\n### Fixes\n\n- count ({short})\n\nSlipway-Key: 2\nSlipway-Digest: {}",
            digest("2")
        )
    );

    let versions = history(&world.app(), &super::config(), "catalog").expect("readable");
    let names: Vec<&str> = versions
        .iter()
        .map(|version| version.version.as_str())
        .collect();
    assert_eq!(names, ["9.0.1", "9.0.0", "0.2.0", "0.1.0"]);
    assert_eq!(versions[1].text, "More words.");
    assert_eq!(versions[2].commit, commit);
    assert_eq!(versions[2].fixes[0].subject, "count");
    assert_eq!(versions[3].features[0].subject, "list <all>");
    assert_eq!(versions[3].features[0].scope.as_deref(), Some("api"));
    // From a clone that has next to nothing, too.
    let shallow = world.clone_as("shallow", &["--depth=1", "--no-tags"]);
    identify(&shallow);
    let again = history(&shallow, &super::config(), "catalog").expect("readable");
    let names: Vec<&str> = again
        .iter()
        .map(|version| version.version.as_str())
        .collect();
    assert_eq!(names, ["9.0.1", "9.0.0", "0.2.0", "0.1.0"]);
    assert!(
        history(&shallow, &super::config(), "cat")
            .expect("readable")
            .is_empty()
    );
    assert_eq!(versions_in(&shallow).source().commit, commit);
}
