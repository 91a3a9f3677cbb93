//! Wherever it is run from, and wherever the record is.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread::JoinHandle,
};

use crate::world::{PROMOTE, World, git, run};

#[test]
fn it_works_from_any_folder_a_worktree_and_a_detached_head() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let below = world.app().join("services/catalog");
    assert_eq!(
        run(world.command(&PROMOTE).arg("--json").current_dir(&below))
            .ok()
            .action(),
        "promoted"
    );

    world.stage("catalog", "1.1.0");
    git(
        &world.app(),
        &["worktree", "add", "--quiet", "--detach", "../tree"],
    );
    assert_eq!(
        run(world
            .command(&PROMOTE)
            .arg("--json")
            .current_dir(world.folder.path().join("tree")))
        .ok()
        .action(),
        "promoted"
    );

    world.stage("catalog", "1.2.0");
    git(&world.app(), &["checkout", "--quiet", "--detach", "HEAD~1"]);
    let before = git(&world.app(), &["for-each-ref"]);
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
    // And leaves the clone as it was.
    assert_eq!(git(&world.app(), &["for-each-ref"]), before);
    assert_eq!(git(&world.app(), &["status", "--porcelain"]), "");

    let outside = run(world
        .command(&PROMOTE)
        .arg("--json")
        .current_dir(world.folder.path()));
    outside.failed("no slipway.toml");
}

#[test]
fn it_works_in_a_shallow_clone_and_sees_the_whole_history() {
    let world = World::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        world.stage("catalog", version);
        world.promote("catalog").ok();
    }
    let remote = format!("file://{}", world.remote().display());
    git(
        world.folder.path(),
        &["clone", "--quiet", "--depth=1", &remote, "shallow"],
    );
    let shallow = world.folder.path().join("shallow");
    git(&shallow, &["config", "user.name", "CI"]);
    git(&shallow, &["config", "user.email", "ci@example.org"]);
    let back = run(world
        .command(&[
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
        .current_dir(&shallow))
    .ok();
    assert_eq!(back.json()["services"][0]["version"], "1.0.0");
    assert_eq!(git(&shallow, &["rev-list", "--count", "HEAD"]), "1");
}

#[test]
fn the_record_may_be_a_repository_of_its_own() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    // The same content, elsewhere, on another branch, without a folder around environments/.
    let own = world.folder.path().join("own");
    git(
        world.folder.path(),
        &["init", "--quiet", "--bare", "own.git"],
    );
    git(
        world.folder.path(),
        &["init", "--quiet", "-b", "live", "own"],
    );
    let staging = world.file("gitops/environments/staging/catalog/image.yaml");
    fs::create_dir_all(own.join("environments/staging/catalog")).expect("writable");
    fs::write(own.join("environments/staging/catalog/image.yaml"), staging).expect("writable");
    git(&own, &["config", "user.name", "Ada"]);
    git(&own, &["config", "user.email", "ada@example.org"]);
    git(&own, &["add", "--all"]);
    git(&own, &["commit", "--quiet", "-m", "chore: begin"]);
    git(&own, &["push", "--quiet", "../own.git", "live"]);
    let config = fs::read_to_string(world.app().join("slipway.toml")).expect("readable");
    fs::write(
        world.app().join("slipway.toml"),
        config.replace("branch = \"main\"", "branch = \"main\"\npath = \".\""),
    )
    .expect("writable");
    let promoted = run(world
        .command(&[
            "promote",
            "--all",
            "--from",
            "staging",
            "--to",
            "production",
            "--gitops-remote",
            "../../../own.git",
            "--gitops-branch",
            "live",
            "--json",
        ])
        .current_dir(world.app().join("services/catalog")))
    .ok();
    assert_eq!(promoted.action(), "promoted");
    let tree = git(
        &world.folder.path().join("own.git"),
        &["ls-tree", "-r", "--name-only", "live"],
    );
    assert!(
        tree.contains("environments/production/catalog/image.yaml"),
        "{tree}"
    );
}

#[test]
fn a_remote_or_branch_that_is_not_there_is_said_to_be_missing() {
    let world = World::new();
    world
        .run(&["status", "--gitops-remote", "upstream"])
        .failed("this clone has no remote `upstream`");
    world
        .run(&["status", "--gitops-branch", "live"])
        .failed("couldn't find remote ref");
}

#[test]
fn settings_of_the_clone_apply_conditional_includes_too() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let include = world.folder.path().join("included");
    fs::write(
        &include,
        format!(
            "[url \"{}/\"]\n\tinsteadOf = hub:\n",
            world.folder.path().display()
        ),
    )
    .expect("writable");
    let git_folder = world.app().join(".git").canonicalize().expect("there");
    git(
        &world.app(),
        &[
            "config",
            &format!("includeIf.gitdir:{}.path", git_folder.display()),
            include.to_str().expect("UTF-8"),
        ],
    );
    git(
        &world.app(),
        &["remote", "set-url", "origin", "hub:app.git"],
    );
    assert_eq!(world.promote("catalog").ok().action(), "promoted");
}

#[test]
fn what_a_person_has_set_for_git_log_changes_nothing() {
    let world = World::new();
    world.stage("catalog", "1.0.0");
    let global = world.folder.path().join("global");
    fs::write(&global, "[grep]\n\tpatternType = fixed\n[log]\n\tshowSignature = true\n[color]\n\tui = always\n[i18n]\n\tlogOutputEncoding = latin1\n[push]\n\tfollowTags = true\n").expect("writable");
    let status = run(world
        .command(&["status", "--json"])
        .env("GIT_CONFIG_GLOBAL", &global))
    .ok()
    .json();
    assert_eq!(status[0]["by"], "Ada <ada@example.org>");
    assert_eq!(
        run(world
            .command(&PROMOTE)
            .arg("--json")
            .env("GIT_CONFIG_GLOBAL", global))
        .ok()
        .action(),
        "promoted"
    );
}

#[test]
fn a_token_in_gits_settings_is_sent_once_and_told_to_nobody() {
    let header = "Authorization: basic czNjcjN0";
    // As actions/checkout leaves it, and as a person may have it.
    for place in ["the clone", "the user's file"] {
        let world = World::new();
        let (url, asked) = unavailable();
        let global = world.folder.path().join("global");
        fs::write(&global, "").expect("writable");
        let file = if place == "the clone" {
            world.app().join(".git/config")
        } else {
            global.clone()
        };
        git(
            &world.app(),
            &[
                "config",
                "--file",
                file.to_str().expect("UTF-8"),
                "http.extraheader",
                header,
            ],
        );
        let ran = run(world
            .command(&["status", "--gitops-remote", &url])
            .env("GIT_CONFIG_GLOBAL", global))
        .failed("503");
        let head = asked.join().expect("no panic");
        assert_eq!(
            head.iter().filter(|line| *line == header).count(),
            1,
            "{place}: {head:?}"
        );
        assert!(!ran.stderr.contains("czNjcjN0"), "{}", ran.stderr);
    }
}

/// A server that answers one request with 503, and tells what it was asked.
fn unavailable() -> (String, JoinHandle<Vec<String>>) {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/app.git", server.local_addr().expect("bound"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a request");
        let lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("answered");
        head
    });
    (url, asked)
}
