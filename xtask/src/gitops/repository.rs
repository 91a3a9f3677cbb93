//! The branch that holds the record: reading its tip, and changing it without a work tree.

use std::{
    cell::OnceCell,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::Timestamp;

use super::{
    Digests, Entry,
    decide::{Decision, Facts, decide},
    history,
    intent::{Intent, Outcome, Took},
    snapshot::Snapshot,
};
use crate::{
    argocd::{self, Access, Wanted},
    config::{Config, Gitops},
    git::{self, Store, in_clone, remote_name, remotes, says_moved, settings_of, without_secrets},
    hint::{WithHint, fail},
    pause::pause,
};

/// How often a change is tried when others change the branch at the same time, and how long to wait
/// in between.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) attempts: u32,
    /// From the number of attempts so far and what the last one took.
    pub(crate) pause: fn(u32, Duration) -> Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 8,
            // An attempt loses when somebody else lands within it: so the waits spread over a
            // multiple of its length, be that 50 ms or the 3 s of a remote far away. Simulated with
            // twenty runs that start at once, these multiples end within seconds and leave nobody
            // without a place in 8 attempts.
            pause: |attempt, took| {
                let window = took * 2_u32.pow(attempt.min(4) + 1);
                window.min(Duration::from_secs(30)).mul_f64(fastrand::f64())
            },
        }
    }
}

/// The GitOps branch.
pub(crate) struct Repository {
    root: PathBuf,
    config: Config,
    remote: String,
    /// The branch's tip alone.
    tip: Store,
    /// Commits without their files, which are all that history needs.
    commits: OnceCell<Store>,
    settings: Vec<(String, String)>,
    identity: OnceCell<String>,
    /// Runs on one machine queue here, so that only those on others cost an attempt.
    pub(super) queue: Option<PathBuf>,
    pub(super) patience: Patience,
    clock: fn() -> Timestamp,
}

/// A change made ready on one tip.
pub(super) struct Prepared {
    pub(super) outcome: Outcome,
    /// What to push; nothing where nothing changes.
    pub(super) commit: Option<String>,
}

/// What became of a push.
#[derive(Debug, PartialEq)]
pub(super) enum Pushed {
    Landed,
    /// Somebody else changed the branch first, in the remote's words.
    Moved(String),
}

const TIP: &str = "refs/slipway/tip";
const NEXT: &str = "refs/slipway/next";

impl Repository {
    /// The branch that the configuration names, as seen from the clone in `root`.
    pub(crate) fn open(root: &Path, config: &Config) -> anyhow::Result<Self> {
        let mut settings = settings_of(root)?;
        let remote = remote_name(
            root,
            &mut settings,
            &config.gitops.remote,
            "--gitops-remote, or gitops.remote",
        )?;
        Ok(Self {
            root: root.to_owned(),
            config: config.clone(),
            remote,
            tip: Store::create(root, &settings)?,
            commits: OnceCell::new(),
            settings,
            identity: OnceCell::new(),
            queue: Some(queue_for(&config.gitops)),
            patience: Patience::default(),
            clock: Timestamp::now,
        })
    }

    /// Does what the intent says, in one commit, and pushes it. When the branch has moved
    /// meanwhile, the intent is decided anew on the new tip.
    pub(crate) fn apply(&self, intent: &Intent, digests: &dyn Digests) -> anyhow::Result<Outcome> {
        let mut last = String::new();
        let begun = Instant::now();
        for attempt in 0..self.patience.attempts {
            let place = self.queue.as_deref().and_then(queue_up);
            let started = Instant::now();
            let Prepared {
                mut outcome,
                commit,
            } = self.prepare(intent, digests)?;
            let Some(commit) = commit else {
                return Ok(outcome);
            };
            match self.push(&commit)? {
                Pushed::Landed => {
                    outcome.commit = Some(commit);
                    Took::add(&mut outcome.took.record, begun.elapsed());
                    return Ok(outcome);
                }
                Pushed::Moved(words) => last = words,
            }
            drop(place);
            pause((self.patience.pause)(attempt, started.elapsed()));
        }
        fail(
            format!(
                "others changed {} at each of {} attempts: {last}",
                self.branch(),
                self.patience.attempts
            ),
            "run this again: nothing of it was recorded",
        )
    }

    /// Says what [`Self::apply`] would do now.
    pub(crate) fn plan(&self, intent: &Intent, digests: &dyn Digests) -> anyhow::Result<Outcome> {
        Ok(self.decide(intent, digests)?.1.outcome)
    }

    /// Reads the tip of the branch.
    pub(crate) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        self.snapshot_of(&|_, _| true)
    }

    /// Reads what the tip of the branch says of the wanted places: environment and service.
    fn snapshot_of(&self, wanted: &dyn Fn(&str, &str) -> bool) -> anyhow::Result<Snapshot> {
        let Gitops { branch, path, .. } = &self.config.gitops;
        self.fetch(&format!("+refs/heads/{branch}:{TIP}"))?;
        Snapshot::read(&self.tip, TIP, path, wanted)
    }

    /// Reads what a commit of the branch says.
    pub(crate) fn snapshot_at(&self, commit: &str) -> anyhow::Result<Snapshot> {
        let known = self.tip.run(&["cat-file", "-e", commit])?;
        if !known.ok {
            self.fetch(commit)?;
        }
        Snapshot::read(&self.tip, commit, &self.config.gitops.path, &|_, _| true)
    }

    /// Fetches one commit with its files.
    fn fetch(&self, wanted: &str) -> anyhow::Result<()> {
        let fetched = self.tip.run(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--refmap=",
            "--depth=1",
            &self.remote,
            wanted,
        ])?;
        self.reached(fetched)
    }

    /// What of this Argo CD does not call healthy in an environment, and why.
    pub(super) fn unwell(
        &self,
        environment: &str,
        wanted: &[Wanted],
    ) -> anyhow::Result<Vec<String>> {
        argocd::unwell(&Access::of(&self.config.argocd)?, self, environment, wanted)
    }

    /// Everything that was recorded, oldest first, from the commits' trailers.
    pub(crate) fn history(&self) -> anyhow::Result<Vec<Entry>> {
        let mut log = history::LOG.to_vec();
        let tip = self.fetch_commits(
            &self.remote,
            &format!("refs/heads/{}", self.config.gitops.branch),
        )?;
        log.push(&tip);
        let printed = self
            .commits()?
            .run(&log)?
            .output("cannot read the history")?;
        let (entries, wrong) = history::parse(&String::from_utf8_lossy(&printed));
        for commit in wrong {
            eprintln!(
                "warning: commit {commit} has Slipway trailers that make no sense; it is left out"
            );
        }
        Ok(entries)
    }

    /// Decides on the current tip and makes the commit, which nobody sees before it is pushed.
    pub(super) fn prepare(
        &self,
        intent: &Intent,
        digests: &dyn Digests,
    ) -> anyhow::Result<Prepared> {
        let (
            snapshot,
            Decision {
                outcome,
                files,
                message,
            },
            now,
        ) = self.decide(intent, digests)?;
        let commit = match message {
            Some(message) => Some(self.commit(&snapshot, &files, &message, now)?),
            None => None,
        };
        Ok(Prepared { outcome, commit })
    }

    /// Pushes a prepared commit. The remote takes it only on top of the tip that it was made for.
    pub(super) fn push(&self, commit: &str) -> anyhow::Result<Pushed> {
        let branch = format!("{commit}:refs/heads/{}", self.config.gitops.branch);
        let ran = self
            .tip
            .run(&["push", "--porcelain", "--no-verify", &self.remote, &branch])?;
        let printed = String::from_utf8_lossy(&ran.out).into_owned();
        if ran.ok {
            // The same wish of two runs in the same second is the same commit, and the other run
            // landed it.
            let there = printed.lines().any(|line| line.starts_with("=\t"));
            return Ok(if there {
                Pushed::Moved("it is there already".to_owned())
            } else {
                Pushed::Landed
            });
        }
        let status = printed
            .lines()
            .find_map(|line| line.strip_prefix("!\t")?.split_once('\t'));
        match status {
            Some((_, reason)) if says_moved(reason) => Ok(Pushed::Moved(reason.to_owned())),
            Some((_, reason)) if !reason.starts_with("[remote failure]") => {
                fail(
                    format!("{} was not taken by the remote: {reason}: {}", self.branch(), git::remote_words(&ran.words)),
                    "nothing was recorded; the words above are the remote's own. Mend that there (a hook, a protected branch, permissions, disk space) and run this again",
                )
            }
            // The connection broke, before or after the remote took it: only the remote knows.
            _ if self.has_landed(commit).unwrap_or(false) => Ok(Pushed::Landed),
            _ => Err(anyhow::anyhow!("cannot push to {}: {}", self.branch(), ran.words))
                .hint("see that the remote can be reached and written, and run this again: what has already been done is found and left alone"),
        }
    }

    fn decide(
        &self,
        intent: &Intent,
        digests: &dyn Digests,
    ) -> anyhow::Result<(Snapshot, Decision, Timestamp)> {
        let snapshot =
            self.snapshot_of(&|environment, service| intent.concerns(environment, service))?;
        // Whole seconds, as in commits.
        let now = Timestamp::from_second((self.clock)().as_second())?;
        let facts = Facts {
            repository: self,
            environments: &self.config.environments,
            snapshot: &snapshot,
            digests,
            now,
        };
        let decision = decide(intent, &facts)?;
        Ok((snapshot, decision, now))
    }

    fn commit(
        &self,
        snapshot: &Snapshot,
        files: &[(String, String)],
        message: &str,
        now: Timestamp,
    ) -> anyhow::Result<String> {
        let who = format!("{} {} +0000", self.identity()?, now.as_second());
        let mut stream = format!(
            "commit {NEXT}\nmark :1\nauthor {who}\ncommitter {who}\ndata {}\n{message}\nfrom {}\n",
            message.len(),
            snapshot.commit
        );
        for (path, text) in files {
            stream.push_str(&format!(
                "M {} inline {path}\ndata {}\n{text}\n",
                snapshot.mode(path),
                text.len()
            ));
        }
        stream.push_str("\nget-mark :1\ndone\n");
        self.tip
            .run_with(
                &["fast-import", "--quiet", "--force", "--done"],
                stream.into_bytes(),
            )?
            .text("cannot make the commit")
            .hint("nothing was pushed; see that the temporary folder has space, and run this again")
    }

    /// Who the caller is to git: `Name <address>`.
    pub(super) fn identity(&self) -> anyhow::Result<&str> {
        if let Some(known) = self.identity.get() {
            return Ok(known);
        }
        let identity = git::identity(&self.root)?;
        Ok(self.identity.get_or_init(|| identity))
    }

    /// Whether the commit `older` is part of what `newer` was built from.
    pub(super) fn is_ancestor(&self, older: &str, newer: &str) -> anyhow::Result<bool> {
        // This clone knows at once, mostly. A shallow one can only tell yes: its history may be cut
        // in between.
        if in_clone(&self.root, &["merge-base", "--is-ancestor", older, newer])?.ok {
            return Ok(true);
        }
        let shallow = in_clone(&self.root, &["rev-parse", "--is-shallow-repository"])?
            .text("cannot look at this clone")?
            == "true";
        let both = [older, newer].iter().all(|id| {
            in_clone(&self.root, &["cat-file", "-e", &format!("{id}^{{commit}}")])
                .is_ok_and(|ran| ran.ok)
        });
        if both && !shallow {
            return Ok(false);
        }
        let source = remotes(&self.settings)
            .find(|name| *name == "origin")
            .or(remotes(&self.settings).next())
            .unwrap_or(&self.remote);
        self.fetch_commits(source, newer).with_context(|| format!("cannot tell whether {older} is older than the recorded source {newer}")).hint(format!(
            "`git fetch {source} {newer}` and run this again; if history was rewritten and that commit is gone, record the right `release.source` by hand",
        ))?;
        let ancestors = self
            .commits()?
            .run(&["rev-list", newer])?
            .text("cannot list its ancestors")?;
        Ok(ancestors.lines().any(|id| id == older))
    }

    fn has_landed(&self, commit: &str) -> anyhow::Result<bool> {
        let tip = self.fetch_commits(
            &self.remote,
            &format!("refs/heads/{}", self.config.gitops.branch),
        )?;
        let commits = self
            .commits()?
            .run(&["rev-list", &tip])?
            .text("cannot list the branch's commits")?;
        Ok(commits.lines().any(|id| id == commit))
    }

    /// Fetches history without files, and returns what `wanted` stands for.
    fn fetch_commits(&self, remote: &str, wanted: &str) -> anyhow::Result<String> {
        let reference = "refs/slipway/wanted";
        let store = self.commits()?;
        let fetched = store.run(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--refmap=",
            "--filter=tree:0",
            remote,
            &format!("+{wanted}:{reference}"),
        ])?;
        self.reached(fetched)?;
        store
            .run(&["rev-parse", reference])?
            .text("cannot read what was fetched")
    }

    fn commits(&self) -> anyhow::Result<&Store> {
        if self.commits.get().is_none() {
            // Set once: nothing else runs between the look and the set.
            let _already = self.commits.set(Store::create(&self.root, &self.settings)?);
        }
        self.commits.get().context("it was just made")
    }

    fn reached(&self, fetched: git::Ran) -> anyhow::Result<()> {
        let hint = if fetched.words.contains("couldn't find remote ref") {
            "push a first commit to that branch, or name another one: --gitops-branch, or gitops.branch in slipway.toml"
        } else {
            "see that the remote can be reached and read, and run this again: nothing was changed"
        };
        fetched
            .output(&format!("cannot read {}", self.branch()))
            .hint(hint)
            .map(|_| ())
    }

    /// The branch and where it is, for people.
    fn branch(&self) -> String {
        let Gitops { remote, branch, .. } = &self.config.gitops;
        format!("branch {branch} of {}", without_secrets(remote))
    }
}

/// The file on which the runs of this machine for one branch queue.
fn queue_for(gitops: &Gitops) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (&gitops.remote, &gitops.branch).hash(&mut hasher);
    std::env::temp_dir().join(format!("slipway-{:016x}.lock", hasher.finish()))
}

/// Waits for a place in the queue. That is a courtesy: who gets none in good time, or may not open
/// the file, goes on without.
fn queue_up(path: &Path) -> Option<File> {
    let file = File::options().create(true).append(true).open(path).ok()?;
    let until = Instant::now() + Duration::from_secs(30);
    while file.try_lock().is_err() {
        if Instant::now() > until {
            return None;
        }
        pause(Duration::from_millis(10 + fastrand::u64(..10)));
    }
    Some(file)
}
