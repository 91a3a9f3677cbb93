//! The repository that holds the tags, and the history that they stand on.
//!
//! All that is read from it goes into a repository of our own (see [`Store`]). That one borrows the
//! objects of the caller's clone, so that little has to be fetched; but not those of a shallow or
//! partial clone, which promise to have what they lack: there it fetches the history itself, without
//! the files.

use std::{
    cell::RefCell,
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use crate::{
    config::{self, Config},
    git::{
        Object, Ran, Store, in_clone, remote_name, remote_words, says_moved, settings_of,
        without_secrets,
    },
    hint::{WithHint, fail},
    pause::pause,
};

const BRANCH: &str = "refs/slipway/branch";

/// What has to be known of the history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Commits,
    /// And which paths each commit changes.
    Paths,
}

/// A tag at the remote.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    /// The tag object, or the commit where it has none.
    pub(super) object: String,
    pub(super) commit: String,
}

/// Branch and tags at the remote, at one moment.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) tip: Option<String>,
    pub(super) tags: Vec<Listed>,
}

/// Where the commits of a branch are, seen from one of them.
#[derive(Debug)]
pub(super) struct Graph {
    /// The commit itself, and what it was made from.
    pub(super) reachable: HashSet<String>,
    /// What was made from it.
    pub(super) later: HashSet<String>,
}

/// What became of pushing a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours.
    Claimed,
    /// Another run has that version: read again and take the next.
    Taken,
}

/// A tag to be made.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) commit: &'a str,
    pub(super) message: String,
}

pub(super) struct Remote {
    root: PathBuf,
    store: Store,
    name: String,
    source: config::Source,
    /// What to leave out, where nothing is borrowed.
    filter: Option<&'static str>,
    /// Objects that are known to be here.
    here: RefCell<HashSet<String>>,
}

impl Remote {
    pub(super) fn open(root: &Path, config: &Config, depth: Depth) -> anyhow::Result<Self> {
        let mut settings = settings_of(root)?;
        let name = remote_name(root, &mut settings, &config.source.remote, "source.remote")?;
        // The branch may move before a tag is pushed. Without its new tip, git would not know what
        // the remote has of the tagged commit, and send all of it.
        settings.push(("push.negotiate".to_owned(), "true".to_owned()));
        let store = Store::create(root, &settings)?;
        let here = in_clone(
            root,
            &[
                "rev-parse",
                "--is-shallow-repository",
                "--path-format=absolute",
                "--git-path",
                "objects",
            ],
        )?
        .text("cannot look at this clone")?;
        let (shallow, objects) = here
            .split_once('\n')
            .context("git did not say where it keeps objects")?;
        let promised = in_clone(root, &["config", "--get-regexp", r"^remote\..*\.promisor$"])?.ok;
        let filter = if shallow == "true" || promised {
            Some(match depth {
                Depth::Commits => "--filter=tree:0",
                Depth::Paths => "--filter=blob:none",
            })
        } else {
            store.borrow_from(Path::new(objects))?;
            None
        };
        Ok(Self {
            root: root.to_owned(),
            store,
            name,
            source: config.source.clone(),
            filter,
            here: RefCell::default(),
        })
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        without_secrets(&self.source.remote)
    }

    /// Asks for the branch, and the tags with this prefix in their names.
    pub(super) fn list(&self, prefix: &str) -> anyhow::Result<Listing> {
        let branch = format!("refs/heads/{}", self.source.branch);
        let tags = format!("refs/tags/{prefix}-v*");
        let printed = self.store.run(&[
            "ls-remote",
            "--quiet",
            "--heads",
            "--tags",
            &self.name,
            &branch,
            &tags,
        ])?;
        let printed = self.reached(printed, "cannot read")?;
        let mut listing = Listing::default();
        for line in String::from_utf8_lossy(&printed).lines() {
            let Some((id, reference)) = line.split_once('\t') else {
                continue;
            };
            if reference == branch {
                listing.tip = Some(id.to_owned());
            } else if let Some(name) = reference.strip_prefix("refs/tags/") {
                match (name.strip_suffix("^{}"), listing.tags.last_mut()) {
                    // Comes right after the tag that it is the end of.
                    (Some(name), Some(tag)) if tag.name == name => id.clone_into(&mut tag.commit),
                    _ => listing.tags.push(Listed {
                        name: name.to_owned(),
                        object: id.to_owned(),
                        commit: id.to_owned(),
                    }),
                }
            }
        }
        Ok(listing)
    }

    /// Where the branch's commits are, seen from one of them; none if it is not.
    pub(super) fn graph(&self, head: &str, tip: &str) -> anyhow::Result<Option<Graph>> {
        self.bring(&[(tip, format!("+refs/heads/{}:{BRANCH}", self.source.branch))])?;
        let printed = self
            .store
            .run(&["rev-list", "--topo-order", "--parents", tip])?
            .text("cannot read the history")
            .hint("if the branch was rewritten just now, run this again")?;
        // Children come before their parents.
        let commits: Vec<Vec<&str>> = printed
            .lines()
            .map(|line| line.split(' ').collect())
            .collect();
        if !commits.iter().any(|commit| commit[0] == head) {
            return Ok(None);
        }
        let (mut reachable, mut later) = (HashSet::from([head]), HashSet::from([head]));
        for commit in &commits {
            if reachable.contains(commit[0]) {
                reachable.extend(&commit[1..]);
            }
        }
        for commit in commits.iter().rev() {
            if commit[1..].iter().any(|parent| later.contains(parent)) {
                later.insert(commit[0]);
            }
        }
        later.remove(head);
        let owned = |ids: HashSet<&str>| ids.into_iter().map(str::to_owned).collect();
        Ok(Some(Graph {
            reachable: owned(reachable),
            later: owned(later),
        }))
    }

    /// What stands in these tags: tag objects or commits, or nothing where a tag names neither.
    pub(super) fn contents(&self, tags: &[&Listed]) -> anyhow::Result<Vec<Option<String>>> {
        let wanted: Vec<(&str, String)> = tags
            .iter()
            .map(|tag| (tag.object.as_str(), format!("refs/tags/{}", tag.name)))
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        self.bring(&wanted)?;
        let ids: Vec<&str> = wanted.iter().map(|(id, _)| *id).collect();
        self.objects(&ids)
            .hint("if a tag was replaced just now, run this again")
    }

    /// Fetches those of these objects that are not here yet, by what names them at the remote.
    fn bring(&self, wanted: &[(&str, String)]) -> anyhow::Result<()> {
        let mut here = self.here.borrow_mut();
        let lacking = |here: &HashSet<String>| -> Vec<&(&str, String)> {
            wanted
                .iter()
                .filter(|(id, _)| !here.contains(*id))
                .collect()
        };
        let unknown: Vec<&str> = lacking(&here).iter().map(|(id, _)| *id).collect();
        // A repository that promises objects would fetch each one that it is asked for.
        if self.filter.is_none() && !unknown.is_empty() {
            let printed = self
                .store
                .run_with(
                    &["cat-file", "--batch-check=%(objectname)"],
                    lines(&unknown),
                )?
                .text("cannot look for tags")?;
            here.extend(
                printed
                    .lines()
                    .filter(|line| !line.ends_with(" missing"))
                    .map(str::to_owned),
            );
        }
        let missing = lacking(&here);
        if missing.is_empty() {
            return Ok(());
        }
        let references: Vec<&str> = missing
            .iter()
            .map(|(_, reference)| reference.as_str())
            .collect();
        let mut fetch = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--stdin",
        ];
        fetch.extend(self.filter);
        fetch.push(&self.name);
        let fetched = self.store.run_with(&fetch, lines(&references))?;
        self.reached(fetched, "cannot fetch from")?;
        here.extend(missing.into_iter().map(|(id, _)| (*id).to_owned()));
        Ok(())
    }

    fn objects(&self, ids: &[&str]) -> anyhow::Result<Vec<Option<String>>> {
        let printed = self
            .store
            .run_with(&["cat-file", "--batch"], lines(ids))?
            .output("cannot read tags")?;
        let mut rest = &printed[..];
        let mut objects = Vec::new();
        for id in ids {
            let object =
                Object::first(rest).with_context(|| format!("cannot read the tag {id}"))?;
            let told = matches!(object.kind, "tag" | "commit");
            objects.push(told.then(|| String::from_utf8_lossy(object.content).into_owned()));
            rest = object.rest;
        }
        Ok(objects)
    }

    /// Runs `git log` over `range` and `paths` and gives its records, divided by NUL.
    pub(super) fn log(
        &self,
        options: &[&str],
        range: &str,
        paths: &[String],
    ) -> anyhow::Result<Vec<String>> {
        let mut log = vec!["--literal-pathspecs", "log", "-z", "--encoding=UTF-8"];
        // Whatever a person has set.
        log.extend(["--no-show-signature", "--no-follow", "--no-color"]);
        log.extend(options);
        log.extend([range, "--"]);
        log.extend(paths.iter().map(String::as_str));
        let printed = self.store.run(&log)?.output("cannot read the history")?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(printed.split_terminator('\0').map(str::to_owned).collect())
    }

    /// Makes the tags and pushes them over one connection, each on its own.
    pub(super) fn push(
        &self,
        who: &str,
        now: i64,
        tags: &[Wanted<'_>],
    ) -> anyhow::Result<Vec<Claim>> {
        let mut stream = String::new();
        for (
            index,
            Wanted {
                name,
                commit,
                message,
            },
        ) in tags.iter().enumerate()
        {
            let (mark, length) = (index + 1, message.len());
            stream.push_str(&format!(
                "tag {name}\nmark :{mark}\nfrom {commit}\ntagger {who} {now} +0000\ndata {length}\n{message}\nget-mark :{mark}\n"
            ));
        }
        stream.push_str("done\n");
        let made = self
            .store
            .run_with(
                &["fast-import", "--quiet", "--force", "--done"],
                stream.into_bytes(),
            )?
            .text("cannot make the tags")
            .hint(
                "nothing was pushed; see that the temporary folder has space, and run this again",
            )?;
        let references: Vec<String> = tags
            .iter()
            .map(|tag| format!("refs/tags/{0}:refs/tags/{0}", tag.name))
            .collect();
        let mut push = vec![
            "push",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
            &self.name,
        ];
        push.extend(references.iter().map(String::as_str));
        let ran = self.store.run(&push)?;
        let printed = String::from_utf8_lossy(&ran.out);
        tags.iter()
            .zip(made.lines())
            .zip(&references)
            .map(|((tag, object), reference)| {
                let status = printed.lines().find_map(|line| {
                    let (flag, rest) = line.split_once('\t')?;
                    let (named, status) = rest.split_once('\t')?;
                    (named == reference).then_some((flag, status))
                });
                match status {
                    Some(("!", reason)) => self.settle(tag.name, object, Some(reason), &ran.words),
                    Some(_) => Ok(Claim::Claimed),
                    None => self.settle(tag.name, object, None, &ran.words),
                }
            })
            .collect()
    }

    /// What became of a tag that was refused, or of which nothing was heard: the remote knows.
    fn settle(
        &self,
        tag: &str,
        ours: &str,
        reason: Option<&str>,
        words: &str,
    ) -> anyhow::Result<Claim> {
        let raced =
            reason.is_some_and(|reason| reason.contains("already exists") || says_moved(reason));
        let heard = reason.is_some_and(|reason| !reason.starts_with("[remote failure]"));
        // Who holds the lock that ours ran into may not be done yet.
        for attempt in 0..10_u64 {
            match self.object_of(tag) {
                Ok(Some(object)) if object == ours => return Ok(Claim::Claimed),
                Ok(Some(_)) => return Ok(Claim::Taken),
                Ok(None) if raced => {
                    pause(Duration::from_millis(50 * attempt + fastrand::u64(..50)));
                }
                Err(error) if heard => return Err(error),
                Ok(None) | Err(_) => break,
            }
        }
        let what = format!("tag {tag} was not taken by {}", self.shown());
        match reason.filter(|_| heard) {
            Some(reason) => fail(
                format!(
                    "{what}: {}: {}",
                    without_secrets(reason),
                    remote_words(words)
                ),
                format!(
                    "the words above are the remote's own: let whoever runs this create tags like {tag} there (a hook, a protected tag, a rule, disk space), and run this again: what has already been done is found and left alone"
                ),
            ),
            None => Err(anyhow::anyhow!("{what}: {words}")).hint(hint_for(words)),
        }
    }

    fn object_of(&self, tag: &str) -> anyhow::Result<Option<String>> {
        let reference = format!("refs/tags/{tag}");
        let printed =
            self.store
                .run(&["ls-remote", "--quiet", "--tags", &self.name, &reference])?;
        let printed = self.reached(printed, "cannot read")?;
        let printed = String::from_utf8_lossy(&printed);
        let object = printed.lines().find_map(|line| {
            let (id, name) = line.split_once('\t')?;
            (name == reference).then(|| id.to_owned())
        });
        Ok(object)
    }

    fn reached(&self, ran: Ran, what: &str) -> anyhow::Result<Vec<u8>> {
        let hint = hint_for(&ran.words);
        ran.output(&format!("{what} {}", self.shown())).hint(hint)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

fn hint_for(words: &str) -> &'static str {
    let refused = [
        "401",
        "403",
        "denied",
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "not allowed",
    ];
    if refused.iter().any(|word| words.contains(word)) {
        "the remote does not let you: in CI the token needs to write contents, elsewhere see `git push --dry-run`; what has already been done is found and left alone"
    } else {
        "see that the remote can be reached, and run this again: what has already been done is found and left alone"
    }
}

fn lines(ids: &[&str]) -> Vec<u8> {
    let mut text = ids.join("\n");
    text.push('\n');
    text.into_bytes()
}
