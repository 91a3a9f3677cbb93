//! `cargo xtask test`: everything that can be tested on this machine, with a table of what ran.

use std::{
    io::{BufRead, BufReader},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use anyhow::Context;

use crate::{
    hint::fail,
    system::{Data, Logs, Options, SERVICES, System, journey},
    workspace::{self, Profile, cargo_with},
};

/// Tests everything that can be tested on this machine.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask test           all of it: about ten minutes on two cores when warm
  cargo xtask test --quick   without browser and without PostgreSQL containers")]
pub(crate) struct Args {
    /// Leaves out the browser and PostgreSQL, and says so.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut report = Report::default();
    report.step("format", || cargo_step(&["fmt", "--all", "--check"]));
    report.step("clippy", || {
        cargo_step(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    });
    let mut tests = vec!["test", "--workspace", "--no-fail-fast"];
    if args.quick {
        report.skip("PostgreSQL tests", "--quick");
        tests.extend(["--", "--skip", "postgres"]);
    }
    report.step("tests", || cargo_step(&tests));
    charts(&mut report);
    if cargo_with(["deny", "--version"])
        .stdout_null()
        .stderr_null()
        .run()
        .is_ok()
    {
        report.step("cargo deny", || {
            cargo_step(&["deny", "check", "bans", "licenses", "sources"])
        });
        advisories(&mut report);
    } else {
        report.skip(
            "cargo deny",
            "not installed: cargo install --locked cargo-deny",
        );
    }
    let browser = if args.quick {
        report.skip("browser", "--quick");
        &["--skip", "browser::"][..]
    } else {
        &[]
    };
    report.step("journey", || run_journey(browser));
    report.print();

    let failed = report.failed_steps();
    if failed.is_empty() {
        return Ok(());
    }
    fail(
        format!("failed: {}", failed.join(", ")),
        "each step's output is above, in the table's order",
    )
}

/// What a step has to say: how many cases passed and failed, where it counts any.
#[derive(Clone, Copy, Default)]
struct Counts {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Counts {
    /// Adds what a line of libtest's says: `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            if let Some((count, what)) = part.trim().split_once(' ')
                && let Ok(count) = count.parse::<u32>()
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }
}

struct Row {
    name: &'static str,
    outcome: Outcome,
}

enum Outcome {
    Ran {
        ok: bool,
        counts: Counts,
        took: Duration,
    },
    Skipped {
        why: &'static str,
    },
}

/// What ran, how many, how long.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Runs a step; a failing one doesn't keep the next from running, so that one run tells all.
    fn step(&mut self, name: &'static str, run: impl FnOnce() -> anyhow::Result<(bool, Counts)>) {
        let bold = Style::new().bold();
        anstream::eprintln!("\n{bold}── {name}{bold:#}");
        let started = Instant::now();
        let (ok, counts) = run().unwrap_or_else(|error| {
            crate::hint::report(&error);
            (false, Counts::default())
        });
        let took = started.elapsed();
        self.rows.push(Row {
            name,
            outcome: Outcome::Ran { ok, counts, took },
        });
    }

    fn skip(&mut self, name: &'static str, why: &'static str) {
        self.rows.push(Row {
            name,
            outcome: Outcome::Skipped { why },
        });
    }

    fn failed_steps(&self) -> Vec<&str> {
        self.rows
            .iter()
            .filter(|row| matches!(row.outcome, Outcome::Ran { ok: false, .. }))
            .map(|row| row.name)
            .collect()
    }

    fn print(&self) {
        println!(
            "\n{:<18} {:<8} {:>7} {:>7} {:>8} {:>8}",
            "step", "result", "passed", "failed", "ignored", "seconds"
        );
        let mut total = Counts::default();
        let mut skipped = 0;
        for Row { name, outcome } in &self.rows {
            match outcome {
                Outcome::Ran { ok, counts, took } => {
                    let color = if *ok {
                        AnsiColor::Green
                    } else {
                        AnsiColor::Red
                    };
                    let style = Style::new().fg_color(Some(color.into()));
                    let word = if *ok { "ok" } else { "FAILED" };
                    anstream::println!(
                        "{name:<18} {style}{word:<8}{style:#} {:>7} {:>7} {:>8} {:>8.1}",
                        counts.passed,
                        counts.failed,
                        counts.ignored,
                        took.as_secs_f64(),
                    );
                    // A step without cases of its own, such as formatting, is one case.
                    let alone = counts.passed + counts.failed == 0;
                    total.passed += counts.passed + u32::from(alone && *ok);
                    total.failed += counts.failed + u32::from(alone && !*ok);
                    skipped += counts.ignored;
                }
                Outcome::Skipped { why } => {
                    println!("{name:<18} skipped  ({why})");
                    skipped += 1;
                }
            }
        }
        println!(
            "\n{} passed, {} failed, {skipped} skipped",
            total.passed, total.failed
        );
    }
}

/// The charts' own tests, where there is a Helm.
fn charts(report: &mut Report) {
    const MISSING: &str = "no Helm: cargo xtask chart tools";
    if !super::chart::has_helm() {
        report.skip("charts", MISSING);
        return;
    }
    report.step("charts", || {
        let [passed, failed, ignored] =
            super::chart::tested()?.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let counts = Counts {
            passed,
            failed,
            ignored,
        };
        Ok((failed == 0, counts))
    });
}

fn cargo_step(arguments: &[&str]) -> anyhow::Result<(bool, Counts)> {
    counted(&cargo_with(arguments.iter().copied()))
}

/// The advisories are fetched from GitHub; where that cannot be reached, nothing is known.
fn advisories(report: &mut Report) {
    let fetch = cargo_with(["deny", "fetch", "db"])
        .stdout_null()
        .stderr_null();
    if fetch.run().is_ok() {
        report.step("advisories", || {
            cargo_step(&["deny", "check", "advisories"])
        });
    } else {
        report.skip("advisories", "the advisory database cannot be fetched");
    }
}

/// Runs a program, shows what it prints as it comes, and counts the tests in it.
fn counted(program: &duct::Expression) -> anyhow::Result<(bool, Counts)> {
    let reader = program.unchecked().reader()?;
    let mut counts = Counts::default();
    for line in BufReader::new(&reader).lines() {
        let line = line?;
        counts.add(&line);
        println!("{line}");
    }
    let ended = reader
        .try_wait()?
        .expect("duct waits for the program where its output ends");
    Ok((ended.status.success(), counts))
}

/// Starts the shop on SQLite and free ports, and walks through it as a customer does.
fn run_journey(arguments: &[&str]) -> anyhow::Result<(bool, Counts)> {
    let mut packages = SERVICES.to_vec();
    packages.push("shop");
    let programs = workspace::build(&packages, Profile::Dev)?;
    let folder = workspace::target()?.join("slipway-test");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let system = System::start(Options {
        programs: programs.clone(),
        folder,
        data: Data::Sqlite,
        shipping_time: "1s",
        logs: Logs::Files,
        default_ports: false,
    })?;
    system.seed()?;
    let result = counted(&journey(&programs, &system.base_url(), arguments));
    system.stop()?;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_libtest() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (4, 2, 1));
    }
}
