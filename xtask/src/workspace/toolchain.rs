//! The compiler and what else of this machine goes into a program.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;

use super::{cargo::build_environment, sha256};
use crate::hint::WithHint;

/// rustc's version, the C compiler's (it compiles C code and links), and the C library that is linked in.
pub(super) fn load(root: &Path, target: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let read = |program: &str, argument: &str| {
        duct::cmd(program, [argument])
            .dir(root)
            .full_env(build_environment())
            .stderr_capture()
            .read()
    };
    let rustc = read("rustc", "-vV")
        .context("cannot run rustc")
        .hint("`rustup show` says which toolchain is used")?;
    // Its `host:` line is where it runs, not what it makes.
    let rustc: Vec<&str> = rustc
        .lines()
        .filter(|line| !line.starts_with("host:") && !line.starts_with("binary:"))
        .collect();
    let none = || "none".to_owned();
    let cc = read("cc", "--version")
        .ok()
        .and_then(|text| text.lines().next().map(str::to_owned));
    let mut toolchain = BTreeMap::from([
        ("rustc".to_owned(), rustc.join(", ")),
        ("cc".to_owned(), cc.unwrap_or_else(none)),
    ]);
    if target.ends_with("-gnu") {
        let library = read("cc", "-print-file-name=libc.a")
            .ok()
            .and_then(|path| fs::read(path.trim()).ok());
        toolchain.insert(
            "libc".to_owned(),
            library.map_or_else(none, |bytes| sha256(&bytes)),
        );
    }
    Ok(toolchain)
}
