use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop_oneof},
    prop_assert, prop_assert_eq, proptest,
    sample::select,
};
use serde_norway::Value;

use super::Yaml;

fn edit(text: &str, path: &[&str], value: &str) -> String {
    let mut yaml = Yaml::parse("image.yaml", text).expect("the document");
    yaml.set(path, value).expect("the edit");
    yaml.text().to_owned()
}

fn refused(text: &str, path: &[&str]) -> String {
    let error = match Yaml::parse("image.yaml", text) {
        Err(error) => error,
        Ok(mut yaml) => yaml.set(path, "new").expect_err("ambiguous"),
    };
    error
        .chain()
        .map(ToString::to_string)
        .nth(1)
        .expect("a message under the hint")
}

const TAG: [&str; 2] = ["image", "tag"];

#[test]
fn a_value_keeps_its_style_and_its_surroundings() {
    for (before, after) in [
        (
            "image:\n  tag: '1.0' # old\n",
            "image:\n  tag: '2.0' # old\n",
        ),
        (
            "image:\r\n  tag: \"1.0\"\r\n",
            "image:\r\n  tag: \"2.0\"\r\n",
        ),
        (
            "image: {repository: r, tag: \"1.0\" , digest: d } # x\n",
            "image: {repository: r, tag: \"2.0\" , digest: d } # x\n",
        ),
        (
            "{\"image\":{\"tag\":\"1.0\"}}",
            "{\"image\":{\"tag\":\"2.0\"}}",
        ),
        (
            "---\nimage:\n    tag: 1.0\n...\n# bye\n",
            "---\nimage:\n    tag: \"2.0\"\n...\n# bye\n",
        ),
        (
            "\u{feff}image:\n  tag: latest",
            "\u{feff}image:\n  tag: \"2.0\"",
        ),
        (
            "image:\n  tag: &unused '1.0'\n",
            "image:\n  tag: &unused '2.0'\n",
        ),
        (
            "image:\n  tag: !!str 1.0\n",
            "image:\n  tag: !!str \"2.0\"\n",
        ),
        (
            "image:\n  tag:   # none yet\n  a: 1\n",
            "image:\n  tag: \"2.0\"   # none yet\n  a: 1\n",
        ),
        (
            "image:\n  tag: \"1.0,\n    folded\"\n  a: 1\n",
            "image:\n  tag: \"2.0\"\n  a: 1\n",
        ),
        (
            "x: &a {tag: 1}\nimage:\n  <<: *a\n  tag: '1'\n",
            "x: &a {tag: 1}\nimage:\n  <<: *a\n  tag: '2.0'\n",
        ),
    ] {
        assert_eq!(edit(before, &TAG, "2.0"), after);
    }
}

#[test]
fn a_missing_key_is_added_in_the_files_style() {
    for (before, after) in [
        (
            "image:\n    a: 'x' # c\n\n# end\nb: 1\n",
            "image:\n    a: 'x' # c\n    tag: '2.0'\n\n# end\nb: 1\n",
        ),
        ("image:\r\n  a: x", "image:\r\n  a: x\r\n  tag: \"2.0\"\r\n"),
        ("image: {a: x}\n", "image: {a: x, tag: \"2.0\"}\n"),
        (
            "image: {\n  a: x, # c\n}\n",
            "image: {\n  a: x, tag: \"2.0\", # c\n}\n",
        ),
        ("image: {}\n", "image: {tag: \"2.0\"}\n"),
        (
            "{\"image\":{\"a\":1}}\n",
            "{\"image\":{\"a\":1, \"tag\": \"2.0\"}}\n",
        ),
        (
            "image:\n  a: |\n    text\n\nb: 1\n",
            "image:\n  a: |\n    text\n  tag: \"2.0\"\n\nb: 1\n",
        ),
        (
            "other:\n   a: 1\n",
            "other:\n   a: 1\nimage:\n   tag: \"2.0\"\n",
        ),
        ("{}", "{image: {tag: \"2.0\"}}"),
    ] {
        assert_eq!(edit(before, &TAG, "2.0"), after);
    }
}

#[test]
fn an_entry_is_removed_with_its_lines_only() {
    for (before, after) in [
        (
            "a: 1 # x\nb:\n  c: 1\n  # y\n  d: 2\n# z\ne: 1\n",
            "a: 1 # x\n# z\ne: 1\n",
        ),
        ("a: 1\nb: 2", "a: 1\n"),
        ("{a: 1, b: {c: 2}, d: 3}\n", "{a: 1, d: 3}\n"),
        ("{b: 1, a: 1}\n", "{a: 1}\n"),
        ("{a: 1, b: 1}\n", "{a: 1}\n"),
    ] {
        let mut yaml = Yaml::parse("image.yaml", before).expect("the document");
        yaml.remove(&["b"]).expect("the edit");
        assert_eq!(yaml.text(), after);
    }
}

#[test]
fn what_is_wrong_or_ambiguous_is_refused_with_its_line() {
    for (text, message) in [
        (
            "image:\n  tag: a\n  tag: b\n",
            "image.yaml:3: the key `tag` stands here twice",
        ),
        (
            "image:\n  tag: a\nx: {y: 1, y: 2}\n",
            "image.yaml:3: the key `y` stands here twice",
        ),
        (
            "image:\n\ttag: a\n",
            "image.yaml:2: tabs disallowed within this context (block indentation)",
        ),
        (
            "image:\n  tag: a\n---\nb: 1\n",
            "image.yaml:4: a second document starts here",
        ),
        ("- image\n", "image.yaml:1: the document is not a mapping"),
        ("image: text\n", "image.yaml:1: `image` is not a mapping"),
        (
            "image:\n  tag: [a]\n",
            "image.yaml:2: `image.tag` is not a string",
        ),
        (
            "x: &v 1\nimage:\n  tag: *v\n",
            "image.yaml:3: `image.tag` is an alias",
        ),
        (
            "x: &v {tag: 1}\nimage: *v\n",
            "image.yaml:2: `image` is an alias",
        ),
        (
            "image:\n  tag: &v 1\nx: *v\n",
            "image.yaml:2: `image.tag` is used elsewhere through its anchor",
        ),
        (
            "image: &v\n  tag: 1\nx: *v\n",
            "image.yaml:1: `image` is used elsewhere through its anchor",
        ),
        (
            "x: &v {tag: 1}\nimage:\n  <<: *v\n",
            "image.yaml:3: `tag` may come from the merge key `<<`",
        ),
        (
            "image:\n  tag: |\n    a\n",
            "image.yaml:3: a block scalar cannot be replaced safely",
        ),
        (
            "image:\n  tag: !odd a\n",
            "image.yaml:2: a tagged value cannot be replaced",
        ),
        (
            "image: \n",
            "image.yaml:1: no key can be added to an empty value",
        ),
        (
            "? image\n: {tag: 1\n",
            "image.yaml:3: while parsing a flow mapping, did not find expected ',' or '}'",
        ),
        (
            "image:\n  ? [a]\n  : b\n",
            "image.yaml:2: a key that is not a string",
        ),
    ] {
        assert_eq!(refused(text, &TAG), message, "{text}");
    }
    assert_eq!(
        refused(&"[".repeat(100), &TAG),
        "image.yaml:1: nested too deeply"
    );
    assert_eq!(
        refused(&"[".repeat(100_000), &TAG),
        "image.yaml:1: recursion limit exceeded"
    );
}

/// A document's node, and how it is written.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(String),
    Map {
        flow: bool,
        entries: Vec<(String, Tree)>,
    },
    List {
        flow: bool,
        items: Vec<Tree>,
    },
}

/// A scalar as it can stand in a file.
fn scalar() -> impl Strategy<Value = Tree> {
    let plain = select(vec![
        "1.10",
        "0123",
        "1e10",
        "yes",
        "null",
        "~",
        "plain text",
        "sha256:0a1b",
        "2026-01-31",
        "true",
        "a#b",
        "é",
    ]);
    prop_oneof![
        plain.prop_map(str::to_owned),
        "[ -~äß€😀]{0,12}".prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        "[ -~äß€😀]{0,12}"
            .prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
    ]
    .prop_map(Tree::Scalar)
}

fn map(value: impl Strategy<Value = Tree>) -> impl Strategy<Value = Tree> {
    let key = "[a-z]{1,4}|\"[a-z ]{1,4}\"|'[a-z:#]{1,4}'";
    (any::<bool>(), vec((key, value), 1..5)).prop_map(|(flow, mut entries)| {
        let mut seen = std::collections::BTreeSet::new();
        entries.retain(|(key, _)| seen.insert(key.trim_matches(['"', '\'']).to_owned()));
        Tree::Map { flow, entries }
    })
}

fn document() -> impl Strategy<Value = Tree> {
    map(scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            map(inner.clone()),
            (any::<bool>(), vec(inner, 1..4)).prop_map(|(flow, items)| Tree::List { flow, items }),
        ]
    }))
}

/// Writes a tree, and notes where each scalar under keys alone stands.
struct Writer {
    text: String,
    newline: &'static str,
    indent: usize,
    noise: Vec<u8>,
    places: Vec<(Vec<String>, std::ops::Range<usize>)>,
}

impl Writer {
    fn noise(&mut self) -> u8 {
        let next = self.noise.pop().unwrap_or_default();
        self.noise.insert(0, next);
        next
    }

    /// Ends a line, with or without a comment or an empty line.
    fn end_line(&mut self) {
        match self.noise() % 5 {
            0 => self.text.push_str(" # a comment: 'x"),
            1 => self.text.push_str("   "),
            2 => self
                .text
                .push_str(&format!("{}{}# on its own", self.newline, self.newline)),
            _ => {}
        }
        self.text.push_str(self.newline);
    }

    fn scalar(&mut self, text: &str, path: Option<&[String]>) {
        let start = self.text.len();
        self.text.push_str(text);
        if let Some(path) = path {
            self.places.push((path.to_vec(), start..self.text.len()));
        }
    }

    fn node(&mut self, tree: &Tree, path: Option<&[String]>, depth: usize, in_flow: bool) {
        match tree {
            Tree::Scalar(text) => self.scalar(text, path),
            Tree::Map { flow, entries } if *flow || in_flow => {
                self.text.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    self.text.push_str(if index > 0 { ", " } else { "" });
                    self.text.push_str(&format!("{key}: "));
                    self.node(value, child(path, key).as_deref(), depth, true);
                }
                self.text.push('}');
            }
            Tree::List { flow, items } if *flow || in_flow => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.text.push_str(if index > 0 { ", " } else { "" });
                    self.node(item, None, depth, true);
                }
                self.text.push(']');
            }
            Tree::Map { entries, .. } => {
                for (key, value) in entries {
                    self.text.push_str(&" ".repeat(depth * self.indent));
                    self.text.push_str(&format!("{key}:"));
                    self.value(value, child(path, key).as_deref(), depth);
                }
            }
            Tree::List { items, .. } => {
                for item in items {
                    self.text.push_str(&" ".repeat(depth * self.indent));
                    self.text.push('-');
                    self.value(item, None, depth);
                }
            }
        }
    }

    /// What follows a key or a dash.
    fn value(&mut self, tree: &Tree, path: Option<&[String]>, depth: usize) {
        match tree {
            Tree::Map { flow: false, .. } | Tree::List { flow: false, .. } => {
                self.end_line();
                self.node(tree, path, depth + 1, false);
            }
            _ => {
                self.text.push(' ');
                self.node(tree, path, depth, false);
                self.end_line();
            }
        }
    }
}

fn child(path: Option<&[String]>, key: &str) -> Option<Vec<String>> {
    let mut path = path?.to_vec();
    path.push(key.trim_matches(['"', '\'']).to_owned());
    Some(path)
}

/// Strings that YAML likes to read as something else, and any others.
fn value() -> impl Strategy<Value = String> {
    let tricky = vec![
        "1e10",
        "0123",
        "1.10",
        "null",
        "yes",
        "No",
        "~",
        "",
        " ",
        "a: b",
        "- a",
        "#",
        "a #b",
        "2026-01-31",
        "0x1F",
        "0o7",
        "1_000",
        ".inf",
        "-.INF",
        ".nan",
        "!t",
        "&a",
        "*a",
        "%x",
        "@x",
        "`x",
        "[",
        "{a}",
        "a,b",
        "'",
        "\"",
        "\\",
        "\\n",
        "\n",
        "a\nb",
        "\t",
        "\r\n",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "y",
        "TRUE",
        "1:30",
        "190:20:30",
        "+1",
        "=",
        "<<",
        "sha256:00",
        "localhost:5000/a",
        "12e4",
        "1e",
    ];
    prop_oneof![
        select(tricky).prop_map(str::to_owned),
        any::<String>(),
        "[0-9a-fxo._:+-]{1,12}",
        "[0-9a-f]{40}"
    ]
}

fn parse(text: &str) -> Value {
    serde_norway::from_str(text.trim_start_matches('\u{feff}'))
        .expect("an independent parser reads it")
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| {
        let mapping = value.as_mapping_mut().expect("a mapping");
        mapping
            .iter_mut()
            .find(|(name, _)| crate_key(name) == *key)
            .map(|(_, value)| value)
            .expect("the key")
    })
}

/// A key as it was written; `y` and `n` are words to one parser and booleans to another.
fn crate_key(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        other => serde_norway::to_string(other)
            .expect("a scalar")
            .trim()
            .to_owned(),
    }
}

proptest! {
    #[test]
    fn any_value_at_any_place_changes_nothing_else(
        tree in document(),
        indent in 1_usize..5,
        newline in select(vec!["\n", "\r\n"]),
        start in select(vec!["", "---\n", "# first\n", "\u{feff}"]),
        noise in vec(any::<u8>(), 1..20),
        which in any::<proptest::sample::Index>(),
        value in value(),
    ) {
        let mut writer = Writer { text: start.to_owned(), newline, indent, noise, places: Vec::new() };
        writer.node(&tree, Some(&[]), 0, false);
        let Writer { text, places, .. } = writer;
        if places.is_empty() {
            return Ok(());
        }
        let (path, span) = which.get(&places);
        let keys: Vec<&str> = path.iter().map(String::as_str).collect();

        let mut yaml = Yaml::parse("image.yaml", &text).expect("the document");
        yaml.set(&keys, &value).expect("the edit");
        let edited = yaml.text().to_owned();

        prop_assert!(edited.starts_with(&text[..span.start]), "{text:?} -> {edited:?}");
        prop_assert!(edited[span.start..].ends_with(&text[span.end..]), "{text:?} -> {edited:?}");
        let mut expected = parse(&text);
        *at(&mut expected, path) = Value::String(value.clone());
        prop_assert_eq!(parse(&edited), expected, "{:?}", edited);

        // Done again, it changes nothing.
        yaml.set(&keys, &value).expect("the edit");
        prop_assert_eq!(yaml.text(), edited);
    }

    #[test]
    fn a_key_added_anywhere_changes_nothing_else(
        tree in document(),
        newline in select(vec!["\n", "\r\n"]),
        noise in vec(any::<u8>(), 1..20),
        which in any::<proptest::sample::Index>(),
        value in value(),
        nested in any::<bool>(),
    ) {
        let mut writer = Writer { text: String::new(), newline, indent: 2, noise, places: Vec::new() };
        writer.node(&tree, Some(&[]), 0, false);
        let Writer { text, places, .. } = writer;
        if places.is_empty() {
            return Ok(());
        }
        let mut path = which.get(&places).0.clone();
        path.pop();
        let mut expected = parse(&text);
        let added = if nested { vec!["Added", "Below"] } else { vec!["Added"] };
        let leaf = Value::String(value.clone());
        let inserted = if nested { Value::Mapping([(Value::from("Below"), leaf)].into_iter().collect()) } else { leaf };
        at(&mut expected, &path).as_mapping_mut().expect("a mapping").insert("Added".into(), inserted);

        let keys: Vec<&str> = path.iter().map(String::as_str).chain(added).collect();
        let mut yaml = Yaml::parse("image.yaml", &text).expect("the document");
        yaml.set(&keys, &value).expect("the edit");
        prop_assert_eq!(parse(yaml.text()), expected, "{:?}", yaml.text());
        // One insertion and nothing else: what is left without it is the old text.
        let same = text.bytes().zip(yaml.text().bytes()).take_while(|(old, new)| old == new).count();
        prop_assert!(yaml.text().ends_with(&text[same..]) || text[same..].is_empty());

        yaml.remove(&keys[..=path.len()]).expect("the removal");
        prop_assert_eq!(yaml.text(), &text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "([a-z]: |- |\\[|\\]|\\{|\\}|,|'|\"|\n|  |\t|#|&a |\\*a|!x |\\||>|---|\\?|é|<<: ){0,30}", value in value()) {
        if let Ok(mut yaml) = Yaml::parse("image.yaml", &text) {
            for path in [&["a"][..], &["a", "b"], &["b", "c", "d"]] {
                let before = yaml.text().to_owned();
                if yaml.set(path, &value).is_ok() {
                    prop_assert_eq!(yaml.string(path).expect("it was set"), Some(value.clone()));
                } else {
                    prop_assert_eq!(yaml.text(), before);
                }
                let _removed = yaml.remove(path);
            }
        }
    }
}
