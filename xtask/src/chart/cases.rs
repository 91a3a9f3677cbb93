//! The table of cases: for each rule of a chart, values and what they become.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Chart, Tree,
    helm::{self, Request},
    objects, read_yaml, rules,
};

/// charts/tests/CHART.yaml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Values that lie beneath those of every case.
    base: Value,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    rule: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    #[serde(default = "web")]
    release: String,
    #[serde(default)]
    values: Value,
    /// A values file over the first, as an environment has it.
    #[serde(default)]
    over: Value,
    #[serde(default)]
    expect: Vec<Expectation>,
    /// What Helm's refusal has to say; then nothing is rendered.
    #[serde(default)]
    error: Vec<String>,
    /// Whether the case takes a safeguard away that holds for everything else.
    #[serde(default)]
    unguarded: bool,
}

/// What has to hold for objects, all that `of` names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// `Kind`, `Kind/name`, or `pods`: the pod templates.
    of: String,
    #[serde(default)]
    at: String,
    is: Option<Value>,
    /// A part of what stands there: of text, of a list or of an object.
    has: Option<Value>,
    #[serde(default)]
    absent: bool,
    /// How many objects `of` names.
    count: Option<usize>,
}

fn web() -> String {
    "web".to_owned()
}

/// A case that has been run.
pub(crate) struct Ran {
    pub(crate) name: String,
    /// What it rendered, or how it failed.
    pub(crate) result: Result<String, String>,
}

/// Runs the table of a chart with every Helm: the cases whose names have `filter`.
pub(crate) fn run(
    tree: &Tree,
    chart: &Chart,
    helms: &[PathBuf],
    filter: &str,
) -> anyhow::Result<Vec<Ran>> {
    let file = tree
        .root
        .join("charts/tests")
        .join(format!("{}.yaml", chart.name));
    let table: Table = read_yaml(&file)?;
    let folder = tempfile::tempdir()?;
    let base = folder.path().join("base.json");
    fs::write(&base, json(&table.base))?;
    let mut cases = Vec::new();
    for rule in &table.rules {
        for case in &rule.cases {
            let name = format!("{}: {}: {}", chart.name, rule.rule, case.case);
            if !name.contains(filter) {
                continue;
            }
            let mut values = vec![base.clone()];
            for part in [&case.values, &case.over]
                .into_iter()
                .filter(|part| !part.is_null())
            {
                let file = folder
                    .path()
                    .join(format!("{}-{}.json", cases.len(), values.len()));
                fs::write(&file, json(part))?;
                values.push(file);
            }
            cases.push((name, case, values));
        }
    }
    super::parallel(&cases, |(name, case, values)| {
        Ok(Ran {
            name: name.clone(),
            result: case.run(&chart.folder, values, helms)?,
        })
    })
}

/// JSON that YAML takes too: it allows fewer characters to stand for themselves.
fn json(value: &Value) -> String {
    let escaped = |c: char| c.is_control() || c == '\u{feff}';
    value
        .to_string()
        .chars()
        .map(|c| {
            if escaped(c) {
                format!("\\u{:04x}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

impl Case {
    fn run(
        &self,
        chart: &Path,
        values: &[PathBuf],
        helms: &[PathBuf],
    ) -> anyhow::Result<Result<String, String>> {
        let mut first: Option<(String, Vec<Value>)> = None;
        for helm in helms {
            let request = Request {
                release: &self.release,
                namespace: "test",
                chart,
                values,
            };
            let text = match helm::template(helm, &request)? {
                Ok(text) => text,
                Err(said) => match self.refusal(&said) {
                    Ok(()) => continue,
                    Err(wrong) => return Ok(Err(wrong)),
                },
            };
            if !self.error.is_empty() {
                return Ok(Err(format!(
                    "was rendered, and should be refused: {}",
                    self.error.join(", ")
                )));
            }
            let rendered = objects::parse(&text)?;
            if let Err(wrong) = self.judge(&rendered) {
                return Ok(Err(format!("{wrong} ({})", helm.display())));
            }
            match &first {
                Some((_, before)) if *before != rendered => {
                    return Ok(Err("one Helm renders it otherwise than another".to_owned()));
                }
                Some(_) => {}
                None => first = Some((text, rendered)),
            }
        }
        Ok(Ok(first.map(|(text, _)| text).unwrap_or_default()))
    }

    /// Whether Helm refused it for the reason that was expected.
    fn refusal(&self, said: &str) -> Result<(), String> {
        let missing = self.error.iter().find(|part| !said.contains(part.as_str()));
        match missing {
            None if !self.error.is_empty() => Ok(()),
            Some(part) => Err(format!("its error does not say `{part}`: {said}")),
            None => Err(said.to_owned()),
        }
    }

    fn judge(&self, rendered: &[Value]) -> Result<(), String> {
        for expectation in &self.expect {
            expectation.judge(rendered)?;
        }
        match rules::broken(rendered).first() {
            Some(broken) if !self.unguarded => Err(broken.clone()),
            _ => Ok(()),
        }
    }
}

impl Expectation {
    fn judge(&self, rendered: &[Value]) -> Result<(), String> {
        let named: Vec<&Value> = rendered
            .iter()
            .filter_map(|object| self.named(object))
            .collect();
        match self.count {
            Some(count) if count != named.len() => {
                return Err(format!(
                    "there are {} of {}, not {count}",
                    named.len(),
                    self.of
                ));
            }
            None if named.is_empty() => return Err(format!("there is no {}", self.of)),
            _ => {}
        }
        for object in named {
            let found = objects::at(object, &self.at);
            let shown = || found.map_or("nothing".to_owned(), Value::to_string);
            let held = match (&self.is, &self.has) {
                (Some(wanted), _) => found == Some(wanted),
                (_, Some(part)) => found.is_some_and(|whole| has(whole, part)),
                _ => !self.absent || found.is_none(),
            };
            if !held {
                return Err(format!("{} has at `{}` {}", self.of, self.at, shown()));
            }
        }
        Ok(())
    }

    fn named<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        match self.of.split_once('/') {
            None if self.of == "pods" => objects::pod_template(object),
            None => (object["kind"] == self.of.as_str()).then_some(object),
            Some(_) => (objects::title(object) == self.of).then_some(object),
        }
    }
}

/// Whether `part` is in `whole`: of text a part of it, of a list an item, of an object some fields.
fn has(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::String(whole), Value::String(part)) => whole.contains(part),
        (Value::Array(items), part) => items.iter().any(|item| item == part || has(item, part)),
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, value)| {
            whole
                .get(key)
                .is_some_and(|found| found == value || has(found, value))
        }),
        _ => false,
    }
}
