//! A change that can reach a service's binary changes its key, and no other change does.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::{
    repo::{Repo, git, run},
    xtask::xtask,
};

const NONE: [&str; 0] = [];

#[test]
fn a_file_of_the_service_changes_its_key_alone() {
    let repo = Repo::with_record();
    let change = |path: &'static str| repo.changed(|repo| repo.append(path, "// changed\n"));
    assert_eq!(change("services/alpha/src/text.rs"), ["alpha"]);
    assert_eq!(change("services/alpha/build.rs"), ["alpha"]);
    assert_eq!(change("services/alpha/assets/text.txt"), ["alpha"]);
    assert_eq!(change("services/beta/src/main.rs"), ["beta"]);
}

#[test]
fn a_shared_crate_changes_all_that_use_it() {
    let repo = Repo::with_record();
    let change = |path: &'static str| repo.changed(|repo| repo.append(path, "// changed\n"));
    assert_eq!(change("crates/shared/src/lib.rs"), ["alpha", "beta"]);
    assert_eq!(
        change("crates/macros/src/lib.rs"),
        ["alpha"],
        "a procedural macro"
    );
    assert_eq!(
        change("crates/codegen/src/lib.rs"),
        ["alpha"],
        "a build script's dependency"
    );
    assert_eq!(change("crates/unused/src/lib.rs"), NONE);
}

#[test]
fn what_no_build_reads_changes_nothing() {
    let repo = Repo::with_record();
    let changed = repo.changed(|repo| {
        repo.append("README.md", "More.\n");
        repo.append("services/alpha/README.md", "More.\n");
        repo.append("services/alpha/tests/it.rs", "// changed\n");
        repo.write("services/alpha/benches/speed.rs", "fn main() {}\n");
        repo.write("services/alpha/examples/demo.rs", "fn main() {}\n");
        repo.write("services/beta/README.md", "# Beta\n");
        repo.write("docs/guide.txt", "text\n");
        repo.write(".github/workflows/ci.yaml", "on: push\n");
    });
    assert_eq!(changed, NONE);
}

#[test]
fn manifests_count_by_what_cargo_makes_of_them() {
    let repo = Repo::with_record();
    let changed = repo.changed(|repo| {
        repo.append(
            "services/alpha/Cargo.toml",
            "unused = { path = \"../../crates/unused\" }\n",
        );
        repo.lock();
    });
    assert_eq!(changed, NONE, "a dev-dependency");
    let changed = repo.changed(|repo| {
        repo.append("Cargo.toml", "\n# a comment\n[profile.dev]\ndebug = false\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n[workspace.metadata.x]\ny = 1\n");
        repo.append("services/beta/Cargo.toml", "\n[lints]\nworkspace = true\n\n[package.metadata.docs]\nx = 1\n");
    });
    assert_eq!(changed, NONE, "lints, other profiles, metadata, comments");
    let changed = repo.changed(|repo| {
        repo.replace("Cargo.toml", "[workspace.package]\n", "[workspace.dependencies]\nunused = { path = \"crates/unused\" }\n\n[workspace.package]\n");
    });
    assert_eq!(changed, NONE, "a dependency that nobody has");
    let changed = repo.changed(|repo| {
        repo.replace(
            "services/beta/Cargo.toml",
            "edition.workspace = true",
            "edition = \"2021\"",
        );
    });
    assert_eq!(changed, ["beta"], "an edition");
    let changed = repo.changed(|repo| {
        repo.replace(
            "services/beta/Cargo.toml",
            "name = \"beta\"",
            "name = \"beta\"\ndescription = \"B\"",
        );
    });
    assert_eq!(changed, ["beta"], "a description, which `clap` prints");
    let changed = repo.changed(|repo| {
        repo.replace("Cargo.toml", "version = \"0.1.0\"", "version = \"0.1.1\"");
        repo.lock();
    });
    assert_eq!(changed, ["alpha", "beta"], "a value that all inherit");
}

#[test]
fn the_release_profile_counts_as_far_as_it_applies() {
    let repo = Repo::with_record();
    let add = |more: &str| repo.changed(|repo| repo.append("Cargo.toml", more));
    assert_eq!(add("lto = \"thin\"\n"), ["alpha", "beta"]);
    assert_eq!(
        add(
            "[profile.release.package.macros]\nopt-level = 1\n[profile.release.package.unused]\nopt-level = 1\n"
        ),
        ["alpha"]
    );
    assert_eq!(
        add("[profile.release.build-override]\nopt-level = 1\n"),
        ["alpha", "beta"]
    );
    assert_eq!(add("[profile.bench]\nopt-level = 1\n"), NONE);
}

#[test]
fn the_toolchain_and_cargos_configuration_count_as_far_as_they_apply() {
    let repo = Repo::with_record();
    let set = |text: &'static str| repo.changed(|repo| repo.write(".cargo/config.toml", text));
    let all = ["alpha", "beta"];
    assert_eq!(
        set(
            "[alias]\nxtask = \"run\"\n[net]\nretry = 3\n[term]\nquiet = true\n[build]\njobs = 2\n"
        ),
        NONE
    );
    assert_eq!(set("[env]\nREGION = \"eu\"\n"), all);
    assert_eq!(
        set(
            "# the same\nenv.REGION = \"eu\"\n[target.'cfg(windows)']\nlinker = \"link\"\n[target.aarch64-unknown-linux-gnu]\nlinker = \"cc\"\n"
        ),
        NONE
    );
    assert_eq!(
        set(
            "[env]\nREGION = \"eu\"\n[target.'cfg(target_os = \"linux\")']\nrustflags = [\"-Cforce-frame-pointers\"]\n"
        ),
        all
    );
    assert_eq!(
        set("[env]\nREGION = \"eu\"\n[profile.release]\npanic = \"abort\"\n"),
        all
    );
    repo.write("more.toml", "[env]\nREGION = \"us\"\n");
    assert_eq!(set("include = [\"../more.toml\"]\n"), all);
    repo.write("more.toml", "[env]\nREGION = \"asia\"\n");
    assert!(repo.keys()["beta"].ends_with("-dirty"));
    repo.commit();

    let changed = repo.changed(|repo| {
        repo.write(
            "rust-toolchain.toml",
            "[toolchain]\nchannel = \"1.95.0\"\ncomponents = [\"clippy\"]\n",
        );
    });
    assert_eq!(changed, NONE, "the toolchain that is used anyway");
    let manifest = |repo: &Repo| {
        let key = &repo.keys()["alpha"];
        repo.read(&format!("target/slipway/keys/{key}.json"))
    };
    assert!(manifest(&repo).contains("\"rustc\":\"rustc 1.95.0 "));
}

#[test]
fn the_callers_environment_does_not_reach_a_key() {
    let repo = Repo::with_record();
    let before = repo.keys();
    let ran = crate::xtask::command(&repo.root, &["affected", "--json"])
        .envs([
            ("RUSTFLAGS", "--cfg other"),
            ("CARGO_PROFILE_RELEASE_LTO", "fat"),
            ("CC", "/nowhere"),
            ("CARGO_ENCODED_RUSTFLAGS", "-g"),
        ])
        .output()
        .unwrap();
    let after = crate::xtask::keys(&serde_json::from_slice(&ran.stdout).unwrap());
    assert_eq!(before, after);
}

#[test]
fn features_reach_a_key_through_what_the_service_itself_builds() {
    let repo = Repo::with_record();
    let shared = "shared = { path = \"../../crates/shared\" }";
    let loud = "shared = { path = \"../../crates/shared\", features = [\"loud\"] }";
    let changed = repo.changed(|repo| repo.replace("services/beta/Cargo.toml", shared, loud));
    assert_eq!(
        changed,
        ["beta"],
        "another service's features do not leak in"
    );
    let changed = repo.changed(|repo| {
        repo.write("crates/between/Cargo.toml", &format!("[package]\nname = \"between\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n{}\n", loud.replace("../../crates", "..")));
        repo.write("crates/between/src/lib.rs", "");
        repo.replace("services/alpha/Cargo.toml", "[dependencies]\n", "[dependencies]\nbetween = { path = \"../../crates/between\" }\n");
        repo.lock();
    });
    assert_eq!(changed, ["alpha"]);
    repo.deploy();
    let changed = repo
        .changed(|repo| repo.replace("crates/between/Cargo.toml", ", features = [\"loud\"]", ""));
    assert_eq!(changed, ["alpha"]);
    let why = &repo.why("alpha")["changes"];
    assert_eq!(
        why,
        &serde_json::json!([{"kind": "feature", "name": "shared/loud", "change": "removed", "via": ["alpha", "shared"]}])
    );
    let changed = repo.changed(|repo| {
        repo.append(
            "crates/macros/Cargo.toml",
            &format!("\n[dependencies]\n{}\n", loud.replace("../../crates", "..")),
        );
        repo.lock();
    });
    assert_eq!(changed, ["alpha"], "on the host alone");
}

#[test]
fn dependencies_of_other_targets_are_left_out() {
    let repo = Repo::with_record();
    repo.append(
        "services/beta/Cargo.toml",
        "\n[target.'cfg(windows)'.dependencies]\nunused = { path = \"../../crates/unused\" }\n",
    );
    repo.lock();
    repo.commit();
    let append = |repo: &Repo| repo.append("crates/unused/src/lib.rs", "// changed\n");
    assert_eq!(repo.changed(append), NONE);
    repo.replace(
        "services/beta/Cargo.toml",
        "cfg(windows)",
        "cfg(all(unix, target_arch = \"x86_64\"))",
    );
    repo.commit();
    assert_eq!(repo.changed(append), ["beta"]);
    repo.replace(
        "services/beta/Cargo.toml",
        "cfg(all(unix, target_arch = \"x86_64\"))",
        "cfg(beta_extra)",
    );
    repo.commit();
    assert_eq!(repo.changed(append), NONE);
    repo.write(
        ".cargo/config.toml",
        "[build]\nrustflags = [\"--cfg\", \"beta_extra\"]\n",
    );
    repo.commit();
    assert_eq!(
        repo.changed(append),
        ["beta"],
        "a flag that the configuration sets"
    );
}

#[test]
fn optional_dependencies_count_when_they_are_on() {
    let repo = Repo::with_record();
    repo.append("services/beta/Cargo.toml", "unused = { path = \"../../crates/unused\", optional = true }\n\n[features]\ndefault = []\nmore = [\"dep:unused\"]\n");
    repo.lock();
    repo.commit();
    let append = |repo: &Repo| repo.append("crates/unused/src/lib.rs", "// changed\n");
    assert_eq!(repo.changed(append), NONE);
    assert_eq!(
        repo.changed(|repo| repo.replace(
            "services/beta/Cargo.toml",
            "default = []",
            "default = [\"more\"]"
        )),
        ["beta"]
    );
    assert_eq!(repo.changed(append), ["beta"]);
}

#[test]
fn path_and_git_dependencies_count() {
    let repo = Repo::with_record();
    let upstream = repo.around().join("upstream");
    let release = |text: &str| {
        fs::create_dir_all(upstream.join("src")).unwrap();
        fs::write(
            upstream.join("Cargo.toml"),
            "[package]\nname = \"upstream\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
        )
        .unwrap();
        fs::write(upstream.join("src/lib.rs"), text).unwrap();
        run(git()
            .args(["init", "--quiet", "--initial-branch=main"])
            .current_dir(&upstream));
        run(git().args(["add", "--all"]).current_dir(&upstream));
        run(git()
            .args(["commit", "--quiet", "--message=release"])
            .current_dir(&upstream));
    };
    // A CARGO_HOME of its own: what is fetched from a temporary folder is of no use to others.
    let home = repo.around().join("cargo-home");
    let cargo = |arguments: &[&str]| {
        run(Command::new("cargo")
            .args(arguments)
            .env("CARGO_HOME", &home)
            .current_dir(&repo.root));
    };
    let keys = || {
        let ran = crate::xtask::command(&repo.root, &["affected", "--json"])
            .env("CARGO_HOME", &home)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        crate::xtask::keys(&serde_json::from_slice(&ran.stdout).unwrap())
    };
    release("pub fn one() {}\n");
    let before = keys();
    repo.append(
        "services/beta/Cargo.toml",
        &format!("upstream = {{ git = \"file://{}\" }}\n", upstream.display()),
    );
    cargo(&["generate-lockfile", "--quiet"]);
    repo.commit();
    let with = keys();
    assert_eq!(with["alpha"], before["alpha"]);
    assert_ne!(with["beta"], before["beta"]);
    release("pub fn two() {}\n");
    assert_eq!(keys(), with, "the lock names a commit");
    cargo(&["update", "--quiet"]);
    repo.commit();
    let updated = keys();
    assert_eq!(
        updated["alpha"], with["alpha"],
        "another service's lock entry"
    );
    assert_ne!(updated["beta"], with["beta"]);

    // A path dependency that is no member of the workspace.
    repo.write(
        "vendor/extra/Cargo.toml",
        "[package]\nname = \"extra\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    repo.write("vendor/extra/src/lib.rs", "");
    repo.replace(
        "Cargo.toml",
        "[workspace]\n",
        "[workspace]\nexclude = [\"vendor\"]\n",
    );
    repo.append(
        "services/beta/Cargo.toml",
        "extra = { path = \"../../vendor/extra\" }\n",
    );
    cargo(&["update", "--quiet", "--workspace"]);
    repo.commit();
    let with_path = keys();
    repo.append("vendor/extra/src/lib.rs", "// changed\n");
    repo.commit();
    let changed = keys();
    assert_eq!(changed["alpha"], with_path["alpha"]);
    assert_ne!(changed["beta"], with_path["beta"]);
}

#[test]
fn a_path_dependency_outside_the_repository_is_an_error() {
    let repo = Repo::with_record();
    let outside = repo.around().join("outside");
    fs::create_dir_all(outside.join("src")).unwrap();
    fs::write(
        outside.join("Cargo.toml"),
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    )
    .unwrap();
    fs::write(outside.join("src/lib.rs"), "").unwrap();
    repo.append(
        "services/beta/Cargo.toml",
        "outside = { path = \"../../../outside\" }\n",
    );
    repo.lock();
    repo.commit();
    let error = xtask(&repo.root, &["affected"]).error();
    assert!(
        error.contains("outside") && error.contains("not in Git"),
        "{error}"
    );
}

#[test]
fn registry_entries_of_other_services_change_nothing() {
    let repo = Repo::with_record();
    repo.append("services/beta/Cargo.toml", "itoa = \"1\"\n");
    repo.lock();
    repo.commit();
    let changed = repo.changed(|repo| {
        repo.replace(
            "services/alpha/Cargo.toml",
            "[dependencies]\n",
            "[dependencies]\ncfg-if = \"1\"\n",
        );
        repo.lock();
    });
    assert_eq!(changed, ["alpha"]);
}

#[test]
fn declared_inputs_count() {
    let repo = Repo::with_record();
    repo.write("schema/v1/one.json", "1\n");
    repo.write("schema/notes.txt", "1\n");
    repo.write("schema/[odd] näme.json", "1\n");
    repo.append(
        "crates/shared/Cargo.toml",
        "\n[package.metadata.slipway]\ninputs = [\"../../schema/**/*.json\", \"README.md\", \"../../schema/[[]odd] näme.json\"]\n",
    );
    repo.write("crates/shared/README.md", "# Shared\n");
    repo.commit();
    let all = ["alpha", "beta"];
    let change = |path: &'static str| repo.changed(|repo| repo.append(path, "2\n"));
    assert_eq!(change("schema/v1/one.json"), all);
    assert_eq!(change("schema/[odd] näme.json"), all);
    assert_eq!(change("crates/shared/README.md"), all);
    assert_eq!(change("schema/notes.txt"), NONE);
    assert_eq!(
        repo.changed(|repo| repo.write("schema/v2/new.json", "1\n")),
        all
    );
    assert_eq!(repo.changed(|repo| repo.remove("schema/v2/new.json")), all);

    repo.replace(
        "crates/shared/Cargo.toml",
        "../../schema/**/*.json",
        "../../shema/*.json",
    );
    repo.commit();
    let error = xtask(&repo.root, &["affected"]).error();
    assert!(
        error.contains("crates/shared/Cargo.toml") && error.contains("../../shema/*.json"),
        "{error}"
    );
    repo.replace(
        "crates/shared/Cargo.toml",
        "../../shema/*.json",
        "../../../*.json",
    );
    repo.commit();
    let error = xtask(&repo.root, &["affected"]).error();
    assert!(error.contains("leaves the repository"), "{error}");
}

#[test]
fn symbolic_links_count_with_what_they_lead_to() {
    let repo = Repo::with_record();
    repo.write("data/one/a.sql", "1\n");
    repo.write("data/two/a.sql", "1\n");
    assert_eq!(
        repo.changed(|repo| repo.link("services/beta/migrations", "../../data/one")),
        ["beta"]
    );
    assert_eq!(
        repo.changed(|repo| repo.append("data/one/a.sql", "2\n")),
        ["beta"],
        "behind the link"
    );
    assert_eq!(
        repo.changed(|repo| repo.write("data/one/b.sql", "1\n")),
        ["beta"],
        "new behind the link"
    );
    assert_eq!(
        repo.changed(|repo| repo.append("data/two/a.sql", "2\n")),
        NONE
    );
    let turn = |repo: &Repo| {
        repo.remove("services/beta/migrations");
        repo.link("services/beta/migrations", "../../data/two");
    };
    assert_eq!(repo.changed(turn), ["beta"]);
    assert_eq!(
        repo.changed(|repo| repo.append("data/two/a.sql", "3\n")),
        ["beta"]
    );
}

#[test]
fn renames_deletions_and_the_executable_bit_count() {
    let repo = Repo::with_record();
    repo.write("services/beta/migrations/0001_a.sql", "1\n");
    repo.commit();
    assert_eq!(
        repo.changed(|repo| repo.git(&[
            "mv",
            "services/beta/migrations/0001_a.sql",
            "services/beta/migrations/0002_a.sql"
        ])),
        ["beta"]
    );
    let executable = |repo: &Repo| {
        fs::set_permissions(
            repo.root.join("services/beta/migrations/0002_a.sql"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
    };
    assert_eq!(repo.changed(executable), ["beta"]);
    assert_eq!(
        repo.changed(|repo| repo.remove("services/beta/migrations/0002_a.sql")),
        ["beta"]
    );
    let changed = repo.changed(|repo| {
        repo.git(&["mv", "crates/shared", "crates/common"]);
        repo.replace("services/beta/Cargo.toml", "crates/shared", "crates/common");
        repo.replace(
            "services/alpha/Cargo.toml",
            "crates/shared",
            "crates/common",
        );
    });
    assert_eq!(changed, ["alpha", "beta"], "a crate's folder");
}

#[test]
fn a_reverted_change_gives_the_earlier_key() {
    let repo = Repo::with_record();
    let before = repo.keys();
    repo.append("crates/shared/src/lib.rs", "// changed\n");
    repo.commit();
    assert_ne!(repo.keys(), before);
    repo.git(&["revert", "--no-edit", "HEAD"]);
    assert_eq!(repo.keys(), before);
}

#[test]
fn services_come_and_go_alone() {
    let repo = Repo::with_record();
    repo.deploy();
    let changed = repo.changed(|repo| {
        repo.write("services/gamma/Cargo.toml", "[package]\nname = \"gamma\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\nshared = { path = \"../../crates/shared\" }\n");
        repo.write("services/gamma/src/main.rs", "fn main() {}\n");
        repo.lock();
    });
    assert_eq!(changed, ["gamma"]);
    let gamma = &repo.affected()[2];
    assert_eq!(
        (
            &gamma["affected"],
            &gamma["deployed_key"],
            &gamma["version"]
        ),
        (&true.into(), &().into(), &().into())
    );
    let changed = repo.changed(|repo| {
        repo.remove("services/alpha");
        repo.lock();
    });
    assert_eq!(changed, ["alpha"]);
    let ran = xtask(&repo.root, &["affected"]);
    assert!(
        ran.ok && ran.stderr.contains("staging has a record of alpha"),
        "{}",
        ran.stderr
    );
}

#[test]
fn names_that_need_quoting_count_like_others() {
    let repo = Repo::with_record();
    for name in [
        "with space.sql",
        "quote\"s'.sql",
        "ünïcode 🚢.sql",
        "line\nbreak.sql",
        "back\\slash.sql",
        "tab\t.sql",
        "-dash.sql",
        "star*[x].sql",
    ] {
        let path = format!("services/beta/migrations/{name}");
        assert_eq!(
            repo.changed(|repo| repo.write(&path, "1\n")),
            ["beta"],
            "{name:?} is new"
        );
        assert_eq!(
            repo.changed(|repo| repo.append(&path, "2\n")),
            ["beta"],
            "{name:?} changes"
        );
    }
    repo.write("services/beta/migrations/ünïcode 🚢.sql", "dirty\n");
    let rows = repo.affected();
    assert_eq!(
        rows[1]["reason"],
        "not committed: services/beta/migrations/ünïcode 🚢.sql"
    );
}

#[test]
fn a_dirty_file_marks_the_keys_that_look_at_it() {
    let repo = Repo::with_record();
    let clean = repo.keys();
    let dirty = |path: &str| -> Vec<String> {
        let keys = repo.keys();
        for (service, key) in &keys {
            assert_eq!(
                key.ends_with("-dirty"),
                key[..64] != clean[service][..64] || key.len() > 64,
                "{path}: {service} {key}"
            );
        }
        let dirty = keys
            .into_iter()
            .filter(|(_, key)| key.ends_with("-dirty"))
            .map(|(service, _)| service)
            .collect();
        repo.git(&["stash", "--include-untracked", "--quiet"]);
        dirty
    };
    repo.append("services/alpha/src/text.rs", "// changed\n");
    assert_eq!(dirty("a change"), ["alpha"]);
    repo.append("services/alpha/src/text.rs", "// changed\n");
    repo.git(&["add", "--all"]);
    assert_eq!(dirty("a staged change"), ["alpha"]);
    repo.write("services/beta/src/bin/other.rs", "fn main() {}\n");
    assert_eq!(dirty("an untracked file"), ["beta"]);
    repo.remove("services/alpha/assets/text.txt");
    assert_eq!(dirty("a file that is gone"), ["alpha"]);
    repo.git(&[
        "mv",
        "crates/shared/src/lib.rs",
        "crates/shared/src/other.rs",
    ]);
    repo.append(
        "crates/shared/Cargo.toml",
        "[lib]\npath = \"src/other.rs\"\n",
    );
    assert_eq!(dirty("a renamed file"), ["alpha", "beta"]);
    repo.append("Cargo.toml", "# changed\n");
    assert_eq!(dirty("the root manifest"), ["alpha", "beta"]);
    repo.append("README.md", "changed\n");
    repo.write("notes.txt", "mine\n");
    repo.write("services/beta/cache.ignored", "mine\n");
    assert_eq!(dirty("what no build reads"), NONE);
}

#[test]
fn the_content_of_the_work_tree_counts_even_when_git_is_told_not_to_look() {
    let repo = Repo::with_record();
    let before = repo.keys();
    repo.git(&[
        "update-index",
        "--assume-unchanged",
        "services/beta/src/main.rs",
    ]);
    repo.append("services/beta/src/main.rs", "// changed\n");
    let after = repo.keys();
    assert_eq!(after["alpha"], before["alpha"]);
    assert_ne!(after["beta"], before["beta"]);
}

#[test]
fn a_submodule_in_a_package_is_an_error() {
    let repo = Repo::with_record();
    let other = repo.around().join("other");
    run(git().args(["clone", "--quiet"]).arg(&repo.root).arg(&other));
    let add = |path: &str| {
        repo.git(&[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &format!("file://{}", other.display()),
            path,
        ]);
    };
    add("docs/other");
    repo.commit();
    assert!(
        xtask(&repo.root, &["affected"]).ok,
        "no build reads this one"
    );
    add("services/beta/vendor");
    repo.commit();
    let error = xtask(&repo.root, &["affected"]).error();
    assert!(error.contains("services/beta/vendor"), "{error}");
}

#[test]
fn an_outdated_lock_is_an_error() {
    let repo = Repo::with_record();
    repo.append(
        "services/beta/Cargo.toml",
        "unused = { path = \"../../crates/unused\" }\n",
    );
    repo.commit();
    let error = xtask(&repo.root, &["affected"]).error();
    assert!(error.contains("commit Cargo.lock"), "{error}");
}
