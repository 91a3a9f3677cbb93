//! The target environment's policy.yaml.

use jiff::Timestamp;

use crate::world::{World, git};

const POLICY: &str = "gitops/environments/production/policy.yaml";

fn now_and(seconds: i64) -> String {
    Timestamp::from_second(Timestamp::now().as_second() + seconds)
        .expect("a time")
        .to_string()
}

#[test]
fn what_has_not_soaked_stays_and_says_for_how_long() {
    let world = World::new();
    world.commit(
        "chore: a policy",
        &[(POLICY, "source: staging\nsoak: 1h\n")],
    );
    world.stage_at("catalog", "1.0.0", &now_and(-1800));
    let tip = world.tip();
    let ran = world
        .promote("catalog")
        .failed("staging has to run these for 1h before production takes them: catalog 1.0.0 (");
    assert!(ran.stderr.contains("to go)"), "{}", ran.stderr);
    assert_eq!(world.tip(), tip);
    world.stage_at("catalog", "1.1.0", &now_and(-3601));
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
}

#[test]
fn a_freeze_is_passed_by_breaking_the_glass_which_is_recorded() {
    let world = World::new();
    let until = Timestamp::now()
        .to_zoned_datetime(jiff::tz::TimeZone::UTC)
        .date()
        .tomorrow()
        .expect("a day");
    let policy = format!(
        "freezes:\n  - from: 2020-01-01 00:00\n    to: {until} 12:00\n    zone: UTC\n    reason: the audit\n"
    );
    world.commit("chore: a policy", &[(POLICY, &policy)]);
    world.stage("catalog", "1.0.0");
    let ran = world
        .promote("catalog")
        .failed("production is frozen until");
    assert!(
        ran.stderr.contains("the audit") && ran.stderr.contains("--break-glass"),
        "{}",
        ran.stderr
    );
    let ran = world
        .run(&[
            "promote",
            "catalog",
            "--from",
            "staging",
            "--to",
            "production",
            "--break-glass",
            "INC-7:\nlost orders",
            "--json",
        ])
        .ok();
    assert_eq!(ran.action(), "promoted");
    let message = git(&world.remote(), &["log", "-1", "--format=%B", "main"]);
    assert!(
        message.contains("\nSlipway-Break-Glass: INC-7: lost orders\n"),
        "{message}"
    );
}

#[test]
fn only_the_source_environment_is_taken_from() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    world.commit("chore: a policy", &[(POLICY, "source: canary\n")]);
    world
        .promote("catalog")
        .failed("production takes nothing from staging");
    world
        .run(&[
            "promote",
            "catalog",
            "--from",
            "production",
            "--to",
            "staging",
        ])
        .failed("staging takes no promotions");
}

#[test]
fn a_policy_that_is_wrong_lets_nothing_through() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    world.commit(
        "chore: a policy",
        &[(POLICY, "source: staging\nfreeezes: []\n")],
    );
    world
        .promote("catalog")
        .failed("policy.yaml:2: unknown key `freeezes`");
}

#[test]
fn a_hold_whose_time_is_over_holds_nothing() {
    let world = World::new();
    for version in ["1.0.0", "1.1.0"] {
        world.stage("catalog", version);
        world.promote("catalog").ok();
    }
    world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "INC-7",
            "--hold-until",
            "1h",
        ])
        .ok();
    let path = "gitops/environments/production/catalog/image.yaml";
    let record = world.file(path);
    let until = record
        .lines()
        .find(|line| line.contains("until:"))
        .expect("an expiry");
    let over = record.replace(until, &format!("    until: \"{}\"", now_and(-1)));
    world.commit("chore: time passes", &[(path, &(over + "\n"))]);
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
    assert!(!world.file(path).contains("hold"));
}
