//! A day of releases, and what is refused.

use std::fs;

use crate::{
    shop::{Shop, told},
    world::git,
};

#[test]
fn what_changed_is_released_once_and_a_revert_without_compiling() {
    let shop = Shop::new();
    let first = shop.release();
    assert_eq!(
        told(&first),
        ["alpha released 0.1.0", "beta released 0.1.0"]
    );
    assert!(first["commit"].is_string(), "{first}");
    assert_eq!(shop.tags(), ["alpha-v0.1.0", "beta-v0.1.0"]);
    let digest = first["services"][0]["digest"].as_str().unwrap();
    assert_eq!(shop.recorded("staging", "alpha"), format!("0.1.0 {digest}"));
    assert_eq!(shop.digest("shop/alpha", "0.1.0").as_deref(), Some(digest));
    let key = first["services"][0]["key"].as_str().unwrap();
    assert_eq!(
        shop.digest("shop/alpha", &format!("key-{key}")).as_deref(),
        Some(digest)
    );

    let second = shop.release();
    assert_eq!(
        told(&second),
        ["alpha unchanged 0.1.0", "beta unchanged 0.1.0"]
    );
    assert!(second["commit"].is_null(), "{second}");

    let change = shop.change(
        "services/alpha/src/main.rs",
        "// More.\n",
        "feat(alpha): more",
    );
    let third = shop.release();
    assert_eq!(
        told(&third),
        ["alpha released 0.2.0", "beta unchanged 0.1.0"]
    );
    assert_eq!(third["services"][0]["reused"], false);
    // A comment changes the key, since nobody but the compiler knows what it is; not what comes out.
    assert_ne!(third["services"][0]["key"], first["services"][0]["key"]);

    git(&shop.repo.root, &["revert", "--no-edit", &change]);
    shop.push("chore: after the revert");
    let program = shop
        .repo
        .root
        .join("target/x86_64-unknown-linux-gnu/release/alpha");
    let built = fs::metadata(&program).unwrap().modified().unwrap();
    let fourth = shop.release();
    assert_eq!(
        told(&fourth),
        ["alpha released 0.2.1", "beta unchanged 0.1.0"]
    );
    assert_eq!(fourth["services"][0]["digest"], digest);
    assert_eq!(fourth["services"][0]["reused"], true);
    assert_eq!(fs::metadata(&program).unwrap().modified().unwrap(), built);
    assert_eq!(shop.recorded("staging", "alpha"), format!("0.2.1 {digest}"));
}

#[test]
fn what_is_held_is_left_alone() {
    let shop = Shop::new();
    shop.release();
    shop.change(
        "services/alpha/src/main.rs",
        "// More.\n",
        "fix(alpha): more",
    );
    shop.release();
    shop.run(&["rollback", "alpha", "--env", "staging", "--reason", "slow"])
        .ok();
    shop.change("crates/shared/src/lib.rs", "// More.\n", "feat: more");
    let ran = shop.run(&["release", "--json"]).ok();
    assert_eq!(
        told(&ran.json()),
        ["alpha held 0.1.0", "beta released 0.2.0"]
    );
    assert!(
        ran.stderr.contains("alpha is held in staging"),
        "{}",
        ran.stderr
    );
    shop.run(&["resume", "alpha", "--env", "staging"]).ok();
    assert_eq!(
        told(&shop.release()),
        ["alpha released 0.2.0", "beta unchanged 0.2.0"]
    );

    shop.run(&[
        "promote",
        "--all",
        "--from",
        "staging",
        "--to",
        "production",
    ])
    .ok();
    for service in ["alpha", "beta"] {
        assert_eq!(
            shop.recorded("production", service),
            shop.recorded("staging", service)
        );
    }
}

#[test]
fn one_of_several_is_released_and_a_dry_run_changes_nothing() {
    let shop = Shop::new();
    let planned = shop.run(&["release", "--dry-run", "--json"]).ok().json();
    assert_eq!(
        told(&planned),
        ["alpha released 0.1.0", "beta released 0.1.0"]
    );
    assert!(shop.tags().is_empty());
    assert_eq!(shop.digest("shop/alpha", "0.1.0"), None);
    let one = shop
        .run(&["release", "--service", "beta", "--json"])
        .ok()
        .json();
    assert_eq!(told(&one), ["beta released 0.1.0"]);
    assert_eq!(shop.tags(), ["beta-v0.1.0"]);
    let unknown = shop.run(&["release", "--service", "gamma"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("services/ has alpha, beta"),
        "{}",
        unknown.stderr
    );
    let production = shop.run(&["release", "--env", "production"]);
    production.failed("production takes no releases");
}

#[test]
fn what_nobody_else_can_see_is_not_released() {
    let shop = Shop::new();
    shop.repo.append("services/alpha/src/main.rs", "// More.\n");
    shop.run(&["release"]).failed("services/alpha/src/main.rs");
    // It is nothing to beta.
    let one = shop
        .run(&["release", "--service", "beta", "--json"])
        .ok()
        .json();
    assert_eq!(told(&one), ["beta released 0.1.0"]);
    shop.repo.commit();
    shop.run(&["release"]).failed("git push");
    assert_eq!(shop.tags(), ["beta-v0.1.0"]);
}

#[test]
fn what_does_not_compile_releases_nothing() {
    let shop = Shop::new();
    shop.change(
        "services/beta/src/main.rs",
        "fn broken() -> u8 {}\n",
        "feat(beta): broken",
    );
    let ran = shop.run(&["release"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("mismatched types"), "{}", ran.stderr);
    assert!(shop.tags().is_empty());
}
