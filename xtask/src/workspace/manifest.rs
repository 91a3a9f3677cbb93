//! What a key is a hash of, and what differs between two of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt,
};

use serde::{Deserialize, Serialize};

/// Everything that can change a service's image. The same in any folder and on any machine; travels with the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyManifest {
    /// The service's package: one of `packages`.
    pub(crate) service: String,
    /// The target triple.
    pub(crate) target: String,
    /// The version of how images are made.
    pub(crate) recipe: String,
    /// Where people read the source: the image says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Compiler, C compiler and C library.
    pub(crate) toolchain: BTreeMap<String, String>,
    /// The release profile's settings as JSON.
    pub(crate) profile: BTreeMap<String, String>,
    /// Cargo's configuration, as far as it applies, as JSON.
    pub(crate) config: BTreeMap<String, String>,
    /// By the folder of a package of the repository; by name, version and source of one from elsewhere.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// A package as it is built for a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it's from; none for the repository's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// As in Cargo.lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<String>,
    /// What its manifest says to the compiler.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, String>,
    /// Its features where it is built for the `target`, and for the `host` (build scripts, procedural macros).
    pub(crate) built: BTreeMap<String, BTreeSet<String>>,
    /// Packages that it depends on, each with the names it calls it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) dependencies: BTreeMap<String, BTreeSet<String>>,
    /// Path from the repository's root -> hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) files: BTreeMap<String, String>,
}

/// One thing that made a key another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) change: How,
    /// The packages from the service to where it changed.
    pub(crate) via: Vec<String>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    File,
    Package,
    Feature,
    Toolchain,
    Profile,
    Config,
    Recipe,
}

/// How it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Added,
    Removed,
    Changed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind, name, change, ..
        } = self;
        write!(f, "{kind} {name} {change}")
    }
}

impl KeyManifest {
    /// What the key is the SHA-256 of: JSON without spaces, its maps in the order of their keys.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings, lists and maps with string keys are JSON")
    }

    /// What differs from an older manifest, by kind and name; empty if the keys are equal.
    pub(crate) fn changes_from(&self, old: &Self) -> Vec<Change> {
        let mut changes = Changes {
            list: BTreeMap::new(),
            new: self,
            old,
            new_paths: Paths::of(self),
            old_paths: Paths::of(old),
        };
        for (kind, new, old) in [
            (Kind::Toolchain, &self.toolchain, &old.toolchain),
            (Kind::Profile, &self.profile, &old.profile),
            (Kind::Config, &self.config, &old.config),
        ] {
            for (name, change) in differences(new, old) {
                changes.add(kind, name, change, &self.service);
            }
        }
        if self.target != old.target {
            changes.add(Kind::Toolchain, "target", How::Changed, &self.service);
        }
        if self.recipe != old.recipe {
            changes.add(Kind::Recipe, "recipe", How::Changed, &self.service);
        }
        if self.source != old.source {
            changes.add(Kind::Recipe, "source.url", How::Changed, &self.service);
        }
        changes.packages();
        let list = changes.list.into_iter();
        list.map(|((kind, name), (change, via))| Change {
            kind,
            name,
            change,
            via,
        })
        .collect()
    }
}

impl Package {
    /// Whether it is in the program, and not only in what builds it.
    pub(crate) fn is_linked(&self) -> bool {
        self.built.contains_key("target")
    }
}

struct Changes<'a> {
    list: BTreeMap<(Kind, String), (How, Vec<String>)>,
    new: &'a KeyManifest,
    old: &'a KeyManifest,
    new_paths: Paths<'a>,
    old_paths: Paths<'a>,
}

impl Changes<'_> {
    fn add(&mut self, kind: Kind, name: impl Into<String>, change: How, package: &str) {
        let via = match change {
            How::Removed => self.old_paths.to(package),
            How::Added | How::Changed => self.new_paths.to(package),
        };
        let entry = self.list.entry((kind, name.into()));
        let known = entry.or_insert_with(|| (change, via.clone()));
        if via.len() < known.1.len() {
            *known = (change, via);
        }
    }

    fn packages(&mut self) {
        // Versions of one name: those that came and those that left.
        let mut names: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        let (new, old) = (&self.new.packages, &self.old.packages);
        for (id, how) in differences(new, old) {
            match how {
                How::Added => names.entry(&new[id].name).or_default().0.push(id),
                How::Removed => names.entry(&old[id].name).or_default().1.push(id),
                How::Changed => self.package(id, &new[id], &old[id]),
            }
        }
        for (name, (came, left)) in names {
            if let ([id], [_]) = (&came[..], &left[..]) {
                self.add(Kind::Package, name, How::Changed, id);
                continue;
            }
            let only = came.len() + left.len() == 1;
            for (ids, how) in [(came, How::Added), (left, How::Removed)] {
                for id in ids {
                    self.add(Kind::Package, if only { name } else { id }, how, id);
                }
            }
        }
    }

    fn package(&mut self, id: &str, new: &Package, old: &Package) {
        for (path, change) in differences(&new.files, &old.files) {
            self.add(Kind::File, path, change, id);
        }
        for (platform, on) in &new.built {
            let before = old.built.get(platform);
            // What is built for another platform as well now has the features that are new to it altogether.
            let known = |feature| match before {
                Some(before) => before.contains(feature),
                None => old.built.values().any(|before| before.contains(feature)),
            };
            let came = on.iter().filter(|feature| !known(*feature));
            let left = before
                .into_iter()
                .flatten()
                .filter(|feature| !on.contains(*feature));
            let both = came
                .map(|feature| (feature, How::Added))
                .chain(left.map(|feature| (feature, How::Removed)));
            for (feature, how) in both {
                self.add(Kind::Feature, format!("{}/{feature}", new.name), how, id);
            }
        }
        let itself = new.version != old.version
            || new.checksum != old.checksum
            || new.settings != old.settings
            || new.built.keys().ne(old.built.keys());
        if itself || kept(new, self.old) != kept(old, self.new) {
            self.add(Kind::Package, &new.name, How::Changed, id);
        }
    }
}

/// A package's dependencies that are in another manifest too: one in another version says so itself.
fn kept<'a>(package: &'a Package, other: &KeyManifest) -> Vec<(&'a String, &'a BTreeSet<String>)> {
    let dependencies = package.dependencies.iter();
    dependencies
        .filter(|(id, _)| other.packages.contains_key(*id))
        .collect()
}

/// The shortest way from the service to each package.
struct Paths<'a> {
    manifest: &'a KeyManifest,
    from: HashMap<&'a str, &'a str>,
}

impl<'a> Paths<'a> {
    fn of(manifest: &'a KeyManifest) -> Self {
        let mut from = HashMap::new();
        let mut queue = VecDeque::from([manifest.service.as_str()]);
        while let Some(id) = queue.pop_front() {
            for next in manifest
                .packages
                .get(id)
                .into_iter()
                .flat_map(|package| package.dependencies.keys())
            {
                if *next != manifest.service && !from.contains_key(next.as_str()) {
                    from.insert(next.as_str(), id);
                    queue.push_back(next);
                }
            }
        }
        Self { manifest, from }
    }

    fn to(&self, id: &str) -> Vec<String> {
        let steps = std::iter::successors(Some(id), |id| self.from.get(id).copied());
        let mut names: Vec<String> = steps
            .map(|id| {
                self.manifest
                    .packages
                    .get(id)
                    .map_or(id, |package| &package.name)
                    .to_owned()
            })
            .collect();
        names.reverse();
        names
    }
}

/// The keys whose values differ, in order.
fn differences<'a, V: PartialEq>(
    new: &'a BTreeMap<String, V>,
    old: &'a BTreeMap<String, V>,
) -> Vec<(&'a str, How)> {
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let how = |key: &String| match (new.get(key), old.get(key)) {
        (Some(new), Some(old)) => (new != old).then_some(How::Changed),
        (Some(_), None) => Some(How::Added),
        (None, _) => Some(How::Removed),
    };
    keys.into_iter()
        .filter_map(|key| Some((key.as_str(), how(key)?)))
        .collect()
}
