//! `cargo xtask changelog` as a program.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let out = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(
        out.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

fn changelog(clone: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("changelog")
        .args(arguments)
        .current_dir(clone)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("it starts")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn it_shows_what_the_tags_at_the_remote_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    git(at, &["init", "--quiet", "--bare", "-b", "main", "app.git"]);
    git(at, &["clone", "--quiet", "app.git", "app"]);
    let app = at.join("app");
    git(&app, &["config", "user.name", "Ada"]);
    git(&app, &["config", "user.email", "ada@example.org"]);
    let config = "registry = \"localhost:5000/slipway\"\n[gitops]\nremote = \"origin\"\nbranch = \"main\"\n[[environments]]\nname = \"staging\"\n";
    fs::write(app.join("slipway.toml"), config).expect("writable");
    fs::create_dir_all(app.join("services/orders")).expect("writable");
    git(&app, &["add", "--all"]);
    git(&app, &["commit", "--quiet", "-m", "chore: begin"]);
    let commit = git(&app, &["rev-parse", "HEAD"]);
    let message = format!(
        "catalog 1.2.0\n\n### Breaking\n\n- **api**: drop \\`v1\\` (01234567)\n\n### Features\n\n- reserve (89abcdef)\n\nSlipway-Key: {0:064}\nSlipway-Digest: sha256:{0:064}\n",
        1
    );
    fs::write(at.join("message"), message).expect("writable");
    let mut tag = Command::new("git");
    tag.args([
        "tag",
        "-a",
        "--cleanup=verbatim",
        "-F",
        "../message",
        "catalog-v1.2.0",
    ]);
    let made = tag
        .current_dir(&app)
        .env("GIT_COMMITTER_DATE", "2026-01-31T23:30:00-0200");
    assert!(made.status().expect("git").success());
    git(&app, &["push", "--quiet", "origin", "HEAD:main", "--tags"]);
    git(&app, &["tag", "--delete", "catalog-v1.2.0"]);

    let shown = changelog(&app, &["catalog"]);
    assert_eq!(
        text(shown.stdout),
        "# catalog\n\n## 1.2.0 - 2026-02-01\n\n### Breaking\n\n- **api**: drop \\`v1\\` (01234567)\n\n### Features\n\n- reserve (89abcdef)\n"
    );
    let json = changelog(&app.join("services"), &["catalog", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let expected = serde_json::json!([{
        "version": "1.2.0",
        "date": "2026-02-01",
        "commit": commit,
        "breaking": [{"scope": "api", "subject": "drop `v1`", "commit": "01234567"}],
        "features": [{"scope": null, "subject": "reserve", "commit": "89abcdef"}],
        "fixes": [],
        "other": [],
    }]);
    assert_eq!(json, expected);
    // The clone has no more than before.
    assert_eq!(git(&app, &["tag"]), "");

    assert_eq!(text(changelog(&app, &["orders"]).stdout), "# orders\n");
    assert_eq!(text(changelog(&app, &["orders", "--json"]).stdout), "[]\n");
    let unknown = changelog(&app, &["nothing"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = text(unknown.stderr);
    assert!(said.contains("there is no service `nothing`"), "{said}");
    assert!(said.contains("hint: "), "{said}");
}
