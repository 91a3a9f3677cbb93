//! A registry that wants a login gets it from Docker's configuration and its helper programs.

use std::{fs, path::PathBuf};

use crate::{
    registry::{PASSWORD, Registry, USER},
    world::{PROMOTE, Ran, World, executable, run},
};

/// A world whose staging runs an image of a registry with passwords, which has lost it: who is let
/// in is told so.
struct Guarded {
    world: World,
    registry: Registry,
}

impl Guarded {
    fn new() -> Self {
        let world = World::new();
        let registry = Registry::with_password();
        world.stage("catalog", "1.0.0");
        let path = "gitops/environments/staging/catalog/image.yaml";
        let record = world
            .file(path)
            .replace(&world.registry.address, &registry.address);
        world.commit("chore: another registry", &[(path, &record)]);
        Self { world, registry }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    /// Promotes with this in Docker's `config.json`, and helper programs in `bin`.
    fn promote(&self, config: &str) -> Ran {
        let config = config.replace("HOST", &self.registry.address);
        let docker = self.folder("docker");
        fs::create_dir_all(&docker).expect("writable");
        fs::write(docker.join("config.json"), config).expect("writable");
        let path = std::env::var("PATH").expect("a PATH");
        run(self
            .world
            .command(&PROMOTE)
            .env("DOCKER_CONFIG", docker)
            .env("PATH", format!("{}:{path}", self.folder("bin").display())))
    }

    fn helper(&self, name: &str, script: &str) {
        let script = format!("#!/bin/sh\nhost=$(cat)\n{script}\n");
        executable(
            &self.folder("bin").join(format!("docker-credential-{name}")),
            &script,
        );
    }
}

#[test]
fn a_helper_is_asked_for_the_host_and_its_answer_taken() {
    let guarded = Guarded::new();
    let asked = guarded.folder("asked");
    guarded.helper(
        "safe",
        &format!(
            "echo \"$1 $host\" >> {}; echo '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'",
            asked.display()
        ),
    );
    for config in [
        r#"{"credHelpers": {"HOST": "safe"}}"#,
        r#"{"auths": {"HOST": {}}, "credsStore": "safe"}"#,
    ] {
        guarded.promote(config).failed("the registry no longer has");
    }
    let asked = fs::read_to_string(asked).expect("it was asked");
    let once = format!("get {}\n", guarded.registry.address);
    assert_eq!(asked, once.repeat(2));
}

#[test]
fn a_helper_that_is_missing_or_fails_is_named() {
    let guarded = Guarded::new();
    guarded.helper("broken", "echo secret-9; echo secret-9 >&2; exit 1");
    guarded.helper("garbled", "echo secret-9");
    for (helper, words) in [
        (
            "absent",
            "docker-credential-absent, which keeps the credential for",
        ),
        ("broken", "docker-credential-broken gives no credential for"),
        ("garbled", "docker-credential-garbled answers for"),
    ] {
        let ran = guarded
            .promote(&format!(r#"{{"credHelpers": {{"HOST": "{helper}"}}}}"#))
            .failed(words);
        assert!(!ran.stderr.contains("secret-9"), "{}", ran.stderr);
    }
}

#[test]
fn a_helper_that_has_nothing_is_where_to_look() {
    let guarded = Guarded::new();
    guarded.helper(
        "empty",
        "echo 'credentials not found in native keychain'; exit 1",
    );
    guarded
        .promote(r#"{"credHelpers": {"HOST": "empty"}}"#)
        .failed("| docker-credential-empty get`");
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let guarded = Guarded::new();
    for config in ["{", r#"{"auths": {"HOST": {"auth": "no base64"}}}"#] {
        guarded.promote(config).failed("docker/config.json: ");
    }
}
