//! YAML that is edited by replacing bytes.
//!
//! `saphyr-parser` says where each scalar stands; an edit replaces those bytes and no others, and
//! is then checked: the new text is parsed, and everything in it but the edited value must be what
//! it was. A library that rewrites its own syntax tree (yaml-edit) changes quotes, drops tags,
//! replaces aliases and accepts duplicate keys and tabs, so it cannot promise that.

use std::{collections::BTreeSet, ops::Range};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::hint::fail;

/// Deeper than anything that people write; a document that nests further would exhaust the stack.
const DEEPEST: usize = 64;

/// One YAML document: its text, and where things stand in it.
pub(crate) struct Yaml {
    name: String,
    text: String,
    root: Node,
    /// Anchors that some alias refers to: changing what they name changes another place too.
    aliased: BTreeSet<usize>,
}

/// A part of a document.
pub(crate) struct Node {
    span: Range<usize>,
    line: usize,
    anchor: usize,
    tag: Option<String>,
    kind: Kind,
}

enum Kind {
    Scalar(String, ScalarStyle),
    Mapping(Vec<(Node, Node)>),
    Sequence(Vec<Node>),
    Alias(usize),
}

impl Node {
    /// The text of a scalar.
    fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value, _) => Some(value),
            _ => None,
        }
    }

    fn style(&self) -> Option<ScalarStyle> {
        match self.kind {
            Kind::Scalar(_, style) => Some(style),
            _ => None,
        }
    }

    fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// Whether nothing is said there.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(value, ScalarStyle::Plain)
            if self.tag.is_none() && matches!(value.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

impl Yaml {
    /// Parses one document. `name` is the file that errors name.
    pub(crate) fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        Builder::new(name, text).document()
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The outermost node.
    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Whether there is nothing in it but comments.
    pub(crate) fn is_empty(&self) -> bool {
        self.root.is_null()
    }

    /// An error that names file and line.
    pub(crate) fn wrong<T>(&self, node: &Node, what: &str, hint: &str) -> anyhow::Result<T> {
        fail(format!("{}:{}: {what}", self.name, node.line), hint)
    }

    /// The node at this path.
    pub(crate) fn find(&self, path: &[&str]) -> anyhow::Result<Option<&Node>> {
        let found = self.descend(path)?;
        Ok((found.len() > path.len()).then(|| found[path.len()]))
    }

    /// The string at this path; null is none.
    pub(crate) fn string(&self, path: &[&str]) -> anyhow::Result<Option<String>> {
        let Some(node) = self.find(path)?.filter(|node| !node.is_null()) else {
            return Ok(None);
        };
        self.text_of(node).map(|text| Some(text.to_owned()))
    }

    /// The error that what stands at this path is wrong.
    pub(crate) fn refuse<T>(&self, path: &[&str], what: &str, hint: &str) -> anyhow::Result<T> {
        let found = self.descend(path)?;
        self.wrong(found[found.len() - 1], what, hint)
    }

    /// The error that something has to stand at this path.
    pub(crate) fn missing<T>(&self, path: &[&str], hint: &str) -> anyhow::Result<T> {
        self.refuse(path, &format!("`{}` is missing", path.join(".")), hint)
    }

    /// The text of a scalar.
    pub(crate) fn text_of<'a>(&self, node: &'a Node) -> anyhow::Result<&'a str> {
        match node.scalar() {
            Some(value) if node.tag.as_deref().is_none_or(|tag| tag == "str") => Ok(value),
            _ => self.wrong(
                node,
                "expected a string",
                "write a plain or quoted string there",
            ),
        }
    }

    /// The items of a sequence.
    pub(crate) fn items<'a>(&self, node: &'a Node) -> anyhow::Result<&'a [Node]> {
        match &node.kind {
            Kind::Sequence(items) => Ok(items),
            _ => self.wrong(node, "expected a list", "write `- ` before each item"),
        }
    }

    /// The entries of a mapping, which may have these keys only.
    pub(crate) fn fields<'a>(
        &self,
        node: &'a Node,
        allowed: &[&str],
    ) -> anyhow::Result<Vec<(&'a str, &'a Node)>> {
        let hint = format!("allowed are {}", allowed.join(", "));
        let Kind::Mapping(entries) = &node.kind else {
            return self.wrong(node, "expected a mapping", &hint);
        };
        let mut fields = Vec::new();
        for (key, value) in entries {
            let name = self.text_of(key)?;
            if !allowed.contains(&name) {
                return self.wrong(key, &format!("unknown key `{name}`"), &hint);
            }
            fields.push((name, value));
        }
        Ok(fields)
    }

    /// Makes the string at this path `value`; keys that are missing are added in the file's style.
    pub(crate) fn set(&mut self, path: &[&str], value: &str) -> anyhow::Result<()> {
        let found = self.descend(path)?;
        let last = found[found.len() - 1];
        if found.len() <= path.len() {
            let (at, addition) = self.addition(last, &path[found.len() - 1..], value)?;
            return self.splice(at..at, &addition, &path[..found.len()], path, Some(value));
        }
        let Kind::Scalar(old, style) = &last.kind else {
            return self.wrong(
                last,
                &format!("`{}` is not a string", path.join(".")),
                BY_HAND,
            );
        };
        if old == value && self.text_of(last).is_ok() && *style != ScalarStyle::Plain {
            return Ok(());
        }
        if last.tag.as_deref().is_some_and(|tag| tag != "str") {
            return self.wrong(last, "a tagged value cannot be replaced", BY_HAND);
        }
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return self.wrong(last, "a block scalar cannot be replaced safely", BY_HAND);
        }
        let start = after_properties(&self.text, last);
        let (range, new) = if start < last.span.end {
            let bare = *style == ScalarStyle::Plain && is_plain_string(old);
            let style = if bare || *style != ScalarStyle::Plain {
                *style
            } else {
                self.quotes()
            };
            (start..last.span.end, quote(value, style))
        } else {
            let colon = self.colon_before(last, found[found.len() - 2])?;
            (colon..colon, format!(" {}", quote(value, self.quotes())))
        };
        self.splice(range, &new, path, path, Some(value))
    }

    /// Takes the entry at this path away, with its lines.
    pub(crate) fn remove(&mut self, path: &[&str]) -> anyhow::Result<()> {
        let found = self.descend(path)?;
        if found.len() <= path.len() {
            return Ok(());
        }
        let (mapping, node) = (found[path.len() - 1], found[path.len()]);
        let entries = mapping.entries();
        let index = entries
            .iter()
            .position(|(_, value)| std::ptr::eq(value, node))
            .expect("found among its entries");
        let key = &entries[index].0;
        if entries.len() == 1 {
            return self.wrong(key, "the only key of a mapping cannot be removed", BY_HAND);
        }
        let range = if !self.is_flow(mapping) {
            self.line_of(key)?.0..self.line_end(self.end_of(node))
        } else if index > 0 {
            self.end_of(&entries[index - 1].1)..self.end_of(node)
        } else {
            key.span.start..entries[1].0.span.start
        };
        let around = [
            &self.text[range.start..key.span.start.max(range.start)],
            &self.text[self.end_of(node).min(range.end)..range.end],
        ];
        if self.is_flow(mapping) && around.iter().any(|text| text.contains('#')) {
            return self.wrong(key, "a comment beside it would go too", BY_HAND);
        }
        self.splice(range, "", path, path, None)
    }

    /// The nodes on the way along a path, root first, as far as they exist. What lies on it must be
    /// unambiguous.
    fn descend(&self, path: &[&str]) -> anyhow::Result<Vec<&Node>> {
        let mut nodes = vec![&self.root];
        for depth in 0..=path.len() {
            let node = nodes[depth];
            let name = if depth == 0 {
                "the document".to_owned()
            } else {
                format!("`{}`", path[..depth].join("."))
            };
            if matches!(node.kind, Kind::Alias(_)) {
                return self.wrong(
                    node,
                    &format!("{name} is an alias"),
                    "write the value itself there",
                );
            }
            if self.aliased.contains(&node.anchor) {
                return self.wrong(
                    node,
                    &format!("{name} is used elsewhere through its anchor"),
                    "write the value itself in both places",
                );
            }
            let Some(key) = path.get(depth) else { break };
            let Kind::Mapping(entries) = &node.kind else {
                if node.is_null() {
                    break;
                }
                return self.wrong(node, &format!("{name} is not a mapping"), BY_HAND);
            };
            match entries.iter().find(|(name, _)| name.scalar() == Some(key)) {
                Some((_, value)) => nodes.push(value),
                None if entries.iter().any(|(name, _)| name.scalar() == Some("<<")) => {
                    return self.wrong(
                        node,
                        &format!("`{key}` may come from the merge key `<<`"),
                        "write the key itself there",
                    );
                }
                None => break,
            }
        }
        Ok(nodes)
    }

    /// Where `path` is to be added to `mapping`, which lacks its first key, and with what text.
    fn addition(
        &self,
        mapping: &Node,
        path: &[&str],
        value: &str,
    ) -> anyhow::Result<(usize, String)> {
        let entries = mapping.entries();
        let key_style = entries
            .first()
            .and_then(|(key, _)| key.style())
            .unwrap_or(ScalarStyle::Plain);
        let flow = self.is_flow(mapping);
        let plain = is_plain_string(value) && !(flow && key_style == ScalarStyle::DoubleQuoted);
        let value = quote(
            value,
            if plain {
                ScalarStyle::Plain
            } else {
                self.quotes()
            },
        );
        let keys: Vec<String> = path.iter().map(|key| quote(key, key_style)).collect();
        if flow {
            let nested = format!(
                "{}: {value}{}",
                keys.join(": {"),
                "}".repeat(keys.len() - 1)
            );
            return Ok(match entries.last() {
                Some((_, last)) => (self.end_of(last), format!(", {nested}")),
                None => (after_properties(&self.text, mapping) + 1, nested),
            });
        }
        let (Some((first, _)), Some((_, last))) = (entries.first(), entries.last()) else {
            return self.wrong(mapping, "no key can be added to an empty value", BY_HAND);
        };
        let (_, mut indent) = self.line_of(first)?;
        let at = self.line_end(self.end_of(last));
        let newline = if self.text.contains("\r\n") {
            "\r\n"
        } else {
            "\n"
        };
        let mut lines = String::new();
        if !self.text[..at].ends_with('\n') {
            lines.push_str(newline);
        }
        for (depth, key) in keys.iter().enumerate() {
            let end = if depth + 1 < keys.len() {
                String::new()
            } else {
                format!(" {value}")
            };
            lines.push_str(&format!("{indent}{key}:{end}{newline}"));
            indent.push_str(&self.step());
        }
        Ok((at, lines))
    }

    /// Replaces bytes. `changed` is the place that may differ afterwards; `path` must then read as
    /// `value`.
    fn splice(
        &mut self,
        range: Range<usize>,
        new: &str,
        changed: &[&str],
        path: &[&str],
        value: Option<&str>,
    ) -> anyhow::Result<()> {
        let line = self.text[..range.start].matches('\n').count() + 1;
        let mut text = self.text.clone();
        text.replace_range(range, new);
        let edited = Self::parse(&self.name, &text).ok().filter(|edited| {
            let read = edited.string(path).unwrap_or_default();
            read.as_deref() == value && edited.rest(changed) == self.rest(changed)
        });
        let Some(edited) = edited else {
            return fail(
                format!(
                    "{}:{line}: `{}` cannot be edited safely",
                    self.name,
                    path.join(".")
                ),
                BY_HAND,
            );
        };
        *self = edited;
        Ok(())
    }

    /// All that the document says but what stands at or below `left_out`.
    fn rest(&self, left_out: &[&str]) -> Vec<(Vec<String>, String)> {
        fn flatten(
            node: &Node,
            path: &mut Vec<String>,
            left_out: &[&str],
            into: &mut Vec<(Vec<String>, String)>,
        ) {
            if path.iter().map(String::as_str).eq(left_out.iter().copied()) {
                return;
            }
            let what = match &node.kind {
                Kind::Scalar(value, _) => format!("scalar {} {value}", node.is_null()),
                Kind::Mapping(_) => "mapping".to_owned(),
                Kind::Sequence(_) => "sequence".to_owned(),
                Kind::Alias(anchor) => format!("alias {anchor}"),
            };
            into.push((
                path.clone(),
                format!("{:?} {} {what}", node.tag, node.anchor),
            ));
            let children: Vec<(String, &Node)> = match &node.kind {
                Kind::Mapping(entries) => entries
                    .iter()
                    .map(|(key, value)| (key.scalar().unwrap_or_default().to_owned(), value))
                    .collect(),
                Kind::Sequence(items) => items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| (format!("[{index}]"), item))
                    .collect(),
                _ => Vec::new(),
            };
            for (name, child) in children {
                path.push(name);
                flatten(child, path, left_out, into);
                path.pop();
            }
        }
        let mut rest = Vec::new();
        flatten(&self.root, &mut Vec::new(), left_out, &mut rest);
        rest
    }

    /// The quotes that this file uses.
    fn quotes(&self) -> ScalarStyle {
        fn first(node: &Node) -> Option<ScalarStyle> {
            match &node.kind {
                Kind::Scalar(
                    _,
                    style @ (ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted),
                ) => Some(*style),
                Kind::Mapping(entries) => entries.iter().find_map(|(_, value)| first(value)),
                Kind::Sequence(items) => items.iter().find_map(first),
                _ => None,
            }
        }
        first(&self.root).unwrap_or(ScalarStyle::DoubleQuoted)
    }

    /// By how much this file indents.
    fn step(&self) -> String {
        let nested = self.root.entries().iter().filter_map(|(key, value)| {
            let outer = self.line_of(key).ok()?.1;
            let inner = self.line_of(&value.entries().first()?.0).ok()?.1;
            Some(inner.strip_prefix(&outer)?.to_owned()).filter(|step| !step.is_empty())
        });
        nested.into_iter().next().unwrap_or_else(|| "  ".to_owned())
    }

    fn is_flow(&self, mapping: &Node) -> bool {
        self.text[after_properties(&self.text, mapping)..].starts_with('{')
    }

    /// After the colon of the empty value `node` in `mapping`.
    fn colon_before(&self, node: &Node, mapping: &Node) -> anyhow::Result<usize> {
        let key = mapping
            .entries()
            .iter()
            .find(|(_, value)| std::ptr::eq(value, node))
            .map(|(key, _)| key);
        if let Some(key) = key.filter(|_| node.span.is_empty()) {
            let rest = &self.text[key.span.end..];
            let blank = rest.len() - rest.trim_start_matches(' ').len();
            if rest[blank..].starts_with(':') {
                return Ok(key.span.end + blank + 1);
            }
        }
        self.wrong(
            node,
            "an empty value that is written this way cannot be filled in",
            BY_HAND,
        )
    }

    /// Where a block mapping's key's line starts, and how it is indented.
    fn line_of(&self, key: &Node) -> anyhow::Result<(usize, String)> {
        let start = self.text[..key.span.start]
            .rfind('\n')
            .map_or(0, |at| at + 1);
        let indent = self.text[start..key.span.start].trim_start_matches('\u{feff}');
        if indent.bytes().any(|byte| byte != b' ') {
            return self.wrong(key, "its key does not stand first in its line", BY_HAND);
        }
        Ok((key.span.start - indent.len(), indent.to_owned()))
    }

    fn line_end(&self, from: usize) -> usize {
        self.text[from..]
            .find('\n')
            .map_or(self.text.len(), |at| from + at + 1)
    }

    /// Where a node's last character stands; a block scalar's span runs on into the next line.
    fn end_of(&self, node: &Node) -> usize {
        match &node.kind {
            Kind::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded) => {
                node.span.start + self.text[node.span.clone()].trim_end().len()
            }
            Kind::Mapping(entries) if !self.is_flow(node) => entries
                .last()
                .map_or(node.span.end, |(_, last)| self.end_of(last)),
            Kind::Sequence(items)
                if !self.text[after_properties(&self.text, node)..].starts_with('[') =>
            {
                items.last().map_or(node.span.end, |last| self.end_of(last))
            }
            _ => node.span.end,
        }
    }
}

const BY_HAND: &str = "edit this file by hand into the plain form that the others have, commit it, and run this again";

/// Whether every YAML parser (1.1 and 1.2) reads these characters, written plain, as this very
/// string. Says no too often rather than once too rarely.
fn is_plain_string(text: &str) -> bool {
    let words = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    let lower = text.to_ascii_lowercase();
    let starts_with_letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    // A hash: digits and letters, and one letter that no number has.
    let hash = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        && text
            .bytes()
            .any(|byte| byte.is_ascii_lowercase() && byte != b'e')
        && !["0x", "0o", "0b"]
            .iter()
            .any(|number| text.starts_with(number));
    (starts_with_letter || hash)
        && !words.contains(&lower.as_str())
        && !text.ends_with(':')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._/@+-:".contains(&byte))
}

/// A scalar's text in this style, or in one that can hold it.
fn quote(text: &str, style: ScalarStyle) -> String {
    let special = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    };
    match style {
        ScalarStyle::Plain if is_plain_string(text) => text.to_owned(),
        ScalarStyle::SingleQuoted if !text.contains(special) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        _ => {
            let mut quoted = String::from('"');
            for c in text.chars() {
                match c {
                    '"' | '\\' => quoted.extend(['\\', c]),
                    '\n' => quoted.push_str("\\n"),
                    c if special(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
                    c => quoted.push(c),
                }
            }
            quoted + "\""
        }
    }
}

/// Where a node's own text starts, after its anchor and tag.
fn after_properties(text: &str, node: &Node) -> usize {
    let mut rest = &text[node.span.start..];
    while (node.anchor != 0 || node.tag.is_some()) && rest.starts_with(['&', '!']) {
        let end = rest
            .find(|c: char| c.is_whitespace() || ",[]{}".contains(c))
            .unwrap_or(rest.len());
        rest = rest[end..].trim_start();
    }
    text.len() - rest.len()
}

/// Turns the parser's events into nodes.
struct Builder<'a> {
    name: &'a str,
    text: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// The parser counts characters.
    offsets: Vec<usize>,
    aliased: BTreeSet<usize>,
}

impl<'a> Builder<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        let offsets = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        Self {
            name,
            text,
            parser: Parser::new_from_str(text),
            offsets,
            aliased: BTreeSet::new(),
        }
    }

    fn document(mut self) -> anyhow::Result<Yaml> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return self.wrong(
                        span.start.line(),
                        "a second document starts here",
                        "one file holds one document: remove the `---` before this line",
                    );
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        let root = root.unwrap_or(Node {
            span: 0..0,
            line: 1,
            anchor: 0,
            tag: None,
            kind: Kind::Scalar(String::new(), ScalarStyle::Plain),
        });
        Ok(Yaml {
            name: self.name.to_owned(),
            text: self.text.to_owned(),
            root,
            aliased: self.aliased,
        })
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> anyhow::Result<Node> {
        let line = span.start.line();
        if depth > DEEPEST {
            return self.wrong(
                line,
                "nested too deeply",
                "this is no file that automation writes",
            );
        }
        let tag_name = |tag: &Tag| {
            if tag.is_yaml_core_schema() {
                tag.suffix.clone()
            } else {
                format!("{}{}", tag.handle, tag.suffix)
            }
        };
        let mut node = Node {
            span: self.bytes(span),
            line,
            anchor: 0,
            tag: None,
            kind: Kind::Alias(0),
        };
        match event {
            Event::Alias(anchor) => {
                self.aliased.insert(anchor);
                node.kind = Kind::Alias(anchor);
            }
            Event::Scalar(value, style, anchor, tag) => {
                node.anchor = anchor;
                node.tag = tag.as_deref().map(tag_name);
                node.kind = Kind::Scalar(value.into_owned(), style);
                node.span.end = self.quoted_end(&node).unwrap_or(node.span.end);
            }
            Event::SequenceStart(anchor, tag) => {
                node.anchor = anchor;
                node.tag = tag.as_deref().map(tag_name);
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break node.span.end = self.bytes(end).end,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                node.kind = Kind::Sequence(items);
            }
            Event::MappingStart(anchor, tag) => {
                node.anchor = anchor;
                node.tag = tag.as_deref().map(tag_name);
                let mut entries: Vec<(Node, Node)> = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::MappingEnd {
                        break node.span.end = self.bytes(span).end;
                    }
                    let key = self.node(event, span, depth + 1)?;
                    let Some(name) = key.scalar() else {
                        return self.wrong(
                            key.line,
                            "a key that is not a string",
                            "write a plain or quoted string there",
                        );
                    };
                    if entries
                        .iter()
                        .any(|(other, _)| other.scalar() == Some(name))
                    {
                        return self.wrong(
                            key.line,
                            &format!("the key `{name}` stands here twice"),
                            "remove one of them",
                        );
                    }
                    let (event, span) = self.next()?;
                    let value = self.node(event, span, depth + 1)?;
                    entries.push((key, value));
                }
                node.kind = Kind::Mapping(entries);
            }
            event => {
                return self.wrong(
                    line,
                    &format!("unexpected {event:?}"),
                    "mend the YAML there",
                );
            }
        }
        Ok(node)
    }

    /// Where a quoted scalar's closing quote ends: the parser's span takes a comment after it in.
    fn quoted_end(&self, node: &Node) -> Option<usize> {
        let start = after_properties(self.text, node);
        let double = match node.style()? {
            ScalarStyle::DoubleQuoted => true,
            ScalarStyle::SingleQuoted => false,
            _ => return None,
        };
        let quote = if double { b'"' } else { b'\'' };
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        while *bytes.get(at)? != quote || (!double && bytes.get(at + 1) == Some(&quote)) {
            let pair = bytes[at] == quote || (double && bytes[at] == b'\\');
            at += if pair { 2 } else { 1 };
        }
        Some(at + 1)
    }

    fn next(&mut self) -> anyhow::Result<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                self.wrong(error.marker().line(), error.info(), "mend the YAML there")
            }
            None => self.wrong(1, "the document has no end", "mend the YAML there"),
        }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        let at = |index: usize| self.offsets[index.min(self.offsets.len() - 1)];
        at(span.start.index())..at(span.end.index())
    }

    fn wrong<T>(&self, line: usize, what: &str, hint: &str) -> anyhow::Result<T> {
        fail(format!("{}:{line}: {what}", self.name), hint)
    }
}

#[cfg(test)]
mod tests;
