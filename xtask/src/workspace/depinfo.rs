//! Checks a build against the key it was made for: what the compiler and the build scripts say they read has to be
//! what the key counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use glob::Pattern;
use serde::Deserialize;

use super::{
    ContentKey, Workspace,
    cargo::{cargo_home, is_passed},
    files::join,
    manifest::KeyManifest,
};
use crate::hint::fail;

/// What Cargo prints for each step of a build, see <https://doc.rust-lang.org/cargo/reference/external-tools.html>.
#[derive(Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
enum Message {
    CompilerArtifact {
        package_id: String,
        target: Target,
        features: BTreeSet<String>,
        filenames: Vec<PathBuf>,
    },
    BuildScriptExecuted {
        package_id: String,
        out_dir: PathBuf,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// What a package's build read.
#[derive(Default)]
struct Reads {
    /// In the repository: files and folders from the root, and each symbolic link on the way to them.
    files: BTreeSet<String>,
    /// Elsewhere, or not there.
    foreign: BTreeSet<PathBuf>,
    /// Of the environment, where it differs from machine to machine.
    variables: BTreeSet<String>,
}

impl Workspace {
    /// Fails unless the key counts all that this build read. `messages` is what `cargo build --locked -p <service>
    /// --release --target <triple> --message-format=json-render-diagnostics` printed, run in the root with
    /// [`build_environment`](super::build_environment).
    pub(crate) fn check_reads(&self, key: &ContentKey, messages: &str) -> anyhow::Result<()> {
        let messages = messages
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(serde_json::from_str);
        let messages: Vec<Message> = messages
            .collect::<Result<_, _>>()
            .context("cannot read what cargo build printed")?;
        let mut checked = vec![
            self.packages.target_folder().to_owned(),
            cargo_home().join("registry"),
            cargo_home().join("git"),
        ];
        checked.extend(messages.iter().filter_map(|message| match message {
            Message::BuildScriptExecuted { out_dir, .. } => Some(out_dir.clone()),
            _ => None,
        }));
        let manifest = &key.manifest;
        let check = Check {
            workspace: self,
            manifest,
            counted: manifest
                .packages
                .values()
                .flat_map(|package| package.files.keys())
                .map(String::as_str)
                .collect(),
            checked: checked
                .iter()
                .filter_map(|folder| folder.canonicalize().ok())
                .collect(),
        };

        let mut uncounted: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for message in &messages {
            let (id, reads) = match message {
                Message::CompilerArtifact {
                    package_id,
                    target,
                    features,
                    filenames,
                } => {
                    check.features(package_id, features)?;
                    (
                        package_id,
                        check.compiler_reads(package_id, target, filenames)?,
                    )
                }
                Message::BuildScriptExecuted {
                    package_id,
                    out_dir,
                } => (package_id, check.script_reads(package_id, out_dir)?),
                Message::Other => continue,
            };
            let (name, folder) = self.packages.name_and_folder(id)?;
            if let Some(path) = reads.foreign.first() {
                return fail(
                    format!(
                        "the build of {name} reads {}, which no key can count",
                        path.display()
                    ),
                    "copy it into the repository; where a build script only watches it, drop that line",
                );
            }
            if let Some(variable) = reads.variables.first() {
                return fail(
                    format!(
                        "the build of {name} reads {variable}, which differs from machine to machine"
                    ),
                    "give it a variable of its own in [env] of .cargo/config.toml, which keys count",
                );
            }
            let unseen = reads.files.into_iter().filter(|path| !check.counts(path));
            uncounted
                .entry(folder.unwrap_or(&manifest.service))
                .or_default()
                .extend(unseen);
        }
        uncounted.retain(|_, paths| !paths.is_empty());
        if uncounted.is_empty() {
            Ok(())
        } else {
            self.explain(&uncounted)
        }
    }

    fn explain(&self, uncounted: &BTreeMap<&str, BTreeSet<String>>) -> anyhow::Result<()> {
        let listed =
            |path: &str| self.files.contains(path) || self.files.under(path).next().is_some();
        if let Some(path) = uncounted.values().flatten().find(|path| !listed(path)) {
            return fail(
                format!("the build reads {path}, which is not in Git"),
                "commit it; if it is ignored, take it out of .gitignore",
            );
        }
        let paths: Vec<&str> = uncounted.values().flatten().map(String::as_str).collect();
        let mut hint = String::from("declare it:");
        for (folder, paths) in uncounted {
            let mut inputs = self.packages.inputs(folder).to_vec();
            inputs.extend(paths.iter().map(|path| from(folder, path)));
            hint += &format!(
                "\n\n# {}\n[package.metadata.slipway]\ninputs = {inputs:?}",
                join(folder, "Cargo.toml")
            );
        }
        fail(
            format!(
                "the build reads what the content key does not count: {}",
                paths.join(", ")
            ),
            hint,
        )
    }
}

struct Check<'a> {
    workspace: &'a Workspace,
    manifest: &'a KeyManifest,
    /// The files that the key counts.
    counted: BTreeSet<&'a str>,
    /// Folders whose files a checksum counts, and those of generated files, whose sources are checked themselves.
    checked: Vec<PathBuf>,
}

impl Check<'_> {
    /// A file, or a folder with all that is in it.
    fn counts(&self, path: &str) -> bool {
        let mut inside = self.workspace.files.under(path).peekable();
        if inside.peek().is_none() {
            return self.counted.contains(path);
        }
        inside.all(|file| self.counted.contains(file))
    }

    /// The closure that the key was computed from has to be what Cargo builds.
    fn features(&self, id: &str, features: &BTreeSet<String>) -> anyhow::Result<()> {
        let manifest_id = self.workspace.packages.manifest_id(id).unwrap_or(id);
        let counted = self
            .manifest
            .packages
            .get(manifest_id)
            .map(|package| &package.built);
        if counted.is_some_and(|built| built.values().any(|built| built == features)) {
            return Ok(());
        }
        bail!(
            "Cargo built {id} with the features {features:?}, the key counts {counted:?}: this is a mistake in xtask"
        )
    }

    /// From the compiler's dep-info: a line for Make for each file, and a comment for each variable.
    fn compiler_reads(
        &self,
        id: &str,
        target: &Target,
        filenames: &[PathBuf],
    ) -> anyhow::Result<Reads> {
        let mut reads = Reads::default();
        let (_, Some(own)) = self.workspace.packages.name_and_folder(id)? else {
            // Its checksum counts what it reads.
            return Ok(reads);
        };
        for path in dep_infos(target, filenames)? {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.lines() {
                if let Some(variable) = line.strip_prefix("# env-dep:") {
                    let name = variable.split('=').next().unwrap_or_default();
                    if is_passed(name) || name == "CARGO_PKG_README" {
                        reads.variables.insert(name.to_owned());
                    }
                } else if let Some(file) = line.strip_suffix(':') {
                    self.add(
                        &mut reads,
                        own,
                        &self.workspace.files.root().join(file.replace("\\ ", " ")),
                    );
                }
            }
        }
        Ok(reads)
    }

    /// From what a build script printed.
    fn script_reads(&self, id: &str, out_dir: &Path) -> anyhow::Result<Reads> {
        let output = out_dir.with_file_name("output");
        let text =
            fs::read(&output).with_context(|| format!("cannot read {}", output.display()))?;
        let text = String::from_utf8_lossy(&text);
        let said = |name: &str| -> Vec<&str> {
            let lines = text
                .lines()
                .filter_map(|line| line.strip_prefix("cargo::").or(line.strip_prefix("cargo:")));
            lines.filter_map(|line| line.strip_prefix(name)).collect()
        };
        let (paths, variables) = (said("rerun-if-changed="), said("rerun-if-env-changed="));
        let folder = self
            .workspace
            .packages
            .manifest_folder(id)?
            .canonicalize()?;
        let own = self.workspace.packages.name_and_folder(id)?.1;
        let mut reads = Reads::default();
        for path in paths.iter().map(|path| folder.join(path)) {
            self.add(&mut reads, own.unwrap_or_default(), &path);
        }
        let Some(own) = own else {
            reads
                .files
                .retain(|path| !self.workspace.files.root().join(path).starts_with(&folder));
            reads.foreign.retain(|path| !path.starts_with(&folder));
            return Ok(reads);
        };
        if paths.is_empty() && variables.is_empty() {
            return fail(
                format!("the build script of {own} does not say what it reads"),
                "have it print cargo::rerun-if-changed=PATH for each file or folder, or with build.rs where there is none",
            );
        }
        reads.variables.extend(
            variables
                .into_iter()
                .filter(|name| is_passed(name))
                .map(str::to_owned),
        );
        Ok(reads)
    }

    /// Adds a path, with each symbolic link on the way to it. One of the package's own that isn't there is none: the key
    /// changes when it comes.
    fn add(&self, reads: &mut Reads, own: &str, path: &Path) {
        let files = &self.workspace.files;
        let mut here = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => _ = here.pop(),
                part => here.push(part),
            }
            if here.is_symlink() {
                reads.files.extend(files.relative(&here));
                here = here.canonicalize().unwrap_or(here);
            }
        }
        if self.checked.iter().any(|folder| here.starts_with(folder)) {
            return;
        }
        match files.relative(&here) {
            Some(file) if here.exists() => _ = reads.files.insert(file),
            Some(file) if files.package_of(&file) == Some(own) => {}
            _ => _ = reads.foreign.insert(here),
        }
    }
}

/// Where the compiler wrote down what it read for these files.
fn dep_infos(target: &Target, filenames: &[PathBuf]) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for file in filenames {
        let name = file
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if file
            .extension()
            .is_some_and(|end| end == "rlib" || end == "rmeta" || end == "so")
        {
            found.insert(
                file.with_file_name(name.trim_start_matches("lib"))
                    .with_extension("d"),
            );
            continue;
        }
        // Programs are linked or copied to where they are from a name with a hash.
        let script = target.kind.iter().any(|kind| kind == "custom-build");
        let folder = if script {
            file.with_file_name("")
        } else {
            file.with_file_name("deps")
        };
        let start = format!(
            "{}-",
            if script {
                "build_script_build".to_owned()
            } else {
                target.name.replace('-', "_")
            }
        );
        for entry in
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            let ours = path.extension().is_none()
                && path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&start));
            if ours && (script || is_same(&path, file)?) {
                found.insert(path.with_extension("d"));
            }
        }
    }
    Ok(found)
}

fn is_same(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let same = fs::metadata(one)?.len() == fs::metadata(other)?.len()
        && fs::read(one)? == fs::read(other)?;
    Ok(same)
}

/// A path of the repository as it is written in the manifest in `folder`.
fn from(folder: &str, path: &str) -> String {
    let (folder, path): (Vec<&str>, Vec<&str>) = (
        folder.split('/').filter(|part| !part.is_empty()).collect(),
        path.split('/').collect(),
    );
    let common = folder.iter().zip(&path).take_while(|(a, b)| a == b).count();
    let up = folder[common..].iter().map(|_| "..".to_owned());
    up.chain(path[common..].iter().map(|part| Pattern::escape(part)))
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
#[path = "../../tests/affected/repo.rs"]
#[allow(dead_code, reason = "the tests of the commands use the rest")]
mod repo;

#[cfg(test)]
mod tests;
