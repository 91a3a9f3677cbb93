//! `cargo xtask`: everything that is done with this repository, from a laptop or from CI.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod commands;
mod hint;
mod signal;
mod system;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Builds, runs and tests Slipway.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
enum Command {
    Up(commands::up::Args),
    Test(commands::test::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Up(args) => commands::up::run(&args),
        Command::Test(args) => commands::test::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hint::report(&error);
            ExitCode::FAILURE
        }
    }
}
