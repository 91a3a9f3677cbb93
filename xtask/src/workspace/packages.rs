//! The package graph, and what of it `cargo build -p <service>` builds.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Output,
};

use anyhow::{Context, bail};
use guppy::{
    CargoMetadata, PackageId,
    graph::{
        BuildTargetId, BuildTargetKind, DependencyDirection, PackageGraph, PackageLink,
        PackageMetadata, PackageSource, cargo::CargoOptions, feature::StandardFeatures,
    },
    platform::{Platform, PlatformSpec},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    cargo::{build_environment, cargo},
    manifest::Package,
};
use crate::hint::{WithHint, fail};

/// All packages that Cargo.lock names for the target.
pub(super) struct Packages {
    graph: PackageGraph,
    platform: PlatformSpec,
    /// What a key's manifest calls each package.
    ids: HashMap<PackageId, String>,
    /// Name, version and source -> checksum.
    checksums: HashMap<(String, String, String), String>,
    /// Folder -> what its manifest declares.
    inputs: HashMap<String, Vec<String>>,
}

/// The part of Cargo.lock that Cargo does not print.
#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// What `cargo metadata` prints about the workspace for this target. Build scripts and procedural macros are taken as
/// built on the target's own platform, as images are: a key is the same wherever it is computed.
pub(super) fn metadata(root: &Path, target: &str) -> anyhow::Result<String> {
    let arguments = [
        "metadata",
        "--format-version=1",
        "--all-features",
        "--locked",
        "--filter-platform",
        target,
    ];
    // First without the network, which is much faster where everything is there.
    let ran = metadata_once(root, &[&arguments[..], &["--offline"]].concat())?;
    let ran = if ran.status.success() {
        ran
    } else {
        metadata_once(root, &arguments)?
    };
    if ran.status.success() {
        return String::from_utf8(ran.stdout).context("cargo metadata printed no UTF-8");
    }
    let words = String::from_utf8_lossy(&ran.stderr);
    if words.contains("--locked") {
        return fail(words.trim(), "run `cargo check`, then commit Cargo.lock");
    }
    bail!("cargo metadata failed: {}", words.trim())
}

fn metadata_once(root: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    duct::cmd(cargo(), arguments)
        .dir(root)
        .full_env(build_environment())
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .context("cannot run cargo")
}

impl Packages {
    /// From what Cargo printed and Cargo.lock.
    pub(super) fn new(metadata: &str, lock: &str, platform: Platform) -> anyhow::Result<Self> {
        let graph = CargoMetadata::parse_json(metadata)
            .and_then(CargoMetadata::build_graph)
            .context("cannot read what cargo metadata printed")?;
        let lock: Lock = toml::from_str(lock).context("cannot read Cargo.lock")?;
        let checksums = lock
            .package
            .into_iter()
            .filter_map(|locked| {
                Some((
                    (locked.name, locked.version, locked.source?),
                    locked.checksum?,
                ))
            })
            .collect();
        let mut inputs = HashMap::new();
        for package in graph.packages() {
            if let Some(folder) = package.source().local_path() {
                inputs.insert(folder.to_string(), declared_inputs(&package)?);
            }
        }
        let ids = graph
            .packages()
            .map(|package| (package.id().clone(), id(&package)))
            .collect();
        Ok(Self {
            graph,
            platform: platform.into(),
            ids,
            checksums,
            inputs,
        })
    }

    /// Cargo's target folder.
    pub(super) fn target_folder(&self) -> &Path {
        self.graph.workspace().target_directory().as_std_path()
    }

    /// Name and folder of the workspace's packages.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.graph
            .workspace()
            .iter_by_path()
            .map(|(folder, package)| (package.name(), folder.as_str()))
    }

    /// The name of the package that Cargo calls by this id, and the folder of one of the repository's own.
    pub(super) fn name_and_folder(&self, id: &str) -> anyhow::Result<(&str, Option<&str>)> {
        let package = self.graph.metadata(&PackageId::new(id))?;
        Ok((
            package.name(),
            package.source().local_path().map(AsRef::<str>::as_ref),
        ))
    }

    /// What a key's manifest calls the package that Cargo calls by this id.
    pub(super) fn manifest_id(&self, id: &str) -> Option<&str> {
        self.ids.get(&PackageId::new(id)).map(String::as_str)
    }

    /// What packages are called in a key's manifest, and the licence of each that names one.
    pub(super) fn licenses(&self) -> impl Iterator<Item = (&str, &str)> {
        let packages = self.graph.packages();
        packages.filter_map(|package| Some((self.ids[package.id()].as_str(), package.license()?)))
    }

    /// Where the package's manifest stands.
    pub(super) fn manifest_folder(&self, id: &str) -> anyhow::Result<&Path> {
        let manifest = self.graph.metadata(&PackageId::new(id))?.manifest_path();
        Ok(manifest
            .parent()
            .expect("a manifest stands in a folder")
            .as_std_path())
    }

    /// What a package of the repository declares as inputs beside its own files.
    pub(super) fn inputs(&self, folder: &str) -> &[String] {
        self.inputs.get(folder).map_or(&[], Vec::as_slice)
    }

    /// What `cargo build -p` builds of the service in this folder, without its files.
    pub(super) fn closure(&self, folder: &str) -> anyhow::Result<BTreeMap<String, Package>> {
        let service = self.graph.workspace().member_by_path(folder)?;
        let mut options = CargoOptions::new();
        options.set_platform(self.platform.clone());
        let set = service
            .to_feature_set(StandardFeatures::Default)
            .into_cargo_set(&options)?;

        let mut packages: HashMap<&PackageId, Package> = HashMap::new();
        for (platform, features) in [
            ("target", set.target_features()),
            ("host", set.host_features()),
        ] {
            for list in features.packages_with_features(DependencyDirection::Forward) {
                let features = list.named_features().map(str::to_owned).collect();
                let package = packages
                    .entry(list.package().id())
                    .or_insert_with(|| self.describe(list.package(), folder));
                package.built.insert(platform.to_owned(), features);
            }
        }
        let mut connect = |link: &PackageLink<'_>, kind: &str| {
            let from = packages
                .get_mut(link.from().id())
                .expect("a link's ends are in the set");
            let names = from
                .dependencies
                .entry(self.ids[link.to().id()].clone())
                .or_default();
            names.insert(format!("{kind}{}", link.resolved_name()));
        };
        set.target_links()
            .chain(set.proc_macro_links())
            .for_each(|link| connect(&link, ""));
        set.build_dep_links()
            .for_each(|link| connect(&link, "build "));
        for link in set.host_links() {
            if link.normal().is_present() {
                connect(&link, "");
            }
            if link.build().is_present() {
                connect(&link, "build ");
            }
        }
        Ok(packages
            .into_iter()
            .map(|(id, package)| (self.ids[id].clone(), package))
            .collect())
    }

    fn describe(&self, package: &PackageMetadata<'_>, service: &str) -> Package {
        let (name, version) = (package.name().to_owned(), package.version().to_string());
        let mut described = Package {
            name,
            version,
            ..Package::default()
        };
        match package.source() {
            PackageSource::External(source) => {
                let locked = (
                    described.name.clone(),
                    described.version.clone(),
                    source.to_owned(),
                );
                described.checksum = self.checksums.get(&locked).cloned();
                described.source = Some(locked.2);
            }
            PackageSource::Workspace(folder) | PackageSource::Path(folder) => {
                described.settings = settings(package, folder == service);
            }
        }
        described
    }
}

/// A package's name in a key's manifest: the folder of one of the repository's, else its name, version and source.
fn id(package: &PackageMetadata<'_>) -> String {
    match package.source() {
        PackageSource::Workspace(folder) | PackageSource::Path(folder) => folder.to_string(),
        PackageSource::External(PackageSource::CRATES_IO_REGISTRY) => {
            format!("{} {}", package.name(), package.version())
        }
        PackageSource::External(source) => {
            format!("{} {} {source}", package.name(), package.version())
        }
    }
}

/// What a manifest says that can reach the compiler, with what it inherits resolved. README is left out: it exists or
/// not, and nobody embeds its name.
fn settings(package: &PackageMetadata<'_>, is_service: bool) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::from([("edition".to_owned(), package.edition().to_owned())]);
    if !package.authors().is_empty() {
        settings.insert("authors".to_owned(), package.authors().join(":"));
    }
    let optional = [
        ("description", package.description()),
        ("homepage", package.homepage()),
        ("license", package.license()),
        (
            "license-file",
            package.license_file().map(AsRef::<str>::as_ref),
        ),
        ("links", package.links()),
        ("repository", package.repository()),
    ];
    settings.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))),
    );
    if let Some(version) = package.rust_version() {
        settings.insert("rust-version".to_owned(), version.to_string());
    }
    let folder = package
        .manifest_path()
        .parent()
        .expect("a manifest stands in a folder");
    for target in package.build_targets() {
        let kind = match target.id() {
            BuildTargetId::Library => "lib",
            BuildTargetId::BuildScript => "build script",
            BuildTargetId::Binary(_) if is_service => "bin",
            _ => continue,
        };
        let types = match target.kind() {
            BuildTargetKind::LibraryOrExample(types) => types.join(" "),
            BuildTargetKind::ProcMacro => "proc-macro".to_owned(),
            _ => String::new(),
        };
        let path = target.path().strip_prefix(folder).unwrap_or(target.path());
        let words = [
            path.as_str(),
            target.edition(),
            &types,
            &target.required_features().join(" "),
        ]
        .join("|");
        settings.insert(format!("{kind} {}", target.name()), words);
    }
    settings
}

/// `inputs` of `[package.metadata.slipway]`.
fn declared_inputs(package: &PackageMetadata<'_>) -> anyhow::Result<Vec<String>> {
    match &package.metadata_table()["slipway"]["inputs"] {
        Value::Null => Ok(Vec::new()),
        inputs => Vec::deserialize(inputs)
            .with_context(|| {
                format!(
                    "{}: [package.metadata.slipway] inputs",
                    package.manifest_path()
                )
            })
            .hint(
                "takes a list of paths or patterns, for example inputs = [\"../../schema/*.json\"]",
            ),
    }
}
