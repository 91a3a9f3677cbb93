//! Values as people wrote them: where each stands, and what YAML would make of it.
//!
//! Helm reads YAML 1.1: `0123` is the number 83 before any schema or template sees it, `no` is
//! false, and a key that stands twice counts once. Only the text itself can tell.

use std::collections::BTreeMap;

use anyhow::Context;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Keys from the root; the items of a list have numbers.
pub(crate) type Path = Vec<String>;

/// A file of values.
pub(crate) struct Written {
    /// The lines of all values.
    lines: BTreeMap<Path, usize>,
    /// What YAML takes for something else than what stands there.
    pub(crate) mistakes: Vec<Mistake>,
}

pub(crate) struct Mistake {
    pub(crate) line: usize,
    pub(crate) path: Path,
    pub(crate) what: String,
}

/// A mapping or a list that is being read.
enum Open {
    Mapping { key: Option<String> },
    List { items: usize },
}

impl Written {
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let mut written = Self {
            lines: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        let mut open: Vec<Open> = Vec::new();
        for parsed in Parser::new_from_str(text) {
            let (event, span) = parsed.context("not YAML")?;
            let line = span.start.line();
            match event {
                Event::Scalar(text, style, _, tag) => {
                    let plain = style == ScalarStyle::Plain && tag.is_none();
                    written.scalar(&mut open, &text, plain, line);
                }
                Event::Alias(_) => {
                    written.value(&open, line);
                    end_of_value(&mut open);
                }
                Event::MappingStart(..) => {
                    written.value(&open, line);
                    open.push(Open::Mapping { key: None });
                }
                Event::SequenceStart(..) => {
                    written.value(&open, line);
                    open.push(Open::List { items: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                    end_of_value(&mut open);
                }
                _ => {}
            }
        }
        Ok(written)
    }

    /// The line of the value with these keys, joined by dots, if it stands here.
    pub(crate) fn line_of(&self, keys: &str) -> Option<usize> {
        let found = self.lines.iter().find(|(path, _)| path.join(".") == keys);
        found.map(|(_, line)| *line)
    }

    fn scalar(&mut self, open: &mut [Open], text: &str, plain: bool, line: usize) {
        let is_key = matches!(open.last(), Some(Open::Mapping { key: None }));
        if is_key && let Some(Open::Mapping { key }) = open.last_mut() {
            *key = Some(text.to_owned());
        }
        let path = path_of(open);
        if is_key && self.lines.contains_key(&path) {
            self.wrong(line, &path, format!("`{text}` stands here a second time"));
            // What is in it is new.
            self.lines.retain(|known, _| !known.starts_with(&path));
        }
        if let Some(read) = plain.then(|| misread(text, is_key)).flatten() {
            self.wrong(
                line,
                &path,
                format!("YAML reads {text} as {read}; quote it"),
            );
        }
        self.lines.insert(path, line);
        if !is_key {
            end_of_value(open);
        }
    }

    fn value(&mut self, open: &[Open], line: usize) {
        self.lines.entry(path_of(open)).or_insert(line);
    }

    fn wrong(&mut self, line: usize, path: &[String], what: String) {
        let path = path.to_owned();
        self.mistakes.push(Mistake { line, path, what });
    }
}

fn path_of(open: &[Open]) -> Path {
    open.iter()
        .filter_map(|open| match open {
            Open::Mapping { key } => key.clone(),
            Open::List { items } => Some(items.to_string()),
        })
        .collect()
}

fn end_of_value(open: &mut [Open]) {
    match open.last_mut() {
        Some(Open::Mapping { key }) => *key = None,
        Some(Open::List { items }) => *items += 1,
        None => {}
    }
}

/// What YAML 1.1 makes of a plain scalar, where that is not what stands there.
fn misread(text: &str, is_key: bool) -> Option<String> {
    let lower = text.to_lowercase();
    let word = match lower.as_str() {
        "y" | "yes" | "on" => Some("true"),
        "n" | "no" | "off" => Some("false"),
        "true" | "false" if is_key || lower != text => Some(lower.as_str()),
        "null" | "~" if is_key => Some("nothing"),
        _ => None,
    };
    if let Some(word) = word {
        return Some(word.to_owned());
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if unsigned.len() >= 10 && is_date(unsigned) {
        return Some("a point in time".to_owned());
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let number = number(&unsigned.to_lowercase().replace('_', ""))?;
    let number = if text.starts_with('-') {
        -number
    } else {
        number
    };
    // Helm holds numbers as floats. Up to 2^53 a whole number is exact.
    let read = number.to_string();
    (read != text).then_some(read)
}

/// `2026-01-31`, with or without a time.
fn is_date(text: &str) -> bool {
    let digits = |range| {
        text.get(range)
            .is_some_and(|part: &str| part.bytes().all(|b| b.is_ascii_digit()))
    };
    digits(0..4) && text.get(4..5) == Some("-") && digits(5..6)
}

fn number(text: &str) -> Option<f64> {
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((text.strip_prefix(prefix)?, radix)));
    let octal =
        text.len() > 1 && text.starts_with('0') && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let whole = match radix {
        Some((digits, radix)) => u64::from_str_radix(digits, radix).ok()?,
        None if octal => u64::from_str_radix(text, 8).ok()?,
        None if text == ".inf" => return Some(f64::INFINITY),
        None if text == ".nan" => return Some(f64::NAN),
        None => return text.parse().ok(),
    };
    #[expect(clippy::cast_precision_loss, reason = "that is what Helm does")]
    Some(whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let written = Written::read(text).unwrap();
        written
            .mistakes
            .iter()
            .map(|mistake| {
                format!(
                    "{}: {}: {}",
                    mistake.line,
                    mistake.path.join("."),
                    mistake.what
                )
            })
            .collect()
    }

    #[test]
    fn what_yaml_takes_for_something_else_is_named_with_its_line() {
        let text =
            "a: 0123\nb: {c: 1e3, N: x}\nd:\n  - 1.10\n  - no\ne: 2026-01-31\nf: 0x1F\ng: 1_000\n";
        assert_eq!(
            mistakes(text),
            [
                "1: a: YAML reads 0123 as 83; quote it",
                "2: b.c: YAML reads 1e3 as 1000; quote it",
                "2: b.N: YAML reads N as false; quote it",
                "4: d.0: YAML reads 1.10 as 1.1; quote it",
                "5: d.1: YAML reads no as false; quote it",
                "6: e: YAML reads 2026-01-31 as a point in time; quote it",
                "7: f: YAML reads 0x1F as 31; quote it",
                "8: g: YAML reads 1_000 as 1000; quote it",
            ]
        );
    }

    #[test]
    fn what_reads_as_it_stands_is_left_alone() {
        let text = "a: 8080\nb: -5\nc: 99.9\nd: true\ne: null\nf:\ng: \"0123\"\nh: 1.2.3\ni: 10.0.0.0/8\nj: 9007199254740991\nk: 30s\nl: 0\nm: |\n  0123\nsum: sha256:01\n";
        assert_eq!(mistakes(text), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_stands_twice_is_a_mistake() {
        assert_eq!(
            mistakes("a:\n  b: {c: 1}\n  b: {c: 1}\n"),
            ["3: a.b: `b` stands here a second time"]
        );
    }

    #[test]
    fn lines_are_found_by_keys() {
        let written = Written::read("a:\n  b:\n    - x\n    - {c: 1}\n").unwrap();
        assert_eq!(written.line_of("a.b"), Some(2));
        assert_eq!(written.line_of("a.b.1.c"), Some(4));
        assert_eq!(written.line_of("a.c"), None);
    }
}
