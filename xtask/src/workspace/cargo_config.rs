//! What of Cargo's settings reaches a build: its configuration files and the root manifest's profile.
//! See "Hierarchical structure" and "Configuration format" in <https://doc.rust-lang.org/cargo/reference/config.html>.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::{Map, Value};
use target_spec::{Platform, TargetSpec};

use super::cargo::cargo_home;
use crate::hint::{WithHint, fail};

/// Keys of `[build]` that say where and how fast, not what.
const NOT_BUILT_FROM: [&str; 8] = [
    "build-dir",
    "dep-info-basedir",
    "jobs",
    "rustdoc",
    "rustdocflags",
    "target",
    "target-dir",
    "warnings",
];

/// Cargo's settings, each with its value as JSON.
pub(super) struct Settings {
    /// `lto`, `package.sqlx.opt-level`, .. of the release profile.
    pub(super) profile: BTreeMap<String, String>,
    /// `build.rustflags`, `env.SQLX_OFFLINE`, ..
    pub(super) config: BTreeMap<String, String>,
    /// Files that configuration files include.
    pub(super) included: Vec<PathBuf>,
    /// The platform, with the flags that `--cfg` sets.
    pub(super) platform: Platform,
}

/// Reads all configuration files that apply in the root, and the root manifest.
pub(super) fn load(root: &Path, mut platform: Platform) -> anyhow::Result<Settings> {
    let manifest = parse(&root.join("Cargo.toml"))?;
    let resolver = &manifest["workspace"]["resolver"];
    if resolver != "2" && resolver != "3" {
        return fail(
            "the workspace's Cargo.toml names no resolver that tells build scripts' features from services'",
            "write resolver = \"3\" into its [workspace]",
        );
    }

    let mut merged = Value::Object(Map::new());
    let mut included = Vec::new();
    for path in config_files(root) {
        merge(&mut merged, with_includes(&path, &mut included)?);
    }
    let mut profile = Value::Object(Map::new());
    merge(&mut profile, manifest["profile"]["release"].clone());
    merge(&mut profile, merged["profile"]["release"].take());

    let mut config = BTreeMap::new();
    for section in ["env", "host", "unstable"] {
        flatten(section, &merged[section], &mut config);
    }
    if let Value::Object(build) = &merged["build"] {
        let counted = build
            .iter()
            .filter(|(key, _)| !NOT_BUILT_FROM.contains(&key.as_str()));
        counted.for_each(|(key, value)| flatten(&format!("build.{key}"), value, &mut config));
    }
    if let Value::Object(targets) = &merged["target"] {
        for (name, table) in targets {
            let spec = TargetSpec::new(name.clone())
                .with_context(|| format!("[target.'{name}'] in Cargo's configuration"))?;
            if spec.eval(&platform) != Some(false) {
                flatten(&format!("target.{name}"), table, &mut config);
            }
        }
    }
    config.retain(|key, _| !(key.starts_with("target.") && key.ends_with(".runner")));

    let mut flat = BTreeMap::new();
    flatten("", &profile, &mut flat);
    let flags = config
        .iter()
        .filter(|(key, _)| key.ends_with(".rustflags"))
        .flat_map(|(_, value)| cfgs(value));
    platform.add_flags(flags.collect::<Vec<String>>());
    Ok(Settings {
        profile: flat,
        config,
        included,
        platform,
    })
}

/// Whether a setting of the profile applies to a build of these packages.
pub(super) fn applies<'a>(key: &str, mut packages: impl Iterator<Item = &'a str>) -> bool {
    let Some(spec) = key.strip_prefix("package.") else {
        return true;
    };
    spec.starts_with('*')
        || packages.any(|name| {
            spec.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['.', '@', ':']))
        })
}

/// The configuration files, those that win last.
fn config_files(root: &Path) -> Vec<PathBuf> {
    let home = cargo_home();
    let mut folders: Vec<PathBuf> = root
        .ancestors()
        .map(|folder| folder.join(".cargo"))
        .collect();
    if !folders.contains(&home) {
        folders.push(home);
    }
    // `config` without an ending is its old name and wins where both are there.
    let files = folders.iter().rev().filter_map(|folder| {
        ["config", "config.toml"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file())
    });
    files.collect()
}

/// A configuration file on top of those that it includes.
fn with_includes(path: &Path, included: &mut Vec<PathBuf>) -> anyhow::Result<Value> {
    let mut own = parse(path)?;
    let mut merged = Value::Object(Map::new());
    let include = own
        .as_object_mut()
        .and_then(|table| table.remove("include"));
    let entries = match include {
        Some(Value::Array(entries)) => entries,
        other => Vec::from_iter(other),
    };
    for entry in entries {
        let (name, optional) = match &entry {
            Value::Object(table) => (
                table.get("path").and_then(Value::as_str),
                table.get("optional") == Some(&Value::Bool(true)),
            ),
            other => (other.as_str(), false),
        };
        let name = name.with_context(|| format!("{}: `include` names no path", path.display()))?;
        let other = path.with_file_name(name);
        if !optional || other.is_file() {
            merge(&mut merged, with_includes(&other, included)?);
            included.extend(other.canonicalize());
        }
    }
    merge(&mut merged, own);
    Ok(merged)
}

fn parse(path: &Path) -> anyhow::Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text)
        .with_context(|| format!("cannot read {}", path.display()))
        .hint("it has to be TOML as Cargo reads it")
}

/// As Cargo merges: tables join, lists grow, and of other values the later wins.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

/// One entry for each value: tables in tables join their names by dots.
fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(table) => {
            for (key, value) in table {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                flatten(&name, value, into);
            }
        }
        value => {
            into.insert(name.to_owned(), value.to_string());
        }
    }
}

/// The flags that `--cfg NAME` sets in `rustflags`, a list or a line of words.
fn cfgs(rustflags: &str) -> Vec<String> {
    let words: Vec<String> = match serde_json::from_str(rustflags) {
        Ok(Value::Array(words)) => words
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Ok(Value::String(line)) => line.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let after = |index: usize| (words[index] == "--cfg").then(|| words.get(index + 1).cloned())?;
    (0..words.len())
        .filter_map(|index| {
            words[index]
                .strip_prefix("--cfg=")
                .map(str::to_owned)
                .or_else(|| after(index))
        })
        .collect()
}
