//! What goes wrong says what, and leaves nothing half done.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{World, config, digest, git, new, next_in};
use crate::version::{Claim, Next, Versions};

fn world() -> World {
    let world = World::new();
    world.commit("feat: begin", &["services/catalog/a", "services/orders/a"]);
    world
}

#[test]
fn a_hook_that_rejects_is_quoted() {
    let world = world();
    world.hook("pre-receive", "#!/bin/sh\necho 'GitLab: You are not allowed to create this tag as it is protected.' >&2\nexit 1\n");
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    let error = versions.claim(&new, &digest("1")).expect_err("rejected");
    let error = format!("{error:#}");
    assert!(
        error.contains("tag catalog-v0.1.0 was not taken by origin"),
        "{error}"
    );
    assert!(
        error.contains("not allowed to create this tag as it is protected"),
        "{error}"
    );
    assert!(error.contains("hook declined"), "{error}");
    assert_eq!(git(&world.remote(), &["tag"]), "");
    fs::remove_file(world.remote().join("hooks/pre-receive")).expect("there");
    assert_eq!(
        versions.claim(&new, &digest("1")).expect("pushed"),
        Claim::Claimed
    );
}

#[test]
fn a_hook_that_rejects_one_lets_the_others_be() {
    let world = world();
    world.hook("update", "#!/bin/sh\ncase $1 in *catalog*) echo 'catalog is frozen, see https://ada:s3cr3t@example.org/' >&2; exit 1;; esac\n");
    let versions = world.versions();
    let wanted = ["catalog", "orders"].map(|service| new(next_in(&versions, service, "1")));
    let digest = digest("1");
    let error = versions
        .claim_all(&wanted.each_ref().map(|new| (new, digest.as_str())))
        .expect_err("rejected");
    let error = format!("{error:#}");
    assert!(error.contains("catalog is frozen"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
    assert_eq!(git(&world.remote(), &["tag"]), "orders-v0.1.0");
    assert!(matches!(world.next("orders", "1"), Next::Tagged { .. }));
}

#[test]
fn a_remote_that_breaks_after_it_took_a_tag_is_asked() {
    let world = world();
    // It has the tag, and goes away before it says so.
    world.hook("post-receive", "#!/bin/sh\nkill -9 $PPID\n");
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    assert_eq!(
        versions.claim(&new, &digest("1")).expect("asked"),
        Claim::Claimed
    );
    assert!(matches!(world.next("catalog", "1"), Next::Tagged { .. }));
}

#[test]
fn a_remote_that_breaks_before_it_took_a_tag_is_an_error() {
    let world = world();
    world.hook("pre-receive", "#!/bin/sh\nkill -9 $PPID\n");
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    let error = versions.claim(&new, &digest("1")).expect_err("it broke");
    assert!(format!("{error:#}").contains("run this again"), "{error:#}");
    assert_eq!(git(&world.remote(), &["tag"]), "");
}

#[test]
fn a_remote_that_is_away_is_named_without_its_password() {
    let world = world();
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    fs::rename(world.remote(), world.folder.path().join("away")).expect("movable");
    let error = format!(
        "{:#}",
        versions.claim(&new, &digest("1")).expect_err("away")
    );
    assert!(
        error.contains("see that the remote can be reached"),
        "{error}"
    );

    let url = "http://ada:s3cr3t@127.0.0.1:9/app.git";
    let mut config = config();
    config.source.remote = url.to_owned();
    let error = Versions::open(&world.app(), &config).err().expect("away");
    let error = format!("{error:#}");
    assert!(
        error.contains("cannot read http://***@127.0.0.1:9/app.git"),
        "{error}"
    );
    git(&world.app(), &["remote", "set-url", "origin", url]);
    let error = Versions::open(&world.app(), &super::config())
        .err()
        .expect("away");
    let error = format!("{error:#}");
    assert!(error.contains("cannot read origin"), "{error}");
    assert!(!error.contains("s3cr3t"), "{error}");
}

#[test]
fn a_lock_that_stays_is_no_race() {
    let world = world();
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    // What a killed push leaves.
    let lock = world.remote().join("refs/tags/catalog-v0.1.0.lock");
    fs::write(&lock, "").expect("writable");
    let error = format!(
        "{:#}",
        versions.claim(&new, &digest("1")).expect_err("locked")
    );
    assert!(error.contains("catalog-v0.1.0"), "{error}");
    assert!(error.contains("run this again"), "{error}");
    fs::remove_file(lock).expect("there");
    assert_eq!(
        versions.claim(&new, &digest("1")).expect("pushed"),
        Claim::Claimed
    );
}

#[test]
fn nobody_without_a_name_tags() {
    let world = world();
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    git(&world.app(), &["config", "user.useConfigOnly", "true"]);
    git(&world.app(), &["config", "--unset", "user.email"]);
    // Unless the machine's own settings name one.
    if let Err(error) = versions.claim(&new, &digest("1")) {
        assert!(format!("{error:#}").contains("user.email"), "{error:#}");
    }
}

#[test]
fn a_remote_that_cannot_be_written_says_so() {
    let world = world();
    let ssh = world.folder.path().join("ssh");
    let script = "#!/bin/sh\nfor last; do :; done\ncase $last in *receive-pack*) echo 'ERROR: Permission to shop/app.git denied to ada.' >&2; exit 1;; esac\neval \"$last\"\n";
    fs::write(&ssh, script).expect("writable");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("its own");
    let url = format!("ssh://git@localhost{}", world.remote().display());
    git(&world.app(), &["remote", "set-url", "origin", &url]);
    git(
        &world.app(),
        &["config", "core.sshCommand", ssh.to_str().expect("UTF-8")],
    );
    git(&world.app(), &["config", "ssh.variant", "simple"]);
    let versions = world.versions();
    let new = new(next_in(&versions, "catalog", "1"));
    let error = versions.claim(&new, &digest("1")).expect_err("denied");
    let told = format!("{error:#}");
    assert!(
        told.contains("Permission to shop/app.git denied to ada"),
        "{told}"
    );
    assert!(
        told.contains("in CI the token needs to write contents"),
        "{told}"
    );
}
