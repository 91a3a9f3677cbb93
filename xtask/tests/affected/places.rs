//! The same keys wherever the repository stands, and however it was cloned.

use crate::{
    repo::{Repo, git, run},
    xtask::{keys, xtask},
};

#[test]
fn clones_of_all_kinds_give_the_same_keys() {
    let repo = Repo::with_record();
    repo.append("services/alpha/src/text.rs", "// a second commit\n");
    repo.commit();
    let expected = repo.keys();
    let remote = repo.around().join("gitops.git").display().to_string();
    let found = |folder: &std::path::Path| {
        keys(&xtask(folder, &["affected", "--json", "--gitops-remote", &remote]).json())
    };

    let shallow = repo.around().join("a shallow/clöne");
    run(git()
        .args(["clone", "--quiet", "--depth=1"])
        .arg(format!("file://{}", repo.root.display()))
        .arg(&shallow));
    assert_eq!(
        found(&shallow),
        expected,
        "a shallow clone in a path with spaces"
    );
    assert_eq!(
        found(&shallow.join("services/alpha/src")),
        expected,
        "a folder in it"
    );

    repo.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(repo.keys(), expected, "a detached HEAD");

    let tree = repo.around().join("tree");
    repo.git(&["worktree", "add", "--quiet", &tree.display().to_string()]);
    assert_eq!(found(&tree), expected, "a linked work tree");

    let link = repo.around().join("link");
    std::os::unix::fs::symlink(&tree, &link).unwrap();
    assert_eq!(found(&link), expected, "a path through a symbolic link");
}

#[test]
fn a_folder_without_git_is_an_error() {
    let repo = Repo::with_record();
    std::fs::remove_dir_all(repo.root.join(".git")).unwrap();
    let ran = xtask(&repo.root, &["affected"]);
    assert!(
        !ran.ok && ran.stderr.contains("not a git repository"),
        "{}",
        ran.stderr
    );
}
