use super::*;
use crate::workspace::{Workspace, build_environment};

use super::repo::Repo;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Computes the key, builds the service as an image's is, and checks what the build read.
fn build(repo: &Repo, service: &str) -> anyhow::Result<()> {
    repo.commit();
    let workspace = Workspace::load(&repo.root, TARGET)?;
    let service = workspace
        .services()
        .iter()
        .find(|known| known.name == service)
        .expect("it is a service");
    let key = workspace.key(service)?;
    assert_eq!(key.dirty, Vec::<PathBuf>::new());
    let mut environment = build_environment();
    // Checkouts that share a target folder would take each other's crates for their own.
    environment.insert("CARGO_TARGET_DIR".into(), repo.root.join("target").into());
    let arguments = [
        "build",
        "--quiet",
        "--offline",
        "--locked",
        "--release",
        "--target",
        TARGET,
        "--message-format=json-render-diagnostics",
        "--package",
    ];
    let messages = duct::cmd("cargo", arguments.iter().chain([&service.name.as_str()]))
        .dir(&repo.root)
        .full_env(environment)
        .read()?;
    workspace.check_reads(&key, &messages)
}

/// What is printed: the hint, then the error.
fn refusal(repo: &Repo, service: &str) -> String {
    format!(
        "{:#}",
        build(repo, service).expect_err("it reads what the key does not count")
    )
}

#[test]
fn a_build_of_the_packages_own_files_passes() {
    let repo = Repo::new();
    build(&repo, "alpha").expect("all of it counts");
    build(&repo, "beta").expect("all of it counts");
    build(&repo, "alpha").expect("nothing to build is no less checked");
}

#[test]
fn a_file_of_another_folder_is_refused_with_the_line_to_add() {
    let repo = Repo::new();
    repo.write("data/[1] some words.txt", "shared\n");
    repo.replace(
        "crates/shared/src/lib.rs",
        "\"shared\"",
        "include_str!(\"../../../data/[1] some words.txt\")",
    );
    let said = refusal(&repo, "beta");
    let line = "# crates/shared/Cargo.toml\n[package.metadata.slipway]\ninputs = [\"../../data/[[]1[]] some words.txt\"]";
    assert!(
        said.contains("does not count: data/[1] some words.txt") && said.contains(line),
        "{said}"
    );
    repo.append("crates/shared/Cargo.toml", &format!("\n{line}\n"));
    build(&repo, "beta").expect("it is declared");
    build(&repo, "alpha").expect("for all that use the crate");
}

#[test]
fn markdown_and_test_files_count_once_they_are_read() {
    let repo = Repo::new();
    repo.append("services/beta/src/main.rs", "#[used]\nstatic README: &str = include_str!(\"../README.md\");\nconst _: &[u8] = include_bytes!(\"../tests/data.bin\");\n");
    repo.write("services/beta/README.md", "# Beta\n");
    repo.write("services/beta/tests/data.bin", "1");
    let said = refusal(&repo, "beta");
    let line = "[package.metadata.slipway]\ninputs = [\"README.md\", \"tests/data.bin\"]";
    assert!(said.contains(line), "{said}");
    repo.append("services/beta/Cargo.toml", &format!("\n{line}\n"));
    build(&repo, "beta").expect("they are declared");
}

#[test]
fn what_a_build_script_watches_has_to_count() {
    let repo = Repo::new();
    repo.write("schema/v1/a.json", "1\n");
    repo.write("schema/b.json", "1\n");
    repo.append(
        "services/alpha/Cargo.toml",
        "\n[package.metadata.slipway]\ninputs = [\"../../schema/b.json\"]\n",
    );
    let watch =
        |what: &str| repo.replace("services/alpha/build.rs", "rerun-if-changed=build.rs", what);
    watch("rerun-if-changed=../../schema");
    let said = refusal(&repo, "alpha");
    let line = "inputs = [\"../../schema/b.json\", \"../../schema\"]";
    assert!(
        said.contains("does not count: schema") && said.contains(line),
        "{said}"
    );
    repo.replace(
        "services/alpha/Cargo.toml",
        "inputs = [\"../../schema/b.json\"]",
        line,
    );
    build(&repo, "alpha").expect("the folder is declared");
}

#[test]
fn a_build_script_has_to_say_what_it_reads() {
    let repo = Repo::new();
    repo.replace(
        "services/alpha/build.rs",
        "    println!(\"cargo::rerun-if-changed=build.rs\");\n",
        "",
    );
    let said = refusal(&repo, "alpha");
    assert!(
        said.contains("the build script of services/alpha does not say what it reads"),
        "{said}"
    );
    assert!(said.contains("cargo::rerun-if-changed=PATH"), "{said}");
}

#[test]
fn what_a_build_script_watches_and_is_not_there_counts_when_it_comes() {
    let repo = Repo::new();
    repo.replace(
        "services/alpha/build.rs",
        "rerun-if-changed=build.rs",
        "rerun-if-changed=migrations",
    );
    build(&repo, "alpha").expect("a file of the package");
    repo.replace(
        "services/alpha/build.rs",
        "rerun-if-changed=migrations",
        "rerun-if-changed=../../.git/MISSING",
    );
    let said = refusal(&repo, "alpha");
    assert!(
        said.contains(".git/MISSING, which no key can count"),
        "{said}"
    );
}

#[test]
fn ignored_files_and_files_elsewhere_are_refused() {
    let repo = Repo::new();
    let main = repo.read("services/beta/src/main.rs");
    repo.write("services/beta/local.ignored", "1\n");
    repo.append(
        "services/beta/src/main.rs",
        "const _: &str = include_str!(\"../local.ignored\");\n",
    );
    let said = refusal(&repo, "beta");
    assert!(
        said.contains("services/beta/local.ignored, which is not in Git"),
        "{said}"
    );
    let outside = repo.around().join("outside.txt");
    std::fs::write(&outside, "1\n").expect("writable");
    repo.write(
        "services/beta/src/main.rs",
        &format!("{main}const _: &str = include_str!({outside:?});\n"),
    );
    let said = refusal(&repo, "beta");
    assert!(
        said.contains("outside.txt, which no key can count"),
        "{said}"
    );
}

#[test]
fn a_symbolic_link_on_the_way_has_to_count_as_well() {
    let repo = Repo::new();
    repo.write("data/one/a.txt", "1\n");
    repo.link("current", "data/one");
    repo.append(
        "services/beta/src/main.rs",
        "const _: &str = include_str!(\"../../../current/a.txt\");\n",
    );
    repo.append(
        "services/beta/Cargo.toml",
        "\n[package.metadata.slipway]\ninputs = [\"../../data/one/a.txt\"]\n",
    );
    let said = refusal(&repo, "beta");
    assert!(
        said.contains("inputs = [\"../../data/one/a.txt\", \"../../current\"]"),
        "{said}"
    );
    repo.replace(
        "services/beta/Cargo.toml",
        "\"../../data/one/a.txt\"",
        "\"../../current\"",
    );
    build(&repo, "beta").expect("a link counts with what it leads to");
}

#[test]
fn variables_of_the_machine_are_refused() {
    let repo = Repo::new();
    let watch = |old: &str, new: &str| repo.replace("services/alpha/build.rs", old, new);
    watch(
        "rerun-if-changed=build.rs",
        "rerun-if-env-changed=NOBODY_SETS_THIS",
    );
    build(&repo, "alpha").expect("no build gets it");
    watch("NOBODY_SETS_THIS", "HOME");
    let said = refusal(&repo, "alpha");
    assert!(said.contains("the build of alpha reads HOME"), "{said}");
    repo.append(
        "services/beta/src/main.rs",
        "const _: &str = concat!(env!(\"CARGO_PKG_VERSION\"), env!(\"REGION\"));\n",
    );
    repo.write(".cargo/config.toml", "[env]\nREGION = \"eu\"\n");
    build(&repo, "beta").expect("the key counts both");
    repo.append(
        "services/beta/src/main.rs",
        "const _: &str = env!(\"PATH\");\n",
    );
    let said = refusal(&repo, "beta");
    assert!(said.contains("the build of beta reads PATH"), "{said}");
}
