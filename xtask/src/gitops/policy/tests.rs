use super::Policy;
use crate::gitops::yaml::Yaml;

fn policy(text: &str) -> anyhow::Result<Policy> {
    Policy::read(&Yaml::parse("policy.yaml", text)?)
}

fn frozen_until(text: &str, now: &str) -> Option<String> {
    let policy = policy(text).expect("a policy");
    let frozen = policy.frozen(now.parse().expect("a time"))?;
    Some(frozen.until.timestamp().to_string())
}

const WEEKEND: &str =
    "freezes:\n  - {from: Fri 16:00, to: Monday 08:00, zone: Europe/Berlin, reason: weekend}\n";

#[test]
fn a_weekly_freeze_starts_and_ends_by_the_clock_on_the_wall() {
    // Winter: Berlin is UTC+1.
    assert_eq!(frozen_until(WEEKEND, "2026-01-30T14:59:59Z"), None);
    assert_eq!(
        frozen_until(WEEKEND, "2026-01-30T15:00:00Z").as_deref(),
        Some("2026-02-02T07:00:00Z")
    );
    assert_eq!(
        frozen_until(WEEKEND, "2026-02-02T06:59:59Z").as_deref(),
        Some("2026-02-02T07:00:00Z")
    );
    assert_eq!(frozen_until(WEEKEND, "2026-02-02T07:00:00Z"), None);
    // The clocks change within: 2026-03-29 to UTC+2, 2026-10-25 back to UTC+1.
    assert_eq!(
        frozen_until(WEEKEND, "2026-03-27T15:00:00Z").as_deref(),
        Some("2026-03-30T06:00:00Z")
    );
    assert_eq!(frozen_until(WEEKEND, "2026-03-30T06:00:00Z"), None);
    assert_eq!(
        frozen_until(WEEKEND, "2026-10-23T14:00:00Z").as_deref(),
        Some("2026-10-26T07:00:00Z")
    );
}

#[test]
fn a_freeze_within_a_day_and_one_over_almost_a_week() {
    let lunch = "freezes:\n  - {from: Tue 12:00, to: Tue 13:00, zone: UTC, reason: lunch}\n";
    assert_eq!(frozen_until(lunch, "2026-02-03T11:59:00Z"), None);
    assert_eq!(
        frozen_until(lunch, "2026-02-03T12:30:00Z").as_deref(),
        Some("2026-02-03T13:00:00Z")
    );
    let but_lunch = "freezes:\n  - {from: Tue 13:00, to: Tue 12:00, zone: UTC, reason: work}\n";
    assert_eq!(
        frozen_until(but_lunch, "2026-02-03T11:59:00Z").as_deref(),
        Some("2026-02-03T12:00:00Z")
    );
    assert_eq!(frozen_until(but_lunch, "2026-02-03T12:30:00Z"), None);
    assert_eq!(
        frozen_until(but_lunch, "2026-02-03T13:00:00Z").as_deref(),
        Some("2026-02-10T12:00:00Z")
    );
}

#[test]
fn times_that_the_clocks_skip_or_repeat_still_make_a_window() {
    // 02:30 does not exist on 2026-03-29 in Berlin, and comes twice on 2026-10-25.
    let skipped = "freezes:\n  - {from: 2026-03-29 02:30, to: 2026-03-29 05:00, zone: Europe/Berlin, reason: x}\n";
    assert_eq!(frozen_until(skipped, "2026-03-29T01:29:00Z"), None);
    assert_eq!(
        frozen_until(skipped, "2026-03-29T01:30:00Z").as_deref(),
        Some("2026-03-29T03:00:00Z")
    );
    let repeated = "freezes:\n  - {from: 2026-10-25 02:30, to: 2026-10-25 05:00, zone: Europe/Berlin, reason: x}\n";
    assert_eq!(
        frozen_until(repeated, "2026-10-25T00:30:00Z").as_deref(),
        Some("2026-10-25T04:00:00Z")
    );
}

#[test]
fn of_several_freezes_the_one_that_ends_last_counts() {
    let text = format!(
        "{WEEKEND}  - {{from: 2026-01-31 00:00, to: 2026-02-10T00:00, zone: America/New_York, reason: audit}}\n"
    );
    assert_eq!(
        frozen_until(&text, "2026-01-31T12:00:00Z").as_deref(),
        Some("2026-02-10T05:00:00Z")
    );
}

#[test]
fn the_rest_of_a_policy() {
    let policy =
        policy("source: staging\nsoak: 1h 30m\nhealth: required\nfreezes: []\n").expect("a policy");
    assert_eq!(policy.source.as_deref(), Some("staging"));
    assert_eq!(policy.soak.as_secs(), 5400);
    assert!(policy.health);
}

#[test]
fn a_policy_that_would_check_nothing_is_an_error() {
    for (text, message) in [
        (
            "freezes:\n  - {from: 2026-01-01 08:00, to: 9999-12-31 23:59, zone: America/New_York, reason: x}\n",
            "policy.yaml:2: `from` and `to` make no window",
        ),
        ("soek: 1h\n", "policy.yaml:1: unknown key `soek`"),
        (
            "source: staging\nsoak: an hour\n",
            "policy.yaml:2: `soak` is not a duration",
        ),
        ("health: maybe\n", "policy.yaml:1: `health` is not known"),
        (
            "freezes:\n  - {from: Fri 16:00, to: Mon 08:00, zone: Europe/Berlinn, reason: x}\n",
            "policy.yaml:2: the time zone \"Europe/Berlinn\" is not known",
        ),
        (
            "freezes:\n  - {from: Fri 16:00, to: 2026-01-01 08:00, zone: UTC, reason: x}\n",
            "policy.yaml:2: `from` and `to` make no window",
        ),
        (
            "freezes:\n  - {from: Fri 16:00, to: Fri 16:00, zone: UTC, reason: x}\n",
            "policy.yaml:2: `from` and `to` make no window",
        ),
        (
            "freezes:\n  - {from: Fri 25:00, to: Sat 16:00, zone: UTC, reason: x}\n",
            "policy.yaml:2: `from` and `to` make no window",
        ),
        (
            "freezes:\n  - {from: Fri 16:00, to: Sat 16:00, reason: x}\n",
            "policy.yaml:2: `zone` is missing",
        ),
        (
            "freezes:\n  from: Fri 16:00\n",
            "policy.yaml:2: expected a list",
        ),
    ] {
        let error = policy(text).expect_err("a wrong policy");
        assert_eq!(
            error.chain().nth(1).expect("a message").to_string(),
            message
        );
    }
}
