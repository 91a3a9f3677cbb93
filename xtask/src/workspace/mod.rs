//! The Cargo workspace: how it is built, which services it has, and the content key of each.

mod cargo;
mod cargo_config;
mod depinfo;
mod files;
mod manifest;
mod packages;
mod toolchain;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context;
use guppy::platform::{Platform, TargetFeatures};
use sha2::{Digest, Sha256};

pub(crate) use self::{
    cargo::{Profile, build, build_environment, cargo, cargo_home, cargo_with, root, target},
    manifest::{Change, KeyManifest, Package},
};
use self::{cargo_config::Settings, files::Files, packages::Packages};
use crate::{
    config::{Config, Overrides},
    hint::{WithHint, fail, usage},
    image,
};

/// Files of the root that every key looks at, so that a change in them makes each key dirty.
const SHARED: [&str; 6] = [
    ".cargo/config",
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
];

/// A package that becomes an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// The package's name.
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) folder: String,
}

/// What an image is made from, as a hash.
pub(crate) struct ContentKey {
    /// 64 hexadecimal digits, and `-dirty` where the work tree is not what the commit says.
    pub(crate) key: String,
    /// Files that are not as committed and that the key looks at, from the root.
    pub(crate) dirty: Vec<PathBuf>,
    /// What the key is a hash of.
    pub(crate) manifest: KeyManifest,
}

/// The workspace as it stands in the work tree.
pub(crate) struct Workspace {
    target: String,
    packages: Packages,
    files: Files,
    settings: Settings,
    toolchain: BTreeMap<String, String>,
    recipe: &'static str,
    source: Option<String>,
    services: Vec<Service>,
}

impl Workspace {
    /// Asks Cargo, Git and the compiler. `target` is the triple that images are built for.
    pub(crate) fn load(root: &Path, target: &str) -> anyhow::Result<Self> {
        let platform = Platform::new(target.to_owned(), TargetFeatures::Unknown)
            .with_context(|| format!("{target:?} is no target"))
            .hint("`rustc --print target-list` lists them")?;
        let settings = cargo_config::load(root, platform)?;
        let source = Config::load(root, &Overrides::default())?.source.url;
        let (packages, files, toolchain, recipe) = thread::scope(|scope| {
            let files = scope.spawn(|| Files::read(root));
            let toolchain = scope.spawn(|| toolchain::load(root, target));
            let recipe = scope.spawn(image::recipe);
            let packages = packages::metadata(root, target).and_then(|metadata| {
                let lock = fs::read_to_string(root.join("Cargo.lock"))
                    .context("cannot read Cargo.lock")?;
                Packages::new(&metadata, &lock, settings.platform.clone())
            });
            (
                packages,
                files.join().expect("reading files does not panic"),
                toolchain
                    .join()
                    .expect("asking for a version does not panic"),
                recipe.join().expect("packing the base does not panic"),
            )
        });
        let packages = packages?;
        let services = packages
            .members()
            .filter(|(_, folder)| folder.starts_with("services/"))
            .map(|(name, folder)| Service {
                name: name.to_owned(),
                folder: folder.to_owned(),
            });
        let mut services: Vec<Service> = services.collect();
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            target: target.to_owned(),
            packages,
            files: files?,
            settings,
            toolchain: toolchain?,
            recipe,
            source,
            services,
        })
    }

    /// The packages under services/, by name.
    pub(crate) fn services(&self) -> &[Service] {
        &self.services
    }

    /// The repository's root, without symbolic links in it.
    pub(crate) fn root(&self) -> &Path {
        self.files.root()
    }

    /// Cargo's target folder.
    pub(crate) fn target_folder(&self) -> &Path {
        self.packages.target_folder()
    }

    /// The licences that packages name, by what a key's manifest calls them.
    pub(crate) fn licenses(&self) -> BTreeMap<&str, &str> {
        self.packages.licenses().collect()
    }

    /// The service with this name.
    pub(crate) fn service(&self, name: &str) -> anyhow::Result<&Service> {
        match self.services().iter().find(|service| service.name == name) {
            Some(service) => Ok(service),
            None => {
                let known: Vec<&str> = self
                    .services()
                    .iter()
                    .map(|service| service.name.as_str())
                    .collect();
                usage(
                    format!("there is no service `{name}`"),
                    format!("services/ has {}", known.join(", ")),
                )
            }
        }
    }

    /// The service's content key.
    pub(crate) fn key(&self, service: &Service) -> anyhow::Result<ContentKey> {
        let mut packages = self.packages.closure(&service.folder)?;
        for (folder, package) in packages
            .iter_mut()
            .filter(|(_, package)| package.source.is_none())
        {
            package.files = self.files.of(folder, self.packages.inputs(folder))?;
        }
        let names = || packages.values().map(|package| package.name.as_str());
        let profile = self
            .settings
            .profile
            .iter()
            .filter(|(key, _)| cargo_config::applies(key, names()));
        let manifest = KeyManifest {
            service: service.folder.clone(),
            target: self.target.clone(),
            recipe: self.recipe.to_owned(),
            source: self.source.clone(),
            toolchain: self.toolchain.clone(),
            profile: profile
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            config: self.settings.config.clone(),
            packages,
        };
        let dirty = self
            .files
            .dirty()
            .iter()
            .filter(|path| self.looks_at(&manifest, path));
        let dirty: Vec<PathBuf> = dirty.map(PathBuf::from).collect();
        let json = manifest.json();
        let mut key = sha256(json.as_bytes());
        self.keep(&key, &json)?;
        if !dirty.is_empty() {
            key.push_str("-dirty");
        }
        Ok(ContentKey {
            key,
            dirty,
            manifest,
        })
    }

    /// The folders of the service's packages and the files beside them that they are built from, from the root: where a
    /// commit that changes the service changes something, unless it only moves a dependency, the toolchain or Cargo's
    /// settings.
    pub(crate) fn closure_paths(&self, key: &ContentKey) -> Vec<PathBuf> {
        let own = || {
            key.manifest
                .packages
                .iter()
                .filter(|(_, package)| package.source.is_none())
        };
        let beside = own().flat_map(|(folder, package)| {
            package
                .files
                .keys()
                .filter(move |path| !Path::new(path).starts_with(folder))
        });
        own()
            .map(|(folder, _)| folder)
            .chain(beside)
            .map(PathBuf::from)
            .collect()
    }

    /// Computes the key of each service and gives it to `then`, on all processors; what that returns comes in the order
    /// of the services. A key's manifest can be large, so that nobody should collect them all.
    pub(crate) fn each_key<T: Send>(
        &self,
        then: impl Fn(&Service, ContentKey) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let share = self.services.len().div_ceil(threads).max(1);
        let one = &|service| then(service, self.key(service)?);
        let parts: Vec<anyhow::Result<Vec<T>>> = thread::scope(|scope| {
            let parts = self.services.chunks(share);
            let running: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter().map(one).collect()))
                .collect();
            let results = running.into_iter().map(thread::ScopedJoinHandle::join);
            results
                .map(|result| result.expect("computing a key does not panic"))
                .collect()
        });
        let parts: Vec<Vec<T>> = parts.into_iter().collect::<anyhow::Result<_>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// The manifest behind a key that was computed in this checkout earlier.
    pub(crate) fn kept(&self, key: &str) -> Option<KeyManifest> {
        serde_json::from_slice(&fs::read(self.kept_path(key)).ok()?).ok()
    }

    /// Written aside and renamed, so that two runs at once never read half a file.
    fn keep(&self, key: &str, manifest: &str) -> anyhow::Result<()> {
        let path = self.kept_path(key);
        if path.exists() {
            return Ok(());
        }
        let aside = path.with_extension(std::process::id().to_string());
        let written = fs::create_dir_all(path.with_file_name(""))
            .and_then(|()| fs::write(&aside, manifest))
            .and_then(|()| fs::rename(&aside, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn kept_path(&self, key: &str) -> PathBuf {
        self.packages
            .target_folder()
            .join("slipway/keys")
            .join(format!("{key}.json"))
    }

    /// Whether a change of this file, or its absence, can change the key.
    fn looks_at(&self, manifest: &KeyManifest, path: &str) -> bool {
        let mut own = manifest
            .packages
            .iter()
            .filter(|(_, package)| package.source.is_none());
        SHARED.contains(&path)
            || self
                .settings
                .included
                .contains(&self.files.root().join(path))
            || self
                .files
                .package_of(path)
                .is_some_and(|folder| manifest.packages.contains_key(folder))
            || own.any(|(folder, package)| {
                package.files.contains_key(path)
                    || path == files::join(folder, "Cargo.toml")
                    || files::is_declared(folder, self.packages.inputs(folder), path)
            })
    }
}

/// What others get has to be made from what others can see.
pub(crate) fn refuse_dirty<'a>(
    keys: impl IntoIterator<Item = &'a ContentKey>,
) -> anyhow::Result<()> {
    let files: BTreeSet<String> = keys
        .into_iter()
        .flat_map(|key| &key.dirty)
        .map(|path| path.display().to_string())
        .collect();
    if files.is_empty() {
        return Ok(());
    }
    let files = files.into_iter().collect::<Vec<_>>().join(", ");
    fail(
        format!("not committed: {files}"),
        "commit or stash these files; an image of uncommitted changes goes no further than --docker and --oci-archive",
    )
}

/// A hash as 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes all that is written");
            hex
        })
}
