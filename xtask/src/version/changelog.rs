//! Changelogs: Markdown that is made from commits, kept in tags, and read from there again.

use std::fmt::Write;

use serde::Serialize;

use super::commits::{Change, Section};

const SECTIONS: [(Section, &str); 4] = [
    (Section::Breaking, "Breaking"),
    (Section::Features, "Features"),
    (Section::Fixes, "Fixes"),
    (Section::Other, "Other"),
];

/// One version of a service.
#[derive(Debug, Serialize)]
pub(crate) struct Released {
    pub(crate) version: String,
    /// The day on which it was tagged, in UTC.
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) breaking: Vec<Line>,
    pub(crate) features: Vec<Line>,
    pub(crate) fixes: Vec<Line>,
    pub(crate) other: Vec<Line>,
    /// All that its tag says, as Markdown.
    #[serde(skip)]
    pub(crate) text: String,
}

/// One change in a version.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) scope: Option<String>,
    pub(crate) subject: String,
    /// Abbreviated.
    pub(crate) commit: String,
}

impl Released {
    pub(super) fn new(version: String, date: String, commit: String, text: String) -> Self {
        let changes = parse(&text);
        let lines = |section| {
            changes
                .iter()
                .filter(|change| change.section == section)
                .map(|change| Line {
                    scope: change.scope.clone(),
                    subject: change.subject.clone(),
                    commit: change.commit.clone(),
                })
                .collect()
        };
        Self {
            version,
            date,
            commit,
            breaking: lines(Section::Breaking),
            features: lines(Section::Features),
            fixes: lines(Section::Fixes),
            other: lines(Section::Other),
            text,
        }
    }
}

/// The changelog of a service, newest version first.
pub(crate) fn render(service: &str, versions: &[Released]) -> String {
    let mut text = format!("# {service}\n");
    for version in versions {
        let _infallible = write!(text, "\n## {} - {}\n", version.version, version.date);
        if !version.text.is_empty() {
            let _infallible = write!(text, "\n{}\n", version.text);
        }
    }
    text
}

/// One version's changes, in the order they come.
pub(super) fn sections(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "No commit of its own: a dependency, the toolchain or a build setting changed."
            .to_owned();
    }
    let mut text = String::new();
    for (section, title) in SECTIONS {
        let mut lines = changes
            .iter()
            .filter(|change| change.section == section)
            .peekable();
        if lines.peek().is_none() {
            continue;
        }
        let _infallible = write!(text, "\n### {title}\n\n");
        for Change {
            scope,
            subject,
            commit,
            ..
        } in lines
        {
            let scope = scope
                .as_deref()
                .map(|scope| format!("**{}**: ", escape(scope)))
                .unwrap_or_default();
            let _infallible = writeln!(text, "- {scope}{} ({commit})", escape(subject));
        }
    }
    text.trim().to_owned()
}

/// Reads what [`sections`] wrote. Other lines are a person's, and no changes.
pub(super) fn parse(text: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            current = SECTIONS
                .iter()
                .find(|(_, known)| *known == title)
                .map(|(section, _)| *section);
        }
        let read = || {
            let (text, commit) = line
                .strip_prefix("- ")?
                .strip_suffix(')')?
                .rsplit_once(" (")?;
            let scoped = text
                .strip_prefix("**")
                .and_then(|text| text.split_once("**: "));
            let (scope, subject) = scoped.map_or((None, text), |(scope, text)| (Some(scope), text));
            Some(Change {
                section: current?,
                scope: scope.map(unescape),
                subject: unescape(subject),
                commit: commit.to_owned(),
            })
        };
        changes.extend(read());
    }
    changes
}

/// The text so that Markdown and HTML show it as it is.
fn escape(text: &str) -> String {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        // What would begin a heading, a list, a quote or a rule within the list's item.
        let begins =
            (at == 0 && "#+-=".contains(c)) || (at == digits && at > 0 && ".)".contains(c));
        if begins || "\\`*_[]<>&~|$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(if c.is_control() { ' ' } else { c });
    }
    escaped
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.push(if c == '\\' {
            rest.next().unwrap_or(c)
        } else {
            c
        });
    }
    plain
}
