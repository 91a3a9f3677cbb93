//! Versions: SemVer from the commits that touch a service, in Git tags whose push is the lock, with
//! the changelog in them.

mod changelog;
mod commits;
mod remote;
mod tags;
#[cfg(test)]
mod tests;

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use anyhow::Context;
use jiff::{Timestamp, tz::TimeZone};
use semver::Version;

pub(crate) use self::{
    changelog::{Released, render},
    remote::Claim,
    tags::name as tag,
};
use self::{
    commits::{Change, Section, bump, changes},
    remote::{Depth, Graph, Listed, Listing, Remote, Wanted},
};
use crate::{
    config::Config,
    git::{identity, in_clone},
    hint::{WithHint, fail},
};

/// The content key and the image's digest in a tag object, unless a person made it.
pub(crate) fn recorded(object: &str) -> Option<(String, String)> {
    tags::parse(object)?.made
}

/// The commit that is released.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) commit: String,
    /// Its own time.
    pub(crate) committed: Timestamp,
}

/// What version a service has at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is tagged with this very key.
    Tagged {
        version: Version,
        tag: String,
        digest: String,
    },
    /// It needs one, and this is free.
    New(New),
    /// A later commit of the branch is tagged already: this is an older run.
    Superseded { version: Version, tag: String },
}

impl Next {
    /// The version and its tag.
    pub(crate) fn names(&self) -> (&Version, &str) {
        match self {
            Self::Tagged { version, tag, .. }
            | Self::New(New { version, tag, .. })
            | Self::Superseded { version, tag } => (version, tag),
        }
    }
}

/// A version to be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct New {
    pub(crate) version: Version,
    pub(crate) tag: String,
    /// What changed, as Markdown.
    pub(crate) changelog: String,
    service: String,
    key: String,
}

/// The repository whose tags are the versions.
pub(crate) struct Versions {
    remote: Remote,
    source: Source,
    /// The workspace's folder in the repository, with a slash at its end.
    prefix: String,
    branch: String,
    listing: Listing,
    graph: OnceCell<Graph>,
}

impl Versions {
    /// Reads HEAD, and what the remote has. The clone is left as it is. Refuses a commit that is not
    /// on the remote's branch.
    pub(crate) fn open(root: &Path, config: &Config) -> anyhow::Result<Self> {
        let (source, prefix) = head(root)?;
        let remote = Remote::open(root, config, Depth::Paths)?;
        let versions = Self {
            listing: remote.list("*")?,
            remote,
            source,
            prefix,
            branch: config.source.branch.clone(),
            graph: OnceCell::new(),
        };
        // Which needs no history, mostly.
        if versions.listing.tip.as_ref() != Some(&versions.source.commit) {
            versions.graph()?;
        }
        Ok(versions)
    }

    /// The commit that is released.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Reads again what the remote has.
    pub(crate) fn refresh(&mut self) -> anyhow::Result<()> {
        self.listing = self.remote.list("*")?;
        self.graph = OnceCell::new();
        Ok(())
    }

    /// The version of a service with this content key at this commit. `closure` are its paths, from
    /// the workspace's folder.
    pub(crate) fn next(
        &self,
        service: &str,
        closure: &[PathBuf],
        key: &str,
    ) -> anyhow::Result<Next> {
        let graph = self.graph()?;
        let mut tags = released(service, &self.listing);
        tags.retain(|(_, tag)| {
            graph.reachable.contains(&tag.commit) || graph.later.contains(&tag.commit)
        });
        let (reachable, later): (Vec<_>, Vec<_>) = tags
            .iter()
            .partition(|(_, tag)| graph.reachable.contains(&tag.commit));
        // Newest first. Keys can differ at one commit, with another toolchain for example.
        let held = reachable
            .iter()
            .enumerate()
            .filter(|(index, (_, tag))| *index == 0 || tag.commit == self.source.commit);
        let held: Vec<_> = held.map(|(_, held)| *held).collect();
        let listed: Vec<&Listed> = held.iter().map(|(_, tag)| *tag).collect();
        for ((version, listed), tag) in held.iter().zip(self.remote.contents(&listed)?) {
            let made = tag.and_then(|tag| tags::parse(&tag)?.made);
            if let Some((_, digest)) = made.filter(|(made, _)| made == key) {
                return Ok(Next::Tagged {
                    version: version.clone(),
                    tag: listed.name.clone(),
                    digest,
                });
            }
        }
        if let Some((version, tag)) = later.first() {
            return Ok(Next::Superseded {
                version: version.clone(),
                tag: tag.name.clone(),
            });
        }
        let base = reachable.first();
        let changes = self.changes(base.map(|(_, tag)| tag.commit.as_str()), closure)?;
        let version = self.free(service, base.map(|(version, _)| version), &changes);
        Ok(Next::New(New {
            tag: tags::name(service, &version),
            version,
            changelog: changelog::sections(&changes),
            service: service.to_owned(),
            key: key.to_owned(),
        }))
    }

    /// Pushes the tag of a version, for the image with this digest. That is the lock: of two runs
    /// that want one version, one gets it.
    pub(crate) fn claim(&self, new: &New, digest: &str) -> anyhow::Result<Claim> {
        let claims = self.claim_all(&[(new, digest)])?;
        claims.first().copied().context("one was asked for")
    }

    /// [`Self::claim`] for several services, over one connection; one that is taken hinders no other.
    pub(crate) fn claim_all(&self, wanted: &[(&New, &str)]) -> anyhow::Result<Vec<Claim>> {
        // Git pushes what it likes when it is told nothing.
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let who = identity(self.remote.root())?;
        let tags: Vec<Wanted<'_>> = wanted
            .iter()
            .map(|(new, digest)| Wanted {
                name: &new.tag,
                commit: &self.source.commit,
                message: tags::message(
                    &new.service,
                    &new.version,
                    &new.changelog,
                    &new.key,
                    digest,
                ),
            })
            .collect();
        self.remote.push(&who, Timestamp::now().as_second(), &tags)
    }

    fn graph(&self) -> anyhow::Result<&Graph> {
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let commit = &self.source.commit;
        let graph = match &self.listing.tip {
            Some(tip) => self.remote.graph(commit, tip)?,
            None => None,
        };
        let Some(graph) = graph else {
            let (branch, shown) = (&self.branch, self.remote.shown());
            return fail(
                format!("commit {commit} is not on branch {branch} of {shown}"),
                format!(
                    "only what others have is released: git push {shown} HEAD:{branch}, or check out a commit of that branch"
                ),
            );
        };
        Ok(self.graph.get_or_init(|| graph))
    }

    /// What changed in these paths since `base`, newest first.
    fn changes(&self, base: Option<&str>, closure: &[PathBuf]) -> anyhow::Result<Vec<Change>> {
        let commit = &self.source.commit;
        let range = base.map_or_else(|| commit.clone(), |base| format!("{base}..{commit}"));
        let paths: Option<Vec<String>> = closure
            .iter()
            .map(|path| Some(format!("{}{}", self.prefix, path.to_str()?)))
            .collect();
        let paths = paths.context("a path is not UTF-8")?;
        // Git takes no paths for all of them.
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        // Both sides of each merge, even where one of them came to nothing; and the branch's own
        // merges, by what they brought.
        let sides = ["--full-history", "--no-merges", FORMAT];
        let merges = ["--first-parent", "--merges", FORMAT];
        let mut found: Vec<(i64, Vec<Change>)> = Vec::new();
        for (options, merge) in [(sides, false), (merges, true)] {
            for record in self.remote.log(&options, &range, &paths)? {
                let mut fields = record.splitn(3, '\n');
                let parts = (fields.next(), fields.next(), fields.next());
                let (Some(id), Some(time), Some(message)) = parts else {
                    anyhow::bail!("git log printed {record:?}");
                };
                found.push((time.parse()?, changes(id, message, merge)));
            }
        }
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        Ok(found.into_iter().flat_map(|(_, changes)| changes).collect())
    }

    /// The next version of its kind whose tag is free.
    fn free(&self, service: &str, base: Option<&Version>, changes: &[Change]) -> Version {
        let most = changes.iter().map(|change| change.section).max();
        let mut kind = most.unwrap_or(Section::Other);
        let mut version = match base {
            Some(base) => bump(base, kind),
            None => {
                kind = Section::Features;
                Version::new(0, 1, 0)
            }
        };
        while self
            .listing
            .tags
            .iter()
            .any(|tag| tag.name == tags::name(service, &version))
        {
            version = bump(&version, kind);
        }
        version
    }
}

const FORMAT: &str = "--format=%H%n%ct%n%B";

/// Every version of a service, newest first, from the tags of the remote.
pub(crate) fn history(
    root: &Path,
    config: &Config,
    service: &str,
) -> anyhow::Result<Vec<Released>> {
    let remote = Remote::open(root, config, Depth::Commits)?;
    let listing = remote.list(service)?;
    let tags = released(service, &listing);
    let listed: Vec<&Listed> = tags.iter().map(|(_, tag)| *tag).collect();
    let contents = remote.contents(&listed)?;
    let releases = tags
        .iter()
        .zip(contents)
        .filter_map(|((version, listed), tag)| {
            let tag = tags::parse(&tag?)?;
            let date = tag.at.to_zoned_datetime(TimeZone::UTC).date().to_string();
            Some(Released::new(
                version.to_string(),
                date,
                listed.commit.clone(),
                tag.changelog,
            ))
        });
    Ok(releases.collect())
}

/// The tags that are versions of this service, newest first.
fn released<'a>(service: &str, listing: &'a Listing) -> Vec<(Version, &'a Listed)> {
    let mut tags: Vec<(Version, &Listed)> = listing
        .tags
        .iter()
        .filter_map(|tag| Some((tags::version(service, &tag.name)?, tag)))
        .collect();
    tags.sort_by(|(a, _), (b, _)| b.cmp(a));
    tags
}

/// The commit that is checked out, and this folder's place in the repository.
fn head(root: &Path) -> anyhow::Result<(Source, String)> {
    let shown = in_clone(
        root,
        &["log", "-1", "--no-show-signature", "--format=%H %ct"],
    )?
    .text("cannot read HEAD")
    .hint("run this in a clone with at least one commit")?;
    let (commit, time) = shown
        .split_once(' ')
        .context("git log printed no commit and time")?;
    let prefix =
        in_clone(root, &["rev-parse", "--show-prefix"])?.text("cannot look at this clone")?;
    let source = Source {
        commit: commit.to_owned(),
        committed: Timestamp::from_second(time.parse()?)?,
    };
    Ok((source, prefix))
}
