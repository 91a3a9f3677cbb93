use std::time::Duration;

use jiff::Timestamp;

use super::Dora;
use crate::gitops::history::{Action, Entry};

fn at(text: &str) -> Timestamp {
    format!("2026-01-{text}:00Z").parse().expect("a time")
}

fn entry(when: &str, action: Action, environment: &str, version: &str) -> Entry {
    Entry {
        commit: format!("{when}{environment}"),
        at: at(when),
        by: "Ada".to_owned(),
        action,
        environment: environment.to_owned(),
        service: "catalog".to_owned(),
        version: version.to_owned(),
        digest: format!("digest of {version}"),
        key: String::new(),
        source: format!("source of {version}"),
        committed: None,
        fix: None,
    }
}

fn released(when: &str, committed: &str, version: &str) -> Entry {
    Entry {
        committed: Some(at(committed)),
        ..entry(when, Action::Release, "staging", version)
    }
}

fn compute(history: &[Entry]) -> Dora {
    Dora::compute(
        history,
        "production",
        at("01T00:00"),
        at("31T00:00"),
        Duration::from_secs(86_400),
    )
}

#[test]
fn nothing_deployed_is_no_data() {
    let dora = compute(&[released("02T00:00", "01T00:00", "1.0.0")]);
    assert_eq!(
        (dora.deployment_frequency.value, dora.deployment_frequency.n),
        (None, 0)
    );
    assert_eq!(dora.lead_time.value, None);
    assert_eq!(dora.change_failure_rate.value, None);
    assert_eq!(dora.time_to_restore.value, None);
}

#[test]
fn a_rollback_fails_what_it_takes_back() {
    let dora = compute(&[
        released("02T00:00", "01T12:00", "1.0.0"),
        entry("02T12:00", Action::Promote, "production", "1.0.0"),
        released("03T00:00", "02T23:00", "1.1.0"),
        entry("03T01:00", Action::Promote, "production", "1.1.0"),
        entry("03T03:00", Action::Rollback, "production", "1.0.0"),
        entry("04T00:00", Action::Resume, "production", "1.0.0"),
        entry("05T00:00", Action::Promote, "production", "1.1.0"),
        // One more rollback of the same service finds nothing that failed a second time.
        entry("05T01:00", Action::Rollback, "production", "1.0.0"),
        entry("05T02:00", Action::Rollback, "production", "0.9.0"),
    ]);
    assert_eq!(dora.deployment_frequency.n, 3);
    assert_eq!(dora.deployment_frequency.value, Some(3.0 / 30.0));
    // 24 h and 2 h; the second promotion of 1.1.0 brought no new change.
    assert_eq!(
        (dora.lead_time.value, dora.lead_time.n),
        (Some(13 * 3600), 2)
    );
    assert_eq!(dora.change_failure_rate.value, Some(2.0 / 3.0));
    assert_eq!(
        (dora.time_to_restore.value, dora.time_to_restore.n),
        (Some(5400), 2)
    );
    assert_eq!(
        dora.time_to_restore.events[0].restored_commit,
        "03T03:00production"
    );
}

#[test]
fn a_fix_fails_what_it_replaces_when_it_is_marked_and_comes_in_time() {
    let fix = |when, version| Entry {
        fix: Some("INC-7".to_owned()),
        ..entry(when, Action::Promote, "production", version)
    };
    let dora = compute(&[
        entry("02T00:00", Action::Promote, "production", "1.0.0"),
        entry("02T01:00", Action::Promote, "production", "1.0.1"),
        fix("02T02:00", "1.0.2"),
        fix("04T00:00", "1.0.3"),
    ]);
    assert_eq!(dora.change_failure_rate.events.len(), 1);
    assert_eq!(
        dora.change_failure_rate.events[0].deployment.version,
        "1.0.1"
    );
    assert_eq!(dora.change_failure_rate.value, Some(0.25));
    assert_eq!(dora.time_to_restore.value, Some(3600));
}

#[test]
fn what_happened_before_the_time_is_known_but_not_counted() {
    let history = [
        entry("02T00:00", Action::Promote, "production", "1.0.0"),
        entry("10T00:00", Action::Rollback, "production", "0.9.0"),
    ];
    let dora = Dora::compute(
        &history,
        "production",
        at("05T00:00"),
        at("31T00:00"),
        Duration::from_secs(1),
    );
    assert_eq!(
        (dora.deployment_frequency.n, dora.change_failure_rate.value),
        (0, None)
    );
    assert_eq!(dora.time_to_restore.n, 1);
}
