//! Where things are, and Cargo.

use std::{
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

/// The Cargo that runs this program.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
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
