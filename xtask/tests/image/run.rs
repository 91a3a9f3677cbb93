//! Runs of the program in a repository.

use std::{path::Path, process::Command};

use serde_json::Value;

/// The program in this folder.
pub(crate) fn xtask(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_NET_OFFLINE", "true")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// What a run that has to succeed prints.
pub(crate) fn json(command: &mut Command) -> Value {
    let ran = command.output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {errors}");
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a run that has to fail says.
pub(crate) fn error(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(
        !ran.status.success() && errors.contains("hint: "),
        "{command:?}: {errors}"
    );
    errors
}

/// What a program that has to succeed prints. `hint` says how to get it.
pub(crate) fn output(command: &mut Command, hint: &str) -> String {
    let ran = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {errors}");
    String::from_utf8(ran.stdout).unwrap()
}
