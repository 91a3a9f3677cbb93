//! What can be wrong in a chart, in an environment's values and in Argo CD's applications, before
//! Argo CD sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use super::{
    Chart, Deployment, Tree, file_name, helm, objects, snapshots, value_files, written::Written,
};
use crate::gitops;

/// What was looked at, and what is wrong with it.
pub(crate) type Check = (String, Result<(), String>);

/// Everything about a chart that can be told by looking at it.
pub(crate) fn chart(tree: &Tree, chart: &Chart, helms: &[PathBuf]) -> anyhow::Result<Vec<Check>> {
    let name = &chart.name;
    let values = snapshots::stand_in(tree, chart);
    let mut checks = Vec::new();
    for helm in helms {
        let said = helm::lint(helm, &chart.folder, &values)?;
        checks.push((format!("{name}: helm lint"), said.map(drop)));
    }
    checks.push((
        format!("{name}: the schema is closed and described"),
        schema(chart)?,
    ));
    checks.push((
        format!("{name}: the changelog has the version"),
        changelog(chart)?,
    ));
    let released = unlike_release(tree, chart)?;
    checks.push((
        format!("{name}: another content is another version"),
        released,
    ));
    Ok(checks)
}

/// The schema is closed and described at every level, and says of a value what values.yaml says.
fn schema(chart: &Chart) -> anyhow::Result<Result<(), String>> {
    let values = chart.folder.join("values.yaml");
    if !values.is_file() {
        return Ok(Ok(()));
    }
    let file = chart.folder.join("values.schema.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let schema: Value = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    let mut wrong = Vec::new();
    find_holes(&schema, "", &mut wrong);
    for (path, comment) in comments(&fs::read_to_string(&values)?) {
        // What is referred to describes itself.
        let own = path
            .split('.')
            .try_fold(&schema, |schema, key| schema.get("properties")?.get(key));
        let described = own.map(|own| own["description"].as_str().unwrap_or_default());
        if described.is_some_and(|described| described != comment) {
            wrong.push(format!(
                "{path} is described otherwise than in values.yaml: {comment}"
            ));
        }
    }
    Ok(all(&wrong))
}

/// Where a schema takes keys that it does not know, or does not say what something is.
fn find_holes(schema: &Value, path: &str, holes: &mut Vec<String>) {
    let Some(fields) = schema.as_object() else {
        return;
    };
    if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
        if !fields.contains_key("additionalProperties") && !fields.contains_key("$ref") {
            holes.push(format!("{path} takes any key"));
        }
        for (key, property) in properties {
            let said = ["description", "$ref", "const"]
                .iter()
                .any(|word| property.get(word).is_some());
            if !said && !fields.contains_key("$ref") {
                holes.push(format!("{path}/{key} is not described"));
            }
            find_holes(property, &format!("{path}/{key}"), holes);
        }
    }
    for item in [&schema["additionalProperties"], &schema["items"]] {
        find_holes(item, &format!("{path}/*"), holes);
    }
    for item in schema["patternProperties"]
        .as_object()
        .into_iter()
        .flat_map(|patterns| patterns.values())
    {
        find_holes(item, &format!("{path}/*"), holes);
    }
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        find_holes(definition, &format!("$defs/{name}"), holes);
    }
}

/// The comments of helm-docs in values.yaml, by path.
fn comments(values: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut comment = None;
    for line in values.lines() {
        let bare = line.trim_start();
        if let Some(text) = bare.strip_prefix("# -- ") {
            comment = Some(text.to_owned());
        } else if let Some((key, _)) = bare
            .split_once(':')
            .filter(|_| !bare.starts_with(['#', '-']))
        {
            let indent = line.len() - bare.len();
            path.retain(|(outer, _)| *outer < indent);
            path.push((indent, key));
            if let Some(comment) = comment.take() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
                found.push((keys.join("."), comment));
            }
        }
    }
    found
}

fn changelog(chart: &Chart) -> anyhow::Result<Result<(), String>> {
    let file = chart.folder.join("CHANGELOG.md");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let heading = format!("## {}", chart.version);
    let newest = text.lines().find(|line| line.starts_with("## "));
    Ok(match newest {
        Some(newest) if newest == heading => Ok(()),
        _ => Err(format!(
            "CHANGELOG.md has to begin with `{heading}`, the version in Chart.yaml"
        )),
    })
}

/// What was released under this version is what stands here.
fn unlike_release(tree: &Tree, chart: &Chart) -> anyhow::Result<Result<(), String>> {
    let Some(released) = tree.released(chart)? else {
        return Ok(Ok(()));
    };
    let (here, there) = (files(&chart.folder)?, files(&released.folder)?);
    let names: BTreeSet<&PathBuf> = here.keys().chain(there.keys()).collect();
    Ok(
        match names
            .into_iter()
            .find(|name| here.get(*name) != there.get(*name))
        {
            Some(name) => Err(format!(
                "{} is not what {} has; raise `version` in Chart.yaml, and say in CHANGELOG.md what is new",
                name.display(),
                chart.tag()
            )),
            None => Ok(()),
        },
    )
}

/// All files below a folder.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// Everything about the environments that can be told before Argo CD sees it.
pub(crate) fn environments(
    tree: &Tree,
    deployments: &[Deployment],
    helm: &Path,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for environment in &tree.config.environments {
        let file = tree
            .gitops()
            .join("environments")
            .join(&environment.name)
            .join("policy.yaml");
        if let Ok(text) = fs::read_to_string(&file) {
            let name = tree.relative(&file);
            let read = gitops::check_policy(&name, &text);
            checks.push((name, read.map_err(|error| in_words(&error))));
        }
    }
    for (file, written) in written(tree, deployments)? {
        let wrong = written.mistakes.iter().map(|mistake| {
            let path = mistake.path.join(".");
            format!(
                "{}:{}: {path}: {}",
                tree.relative(&file),
                mistake.line,
                mistake.what
            )
        });
        checks.push((tree.relative(&file), all(&wrong.collect::<Vec<_>>())));
    }
    for deployment in deployments {
        let rendered = snapshots::render(tree, helm, deployment, true)?;
        let wrong = match rendered {
            Ok(_) => Ok(()),
            Err(said) => Err(located(tree, deployment, &said)?),
        };
        checks.push((format!("{}: values", deployment.name()), wrong));
        if let Some(record) = &deployment.record {
            let name = tree.relative(record);
            let read = gitops::check_record(&name, &fs::read_to_string(record)?);
            checks.push((name, read.map_err(|error| in_words(&error))));
        }
    }
    checks.extend(applications(tree)?);
    checks.push((
        "every file of values has a service".to_owned(),
        unread(tree, deployments)?,
    ));
    Ok(checks)
}

/// All files of values, each once.
fn written(tree: &Tree, deployments: &[Deployment]) -> anyhow::Result<BTreeMap<PathBuf, Written>> {
    let mut found = BTreeMap::new();
    for file in deployments.iter().flat_map(|deployment| &deployment.values) {
        let text = fs::read_to_string(file)?;
        let read = Written::read(&text).with_context(|| tree.relative(file))?;
        found.insert(file.clone(), read);
    }
    Ok(found)
}

/// What Helm has against some values, with the files and lines where they stand.
fn located(tree: &Tree, deployment: &Deployment, said: &str) -> anyhow::Result<String> {
    let mut files = Vec::new();
    for file in deployment.values.iter().chain(&deployment.record) {
        files.push((
            tree.relative(file),
            Written::read(&fs::read_to_string(file)?)?,
        ));
    }
    let mut lines = Vec::new();
    for line in said.lines() {
        let Some(complaint) = Complaint::read(line) else {
            continue;
        };
        // The last file that has it is the one that counts.
        let place = complaint.keys.iter().find_map(|key| {
            let found = files
                .iter()
                .rev()
                .find_map(|(file, written)| Some((file, written.line_of(key)?)));
            found.map(|(file, line)| format!("{file}:{line}: "))
        });
        lines.push(format!(
            "{}{}: {}",
            place.unwrap_or_default(),
            complaint.keys.join(", "),
            complaint.what
        ));
    }
    if lines.is_empty() {
        return Ok(said.trim().to_owned());
    }
    Ok(lines.join("\n"))
}

/// One thing that Helm has against the values.
struct Complaint {
    /// Keys, joined by dots.
    keys: Vec<String>,
    what: String,
}

impl Complaint {
    /// The schema's are `- at '/image/tag': got …`, the chart's own `- image.tag, image.digest: …`.
    fn read(line: &str) -> Option<Self> {
        let line = line.trim_start().strip_prefix("- ")?;
        let Some((pointer, what)) = line
            .strip_prefix("at '")
            .and_then(|at| at.split_once("': "))
        else {
            let (keys, what) = line.split_once(": ")?;
            return Some(Self {
                keys: keys.split(", ").map(str::to_owned).collect(),
                what: what.to_owned(),
            });
        };
        if what == "validation failed" {
            return None;
        }
        let mut key = pointer
            .trim_start_matches('/')
            .replace('/', ".")
            .replace("~1", "/");
        if let Some(unknown) = what
            .strip_prefix("additional properties '")
            .and_then(|rest| rest.split('\'').next())
        {
            key = [key.as_str(), unknown]
                .join(".")
                .trim_start_matches('.')
                .to_owned();
        }
        Some(Self {
            keys: vec![key],
            what: what.to_owned(),
        })
    }
}

/// Files in gitops/services that are no service's.
fn unread(tree: &Tree, deployments: &[Deployment]) -> anyhow::Result<Result<(), String>> {
    let read: BTreeSet<&PathBuf> = deployments
        .iter()
        .flat_map(|deployment| &deployment.values)
        .collect();
    let mut unread = Vec::new();
    for pattern in ["services/*", "environments/*/*/values.yaml"] {
        let pattern = tree.gitops().join(pattern).display().to_string();
        for file in glob::glob(&pattern)? {
            let file = file?;
            if !read.contains(&file) {
                unread.push(format!(
                    "{}: no environment has this service",
                    tree.relative(&file)
                ));
            }
        }
    }
    Ok(all(&unread))
}

/// Argo CD is allowed to make in an environment what its services are rendered to, and no more.
pub(crate) fn projects(
    tree: &Tree,
    rendered: &[(&Deployment, String)],
) -> anyhow::Result<Vec<Check>> {
    let file = tree.gitops().join("argocd/platform/projects.yaml");
    let projects =
        objects::parse(&fs::read_to_string(&file).with_context(|| tree.relative(&file))?)?;
    let mut checks = Vec::new();
    for environment in &tree.config.environments {
        let project = projects
            .iter()
            .find(|project| project["metadata"]["name"] == environment.name.as_str());
        let allowed = project.map(|project| &project["spec"]["namespaceResourceWhitelist"]);
        let allowed: Vec<&Value> = allowed
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        let mut wrong = BTreeSet::new();
        for (_, text) in rendered
            .iter()
            .filter(|(deployment, _)| deployment.environment == environment.name)
        {
            for object in objects::parse(text)? {
                let version = object["apiVersion"].as_str().unwrap_or_default();
                let group = version.split_once('/').map_or("", |(group, _)| group);
                let kind = &object["kind"];
                if !allowed
                    .iter()
                    .any(|allowed| allowed["group"] == group && allowed["kind"] == *kind)
                {
                    wrong.insert(format!(
                        "{}: {group}/{kind} is not among its kinds",
                        tree.relative(&file)
                    ));
                }
            }
        }
        checks.push((
            format!("the project {} allows what is rendered", environment.name),
            all(&Vec::from_iter(wrong)),
        ));
    }
    Ok(checks)
}

/// Argo CD is told to render what is rendered here.
fn applications(tree: &Tree) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for environment in tree
        .config
        .environments
        .iter()
        .map(|environment| environment.name.as_str())
    {
        let file = tree
            .gitops()
            .join("argocd/platform")
            .join(format!("{environment}.yaml"));
        let name = tree.relative(&file);
        let text = fs::read_to_string(&file).with_context(|| name.clone())?;
        let set: Value = serde_norway::from_str(&text).with_context(|| name.clone())?;
        let application = &set["spec"]["template"]["spec"];
        let (charts, values) = (&application["sources"][0], &application["sources"][1]);
        let files = value_files(environment, "{{.chart}}", "{{.path.basename}}")
            .map(|file| format!("$values/{}/{file}", tree.config.gitops.path));
        let held = [
            (
                application["project"] == environment,
                "the project is the environment's, written out",
            ),
            (
                application["destination"]["namespace"] == environment,
                "the namespace is the environment's",
            ),
            (
                charts["helm"]["valueFiles"] == serde_json::json!(files),
                "valueFiles are those of chart render, in its order",
            ),
            (
                charts["helm"]["releaseName"] == "{{.path.basename}}",
                "the release is called as the folder",
            ),
            (
                charts["targetRevision"] == "{{.revision}}",
                "the chart is taken at the tag in chart.yaml",
            ),
            (
                values["targetRevision"] == tree.config.gitops.branch.as_str(),
                "values are taken from the branch in slipway.toml",
            ),
            (
                charts["repoURL"] != values["repoURL"],
                "charts and values have two addresses",
            ),
            (
                set["spec"]["syncPolicy"]["preserveResourcesOnDeletion"] == true,
                "deleting it leaves workloads running",
            ),
        ];
        let wrong = held.iter().filter(|(held, _)| !held);
        let wrong: Vec<String> = wrong
            .map(|(_, rule)| format!("it does not hold that {rule}"))
            .collect();
        checks.push((name, all(&wrong)));
    }
    Ok(checks)
}

/// Argo CD's own objects, as files of manifests: name and text.
pub(crate) fn argocd(tree: &Tree) -> anyhow::Result<Vec<(String, String)>> {
    let pattern = tree.gitops().join("argocd/**/*.yaml").display().to_string();
    let mut files = Vec::new();
    for file in glob::glob(&pattern)? {
        let file = file?;
        files.push((
            format!("argocd/{}", file_name(&file)?),
            fs::read_to_string(&file)?,
        ));
    }
    Ok(files)
}

/// What is wrong, then what to do about it.
fn in_words(error: &anyhow::Error) -> String {
    let words: Vec<String> = error.chain().map(ToString::to_string).collect();
    words.into_iter().rev().collect::<Vec<_>>().join("; ")
}

fn all(wrong: &[String]) -> Result<(), String> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(line: &str) -> Option<(String, String)> {
        Complaint::read(line).map(|complaint| (complaint.keys.join(" "), complaint.what))
    }

    #[test]
    fn complaints_of_helm_and_of_the_chart_name_keys() {
        let named = |keys: &str, what: &str| Some((keys.to_owned(), what.to_owned()));
        assert_eq!(
            complaint("  - at '/env/A': got array, want string"),
            named("env.A", "got array, want string")
        );
        assert_eq!(
            complaint("- at '/image': additional properties 'tga' not allowed"),
            named("image.tga", "additional properties 'tga' not allowed")
        );
        assert_eq!(
            complaint("- at '': additional properties 'replicaCount' not allowed"),
            named(
                "replicaCount",
                "additional properties 'replicaCount' not allowed"
            )
        );
        assert_eq!(
            complaint("- pdb.minAvailable, replicas: no"),
            named("pdb.minAvailable replicas", "no")
        );
        assert_eq!(complaint("- at '/env': validation failed"), None);
        assert_eq!(
            complaint("Error: values don't meet the specifications"),
            None
        );
    }

    #[test]
    fn a_schema_that_is_open_or_says_nothing_has_holes() {
        let schema = serde_json::json!({
            "additionalProperties": false,
            "properties": {
                "open": {"description": "…", "properties": {}},
                "silent": {"type": "string"},
                "map": {"description": "…", "patternProperties": {"^a": {"properties": {}}}},
                "fine": {"$ref": "#/$defs/fine"},
            },
        });
        let mut holes = Vec::new();
        find_holes(&schema, "", &mut holes);
        holes.sort();
        assert_eq!(
            holes,
            [
                "/map/* takes any key",
                "/open takes any key",
                "/silent is not described"
            ]
        );
    }

    #[test]
    fn comments_are_found_with_their_paths() {
        let values = "# about the file\n\n# -- what a is\na: 1\nb:\n  # not about c\n  c:\n    # -- what d is\n    d: 2\n  # -- what e is\n  e: {}\n";
        let found = comments(values);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("a", "what a is"),
                ("b.c.d", "what d is"),
                ("b.e", "what e is")
            ]
        );
    }
}
