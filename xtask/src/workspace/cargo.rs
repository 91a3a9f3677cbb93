//! Where things are, and Cargo.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use crate::hint::fail;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask stands in the workspace's root")
}

/// What a build of an image may see of the environment: where tools and caches are and how to reach the network,
/// nothing that changes what is built. Variables for a build stand in `[env]` of .cargo/config.toml, which counts.
const PASSED: [&str; 32] = [
    "ALL_PROXY",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_JOBS",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_HOME",
    "CARGO_HTTP_*",
    "CARGO_NET_*",
    "CARGO_REGISTRIES_*",
    "CARGO_REGISTRY_*",
    "CARGO_SOURCE_*",
    "CARGO_TARGET_DIR",
    "CARGO_TERM_*",
    "GIT_ASKPASS",
    "GIT_CONFIG_*",
    "GIT_SSH*",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "PATH",
    "RUSTUP_*",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "TMPDIR",
    "USER",
    "XDG_CONFIG_HOME",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Whether a build of an image sees this variable of its caller's environment.
pub(super) fn is_passed(name: &str) -> bool {
    PASSED.iter().any(|passed| match passed.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *passed,
    })
}

/// The whole environment of a build of an image, and of all that its key is computed from.
pub(crate) fn build_environment() -> HashMap<OsString, OsString> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(is_passed))
        .collect()
}

/// The Cargo that runs this program.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Where Cargo keeps what it downloads.
pub(crate) fn cargo_home() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Cargo with these arguments, in the root.
pub(crate) fn cargo_with<'a>(arguments: impl IntoIterator<Item = &'a str>) -> duct::Expression {
    duct::cmd(cargo(), arguments).dir(root())
}

/// A build profile's programs.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Cargo's target folder: settings and the environment can move it.
pub(crate) fn target() -> anyhow::Result<PathBuf> {
    let metadata = cargo_with(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .read()
        .context("cargo metadata failed")?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("cargo metadata names no target_directory")
}

/// Builds these packages with Cargo's own progress and returns the folder of their programs.
pub(crate) fn build(packages: &[&str], profile: Profile) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build", "--bins"];
    for package in packages {
        arguments.extend(["--package", package]);
    }
    if let Profile::Release = profile {
        arguments.push("--release");
    }
    let built = cargo_with(arguments).unchecked().run()?;
    if !built.status.success() {
        return fail(
            "the build failed",
            "Cargo's messages above say where; `rustup show` says which toolchain is used",
        );
    }
    Ok(target()?.join(profile.folder()))
}
