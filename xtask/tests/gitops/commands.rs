//! What the commands do and print.

use crate::world::World;

#[test]
fn a_service_goes_to_production_and_back_and_forth() {
    let world = World::new();
    let first = world.stage("catalog", "1.0.0");
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
    let second = world.stage("catalog", "1.1.0");
    let promoted = world.promote("catalog").ok();
    let outcome = promoted.json();
    assert_eq!(outcome["environment"], "production");
    assert_eq!(outcome["commit"], world.tip());
    let service = &outcome["services"][0];
    assert_eq!(
        (&service["version"], &service["digest"], &service["reused"]),
        (&"1.1.0".into(), &second.clone().into(), &true.into())
    );
    assert!(
        world
            .file("gitops/environments/production/catalog/image.yaml")
            .contains(&second)
    );

    // Again: nothing to do, no commit.
    let tip = world.tip();
    let again = world.promote("catalog").ok();
    assert_eq!(
        (again.action(), again.json()["commit"].clone()),
        ("unchanged".to_owned(), serde_json::Value::Null)
    );
    assert_eq!(world.tip(), tip);

    let back = world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "INC-7: it's \"wrong\"",
            "--hold-until",
            "2h",
            "--json",
        ])
        .ok();
    assert_eq!(
        (
            back.action().as_str(),
            &back.json()["services"][0]["digest"]
        ),
        ("rolled-back", &first.clone().into())
    );
    let record = world.file("gitops/environments/production/catalog/image.yaml");
    assert!(
        record.contains("  hold:\n    reason: \"INC-7: it's \\\"wrong\\\"\"\n    until: \"20"),
        "{record}"
    );
    assert!(record.contains("by: \"Ada <ada@example.org>\""), "{record}");

    // Held: a second rollback and a promotion leave it alone.
    let tip = world.tip();
    assert_eq!(
        world
            .run(&[
                "rollback",
                "catalog",
                "--env",
                "production",
                "--reason",
                "INC-7",
                "--json"
            ])
            .ok()
            .action(),
        "unchanged"
    );
    let held = world.promote("catalog").ok();
    assert_eq!(held.action(), "held");
    assert!(
        held.stderr.contains("held in production until") && held.stderr.contains("INC-7"),
        "{}",
        held.stderr
    );
    assert_eq!(world.tip(), tip);

    let status = world.run(&["status", "--json"]).ok().json();
    let row = &status[1];
    assert_eq!(
        (&row["environment"], &row["version"], &row["by"]),
        (
            &"production".into(),
            &"1.0.0".into(),
            &"Ada <ada@example.org>".into()
        )
    );
    assert_eq!(row["behind"], serde_json::json!(["1.1.0"]));
    assert!(
        row["hold"]["reason"]
            .as_str()
            .expect("a reason")
            .starts_with("INC-7")
    );
    assert_eq!(status[0]["behind"], serde_json::Value::Null);

    assert_eq!(
        world
            .run(&["resume", "catalog", "--env", "production", "--json"])
            .ok()
            .action(),
        "resumed"
    );
    assert_eq!(
        world
            .run(&["resume", "catalog", "--env", "production", "--json"])
            .ok()
            .action(),
        "unchanged"
    );
    assert!(
        !world
            .file("gitops/environments/production/catalog/image.yaml")
            .contains("hold")
    );
    assert_eq!(world.promote("catalog").ok().action(), "promoted");

    let dora = world.run(&["dora", "--json"]).ok().json();
    assert_eq!(dora["deployment_frequency"]["n"], 3);
    assert_eq!(dora["lead_time"]["n"], 2);
    assert_eq!(dora["change_failure_rate"]["events"][0]["version"], "1.1.0");
    assert_eq!(dora["time_to_restore"]["n"], 1);
}

#[test]
fn people_get_tables_and_nothing_deployed_is_no_data() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let dora = world.run(&["dora"]).ok();
    assert_eq!(dora.stdout.matches("no data").count(), 4, "{}", dora.stdout);
    let status = world.run(&["status"]).ok();
    assert!(
        status.stdout.starts_with("environment  service  version"),
        "{}",
        status.stdout
    );
    let promoted = world
        .run(&[
            "promote",
            "--all",
            "--from",
            "staging",
            "--to",
            "production",
        ])
        .ok();
    assert!(
        promoted.stdout.contains("catalog  promoted  1.0.0"),
        "{}",
        promoted.stdout
    );
}

#[test]
fn a_dry_run_says_the_same_and_records_nothing() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let tip = world.tip();
    let dry = world
        .run(&[
            "promote",
            "--all",
            "--from",
            "staging",
            "--to",
            "production",
            "--dry-run",
            "--json",
        ])
        .ok();
    assert_eq!(dry.action(), "promoted");
    assert_eq!(dry.json()["commit"], serde_json::Value::Null);
    assert_eq!(world.tip(), tip);
}

#[test]
fn all_services_go_in_one_commit() {
    let world = World::new();
    for service in ["catalog", "gateway", "orders"] {
        world.stage(service, "1.0.0");
    }
    let before = world.tip();
    let ran = world
        .run(&[
            "promote",
            "--all",
            "--from",
            "staging",
            "--to",
            "production",
            "--json",
        ])
        .ok();
    assert_eq!(ran.json()["services"].as_array().expect("a list").len(), 3);
    assert_eq!(
        crate::world::git(
            &world.remote(),
            &["rev-list", "--count", &format!("{before}..main")]
        ),
        "1"
    );
}

#[test]
fn rollback_names_what_it_can_go_to_and_checks_that_the_digest_is_there() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "x",
        ])
        .failed("runs no service `catalog`");
    world.promote("catalog").ok();
    world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "x",
        ])
        .failed("no earlier release");
    let second = world.stage("catalog", "1.1.0");
    world.promote("catalog").ok();
    world.stage("catalog", "1.2.0");
    world.promote("catalog").ok();
    world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--to",
            "9.9.9",
            "--reason",
            "x",
        ])
        .failed("--to takes one of 1.0.0, 1.1.0");
    world.registry.delete("catalog", &second);
    let tip = world.tip();
    world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "x",
        ])
        .failed("the registry no longer has");
    assert_eq!(world.tip(), tip);
    let to = world
        .run(&[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--to",
            "1.0.0",
            "--reason",
            "x",
            "--json",
        ])
        .ok();
    assert_eq!(to.json()["services"][0]["version"], "1.0.0");
}

#[test]
fn promote_checks_that_the_digest_is_still_there() {
    let world = World::new();
    let digest = world.stage("catalog", "1.0.0");
    world.registry.delete("catalog", &digest);
    world
        .promote("catalog")
        .failed("the registry no longer has");
}

#[test]
fn wrong_use_ends_with_2() {
    let world = World::new();
    for arguments in [
        &["promote", "--from", "staging", "--to", "production"][..],
        &[
            "promote",
            "--all",
            "catalog",
            "--from",
            "staging",
            "--to",
            "production",
        ],
        &["rollback", "catalog", "--env", "production"],
        &[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            " ",
        ],
        &[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "x",
            "--hold-until",
            "2020-01-01T00:00:00Z",
        ],
        &[
            "rollback",
            "catalog",
            "--env",
            "production",
            "--reason",
            "x",
            "--hold-until",
            "soon",
        ],
        &["resume", "catalog", "--env", "nowhere"],
        &["status", "--env", "nowhere"],
        &["dora", "--since", "long ago"],
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let world = World::new();
    for command in ["promote", "rollback", "resume", "status", "dora"] {
        let help = world.run(&[command, "--help"]).ok().stdout;
        assert!(
            help.contains("Example") && help.contains(&format!("cargo xtask {command}")),
            "{help}"
        );
        assert!(
            help.contains("--json") && help.contains("--gitops-remote"),
            "{help}"
        );
    }
}
