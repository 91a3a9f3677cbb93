//! Conventional Commits, and the version that follows from them.

use git_conventional::Commit;
use semver::Version;

/// Types that say all there is to say about a change: the changelog leaves them out. A type that is
/// not among them stays part of the subject.
const TYPES: [&str; 10] = [
    "build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "style", "test",
];

/// Where a change stands in the changelog; the later, the more it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Other,
    Fixes,
    Features,
    Breaking,
}

/// One line of a changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) section: Section,
    pub(super) scope: Option<String>,
    pub(super) subject: String,
    /// The commit, abbreviated.
    pub(super) commit: String,
}

/// The version after this one. Below 1.0 nothing is stable yet, so that what breaks is a minor
/// change (SemVer 2.0, item 4).
pub(super) fn bump(version: &Version, most: Section) -> Version {
    let Version {
        major,
        minor,
        patch,
        ..
    } = *version;
    match most {
        Section::Breaking if major > 0 => Version::new(major + 1, 0, 0),
        Section::Breaking | Section::Features => Version::new(major, minor + 1, 0),
        Section::Fixes | Section::Other => Version::new(major, minor, patch + 1),
    }
}

/// What a commit changes, by its message. A squash lists in its body what it was made of, and a
/// merge of a pull request has its title there. A merge that says nothing of its own changes
/// nothing: the commits that it brings count themselves.
pub(super) fn changes(commit: &str, message: &str, merge: bool) -> Vec<Change> {
    let commit = commit.get(..8).unwrap_or(commit);
    let mut lines = message
        .lines()
        .map(str::trim)
        .skip_while(|line| line.is_empty());
    let first = lines.next().unwrap_or_default();
    let header = header(commit, first);
    let says_nothing = merge && header.is_none();
    let reverts = first.starts_with("Revert ") || first.starts_with("revert");
    let mut changes = vec![header.unwrap_or_else(|| Change {
        section: Section::Other,
        scope: None,
        subject: first.to_owned(),
        commit: commit.to_owned(),
    })];
    for line in lines {
        let line = line.trim_start_matches(['*', '-', '•', ' ']);
        if is_breaking(line) {
            if let Some(last) = changes.last_mut() {
                last.section = Section::Breaking;
            }
        } else if !reverts
            && let Some(change) = self::header(commit, line)
            && change.section > Section::Other
            && !repeats(&changes[0], &change)
        {
            changes.push(change);
        }
    }
    if says_nothing && changes[0].section == Section::Other {
        changes.remove(0);
    }
    changes
}

/// Reads `type(scope)!: subject`.
fn header(commit: &str, line: &str) -> Option<Change> {
    let parsed = Commit::parse(line).ok()?;
    let is = |known: &str| parsed.type_().as_str().eq_ignore_ascii_case(known);
    let known = TYPES.into_iter().any(is);
    let revert = is("revert");
    if !known && !revert {
        return None;
    }
    let section = match () {
        () if parsed.breaking() => Section::Breaking,
        () if is("feat") => Section::Features,
        () if is("fix") => Section::Fixes,
        () => Section::Other,
    };
    let scope = parsed
        .scope()
        .filter(|_| known)
        .map(|scope| scope.as_str().trim().to_owned());
    Some(Change {
        section,
        scope: scope.filter(|scope| !scope.is_empty()),
        subject: if known { parsed.description() } else { line }
            .trim()
            .to_owned(),
        commit: commit.to_owned(),
    })
}

/// Whether a line begins the footer for what breaks, which unlike all else is in capitals.
fn is_breaking(line: &str) -> bool {
    ["BREAKING CHANGE", "BREAKING-CHANGE"].iter().any(|token| {
        line.strip_prefix(token)
            .is_some_and(|rest| rest.starts_with(':') || rest.starts_with(" #"))
    })
}

/// Whether a squash's body says again what its subject says, up to the pull request's number.
fn repeats(first: &Change, change: &Change) -> bool {
    let rest = first.subject.strip_prefix(&change.subject);
    first.section >= change.section
        && first.scope == change.scope
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" (#"))
}
