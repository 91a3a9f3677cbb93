//! What the branch said at one commit.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;

use super::{policy::Policy, record::Record, yaml::Yaml};
use crate::git::{Object, Store};
use crate::hint::fail;

/// The records and policies at one commit of the branch.
pub(crate) struct Snapshot {
    pub(crate) commit: String,
    /// `gitops/environments/`.
    base: String,
    files: BTreeMap<String, File>,
}

/// A file's mode and content.
struct File {
    mode: String,
    /// None where it was not asked for.
    content: Option<Vec<u8>>,
}

impl Snapshot {
    /// Lists all records and reads the wanted ones with two runs of git, however many there are. A
    /// policy belongs to its environment, whatever the service.
    pub(super) fn read(
        store: &Store,
        reference: &str,
        folder: &str,
        wanted: &dyn Fn(&str, &str) -> bool,
    ) -> anyhow::Result<Self> {
        let folder = folder.trim_matches('/');
        let base = if matches!(folder, "" | ".") {
            "environments/".to_owned()
        } else {
            format!("{folder}/environments/")
        };
        let listed = store
            .run(&["ls-tree", "-r", "-z", "--full-tree", reference, "--", &base])?
            .output("cannot list the records")?;
        let listed = String::from_utf8(listed)
            .context("a file below environments/ has a name that is not UTF-8")?;
        let mut files = BTreeMap::new();
        // The commit itself comes first: its header has its id.
        let mut ids = format!("{reference}\n");
        let mut read = Vec::new();
        for line in listed.split_terminator('\0') {
            let (about, path) = line
                .split_once('\t')
                .context("git ls-tree printed no path")?;
            let (mode, id) = (about.split(' ').next(), about.split(' ').nth(2));
            let (Some(mode), Some(id)) = (mode, id) else {
                anyhow::bail!("git ls-tree printed no object");
            };
            let parts: Vec<&str> = path[base.len()..].split('/').collect();
            let is_wanted = match parts[..] {
                [environment, service, "image.yaml"] => wanted(environment, service),
                [environment, "policy.yaml"] => wanted(environment, ""),
                _ => continue,
            };
            if is_wanted {
                ids.push_str(&format!("{id}\n"));
                read.push(path.to_owned());
            }
            let mode = mode.to_owned();
            files.insert(
                path.to_owned(),
                File {
                    mode,
                    content: None,
                },
            );
        }
        let printed = store
            .run_with(&["cat-file", "--batch"], ids.into_bytes())?
            .output("cannot read the records")?;
        let commit = Object::first(&printed).context("git cat-file printed nothing")?;
        let mut rest = commit.rest;
        for path in read {
            let object =
                Object::first(rest).with_context(|| format!("git cat-file printed no {path}"))?;
            rest = object.rest;
            files
                .entry(path)
                .and_modify(|file| file.content = Some(object.content.to_vec()));
        }
        Ok(Self {
            commit: commit.id.to_owned(),
            base,
            files,
        })
    }

    /// Where a service's record stands.
    pub(super) fn path(&self, environment: &str, service: &str) -> String {
        format!("{}{environment}/{service}/image.yaml", self.base)
    }

    /// The mode of a file, a new one's where there is none.
    pub(super) fn mode(&self, path: &str) -> &str {
        self.files.get(path).map_or("100644", |file| &file.mode)
    }

    /// A file's text.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<Option<&str>> {
        let Some(file) = self.files.get(path) else {
            return Ok(None);
        };
        if !file.mode.starts_with("100") {
            return fail(
                format!("{path}: not a plain file"),
                "put the file itself there, not a link",
            );
        }
        let content = file
            .content
            .as_ref()
            .with_context(|| format!("{path} was not read"))?;
        match std::str::from_utf8(content) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let line = content[..error.valid_up_to()]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count()
                    + 1;
                fail(
                    format!("{path}:{line}: not UTF-8"),
                    "save the file as UTF-8",
                )
            }
        }
    }

    /// What an environment's record says about a service.
    pub(crate) fn record(
        &self,
        environment: &str,
        service: &str,
    ) -> anyhow::Result<Option<Record>> {
        let path = self.path(environment, service);
        match self.text(&path)? {
            Some(text) => Record::read(&Yaml::parse(&path, text)?),
            None => Ok(None),
        }
    }

    /// The services that have a record in an environment.
    pub(crate) fn services(&self, environment: &str) -> BTreeSet<String> {
        let folder = format!("{}{environment}/", self.base);
        let names = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder)?.strip_suffix("/image.yaml"));
        names.map(str::to_owned).collect()
    }

    /// An environment's policy, where it has one.
    pub(super) fn policy(&self, environment: &str) -> anyhow::Result<Option<Policy>> {
        let path = format!("{}{environment}/policy.yaml", self.base);
        match self.text(&path)? {
            Some(text) => Policy::read(&Yaml::parse(&path, text)?).map(Some),
            None => Ok(None),
        }
    }
}
