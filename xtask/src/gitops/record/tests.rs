use proptest::{prop_assert_eq, proptest};

use super::{Hold, Record};
use crate::gitops::yaml::Yaml;

fn record() -> Record {
    Record {
        repository: "registry.example/slipway/catalog".to_owned(),
        tag: "1.4.2".to_owned(),
        digest: format!("sha256:{}", "a".repeat(64)),
        key: "0".repeat(64),
        source: "c".repeat(40),
        at: "2026-01-31T12:00:00Z".parse().expect("a time"),
        hold: None,
    }
}

fn read(text: &str) -> anyhow::Result<Option<Record>> {
    Record::read(&Yaml::parse("catalog/image.yaml", text)?)
}

fn write(record: &Record, old: Option<&str>) -> String {
    record.write("catalog/image.yaml", old).expect("the edit")
}

#[test]
fn a_new_file_looks_as_designed() {
    let text = write(&record(), None);
    let expected = format!(
        "image:\n  repository: registry.example/slipway/catalog\n  tag: \"1.4.2\"\n  digest: sha256:{}\nrelease:\n  key: \"{}\"\n  source: {}\n  at: \"2026-01-31T12:00:00Z\"\n",
        "a".repeat(64),
        "0".repeat(64),
        "c".repeat(40)
    );
    assert_eq!(text, expected);
    assert_eq!(read(&text).expect("a record"), Some(record()));
}

#[test]
fn a_file_that_a_person_prepared_is_filled_in() {
    let prepared = "# Written by cargo xtask.\nimage: {repository: x, pullPolicy: Always}\n";
    assert_eq!(read(prepared).expect("no record yet"), None);
    let text = write(&record(), Some(prepared));
    assert!(text.starts_with("# Written by cargo xtask.\nimage: {repository: registry.example/slipway/catalog, pullPolicy: Always, tag: \"1.4.2\""));
    assert_eq!(read(&text).expect("a record"), Some(record()));
    assert!(write(&record(), Some("# Nothing yet")).starts_with("# Nothing yet\nimage:\n"));
}

#[test]
fn a_hold_comes_and_goes_without_a_trace() {
    let before = write(&record(), None);
    let hold = Hold {
        reason: "INC-7: \"prices\" are wrong # really".to_owned(),
        until: Some("2026-02-01T08:00:00Z".parse().expect("a time")),
        by: "Ada <ada@example.org>".to_owned(),
    };
    let held = Record {
        hold: Some(hold),
        ..record()
    };
    let text = write(&held, Some(&before));
    assert_eq!(read(&text).expect("a record"), Some(held.clone()));
    assert_eq!(write(&record(), Some(&text)), before);
    assert!(
        held.held("2026-02-01T07:59:59Z".parse().expect("a time"))
            .is_some()
    );
    assert!(
        held.held("2026-02-01T08:00:00Z".parse().expect("a time"))
            .is_none()
    );
}

#[test]
fn a_record_that_is_wrong_names_file_and_line() {
    let good = write(&record(), None);
    for (old, new, message) in [
        (
            "sha256:a",
            "sha512:a",
            "catalog/image.yaml:4: `image.digest` cannot be \"sha512:aa",
        ),
        (
            "source: c",
            "source: --c",
            "catalog/image.yaml:7: `release.source` cannot be \"--cc",
        ),
        (
            "2026-01-31",
            "yesterday",
            "catalog/image.yaml:8: `release.at` cannot be \"yesterday",
        ),
        (
            "  tag: \"1.4.2\"\n",
            "",
            "catalog/image.yaml:2: `image.tag` is missing",
        ),
    ] {
        let error = read(&good.replace(old, new)).expect_err("a wrong record");
        let said = error.chain().nth(1).expect("a message").to_string();
        assert!(said.starts_with(message), "{said}");
    }
}

proptest! {
    #[test]
    fn any_versions_and_reasons_read_back(tag in "[!-,.-~][!-~]{0,12}", reason in ".{1,40}", by in "\\PC{1,20}") {
        let wanted = Record { tag, hold: Some(Hold { reason, until: None, by }), ..record() };
        let text = write(&wanted, Some(&write(&record(), None)));
        prop_assert_eq!(read(&text).expect("a record"), Some(wanted));
    }
}
