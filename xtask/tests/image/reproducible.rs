//! One key, one digest: wherever, whenever and by whomever it is built.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::{
    repo::{Repo, git, run},
    run::{error, json, xtask},
};

/// The digests of alpha and beta.
fn digests(command: &mut Command) -> Vec<String> {
    let rows = json(command);
    let digest = |row: &serde_json::Value| row["digest"].as_str().unwrap().to_owned();
    rows.as_array().unwrap().iter().map(digest).collect()
}

fn image(root: &Path) -> Command {
    xtask(root, &["image", "alpha", "beta", "--json"])
}

#[test]
fn the_same_key_gives_the_same_digest_everywhere() {
    let repo = Repo::new();
    // What panics names its file, here one that a build script wrote.
    repo.replace(
        "crates/codegen/src/lib.rs",
        "const GENERATED",
        "pub fn fails() { panic!(\\\"generated\\\") } const GENERATED",
    );
    repo.replace(
        "services/alpha/src/main.rs",
        "fn main() {",
        "fn main() {\n    if std::env::args().len() > 9 { fails() }",
    );
    repo.commit();
    let cold = digests(&mut image(&repo.root));
    assert_eq!(cold.iter().collect::<BTreeSet<_>>().len(), 2, "{cold:?}");
    assert_eq!(
        digests(&mut image(&repo.root)),
        cold,
        "with a warm target folder"
    );

    // Another clone, whose files are of another time, by somebody else.
    let other = repo.around().join("another/längere place");
    run(git()
        .args(["clone", "--quiet", "--depth=1"])
        .arg(format!("file://{}", repo.root.display()))
        .arg(&other));
    let home = repo.around().join("home");
    fs::create_dir_all(&home).unwrap();
    run(Command::new("find").arg(&other).args([
        "-name",
        "*.rs",
        "-exec",
        "touch",
        "-d",
        "2001-09-09",
        "{}",
        ";",
    ]));
    let rustup = std::env::var_os("RUSTUP_HOME")
        .map_or_else(|| std::env::home_dir().unwrap().join(".rustup"), Into::into);
    let mut there = Command::new("sh");
    there
        .args(["-c", "umask 077; exec \"$0\" image alpha beta --json"])
        .arg(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(other.join("services/beta"))
        .env("RUSTUP_HOME", rustup)
        .env("CARGO_HOME", home.join("cargo home"))
        .env("CARGO_TARGET_DIR", home.join("target"))
        .env("HOME", &home)
        .env("USER", "somebody")
        .env("LANG", "de_DE.UTF-8")
        .env("TZ", "Pacific/Auckland")
        .env("RUSTFLAGS", "-Copt-level=2")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2");
    assert_eq!(digests(&mut there), cold, "in another place");
}

#[test]
fn flags_of_cargos_configuration_are_kept() {
    let repo = Repo::new();
    repo.replace(
        "services/beta/src/main.rs",
        "fn main() {",
        "fn main() {\n    #[cfg(not(all(ours, target_feature = \"crt-static\")))]\n    compile_error!(\"a flag is lost\");",
    );
    for (config, what) in [
        ("[build]\nrustflags = [\"--cfg=ours\"]\n", "build"),
        (
            "[build]\nrustflags = [\"--cfg=others\"]\n[target.'cfg(unix)']\nrustflags = \"--cfg=ours\"\n",
            "a target's",
        ),
        (
            "[target.x86_64-unknown-linux-gnu]\nrustflags = [\"--cfg=ours\"]\n",
            "the target's",
        ),
    ] {
        repo.write(".cargo/config.toml", config);
        repo.commit();
        let rows = json(&mut xtask(&repo.root, &["image", "beta", "--json"]));
        assert_eq!(rows[0]["service"], "beta", "{what}");
    }
    repo.write(
        ".cargo/config.toml",
        "[build]\nrustflags = \"--cfg=ours\"\n",
    );
    repo.commit();
    let said = error(&mut xtask(&repo.root, &["image", "beta"]));
    assert!(said.contains("write it as a list"), "{said}");
}

#[test]
fn a_path_of_this_machine_in_the_program_is_refused() {
    let repo = Repo::new();
    repo.replace(
        "services/beta/src/main.rs",
        "println!(\"beta {}\"",
        "println!(\"{} {}\", env!(\"CARGO_MANIFEST_DIR\")",
    );
    repo.commit();
    let said = error(&mut xtask(&repo.root, &["image", "beta"]));
    assert!(said.contains(&repo.root.display().to_string()), "{said}");
    assert!(said.contains("would differ on another machine"), "{said}");
}

#[test]
fn what_does_not_build_or_exist_is_an_error_for_people() {
    let repo = Repo::new();
    repo.append("services/beta/src/main.rs", "fn main() {}\n");
    repo.commit();
    let said = error(&mut xtask(&repo.root, &["image", "beta"]));
    assert!(
        said.contains("E0428") && said.contains("the build of beta failed"),
        "{said}"
    );
    let mut unknown = xtask(&repo.root, &["image", "gamma"]);
    assert_eq!(unknown.status().unwrap().code(), Some(2));
    let said = error(&mut unknown);
    assert!(said.contains("services/ has alpha, beta"), "{said}");
}
