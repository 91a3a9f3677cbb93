//! What commands print: with `--json` exactly one document on stdout, else a short table.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// How to print.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Format {
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

impl Format {
    /// Prints `value`, for people as the lines that `lines` gives.
    pub(crate) fn print(
        self,
        value: &impl Serialize,
        lines: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let mut text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            lines()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        match io::stdout().write_all(text.as_bytes()) {
            // Whoever read it has seen enough: `… | head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Rows in columns as wide as their widest cell. The first row is the heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
