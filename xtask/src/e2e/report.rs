//! What was seen, as it is seen.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// What each step measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// In seconds.
    took: f64,
    rows: Vec<Row>,
    skipped: Vec<String>,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    last: Instant,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    seen: String,
    /// In seconds, from the step before.
    took: f64,
}

impl Report {
    pub(super) fn start() -> Self {
        Self {
            took: 0.0,
            rows: Vec::new(),
            skipped: Vec::new(),
            started: Instant::now(),
            last: Instant::now(),
        }
    }

    /// Says at once what was seen.
    pub(super) fn seen(&mut self, what: &str, seen: impl Into<String>) {
        let now = Instant::now();
        let row = Row {
            what: what.to_owned(),
            seen: seen.into(),
            took: now.duration_since(self.last).as_secs_f64(),
        };
        self.last = now;
        self.took = now.duration_since(self.started).as_secs_f64();
        let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
        anstream::eprintln!(
            "{green}ok{green:#} [{:>4.0} s] {}: {}",
            self.took,
            row.what,
            row.seen
        );
        self.rows.push(row);
    }

    /// Says at once what is left out, and why; it does not count.
    pub(super) fn skipped(&mut self, what: &str, why: &str) {
        anstream::eprintln!("skipped: {what}: {why}");
        self.skipped.push(format!("{what}: {why}"));
    }

    /// As a table of Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = "| what | seen | seconds |\n|---|---|---|\n".to_owned();
        for Row { what, seen, took } in &self.rows {
            let _infallible = writeln!(text, "| {what} | {seen} | {took:.0} |");
        }
        for what in &self.skipped {
            let _infallible = writeln!(text, "\nskipped: {what}");
        }
        let (steps, skipped, seconds) = (self.rows.len(), self.skipped.len(), self.took);
        let _infallible = writeln!(
            text,
            "\n{steps} steps passed, {skipped} skipped, in {seconds:.0} s"
        );
        text
    }
}

/// Seconds, for people.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
