//! What a message means, and what becomes of it in a changelog and a tag.

use proptest::prelude::*;
use semver::Version;

use crate::version::{
    changelog::{parse, sections},
    commits::{Change, Section, bump, changes},
    tags,
};

/// The highest section, and all subjects.
fn read(message: &str) -> (Option<Section>, Vec<String>) {
    let changes = changes("0123456789", message, false);
    let most = changes.iter().map(|change| change.section).max();
    let subjects = changes.into_iter().map(|change| change.subject);
    (most, subjects.collect())
}

fn one(message: &str) -> Section {
    let (most, subjects) = read(message);
    assert_eq!(subjects.len(), 1, "{message:?} is {subjects:?}");
    most.expect("one")
}

#[test]
fn types_marks_and_footers_decide() {
    for (message, section) in [
        ("feat: a", Section::Features),
        ("Feat(catalog): a", Section::Features),
        ("fix: a\n\nBecause it was wrong.", Section::Fixes),
        ("docs: a", Section::Other),
        ("feat!: a", Section::Breaking),
        ("chore(api)!: a", Section::Breaking),
        ("fix: a\n\nBREAKING CHANGE: b", Section::Breaking),
        (
            "fix: a\n\nwhy\n\nRefs: #1\nBREAKING-CHANGE: b\nSigned-off-by: A <a@b>",
            Section::Breaking,
        ),
        ("fix: a\n\nBREAKING CHANGE #b", Section::Breaking),
        ("fix: a\r\n\r\nBREAKING CHANGE: b\r\n", Section::Breaking),
        // A message that is not conventional can still say that it breaks something.
        (
            "Drop the old listing\n\nBREAKING CHANGE: it is gone",
            Section::Breaking,
        ),
        (
            "fix: a\n\nThis is no BREAKING CHANGE: nothing moves",
            Section::Fixes,
        ),
        ("fix: a\n\nbreaking change: b", Section::Fixes),
        ("fix: a\n\nBREAKING CHANGES: b", Section::Fixes),
        // Malformed.
        ("feat a", Section::Other),
        ("feature: a", Section::Other),
        ("feat (catalog): a", Section::Other),
        ("feat(catalog: a", Section::Other),
        ("feat:", Section::Other),
        ("fixup! feat: a", Section::Other),
        ("http://example.org: a", Section::Other),
        ("", Section::Other),
        ("\u{feff}feat: a", Section::Other),
        // Reverts are not what they revert.
        (
            "Revert \"feat: a\"\n\nThis reverts commit 0123456.",
            Section::Other,
        ),
        ("revert: feat: a\n\nfeat: a\nfix: b", Section::Other),
        ("revert!: a", Section::Breaking),
    ] {
        assert_eq!(one(message), section, "{message:?}");
    }
}

#[test]
fn a_squash_counts_by_what_it_lists() {
    let message = "Add reservations (#12)\n\n* chore: begin\n\n* fix(stock): count\n\nMore words.\n\n* feat: reserve\n";
    let (most, subjects) = read(message);
    assert_eq!(most, Some(Section::Features));
    assert_eq!(subjects, ["Add reservations (#12)", "count", "reserve"]);

    // One commit, whose subject became the title.
    let (_, subjects) = read("feat: reserve (#12)\n\n* feat: reserve\n\n* fix: count\n");
    assert_eq!(subjects, ["reserve (#12)", "count"]);

    let (most, _) = read("fix: count (#12)\n\n- fix: count\n- feat!: drop\n");
    assert_eq!(most, Some(Section::Breaking));
}

#[test]
fn a_merge_says_what_it_brings_or_nothing() {
    let merge = |message| changes("0123456789", message, true);
    assert_eq!(merge("Merge branch 'x' into main"), []);
    assert_eq!(merge("Merge pull request #1 from a/b\n\nWords"), []);
    let title = merge("Merge pull request #1 from a/b\n\nfeat: reserve");
    assert_eq!(title.len(), 1);
    assert_eq!(title[0].subject, "reserve");
    assert_eq!(merge("feat: reserve").len(), 1);
    let breaking = merge("Merge branch 'x'\n\nBREAKING CHANGE: y");
    assert_eq!(breaking[0].section, Section::Breaking);
}

#[test]
fn a_changelog_is_markdown_that_shows_what_was_written() {
    let messages = [
        "feat(api)!: drop `v1` <script>alert(1)</script>",
        "feat: 1. list * of [things](http://x)",
        "fix(stock): count_all & more",
        "Add things",
    ];
    let all: Vec<Change> = messages
        .iter()
        .flat_map(|message| changes("0123456789", message, false))
        .collect();
    assert_eq!(
        sections(&all),
        "### Breaking

- **api**: drop \\`v1\\` \\<script\\>alert(1)\\</script\\> (01234567)

### Features

- 1\\. list \\* of \\[things\\](http://x) (01234567)

### Fixes

- **stock**: count\\_all \\& more (01234567)

### Other

- Add things (01234567)"
    );
}

#[test]
fn similar_names_are_other_tags() {
    for name in [
        "catalog-v2-v1.0.0",
        "catalog-vnext",
        "orders-catalog-v1.0.0",
        "catalog-v1.0",
        "catalog-v1.0.0-rc.1",
        "catalog-v1.0.0+build",
        "catalog-v01.0.0",
        "catalog-v1.0.0 ",
        "catalog-V1.0.0",
        "catalog-vv1.0.0",
        "catalog-v",
        "v1.0.0",
        "catalog-v99999999999999999999.0.0",
        "team/catalog-v1.0.0",
    ] {
        assert_eq!(tags::version("catalog", name), None, "{name}");
    }
    let version = Some(Version::new(1, 0, 0));
    assert_eq!(tags::version("catalog", "catalog-v1.0.0"), version);
    assert_eq!(tags::version("catalog-v2", "catalog-v2-v1.0.0"), version);
}

fn section() -> impl Strategy<Value = Section> {
    proptest::sample::select(vec![
        Section::Other,
        Section::Fixes,
        Section::Features,
        Section::Breaking,
    ])
}

fn version() -> impl Strategy<Value = Version> {
    (0_u64..50, 0_u64..50, 0_u64..50)
        .prop_map(|(major, minor, patch)| Version::new(major, minor, patch))
}

/// What can stand in a line of a message, after trimming.
fn text() -> impl Strategy<Value = String> {
    "[^\\p{C}\\p{Z}](?:[^\\p{C}]{0,40}[^\\p{C}\\p{Z}])?"
}

fn any_changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (
        section(),
        proptest::option::of(text()),
        text(),
        "[0-9a-f]{8}",
    )
        .prop_map(|(section, scope, subject, commit)| Change {
            section,
            scope,
            subject,
            commit,
        });
    proptest::collection::vec(change, 0..8)
}

proptest! {
    #[test]
    fn a_bump_is_the_smallest_step_that_says_enough(version in version(), most in section()) {
        let next = bump(&version, most);
        prop_assert!(next > version);
        let expected = match most {
            Section::Breaking if version.major > 0 => (version.major + 1, 0, 0),
            Section::Breaking | Section::Features => (version.major, version.minor + 1, 0),
            _ => (version.major, version.minor, version.patch + 1),
        };
        prop_assert_eq!((next.major, next.minor, next.patch), expected);
    }

    #[test]
    fn more_never_gives_less(version in version(), one in section(), other in section()) {
        let (low, high) = (one.min(other), one.max(other));
        prop_assert!(bump(&version, low) <= bump(&version, high));
    }

    #[test]
    fn any_message_means_something(message in "(?s).{0,200}", merge in any::<bool>()) {
        let found = changes("0123456789", &message, merge);
        prop_assert!(merge || !found.is_empty());
        prop_assert!(found.iter().all(|change| !change.subject.contains('\n')));
    }

    #[test]
    fn a_conventional_message_is_read_back(
        kind in "feat|fix|docs|perf",
        scope in proptest::option::of("[a-z-]{1,8}"),
        mark in any::<bool>(),
        subject in "[a-z]{1,8}( [a-z]{1,8}){0,4}",
    ) {
        let scoped = scope.as_ref().map(|scope| format!("({scope})")).unwrap_or_default();
        let bang = if mark { "!" } else { "" };
        let found = changes("0123456789", &format!("{kind}{scoped}{bang}: {subject}"), false);
        prop_assert_eq!(found.len(), 1);
        let section = match kind.as_str() {
            _ if mark => Section::Breaking,
            "feat" => Section::Features,
            "fix" => Section::Fixes,
            _ => Section::Other,
        };
        let commit = "01234567".to_owned();
        prop_assert_eq!(&found[0], &Change { section, scope, subject, commit });
    }

    #[test]
    fn tags_are_read_back_and_nothing_else_is(service in "[a-z][a-z0-9-]{0,10}", version in version(), other in "[a-z0-9.v-]{0,12}") {
        let name = tags::name(&service, &version);
        prop_assert_eq!(tags::version(&service, &name), Some(version));
        if let Some(found) = tags::version(&service, &other) {
            prop_assert_eq!(tags::name(&service, &found), other.clone());
        }
        prop_assert_eq!(tags::version(&service, &format!("{other}-{name}")), None);
    }

    #[test]
    fn a_changelog_and_a_tag_are_read_back(found in any_changes(), version in version(), key in "[0-9a-f]{64}") {
        let text = sections(&found);
        let mut sorted = found;
        sorted.sort_by_key(|change| std::cmp::Reverse(change.section));
        prop_assert_eq!(parse(&text), sorted);

        let digest = format!("sha256:{key}");
        let message = tags::message("catalog", &version, &text, &key, &digest);
        let object = format!("object {key}\ntype commit\ntag x\ntagger A B <a@b> 1700000000 +0000\n\n{message}");
        let tag = tags::parse(&object).expect("a tag");
        prop_assert_eq!(tag.made, Some((key, digest)));
        prop_assert_eq!(tag.changelog, text);
        prop_assert_eq!(tag.at.as_second(), 1_700_000_000);
    }
}
