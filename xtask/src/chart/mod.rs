//! The charts, and what the environments make of them.

pub(crate) mod cases;
pub(crate) mod conform;
pub(crate) mod fuzz;
pub(crate) mod helm;
pub(crate) mod lint;
pub(crate) mod objects;
pub(crate) mod rules;
pub(crate) mod schemas;
pub(crate) mod snapshots;
pub(crate) mod suite;
pub(crate) mod tools;
pub(crate) mod written;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::Context;
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use crate::{
    config::{self, Config},
    hint::{WithHint, fail, usage},
    workspace,
};

/// A chart of charts/.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) folder: PathBuf,
}

/// Charts and environments of this checkout.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) config: Config,
    /// Where tools and schemas are.
    pub(crate) tools: PathBuf,
    /// Charts that were taken from their tags, for as long as this lives.
    tagged: TempDir,
    /// Values in place of a record, where there was no release.
    no_record: PathBuf,
}

/// A service in an environment, as Argo CD is told to render it: gitops/argocd/platform.
pub(crate) struct Deployment {
    pub(crate) environment: String,
    pub(crate) service: String,
    pub(crate) chart: Chart,
    /// From what all have to what one has; of two, the later wins. All of them are there.
    pub(crate) values: Vec<PathBuf>,
    /// What automation writes, once there was a release.
    pub(crate) record: Option<PathBuf>,
}

impl Chart {
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Manifest {
            name: String,
            version: String,
        }
        let Manifest { name, version } = read_yaml(&folder.join("Chart.yaml"))?;
        Ok(Self {
            name,
            version,
            folder: folder.to_owned(),
        })
    }

    /// The tag of this version.
    pub(crate) fn tag(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

impl Tree {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let root = config::root()?;
        let tagged = tempfile::tempdir()?;
        let no_record = tagged.path().join("no-record.yaml");
        fs::write(&no_record, snapshots::NO_RECORD)?;
        Ok(Self {
            config: Config::load(&root, &config::Overrides::default())?,
            tools: workspace::target()?.join("tools"),
            root,
            tagged,
            no_record,
        })
    }

    pub(crate) fn gitops(&self) -> PathBuf {
        self.root.join(&self.config.gitops.path)
    }

    /// All charts, by name.
    pub(crate) fn charts(&self) -> anyhow::Result<Vec<Chart>> {
        folders(&self.root.join("charts"), "Chart.yaml")?
            .iter()
            .map(|folder| Chart::load(folder))
            .collect()
    }

    /// The chart with this name.
    pub(crate) fn chart(&self, name: &str) -> anyhow::Result<Chart> {
        let charts = self.charts()?;
        let names: Vec<&str> = charts.iter().map(|chart| chart.name.as_str()).collect();
        match charts.iter().find(|chart| chart.name == name) {
            Some(chart) => Ok(chart.clone()),
            None => usage(
                format!("there is no chart `{name}`"),
                format!("charts/ has {}", names.join(", ")),
            ),
        }
    }

    /// Every service of every environment, in the environments' order.
    pub(crate) fn deployments(&self) -> anyhow::Result<Vec<Deployment>> {
        let mut all = Vec::new();
        for environment in &self.config.environments {
            let folder = self.gitops().join("environments").join(&environment.name);
            for service in folders(&folder, "chart.yaml")? {
                all.push(self.deployment(&environment.name, &service)?);
            }
        }
        Ok(all)
    }

    fn deployment(&self, environment: &str, folder: &Path) -> anyhow::Result<Deployment> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pin {
            chart: String,
            revision: String,
        }
        let Pin { chart, revision } = read_yaml(&folder.join("chart.yaml")).hint(
            "it has two lines: `chart: NAME` and `revision: NAME-VERSION`, the chart's Git tag",
        )?;
        let service = file_name(folder)?;
        let [values @ .., record] =
            value_files(environment, &chart, &service).map(|file| self.gitops().join(file));
        Ok(Deployment {
            environment: environment.to_owned(),
            chart: self.chart_at(&chart, &revision)?,
            values: values.into_iter().filter(|file| file.is_file()).collect(),
            record: record.is_file().then_some(record),
            service,
        })
    }

    /// A chart as it was released; a version that has no tag yet is this checkout's.
    fn chart_at(&self, name: &str, revision: &str) -> anyhow::Result<Chart> {
        let here = self.chart(name)?;
        let folder = self.tagged.path().join(revision);
        if folder.join("charts").join(name).is_dir() {
            return Chart::load(&folder.join("charts").join(name));
        }
        if self.has_tag(revision)? {
            let path = format!("charts/{name}");
            let archive = duct::cmd!("git", "archive", revision, path)
                .dir(&self.root)
                .stdout_capture()
                .run()
                .with_context(|| format!("cannot read {name} at {revision}"))?;
            tar::Archive::new(archive.stdout.as_slice()).unpack(&folder)?;
            return Chart::load(&folder.join("charts").join(name));
        }
        if here.tag() == revision {
            return Ok(here);
        }
        fail(
            format!(
                "there is no tag {revision}, and charts/{name} is {}",
                here.version
            ),
            "git fetch --tags; a chart is released by its tag NAME-VERSION",
        )
    }

    /// The chart as it stands at the tag of its own version, if there is one.
    pub(crate) fn released(&self, chart: &Chart) -> anyhow::Result<Option<Chart>> {
        if !self.has_tag(&chart.tag())? {
            return Ok(None);
        }
        self.chart_at(&chart.name, &chart.tag()).map(Some)
    }

    fn has_tag(&self, tag: &str) -> anyhow::Result<bool> {
        let name = format!("refs/tags/{tag}");
        let found = duct::cmd!("git", "rev-parse", "--quiet", "--verify", name)
            .dir(&self.root)
            .stdout_null()
            .unchecked()
            .run()
            .context("cannot run git")?;
        Ok(found.status.success())
    }

    /// `ENVIRONMENT` or `ENVIRONMENT/SERVICE`.
    pub(crate) fn select(&self, what: &str) -> anyhow::Result<Vec<Deployment>> {
        let (environment, service) = match what.split_once('/') {
            Some((environment, service)) => (environment, Some(service)),
            None => (what, None),
        };
        config::environment(&self.config.environments, environment)?;
        let mut there = self.deployments()?;
        there.retain(|deployment| deployment.environment == environment);
        let names: Vec<String> = there.iter().map(|d| d.service.clone()).collect();
        if let Some(service) = service {
            there.retain(|deployment| deployment.service == service);
            if there.is_empty() {
                return usage(
                    format!("there is no service `{service}` in {environment}"),
                    format!("it has {}", names.join(", ")),
                );
            }
        }
        Ok(there)
    }

    /// A path as it is printed: from the root.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// The files of a service's values in the GitOps tree, from what all have to what one has; of two,
/// the later wins. The last one is its record.
fn value_files(environment: &str, chart: &str, service: &str) -> [String; 5] {
    [
        format!("{chart}.yaml"),
        format!("services/{service}.yaml"),
        format!("environments/{environment}/{chart}.yaml"),
        format!("environments/{environment}/{service}/values.yaml"),
        format!("environments/{environment}/{service}/image.yaml"),
    ]
}

impl Deployment {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.environment, self.service)
    }
}

/// The folders in `folder` that have this file, by name.
fn folders(folder: &Path, file: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join(file).is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name
        .with_context(|| format!("{}: not UTF-8", path.display()))?
        .to_owned())
}

fn read_yaml<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_norway::from_str(&text).with_context(|| path.display().to_string())
}

/// Does the same with each of these, on all processors; the results are in their order.
fn parallel<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((at, item)) = next_of(&next, items) {
            done.push((at, each(item)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no check panics"))
            .collect::<Vec<_>>()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn next_of<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}
