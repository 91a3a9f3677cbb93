//! Images in a registry, and releases built again.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    registry::Registry,
    repo::{Repo, git, run},
    run::{error, json, xtask},
};

/// What the registry answers at a path below /v2/.
fn fetch(registry: &Registry, path: &str) -> Value {
    let url = format!("http://{}/v2/{path}", registry.address);
    let mut answer = ureq::get(url)
        .header(
            "Accept",
            "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json",
        )
        .call()
        .unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

fn push(root: &Path, registry: &Registry, services: &[&str]) -> Command {
    let place = format!("{}/shop", registry.address);
    let options = ["--push", "--registry", &place, "--json"];
    xtask(root, &[&["image"], services, &options].concat())
}

#[test]
fn an_image_is_pushed_once_with_what_travels_along() {
    let (repo, registry) = (Repo::new(), Registry::start());
    let mut dry = push(&repo.root, &registry, &["alpha"]);
    let told = json(dry.arg("--dry-run"));
    assert_eq!(
        (&told[0]["digest"], &told[0]["reused"]),
        (&Value::Null, &Value::Bool(false))
    );
    assert!(!repo.root.join("target/x86_64-unknown-linux-gnu").exists());

    let first = json(&mut push(&repo.root, &registry, &["alpha", "beta"]));
    assert_eq!(first[0]["reused"], false);
    assert_eq!(
        first[0]["layers"][0], first[1]["layers"][0],
        "the base is shared"
    );
    let (key, digest) = (
        first[0]["key"].as_str().unwrap(),
        first[0]["digest"].as_str().unwrap(),
    );
    assert_eq!(
        first[0]["reference"],
        format!("{}/shop/alpha:key-{key}", registry.address)
    );
    let manifest = fetch(&registry, &format!("shop/alpha/manifests/{digest}"));
    assert_eq!(manifest["annotations"]["dev.slipway.key"], key);

    // No registry of Debian knows referrers: the list is under a tag.
    let list = fetch(
        &registry,
        &format!("shop/alpha/manifests/{}", digest.replace(':', "-")),
    );
    let document = |artifact: &str| {
        let referrers = list["manifests"].as_array().unwrap().iter();
        let mut of_type = referrers.filter(|referrer| referrer["artifactType"] == artifact);
        let referrer = of_type.next().unwrap()["digest"]
            .as_str()
            .unwrap()
            .to_owned();
        let manifest = fetch(&registry, &format!("shop/alpha/manifests/{referrer}"));
        assert_eq!(manifest["subject"]["digest"], digest);
        let blob = manifest["layers"][0]["digest"].as_str().unwrap();
        fetch(&registry, &format!("shop/alpha/blobs/{blob}"))
    };
    let behind = document("application/vnd.slipway.key.v1+json");
    assert_eq!(behind["service"], "services/alpha");
    let sbom = document("application/vnd.cyclonedx+json");
    assert_eq!(sbom["metadata"]["component"]["name"], "alpha");
    let components = sbom["components"].as_array().unwrap().iter();
    assert_eq!(
        Vec::from_iter(components.map(|one| &one["name"])),
        ["shared"],
        "no macro, no build script"
    );

    fs::remove_dir_all(repo.root.join("target")).unwrap();
    let mut again = json(&mut push(&repo.root, &registry, &["alpha", "beta"]));
    for row in again.as_array_mut().unwrap() {
        assert_eq!(row["reused"], true);
        row["reused"] = false.into();
    }
    assert_eq!(again, first);
    assert!(
        !repo.root.join("target/x86_64-unknown-linux-gnu").exists(),
        "nothing was built"
    );
}

#[test]
fn what_is_not_committed_is_not_pushed() {
    let (repo, registry) = (Repo::new(), Registry::start());
    repo.append("crates/shared/src/lib.rs", "// not yet\n");
    let said = error(&mut push(&repo.root, &registry, &["alpha", "beta"]));
    assert!(
        said.contains("not committed: crates/shared/src/lib.rs"),
        "{said}"
    );
    assert_eq!(
        fetch(&registry, "_catalog")["repositories"],
        serde_json::json!([])
    );
    let mut here = xtask(&repo.root, &["image", "beta", "--json"]);
    assert!(
        json(&mut here)[0]["key"]
            .as_str()
            .unwrap()
            .ends_with("-dirty")
    );
}

/// Tags HEAD as a release of alpha does.
fn tag(repo: &Repo, version: &str, row: &Value, key: &Value) {
    let (key, digest) = (key.as_str().unwrap(), row["digest"].as_str().unwrap());
    let message = format!(
        "alpha {version}\n\n### Fixes\n\n- text\n\nSlipway-Key: {key}\nSlipway-Digest: {digest}\n"
    );
    repo.git(&[
        "tag",
        "--annotate",
        "--cleanup=verbatim",
        &format!("alpha-v{version}"),
        "--message",
        &message,
    ]);
}

#[test]
fn a_release_built_again_is_compared_with_its_tag() {
    let (repo, registry) = (Repo::new(), Registry::start());
    let first = json(&mut push(&repo.root, &registry, &["alpha"]))[0].take();
    repo.write("services/alpha/assets/text.txt", "omega\n");
    repo.commit();
    let second = json(&mut push(&repo.root, &registry, &["alpha"]))[0].take();
    tag(&repo, "0.2.0", &second, &second["key"]);
    tag(&repo, "0.2.1", &first, &second["key"]);
    tag(&repo, "0.2.2", &first, &first["key"]);
    repo.git(&["tag", "alpha-v0.2.3"]);

    // A shallow clone that has none of the tags, and other files.
    let clone = repo.around().join("clone");
    run(git()
        .args(["clone", "--quiet", "--no-tags", "--depth=1"])
        .arg(format!("file://{}", repo.root.display()))
        .arg(&clone));
    fs::write(clone.join("services/alpha/assets/text.txt"), "mine\n").unwrap();
    let place = format!("{}/shop", registry.address);
    let rebuild = |version: &str, options: &[&str]| {
        let release = format!("alpha@{version}");
        let arguments = ["rebuild", "--registry", &place, &release];
        xtask(&clone, &[&arguments, options].concat())
    };

    let told = json(&mut rebuild("0.2.0", &["--verify", "--json"]));
    assert_eq!(
        (&told["same"], &told["digest"]),
        (&Value::Bool(true), &second["digest"])
    );
    assert!(!clone.join("target/x86_64-unknown-linux-gnu").exists());

    let told = json(&mut rebuild("0.2.1", &["--json"]));
    assert_eq!(
        told["differences"],
        serde_json::json!(["config", "layer 2: /alpha"])
    );
    let said = error(&mut rebuild("0.2.1", &["--verify"]));
    assert!(
        said.contains("is not what its source gives: config, layer 2: /alpha"),
        "{said}"
    );
    let said = error(&mut rebuild("0.2.2", &["--verify"]));
    assert!(
        said.contains("file services/alpha/assets/text.txt changed"),
        "{said}"
    );
    let said = error(&mut rebuild("0.2.3", &[]));
    assert!(said.contains("a release's tag is annotated"), "{said}");
    let said = error(&mut rebuild("0.3.0", &[]));
    assert!(said.contains("cannot fetch alpha-v0.3.0"), "{said}");
    for wrong in ["alpha", "alpha@", "alpha@*"] {
        let ran = xtask(&clone, &["rebuild", wrong]).output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{wrong}");
    }
}
