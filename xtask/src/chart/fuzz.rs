//! Random names and texts through a chart: names stay valid and distinct, texts stay what they are.
//!
//! Starting Helm takes longer than rendering, so one chart holds many microservices, each with
//! values of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
};

use serde_json::{Value, json};

use super::{Chart, helm, objects, rules};

/// What one microservice is given.
struct Given {
    full_name: String,
    environment: BTreeMap<String, String>,
    file: String,
}

/// Renders `count` microservices with random values. Says what did not hold, or what was rendered.
pub(crate) fn run(
    chart: &Chart,
    helm: &Path,
    seed: u64,
    count: usize,
) -> anyhow::Result<Result<String, String>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut given: Vec<Given> = (0..count).map(|_| Given::new(&mut random)).collect();
    given.sort_by(|one, other| one.full_name.cmp(&other.full_name));
    given.dedup_by(|one, other| one.full_name == other.full_name);
    let folder = tempfile::tempdir()?;
    write_umbrella(chart, folder.path(), &given)?;
    let request = helm::Request {
        release: "fuzz",
        namespace: "fuzz",
        chart: folder.path(),
        values: &[],
    };
    let text = match helm::template(helm, &request)? {
        Ok(text) => text,
        Err(said) => return Ok(Err(said)),
    };
    let rendered = objects::parse(&text)?;
    Ok(judge(&given, &rendered).map(|()| text))
}

impl Given {
    fn new(random: &mut fastrand::Rng) -> Self {
        let environment = (0..6)
            .map(|at| (format!("V{at}"), text(random, 40)))
            .collect();
        Self {
            full_name: text(random, 90),
            environment,
            file: text(random, 200),
        }
    }
}

/// Text of all kinds: what YAML, Helm and Kubernetes treat in a way of their own is frequent.
fn text(random: &mut fastrand::Rng, longest: usize) -> String {
    const PIECES: [&str; 36] = [
        "$",
        "$$",
        "$(A)",
        "{{ .Values }}",
        "{{",
        "}}",
        "'",
        "\"",
        "\\",
        "\n",
        "\r",
        "\t",
        " ",
        "  ",
        "#",
        ": ",
        "- ",
        "|",
        ">",
        "%",
        "@",
        "`",
        "&a",
        "*a",
        "!",
        "0",
        "1e3",
        "0x",
        "true",
        "null",
        "~",
        "---",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
    ];
    let length = random.usize(1..=longest);
    let mut text = String::new();
    while text.len() < length {
        match random.u8(0..10) {
            0..4 => text.push_str(PIECES[random.usize(..PIECES.len())]),
            4..6 => text.push(random.lowercase()),
            6 => text.push(random.alphanumeric()),
            // No process and no file of Kubernetes can hold a zero.
            _ => text.push(random.char('\u{1}'..)),
        }
    }
    text
}

fn write_umbrella(chart: &Chart, folder: &Path, given: &[Given]) -> anyhow::Result<()> {
    let mut manifest = "apiVersion: v2\nname: fuzz\nversion: 0.0.0\ndependencies:\n".to_owned();
    let mut values = String::new();
    for (at, given) in given.iter().enumerate() {
        writeln!(
            manifest,
            "  - {{name: {}, version: {}, alias: s{at}}}",
            chart.name, chart.version
        )?;
        writeln!(
            values,
            "s{at}:\n  image: {{repository: r, tag: t}}\n  fullnameOverride: {}",
            quoted(&given.full_name)
        )?;
        writeln!(
            values,
            "  files: {{/etc/file: {}}}\n  env:",
            quoted(&given.file)
        )?;
        for (name, value) in &given.environment {
            writeln!(values, "    {name}: {}", quoted(value))?;
        }
    }
    fs::write(folder.join("Chart.yaml"), manifest)?;
    fs::write(folder.join("values.yaml"), values)?;
    copy(&chart.folder, &folder.join("charts").join(&chart.name))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A YAML string that no parser can mistake.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == ' ' {
            quoted.push(c);
        } else {
            let _ = write!(quoted, "\\U{:08x}", u32::from(c));
        }
    }
    quoted + "\""
}

fn judge(given: &[Given], rendered: &[Value]) -> Result<(), String> {
    if let Some(broken) = rules::broken(rendered).first() {
        return Err(broken.clone());
    }
    let workloads: Vec<&Value> = rendered
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .collect();
    let names: BTreeSet<&str> = workloads
        .iter()
        .filter_map(|object| object["metadata"]["name"].as_str())
        .collect();
    if names.len() != given.len() {
        return Err(format!("{} names became {}", given.len(), names.len()));
    }
    let wanted: BTreeSet<String> = given
        .iter()
        .map(|given| json!([given.environment, given.file]).to_string())
        .collect();
    let found: BTreeSet<String> = workloads
        .iter()
        .map(|workload| json!([environment(workload), file(workload, rendered)]).to_string())
        .collect();
    match wanted.symmetric_difference(&found).next() {
        Some(changed) => Err(format!("a text did not arrive as it was given: {changed}")),
        None => Ok(()),
    }
}

/// What the service's process finds in its environment.
fn environment(workload: &Value) -> BTreeMap<&str, String> {
    let variables = objects::at(workload, "spec/template/spec/containers/service/env");
    variables
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|variable| {
            Some((
                variable["name"].as_str()?,
                expanded(variable["value"].as_str()?),
            ))
        })
        .filter(|(name, _)| name.starts_with('V'))
        .collect()
}

/// What Kubernetes makes of a variable's value where no other variable is known: `$$` is `$`.
/// <https://github.com/kubernetes/kubernetes/blob/v1.34.0/third_party/forked/golang/expansion/expand.go>
fn expanded(value: &str) -> String {
    let mut expanded = String::new();
    let mut rest = value.chars().peekable();
    while let Some(c) = rest.next() {
        expanded.push(c);
        if c == '$' {
            rest.next_if_eq(&'$');
        }
    }
    expanded
}

fn file<'a>(workload: &Value, rendered: &'a [Value]) -> Option<&'a str> {
    let name = objects::at(workload, "spec/template/spec/volumes/files/configMap/name")?;
    let map = rendered
        .iter()
        .find(|object| object["kind"] == "ConfigMap" && object["metadata"]["name"] == *name)?;
    map["data"].as_object()?.values().next()?.as_str()
}
