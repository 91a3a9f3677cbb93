//! The workspace's own rules, see ARCHITECTURE.md: who may know whom, and what stands where.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use proc_macro2::{TokenStream, TokenTree};
use walkdir::WalkDir;

const SERVICES: [&str; 4] = ["catalog", "fulfilment", "gateway", "orders"];

/// Which workspace packages a package may depend on, tests aside.
fn may_depend_on(package: &str) -> &'static [&'static str] {
    match package {
        "gateway" => &["lifecycle", "proto", "rpc", "telemetry"],
        "catalog" | "orders" | "fulfilment" => {
            &["lifecycle", "proto", "rpc", "storage", "telemetry"]
        }
        "rpc" => &["proto", "telemetry"],
        "testkit" => &["storage"],
        // It is nothing but tests, and drives the services from outside.
        "shop" => &["proto", "storage", "testkit"],
        _ => &[],
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in the root")
        .to_owned()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--offline".into(), "--locked".into()])
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

fn folder_of(package: &Package) -> PathBuf {
    package
        .manifest_path
        .parent()
        .expect("a manifest stands in a folder")
        .into()
}

/// Files below `folder` that end in `extension`; nothing that was built.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let skipped = ["target", ".git", "node_modules"];
    WalkDir::new(folder)
        .into_iter()
        .filter_entry(|entry| !skipped.iter().any(|name| entry.file_name() == *name))
        .map(|entry| entry.expect("a readable tree").into_path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The source as words: comments are gone, a literal is one word, what stands in macros counts.
fn words(path: &Path) -> Vec<String> {
    fn flatten(tokens: TokenStream, into: &mut Vec<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => flatten(group.stream(), into),
                other => into.push(other.to_string()),
            }
        }
    }
    let tokens = TokenStream::from_str(&read(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut all = Vec::new();
    flatten(tokens, &mut all);
    all
}

/// Whether the path `first::second` is written in the words; an empty `second` stands for any.
fn names(words: &[String], first: &str, second: &str) -> bool {
    words.windows(4).any(|window| {
        window[0] == first
            && window[1] == ":"
            && window[2] == ":"
            && (second.is_empty() || window[3] == second)
    })
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn assert_none(violations: &[String], rule: &str) {
    assert!(
        violations.is_empty(),
        "{rule}\n  {}",
        violations.join("\n  ")
    );
}

#[test]
fn packages_know_only_whom_they_may() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    assert!(members.len() >= 12, "found only {members:?}");
    let mut violations = Vec::new();
    for package in &metadata.packages {
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let in_tests = dependency.kind == DependencyKind::Development && name == "testkit";
            if members.contains(name) && !in_tests && !may_depend_on(&package.name).contains(&name)
            {
                violations.push(format!(
                    "{} -> {name} ({:?})",
                    package.name, dependency.kind
                ));
            }
        }
    }
    assert_none(
        &violations,
        "a package depends on one that it must not know:",
    );
}

#[test]
fn a_folder_has_its_packages_name() {
    let violations: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|package| !folder_of(package).ends_with(package.name.as_str()))
        .map(|package| format!("{} in {}", package.name, folder_of(package).display()))
        .collect();
    assert_none(&violations, "a folder's name is its package's name:");
}

#[test]
fn dependencies_are_listed_once_in_the_root_manifest() {
    let mut violations = Vec::new();
    for package in &metadata().packages {
        let mut in_dependencies = false;
        for line in read(package.manifest_path.as_std_path()).lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.contains("workspace = true") {
                violations.push(format!("{}: {line}", package.name));
            }
        }
    }
    assert_none(
        &violations,
        "versions stand in the root manifest; write `name.workspace = true`:",
    );
}

#[test]
fn every_package_has_the_workspaces_lints() {
    let violations: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|package| {
            !read(package.manifest_path.as_std_path()).contains("[lints]\nworkspace = true")
        })
        .map(|package| package.name.to_string())
        .collect();
    assert_none(&violations, "add `[lints] workspace = true` to:");
}

#[test]
fn mains_are_short() {
    let mut violations = Vec::new();
    for service in SERVICES {
        let main = root().join("services").join(service).join("src/main.rs");
        let lines = read(&main).lines().count();
        if lines > 30 {
            violations.push(format!("{service}: {lines} lines"));
        }
    }
    assert_none(
        &violations,
        "main.rs parses the configuration and calls the app, in 30 lines:",
    );
}

#[test]
fn sql_stands_in_stores_only() {
    let mut violations = Vec::new();
    for service in SERVICES {
        let source = root().join("services").join(service).join("src");
        for path in files(&source, "rs") {
            if !path.starts_with(source.join("store")) && names(&words(&path), "sqlx", "") {
                violations.push(relative(&path));
            }
        }
    }
    assert_none(&violations, "only src/store/ may know sqlx:");
}

#[test]
fn domains_are_plain() {
    let foreign = [
        "axum", "http", "tonic", "prost", "proto", "sqlx", "rpc", "storage", "tokio",
    ];
    let impure = [
        ("OffsetDateTime", "now_utc"),
        ("Instant", "now"),
        ("SystemTime", "now"),
        ("Uuid", "new_v4"),
        ("Uuid", "now_v7"),
        ("env", "var"),
    ];
    let mut violations = Vec::new();
    let mut seen = 0;
    for service in SERVICES {
        let path = root().join("services").join(service).join("src/domain.rs");
        if !path.exists() {
            continue;
        }
        seen += 1;
        let words = words(&path);
        for name in foreign {
            if names(&words, name, "") {
                violations.push(format!("{} knows {name}", relative(&path)));
            }
        }
        for (first, second) in impure {
            if names(&words, first, second) {
                violations.push(format!("{} calls {first}::{second}", relative(&path)));
            }
        }
    }
    assert!(seen >= 2, "found only {seen} domain.rs");
    assert_none(
        &violations,
        "domain.rs knows no transport, no store, no clock and no randomness:",
    );
}

#[test]
fn settings_come_from_the_command_line_struct_only() {
    let mut violations = Vec::new();
    for folder in ["services", "crates"] {
        for path in files(&root().join(folder), "rs") {
            let in_source = path.components().any(|part| part.as_os_str() == "src");
            // lifecycle reads it for that struct, testkit for tests.
            let may = ["crates/lifecycle", "crates/testkit"]
                .iter()
                .any(|package| path.starts_with(root().join(package)));
            let words = words(&path);
            let reads = ["var", "var_os", "vars", "vars_os"]
                .iter()
                .any(|name| names(&words, "env", name));
            if in_source && !may && reads {
                violations.push(relative(&path));
            }
        }
    }
    assert_none(
        &violations,
        "settings are fields of the service's clap struct; these read the environment:",
    );
}

#[test]
fn nothing_is_called_common_or_utils() {
    let refused = ["common", "util", "utils", "helper", "helpers", "misc"];
    let violations: Vec<String> = files(&root(), "rs")
        .into_iter()
        .map(|path| relative(&path))
        .filter(|path| {
            path.trim_end_matches(".rs")
                .split('/')
                .any(|part| refused.contains(&part))
        })
        .collect();
    assert_none(&violations, "name it after what it does:");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for document in files(&root(), "md") {
        let text = read(&document);
        let folder = document.parent().expect("a file stands in a folder");
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            seen += 1;
            if !folder.join(target).exists() {
                violations.push(format!("{}: {target}", relative(&document)));
            }
        }
    }
    assert!(seen > 0, "found no links");
    assert_none(&violations, "links to files that aren't there:");
}
