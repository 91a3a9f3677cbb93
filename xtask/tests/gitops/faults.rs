//! What goes wrong leaves nothing half done, and the next run finishes it.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::world::{PROMOTE, World, git, real_git, run};

#[test]
fn twenty_runs_at_once_all_land_exactly_once() {
    let world = World::new();
    let services: Vec<String> = (0..20).map(|number| format!("service-{number}")).collect();
    for service in &services {
        world.stage(service, "1.0.0");
    }
    let children: Vec<_> = services
        .iter()
        .map(|service| {
            // Runs on one machine queue in the temporary folder; these are as if on twenty.
            let machine = world.folder.path().join(service);
            fs::create_dir(&machine).expect("writable");
            world
                .command(&[
                    "promote",
                    service,
                    "--from",
                    "staging",
                    "--to",
                    "production",
                    "--json",
                ])
                .env("TMPDIR", machine)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts")
        })
        .collect();
    for child in children {
        let out = child.wait_with_output().expect("it ends");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    for service in &services {
        assert_eq!(world.times("promote", service, "1.0.0"), 1, "{service}");
    }
}

#[test]
fn a_hook_that_rejects_is_quoted_and_not_asked_again() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let tip = world.tip();
    world.hook(
        "pre-receive",
        "#!/bin/sh\necho asked >> asked\necho 'no deployments without a ticket' >&2\nexit 1\n",
    );
    world
        .promote("catalog")
        .failed("no deployments without a ticket");
    assert_eq!(
        fs::read_to_string(world.remote().join("asked")).expect("asked"),
        "asked\n"
    );
    assert_eq!(world.tip(), tip);

    fs::remove_file(world.remote().join("hooks/pre-receive")).expect("there");
    world.hook(
        "update",
        "#!/bin/sh\necho 'main is protected' >&2\nexit 1\n",
    );
    world.promote("catalog").failed("main is protected");
    fs::remove_file(world.remote().join("hooks/update")).expect("there");
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
}

#[test]
fn a_remote_that_is_away_is_named_without_its_password() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    git(
        &world.app(),
        &[
            "remote",
            "set-url",
            "origin",
            "http://ada:s3cr3t@127.0.0.1:9/app.git",
        ],
    );
    let ran = world
        .promote("catalog")
        .failed("cannot read branch main of origin");
    assert!(!ran.stderr.contains("s3cr3t"), "{}", ran.stderr);
    let flag = world
        .run(&[
            "status",
            "--gitops-remote",
            "http://ada:s3cr3t@127.0.0.1:9/x@y.git",
        ])
        .failed("http://***@127.0.0.1:9");
    assert!(!flag.stderr.contains("s3cr3t"), "{}", flag.stderr);
    git(&world.app(), &["remote", "set-url", "origin", "../app.git"]);
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
}

#[test]
fn yaml_that_cannot_be_edited_safely_is_named_and_nothing_is_pushed() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    world.stage("orders", "1.0.0");
    world.promote("catalog").ok();
    let path = "gitops/environments/production/catalog/image.yaml";
    let good = world.file(path);
    world.stage("catalog", "1.1.0");
    world.commit(
        "chore: twice",
        &[(path, &good.replace("  tag:", "  tag: \"0\"\n  tag:"))],
    );
    let tip = world.tip();
    let ran = world.run(&[
        "promote",
        "--all",
        "--from",
        "staging",
        "--to",
        "production",
    ]);
    ran.failed(&format!("{path}:4: the key `tag` stands here twice"));
    assert_eq!(world.tip(), tip);
}

#[test]
fn an_answer_that_is_lost_is_found_out_and_not_recorded_twice() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    // The push lands, and the connection breaks before its answer comes.
    let path = world.wrap_git(&format!(
        "#!/bin/sh\ncase \"$1\" in push) {git} \"$@\" >/dev/null 2>&1; echo 'fatal: the remote end hung up unexpectedly' >&2; exit 128;; esac\nexec {git} \"$@\"\n",
        git = real_git()
    ));
    let ran = run(world.command(&PROMOTE).arg("--json").env("PATH", path)).ok();
    assert_eq!(
        (ran.action(), ran.json()["commit"].clone()),
        ("promoted".to_owned(), world.tip().into())
    );
    assert_eq!(world.times("promote", "catalog", "1.0.0"), 1);
}

#[test]
fn killed_at_any_step_the_next_run_finishes_it() {
    let world = World::new();
    let script = |when: &str| {
        format!(
            "#!/bin/sh\nn=$(($(cat \"$STEPS\") + 1)); echo $n > \"$STEPS\"\n{when}\n",
            when = when.replace("GIT", real_git())
        )
    };
    let before = script("[ $n = \"$KILL_AT\" ] && { kill -9 $PPID; exit 1; }\nexec GIT \"$@\"");
    let after = script("GIT \"$@\"; code=$?\n[ $n = \"$KILL_AT\" ] && kill -9 $PPID\nexit $code");
    let steps = world.folder.path().join("steps");
    let run_until = |path: &str, at: usize| {
        fs::write(&steps, "0").expect("writable");
        let ran = run(world
            .command(&PROMOTE)
            .arg("--json")
            .env("PATH", path)
            .env("STEPS", &steps)
            .env("KILL_AT", at.to_string()));
        let taken: usize = fs::read_to_string(&steps)
            .expect("counted")
            .trim()
            .parse()
            .expect("a number");
        (ran, taken)
    };
    let mut number = 0;
    for script in [&before, &after] {
        let path = world.wrap_git(script);
        let mut at = 1;
        loop {
            number += 1;
            let version = format!("1.{number}.0");
            world.stage("catalog", &version);
            let tip = world.tip();
            let (ran, taken) = run_until(&path, at);
            // It has landed whole or not at all.
            let landed = world.times("promote", "catalog", &version);
            assert!(landed == 1 || world.tip() == tip);
            assert_eq!(landed == 1, world.tip() != tip);
            let again = world.promote("catalog").ok();
            assert_eq!(
                again.action(),
                if landed == 1 { "unchanged" } else { "promoted" }
            );
            assert_eq!(world.times("promote", "catalog", &version), 1);
            if taken < at {
                assert_eq!(ran.code, Some(0), "{}", ran.stderr);
                break;
            }
            assert_eq!(ran.code, None, "killed at step {at}: {}", ran.stderr);
            at += 1;
        }
        assert!(at > 6, "a run takes several steps, not {at}");
    }
    git(&world.remote(), &["fsck", "--strict"]);
}

/// Runs a script in a mount namespace of its own, with an almost full disk at `full/`.
fn with_full_disk(world: &World, size: &str, script: &str) -> (String, String) {
    let full = world.folder.path().join("full");
    fs::create_dir_all(&full).expect("writable");
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs {full} && {script}",
        full = full.display()
    );
    let out = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(world.app())
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .env("FULL", &full)
        .env("TMPDIR", world.folder.path().join("tmp"))
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("unshare is there (Debian: util-linux)");
    (
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    )
}

#[test]
fn a_full_disk_here_is_said_and_changes_nothing() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let tip = world.tip();
    let (out, err) = with_full_disk(
        &world,
        "24k",
        "TMPDIR=$FULL $XTASK promote --all --from staging --to production; echo ended $?",
    );
    assert!(out.contains("ended 1"), "{out}{err}");
    assert!(
        err.contains("No space left on device") && err.contains("hint: "),
        "{err}"
    );
    assert_eq!(world.tip(), tip);
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
}

#[test]
fn a_full_disk_at_the_remote_is_said_and_leaves_it_whole() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let script = "cp -r ../app.git $FULL/ && dd if=/dev/zero of=$FULL/filler bs=4k 2>/dev/null; \
        $XTASK promote --all --from staging --to production --gitops-remote $FULL/app.git; echo ended $?; \
        git --git-dir=$FULL/app.git rev-parse main; rm $FULL/filler; git --git-dir=$FULL/app.git fsck --strict && echo whole; \
        $XTASK promote --all --from staging --to production --gitops-remote $FULL/app.git";
    let (out, err) = with_full_disk(&world, "2m", script);
    assert!(out.contains("ended 1"), "{out}{err}");
    assert!(
        err.contains("No space left on device") && err.contains("hint: "),
        "{err}"
    );
    assert!(
        out.contains(&world.tip()) && out.contains("whole"),
        "{out}{err}"
    );
    assert!(out.contains("catalog  promoted  1.0.0"), "{out}{err}");
}
