//! Wherever it is run from.

use std::{fs, path::Path};

use super::{World, closure, commit_in, config, digest, git, new, next_in, versions_in};
use crate::version::{Claim, Next, Versions};

/// What must stay as it is.
fn state(clone: &Path) -> [String; 5] {
    let shallow = git(
        clone,
        &[
            "rev-parse",
            "--path-format=absolute",
            "--git-path",
            "shallow",
        ],
    );
    [
        git(clone, &["for-each-ref"]),
        git(clone, &["status", "--porcelain", "--branch"]),
        git(clone, &["rev-parse", "HEAD"]),
        git(clone, &["config", "--local", "--list"]),
        fs::read_to_string(shallow).unwrap_or_default(),
    ]
}

/// Three releases, of which the last was a feature, and a fix that is not released.
fn world() -> World {
    let world = World::new();
    for (key, message) in ["fix: a", "fix: b", "feat: c"].into_iter().enumerate() {
        world.commit(message, &["services/catalog/a"]);
        world.release("catalog", &key.to_string());
    }
    world.commit("fix: d", &["services/catalog/a"]);
    world.commit("docs: e", &["docs/a"]);
    world
}

/// Releases the fix from this clone, and leaves it alone.
fn release_from(clone: &Path) {
    let before = state(clone);
    let versions = versions_in(clone);
    assert!(matches!(
        next_in(&versions, "catalog", "2"),
        Next::Tagged { .. }
    ));
    let new = new(next_in(&versions, "catalog", "3"));
    assert_eq!(new.tag, "catalog-v0.2.1");
    assert!(new.changelog.contains("- d ("), "{}", new.changelog);
    assert!(!new.changelog.contains("- c ("), "{}", new.changelog);
    assert_eq!(
        versions.claim(&new, &digest("3")).expect("pushed"),
        Claim::Claimed
    );
    assert_eq!(state(clone), before);
    // A second run finds it, without having fetched it into the clone.
    assert!(matches!(
        next_in(&versions_in(clone), "catalog", "3"),
        Next::Tagged { .. }
    ));
}

#[test]
fn shallow_and_partial_clones_know_the_whole_history() {
    let world = world();
    let clones = [
        &["--depth=1"][..],
        &["--depth=2", "--no-tags"],
        &["--filter=blob:none"],
        &["--filter=tree:0", "--no-tags"],
        &["--no-tags"],
    ];
    let filters = ["true", "false"].map(|filters| clones.map(|options| (filters, options)));
    for (number, (filters, options)) in filters.into_iter().flatten().enumerate() {
        git(
            &world.remote(),
            &["config", "uploadpack.allowFilter", filters],
        );
        release_from(&world.clone_as(&number.to_string(), options));
        git(&world.remote(), &["tag", "--delete", "catalog-v0.2.1"]);
    }
}

#[test]
fn a_shallow_clone_behind_the_branch_can_push_too() {
    let world = world();
    git(
        &world.remote(),
        &["config", "uploadpack.allowFilter", "true"],
    );
    let shallow = world.clone_as("shallow", &["--depth=1"]);
    let versions = versions_in(&shallow);
    let new = new(next_in(&versions, "catalog", "3"));
    // The branch moves, so that the remote's tip is unknown here.
    world.commit("fix: f", &["services/catalog/a"]);
    assert_eq!(
        versions.claim(&new, &digest("3")).expect("pushed"),
        Claim::Claimed
    );
    release_is_superseded(&shallow);
}

fn release_is_superseded(clone: &Path) {
    git(clone, &["fetch", "--quiet", "--unshallow"]);
    git(clone, &["checkout", "--quiet", "--detach", "HEAD~1"]);
    assert!(matches!(
        next_in(&versions_in(clone), "catalog", "9"),
        Next::Superseded { .. }
    ));
}

#[test]
fn a_detached_head_and_worktrees_will_do() {
    let world = world();
    let app = world.app();
    git(&app, &["checkout", "--quiet", "--detach"]);
    git(&app, &["branch", "--quiet", "-D", "main"]);
    git(&app, &["worktree", "add", "--quiet", "--detach", "../tree"]);
    // In the middle of something.
    fs::write(app.join("README.md"), "changed").expect("writable");
    fs::write(app.join("staged"), "staged").expect("writable");
    git(&app, &["add", "staged"]);
    release_from(&world.folder.path().join("tree"));
    let before = state(&app);
    assert!(matches!(
        next_in(&versions_in(&app), "catalog", "3"),
        Next::Tagged { .. }
    ));
    assert_eq!(state(&app), before);
}

#[test]
fn the_workspace_may_be_a_folder_of_the_repository() {
    let world = World::new();
    world.commit("feat: a", &["below/services/catalog/a"]);
    let below = world.app().join("below");
    let version = |key: &str| {
        let versions = versions_in(&below);
        let new = new(next_in(&versions, "catalog", key));
        versions.claim(&new, &digest(key)).expect("pushed");
        new.version.to_string()
    };
    assert_eq!(version("1"), "0.1.0");
    world.commit("feat: a", &["services/catalog/a"]);
    assert_eq!(version("2"), "0.1.1");
    world.commit("feat: b", &["below/crates/shared/a"]);
    assert_eq!(version("3"), "0.2.0");
}

#[test]
fn what_others_do_not_have_is_not_released() {
    let world = world();
    let app = world.app();
    commit_in(&app, "feat: mine alone", &["services/catalog/a"]);
    let refused = |clone: &Path| match Versions::open(clone, &config()) {
        Ok(_) => panic!("it opens"),
        Err(error) => format!("{error:#}"),
    };
    let error = refused(&app);
    assert!(error.contains("is not on branch main of origin"), "{error}");
    assert!(error.contains("git push origin HEAD:main"), "{error}");
    // On another branch there.
    git(&app, &["push", "--quiet", "origin", "HEAD:side"]);
    assert!(refused(&app).contains("is not on branch main"));
    let side = world.clone_as("side", &["--depth=1", "--branch=side"]);
    assert!(refused(&side).contains("is not on branch main"));
    git(&app, &["push", "--quiet", "origin", "HEAD:main"]);
    assert!(
        versions_in(&side)
            .next("catalog", &closure("catalog"), "9")
            .is_ok()
    );
    // An older commit of the branch will do.
    git(&app, &["checkout", "--quiet", "HEAD~2"]);
    let versions = versions_in(&app);
    assert_eq!(versions.source().commit, git(&app, &["rev-parse", "HEAD"]));
    let time = git(&app, &["log", "-1", "--format=%ct"]);
    assert_eq!(versions.source().committed.as_second().to_string(), time);
}

#[test]
fn the_remote_may_be_named_as_a_folder_and_the_branch_otherwise() {
    let world = world();
    let app = world.app();
    git(&app, &["push", "--quiet", "origin", "HEAD:live"]);
    let mut config = config();
    config.source.branch = "live".to_owned();
    config.source.remote = "../app.git".to_owned();
    let versions = Versions::open(&app, &config).expect("it opens");
    assert_eq!(
        new(next_in(&versions, "catalog", "3")).tag,
        "catalog-v0.2.1"
    );
    config.source.remote = "upstream".to_owned();
    let error = Versions::open(&app, &config).err().expect("no such remote");
    assert!(
        format!("{error:#}").contains("no remote `upstream`"),
        "{error:#}"
    );
    config.source.remote = "origin".to_owned();
    config.source.branch = "none".to_owned();
    let error = Versions::open(&app, &config).err().expect("no such branch");
    assert!(
        format!("{error:#}").contains("not on branch none"),
        "{error:#}"
    );
}

#[test]
fn what_a_person_has_set_changes_nothing() {
    let world = world();
    let app = world.app();
    git(&app, &["tag", "-a", "-m", "mine", "mine-v1.0.0"]);
    for (key, value) in [
        ("log.follow", "true"),
        ("log.showSignature", "true"),
        ("log.date", "relative"),
        ("color.ui", "always"),
        ("i18n.logOutputEncoding", "latin1"),
        ("push.followTags", "true"),
        ("push.default", "nothing"),
        ("tag.gpgSign", "true"),
        ("core.quotePath", "false"),
        ("remote.origin.tagOpt", "--tags"),
        ("fetch.prune", "true"),
        ("fetch.pruneTags", "true"),
        ("user.name", "Grace \"G\" Hopper"),
    ] {
        git(&app, &["config", key, value]);
    }
    release_from(&app);
    let tags = git(&world.remote(), &["tag"]);
    assert!(!tags.contains("mine"), "{tags}");
    let tag = git(&world.remote(), &["cat-file", "tag", "catalog-v0.2.1"]);
    assert!(
        tag.contains("tagger Grace \"G\" Hopper <ada@example.org> "),
        "{tag}"
    );
}
