//! Everything about the charts that needs no cluster and no network.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use serde::Serialize;

use super::{
    Deployment, Tree, cases, conform, fuzz,
    lint::{self, Check},
    snapshots, tools,
};

/// What is tested, and how.
#[derive(clap::Args, Default)]
pub(crate) struct Suite {
    /// Runs only the cases whose names have this, and nothing else.
    filter: Option<String>,
    /// Writes the snapshots in gitops/rendered and the charts' READMEs anew.
    #[arg(long)]
    bless: bool,
    /// Where the random names and texts start [default: somewhere].
    #[arg(long)]
    seed: Option<u64>,
}

/// Looks at the charts and at what the environments make of them.
pub(crate) fn lint(tree: &Tree) -> anyhow::Result<Results> {
    let helm = tools::helm(&tree.tools)?;
    let mut results = Results::default();
    results.add(looks(tree, &[helm])?);
    Ok(results)
}

impl Suite {
    /// Runs everything that can be run here.
    pub(crate) fn run(&self, tree: &Tree) -> anyhow::Result<Results> {
        let mut results = Results::default();
        let mut helms = Vec::new();
        for tool in [tools::HELM_4, tools::HELM_3] {
            match tool.find(&tree.tools) {
                Some(program) => helms.push(program),
                None => results.skip("everything with it", &tool.title()),
            }
        }
        if helms.is_empty() {
            tools::helm(&tree.tools)?;
        }
        let filter = self.filter.as_deref().unwrap_or_default();
        let mut manifests = cases_of(tree, &helms, filter, &mut results)?;
        if self.filter.is_some() {
            return Ok(results);
        }
        results.add(looks(tree, &helms)?);
        self.readmes(tree, &mut results)?;
        manifests.extend(self.random(tree, &helms, &mut results)?);
        let deployments = tree.deployments()?;
        let rendered = self.snapshots(tree, &deployments, &helms, &mut results)?;
        results.add(lint::projects(tree, &rendered)?);
        manifests.extend(
            rendered
                .into_iter()
                .map(|(deployment, text)| (deployment.name(), text)),
        );
        manifests.extend(lint::argocd(tree)?);
        conforms(tree, &manifests, &mut results)?;
        Ok(results)
    }

    /// Every chart's README is what helm-docs makes of its values.yaml.
    fn readmes(&self, tree: &Tree, results: &mut Results) -> anyhow::Result<()> {
        let Some(helm_docs) = tools::HELM_DOCS.find(&tree.tools) else {
            results.skip("the READMEs", &tools::HELM_DOCS.title());
            return Ok(());
        };
        for chart in tree.charts()? {
            if !chart.folder.join("README.md.gotmpl").is_file() {
                continue;
            }
            let made = duct::cmd!(
                &helm_docs,
                "--dry-run",
                "--log-level",
                "error",
                "--chart-search-root",
                &chart.folder
            )
            .stdout_capture()
            .run()
            .context("cannot run helm-docs")?;
            let file = chart.folder.join("README.md");
            if self.bless {
                fs::write(&file, &made.stdout)?;
            }
            let same = fs::read(&file).is_ok_and(|text| text == made.stdout);
            let wrong =
                "it is not what helm-docs makes of values.yaml: cargo xtask chart test --bless";
            results.add(vec![(
                format!("{}: README", chart.name),
                same.then_some(()).ok_or(wrong.to_owned()),
            )]);
        }
        Ok(())
    }

    /// Random names and texts, some hundred microservices at once.
    fn random(
        &self,
        tree: &Tree,
        helms: &[PathBuf],
        results: &mut Results,
    ) -> anyhow::Result<Vec<(String, String)>> {
        const BATCHES: u64 = 5;
        const SERVICES: usize = 60;
        let chart = tree.chart("microservice")?;
        let first = self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let mut manifests = Vec::new();
        for seed in first..first + BATCHES {
            for helm in helms {
                let name =
                    format!("microservice: {SERVICES} random names and texts, --seed {seed}");
                let ran = fuzz::run(&chart, helm, seed, SERVICES)?;
                results.add(vec![(
                    name.clone(),
                    ran.as_ref().map(drop).map_err(Clone::clone),
                )]);
                manifests.extend(ran.ok().map(|text| (name, text)));
            }
        }
        Ok(manifests)
    }

    /// What the environments make of the services is what is committed.
    fn snapshots<'a>(
        &self,
        tree: &Tree,
        deployments: &'a [Deployment],
        helms: &[PathBuf],
        results: &mut Results,
    ) -> anyhow::Result<Vec<(&'a Deployment, String)>> {
        let mut rendered = Vec::new();
        for deployment in deployments {
            let file = snapshots::path(tree, deployment);
            for helm in helms {
                let checked = match snapshots::render(tree, helm, deployment, false)? {
                    Err(said) => Err(said),
                    Ok(text) => {
                        let checked = self.snapshot(&file, &text)?;
                        rendered.push((deployment, text));
                        checked
                    }
                };
                results.add(vec![(tree.relative(&file), checked)]);
            }
        }
        for file in snapshots::orphans(tree, deployments)? {
            let name = tree.relative(&file);
            let wrong =
                Err("no environment has this service: cargo xtask chart test --bless".to_owned());
            if self.bless {
                fs::remove_file(file)?;
            } else {
                results.add(vec![(name, wrong)]);
            }
        }
        Ok(rendered)
    }

    fn snapshot(&self, file: &Path, text: &str) -> anyhow::Result<Result<(), String>> {
        if self.bless {
            fs::create_dir_all(file.parent().context("a file stands in a folder")?)?;
            fs::write(file, text)?;
        }
        let committed = fs::read_to_string(file).unwrap_or_default();
        Ok(if committed == text {
            Ok(())
        } else {
            Err(format!(
                "{}; if that is meant: cargo xtask chart test --bless",
                snapshots::difference(&committed, text)
            ))
        })
    }
}

/// What can be told by looking.
fn looks(tree: &Tree, helms: &[PathBuf]) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for chart in tree.charts()? {
        checks.extend(lint::chart(tree, &chart, helms)?);
    }
    let deployments = tree.deployments()?;
    checks.extend(lint::environments(tree, &deployments, &helms[0])?);
    Ok(checks)
}

/// The tables of cases.
fn cases_of(
    tree: &Tree,
    helms: &[PathBuf],
    filter: &str,
    results: &mut Results,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut manifests = Vec::new();
    for chart in tree.charts()? {
        for ran in cases::run(tree, &chart, helms, filter)? {
            results.add(vec![(
                ran.name.clone(),
                ran.result.as_ref().map(drop).map_err(Clone::clone),
            )]);
            manifests.extend(ran.result.ok().map(|text| (ran.name, text)));
        }
    }
    Ok(manifests)
}

fn conforms(
    tree: &Tree,
    manifests: &[(String, String)],
    results: &mut Results,
) -> anyhow::Result<()> {
    let kubeconform = tools::KUBECONFORM.find(&tree.tools);
    for version in tools::KUBERNETES {
        let name = format!(
            "{} manifests in Kubernetes {version}, strictly",
            manifests.len()
        );
        match &kubeconform {
            Some(program) if tools::schemas_of(&tree.tools, version).is_dir() => {
                let checked = conform::check(program, &tree.tools, version, manifests)?;
                results.add(vec![(name, checked)]);
            }
            _ => results.skip(&name, "kubeconform with its schemas"),
        }
    }
    Ok(())
}

/// How much of a reason is shown.
const LINES: usize = 20;

/// What was checked.
#[derive(Default, Serialize)]
pub(crate) struct Results {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<Failed>,
    /// What a program was missing for.
    pub(crate) skipped: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Failed {
    name: String,
    why: String,
}

impl Results {
    fn add(&mut self, checks: Vec<Check>) {
        let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        for (name, result) in checks {
            match result {
                Ok(()) => {
                    anstream::eprintln!("{green}ok{green:#}      {name}");
                    self.passed += 1;
                }
                Err(why) => {
                    anstream::eprintln!("{red}FAILED{red:#}  {name}");
                    self.failed.push(Failed { name, why });
                }
            }
        }
    }

    fn skip(&mut self, what: &str, missing: &str) {
        let skipped = format!("{what}: there is no {missing}; hint: cargo xtask chart tools");
        anstream::eprintln!("skipped {skipped}");
        self.skipped.push(skipped);
    }

    /// What failed and why, what was skipped, and how many there were of each.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for Failed { name, why } in &self.failed {
            let lines: Vec<&str> = why.trim().lines().collect();
            let _ = writeln!(
                text,
                "{name}\n  {}",
                lines[..lines.len().min(LINES)].join("\n  ")
            );
            if let Some(more @ 1..) = lines.len().checked_sub(LINES) {
                let _ = writeln!(text, "  … and {more} more lines");
            }
            text.push('\n');
        }
        for name in &self.skipped {
            let _ = writeln!(text, "not run: {name}");
        }
        let (failed, skipped) = (self.failed.len(), self.skipped.len());
        let _ = writeln!(
            text,
            "{} passed, {failed} failed, {skipped} skipped",
            self.passed
        );
        text
    }
}
