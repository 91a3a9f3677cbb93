//! Archives as other programs read them.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    repo::Repo,
    run::{json, output, xtask},
};

#[test]
fn skopeo_reads_an_archive() {
    let repo = Repo::new();
    let folder = repo.around().join("images");
    let name = folder.display().to_string();
    let rows = json(&mut xtask(
        &repo.root,
        &["image", "alpha", "beta", "--oci-archive", &name, "--json"],
    ));
    let first = fs::read(folder.join("beta.tar")).unwrap();
    json(&mut xtask(
        &repo.root,
        &["image", "beta", "--oci-archive", &name, "--json"],
    ));
    assert!(
        first == fs::read(folder.join("beta.tar")).unwrap(),
        "the archive is the same again"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);

    for row in rows.as_array().unwrap() {
        let archive = format!(
            "oci-archive:{name}/{}.tar",
            row["service"].as_str().unwrap()
        );
        let skopeo =
            |arguments: &[&str]| output(Command::new("skopeo").args(arguments), "install skopeo");
        let told: Value = serde_json::from_str(&skopeo(&["inspect", &archive])).unwrap();
        assert_eq!(told["Digest"], row["digest"]);
        assert_eq!(told["Architecture"], "amd64");
        assert_eq!(told["Labels"]["dev.slipway.key"], row["key"]);
        let config: Value =
            serde_json::from_str(&skopeo(&["inspect", "--config", &archive])).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
        // It checks the digest of each blob on the way.
        skopeo(&[
            "--insecure-policy",
            "copy",
            &archive,
            &format!("dir:{name}/copy"),
        ]);
    }
}
