//! `cargo xtask`: everything that is done with this repository, from a laptop or from CI.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]

mod argocd;
mod chart;
mod commands;
mod config;
mod e2e;
mod git;
mod gitops;
mod hint;
mod image;
mod output;
mod pause;
mod release;
mod signal;
mod system;
mod version;
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
    Affected(commands::affected::Args),
    Why(commands::why::Args),
    Release(commands::release::Args),
    Image(commands::image::Args),
    Rebuild(commands::rebuild::Args),
    Promote(commands::promote::Args),
    Rollback(commands::rollback::Args),
    Resume(commands::resume::Args),
    Status(commands::status::Args),
    Dora(commands::dora::Args),
    Changelog(commands::changelog::Args),
    Chart(commands::chart::Args),
    E2e(commands::e2e::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Up(args) => commands::up::run(&args),
        Command::Test(args) => commands::test::run(&args),
        Command::Affected(args) => commands::affected::run(&args),
        Command::Why(args) => commands::why::run(&args),
        Command::Release(args) => commands::release::run(&args),
        Command::Image(args) => commands::image::run(&args),
        Command::Rebuild(args) => commands::rebuild::run(&args),
        Command::Promote(args) => commands::promote::run(&args),
        Command::Rollback(args) => commands::rollback::run(&args),
        Command::Resume(args) => commands::resume::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Dora(args) => commands::dora::run(&args),
        Command::Changelog(args) => commands::changelog::run(&args),
        Command::Chart(args) => commands::chart::run(&args),
        Command::E2e(args) => commands::e2e::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hint::report(&error);
            hint::exit_code(&error)
        }
    }
}
