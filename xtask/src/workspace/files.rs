//! The repository's files as they stand in the work tree, and which of them a package is built from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use anyhow::{Context, bail};
use glob::{MatchOptions, Pattern};

use super::sha256;
use crate::hint::{WithHint, fail};

/// Folders of a package that `cargo build` does not read.
const LEFT_OUT: [&str; 3] = ["benches", "examples", "tests"];

/// What Git knows of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Executable,
    Link,
    /// Another repository: a submodule, or one that lies about untracked.
    Repository,
}

struct File {
    kind: Kind,
    /// What stands for its content in a key, once it is needed.
    hash: OnceLock<String>,
}

/// Tracked files and untracked ones that Git does not ignore. Paths are relative to the root.
pub(super) struct Files {
    /// Without symbolic links in it.
    root: PathBuf,
    files: BTreeMap<String, File>,
    dirty: BTreeSet<String>,
    /// The folder of each package -> its files.
    packages: BTreeMap<String, Vec<String>>,
}

impl Files {
    /// Asks Git.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot open {}", root.display()))?;
        let mut files = BTreeMap::new();
        for line in git(&root, &["ls-files", "-z", "--stage"])? {
            let (entry, path) = line
                .split_once('\t')
                .context("git ls-files printed a line without a path")?;
            let kind = match entry.split_once(' ').map(|(mode, _)| mode) {
                Some("100755") => Kind::Executable,
                Some("120000") => Kind::Link,
                Some("160000") => Kind::Repository,
                _ => Kind::Plain,
            };
            files.insert(
                path.to_owned(),
                File {
                    kind,
                    hash: OnceLock::new(),
                },
            );
        }
        let changed = [
            "diff",
            "-z",
            "--name-only",
            "--relative",
            "--no-renames",
            "--no-ext-diff",
            "--ignore-submodules=all",
            "HEAD",
        ];
        let untracked = ["ls-files", "-z", "--others", "--exclude-standard"];
        let mut dirty = BTreeSet::from_iter(git(&root, &changed)?);
        dirty.extend(git(&root, &untracked)?);
        for path in &dirty {
            let Ok(found) = root.join(path).symlink_metadata() else {
                files.remove(path);
                continue;
            };
            let kind = match found.permissions().mode() {
                _ if found.is_symlink() => Kind::Link,
                _ if found.is_dir() => Kind::Repository,
                mode if mode & 0o100 != 0 => Kind::Executable,
                _ => Kind::Plain,
            };
            files.insert(
                path.clone(),
                File {
                    kind,
                    hash: OnceLock::new(),
                },
            );
        }
        let mut packages: BTreeMap<String, Vec<String>> = files
            .keys()
            .filter_map(|path| {
                Some((
                    path.strip_suffix("Cargo.toml")?
                        .trim_end_matches('/')
                        .to_owned(),
                    Vec::new(),
                ))
            })
            .collect();
        for path in files.keys() {
            if let Some(package) = owner(&packages, path)
                && is_read(package, path)
            {
                let package = package.to_owned();
                packages.entry(package).or_default().push(path.clone());
            }
        }
        Ok(Self {
            root,
            files,
            dirty,
            packages,
        })
    }

    /// The root without symbolic links in it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Paths that differ from the commit, and untracked ones.
    pub(super) fn dirty(&self) -> &BTreeSet<String> {
        &self.dirty
    }

    /// Whether Git lists this path.
    pub(super) fn contains(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// The files in a folder, at any depth.
    pub(super) fn under(&self, folder: &str) -> impl Iterator<Item = &str> {
        let start = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        self.files
            .range(start.clone()..)
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.starts_with(&start))
    }

    /// The files that a package in this folder is built from, and what stands for their contents: its own, those that
    /// its `inputs` name, and what symbolic links among them lead to.
    pub(super) fn of(
        &self,
        package: &str,
        inputs: &[String],
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let mut wanted: Vec<&str> = self
            .packages
            .get(package)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if !self.contains(&join(package, "Cargo.toml")) {
            return fail(
                format!("{package} is not in Git"),
                "commit it; where it's reached through a symbolic link, name the folder itself",
            );
        }
        for input in inputs {
            let input = Input::new(package, input)?;
            let before = wanted.len();
            wanted.extend(self.under(input.folder()).filter(|path| input.covers(path)));
            if wanted.len() == before {
                return fail(
                    format!(
                        "{}: `inputs` names {:?}, which is no file in Git",
                        join(package, "Cargo.toml"),
                        input.written
                    ),
                    "paths are relative to the package's folder; *, ?, [..] and ** stand for others",
                );
            }
        }
        let mut found = BTreeMap::new();
        while let Some(path) = wanted.pop() {
            if found.contains_key(path) {
                continue;
            }
            found.insert(path.to_owned(), self.hash(path)?.to_owned());
            if self.files[path].kind == Kind::Link
                && let Some(target) = self
                    .root
                    .join(path)
                    .canonicalize()
                    .ok()
                    .and_then(|target| self.relative(&target))
            {
                let file = self
                    .files
                    .get_key_value(&target)
                    .map(|(path, _)| path.as_str());
                wanted.extend(file.into_iter().chain(self.under(&target)));
            }
        }
        Ok(found)
    }

    /// The package that is built from this file, or would be if there were one, without anybody having told.
    pub(super) fn package_of(&self, path: &str) -> Option<&str> {
        owner(&self.packages, path).filter(|package| is_read(package, path))
    }

    /// A path below the root as Git writes it.
    pub(super) fn relative(&self, path: &Path) -> Option<String> {
        path.strip_prefix(&self.root)
            .ok()?
            .to_str()
            .map(str::to_owned)
    }

    fn hash(&self, path: &str) -> anyhow::Result<&str> {
        let file = &self.files[path];
        if let Some(hash) = file.hash.get() {
            return Ok(hash);
        }
        let full = self.root.join(path);
        let context = || format!("cannot read {path}");
        let hash = match file.kind {
            Kind::Plain => sha256(&fs::read(full).with_context(context)?),
            Kind::Executable => sha256(&fs::read(full).with_context(context)?) + " executable",
            Kind::Link => {
                sha256(
                    fs::read_link(full)
                        .with_context(context)?
                        .as_os_str()
                        .as_bytes(),
                ) + " link"
            }
            Kind::Repository => {
                return fail(
                    format!(
                        "{path} is a repository of its own, whose files this one does not hold"
                    ),
                    "make it a git dependency in Cargo.toml, or commit the files themselves",
                );
            }
        };
        Ok(file.hash.get_or_init(|| hash))
    }
}

/// Whether one of the inputs that a package declares covers this path.
pub(super) fn is_declared(package: &str, inputs: &[String], path: &str) -> bool {
    inputs
        .iter()
        .any(|input| Input::new(package, input).is_ok_and(|input| input.covers(path)))
}

/// A declared input: a file, a folder, or a pattern.
struct Input<'a> {
    written: &'a str,
    pattern: Pattern,
}

impl<'a> Input<'a> {
    fn new(package: &str, written: &'a str) -> anyhow::Result<Self> {
        let mut parts: Vec<&str> = package.split('/').filter(|part| !part.is_empty()).collect();
        // The package's folder is a name, not a pattern.
        let escaped: Vec<String> = parts.iter().map(|part| Pattern::escape(part)).collect();
        parts = escaped.iter().map(String::as_str).collect();
        for part in Path::new(written).components() {
            match part {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::CurDir => {}
                Component::ParentDir if parts.pop().is_some() => {}
                _ => {
                    return fail(
                        format!(
                            "{}: `inputs` names {written:?}, which leaves the repository",
                            join(package, "Cargo.toml")
                        ),
                        "a key can only count files of the repository",
                    );
                }
            }
        }
        let pattern = Pattern::new(&parts.join("/"))
            .with_context(|| {
                format!(
                    "{}: `inputs` names {written:?}",
                    join(package, "Cargo.toml")
                )
            })
            .hint("*, ?, [..] and ** stand for others; a bracket that is meant is written [[]")?;
        Ok(Self { written, pattern })
    }

    /// The folder that all it can match are in.
    fn folder(&self) -> &str {
        let pattern = self.pattern.as_str();
        let literal = pattern
            .find(['*', '?', '['])
            .map_or(pattern, |meta| &pattern[..meta]);
        literal.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    fn covers(&self, path: &str) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        Path::new(path)
            .ancestors()
            .any(|part| self.pattern.matches_path_with(part, options))
    }
}

/// A path in a folder; the root's is empty.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The package that a path belongs to: the nearest one above it.
fn owner<'a>(packages: &'a BTreeMap<String, Vec<String>>, path: &str) -> Option<&'a str> {
    let folders = Path::new(path).ancestors().skip(1).filter_map(Path::to_str);
    folders
        .filter_map(|folder| packages.get_key_value(folder))
        .map(|(folder, _)| folder.as_str())
        .next()
}

/// Whether `cargo build` can read this file of the package without anybody having told: what its manifest says counts
/// as Cargo resolves it, not as a file.
fn is_read(package: &str, path: &str) -> bool {
    let inner = path
        .strip_prefix(package)
        .unwrap_or(path)
        .trim_start_matches('/');
    let folder = inner.split_once('/').map(|(first, _)| first);
    let markdown = Path::new(inner)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("md"));
    !(markdown
        || inner == "Cargo.toml"
        || inner == "Cargo.lock"
        || folder.is_some_and(|folder| LEFT_OUT.contains(&folder)))
}

/// What git prints, split at its NULs.
fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let ran = duct::cmd("git", arguments)
        .dir(root)
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .context("cannot run git")
        .hint("install git 2.34 or newer")?;
    if !ran.status.success() {
        bail!(
            "git {} in {}: {}",
            arguments[0],
            root.display(),
            String::from_utf8_lossy(&ran.stderr).trim()
        );
    }
    // A name that is not UTF-8 gets a replacement character and so is found by nobody; reading it says so.
    let text = String::from_utf8_lossy(&ran.stdout);
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}
