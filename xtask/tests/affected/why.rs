//! `why` names what changed and the way to it.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{registry::Registry, repo::Repo, xtask::xtask};

#[test]
fn nothing_changed_is_an_empty_list() {
    let repo = Repo::with_record();
    repo.deploy();
    let keys = repo.keys();
    assert_eq!(
        repo.why("alpha"),
        json!({"service": "alpha", "key": keys["alpha"], "deployed_key": keys["alpha"], "changes": []})
    );
    let row = &repo.affected()[0];
    assert_eq!(
        row,
        &json!({"service": "alpha", "affected": false, "key": keys["alpha"], "deployed_key": keys["alpha"], "version": "1.4.2", "reason": "unchanged"})
    );
}

#[test]
fn each_change_is_named_once_with_the_way_to_it() {
    let repo = Repo::with_record();
    repo.deploy();
    repo.append("crates/codegen/src/lib.rs", "// changed\n");
    repo.write("services/alpha/src/new.rs", "");
    repo.git(&[
        "mv",
        "services/alpha/assets/text.txt",
        "services/alpha/assets/words.txt",
    ]);
    repo.replace("services/alpha/src/text.rs", "text.txt", "words.txt");
    repo.replace("Cargo.toml", "opt-level = 0", "opt-level = 1");
    repo.write(".cargo/config.toml", "[env]\nREGION = \"eu\"\n");
    repo.append("crates/macros/Cargo.toml", "\n[dependencies]\nunused = { path = \"../unused\" }\nshared = { path = \"../shared\", features = [\"loud\"] }\n");
    repo.lock();
    repo.commit();
    let change = |kind: &str, name: &str, change: &str, via: &[&str]| json!({"kind": kind, "name": name, "change": change, "via": via});
    assert_eq!(
        repo.why("alpha")["changes"],
        json!([
            change(
                "file",
                "crates/codegen/src/lib.rs",
                "changed",
                &["alpha", "codegen"]
            ),
            change(
                "file",
                "services/alpha/assets/text.txt",
                "removed",
                &["alpha"]
            ),
            change(
                "file",
                "services/alpha/assets/words.txt",
                "added",
                &["alpha"]
            ),
            change("file", "services/alpha/src/new.rs", "added", &["alpha"]),
            change("file", "services/alpha/src/text.rs", "changed", &["alpha"]),
            change("package", "macros", "changed", &["alpha", "macros"]),
            change("package", "shared", "changed", &["alpha", "shared"]),
            change("package", "unused", "added", &["alpha", "macros", "unused"]),
            change("feature", "shared/loud", "added", &["alpha", "shared"]),
            change("profile", "opt-level", "changed", &["alpha"]),
            change("config", "env.REGION", "added", &["alpha"]),
        ])
    );
    let reason = repo.affected()[0]["reason"].clone();
    assert_eq!(reason, "file crates/codegen/src/lib.rs changed and 10 more");
    let table = xtask(&repo.root, &["why", "alpha"]).stdout;
    assert!(table.contains("alpha -> macros -> unused"), "{table}");
}

#[test]
fn a_package_that_went_is_reached_by_the_old_way() {
    let repo = Repo::with_record();
    repo.append(
        "crates/shared/Cargo.toml",
        "\n[dependencies]\nunused = { path = \"../unused\" }\n",
    );
    repo.lock();
    repo.commit();
    repo.deploy();
    repo.replace(
        "crates/shared/Cargo.toml",
        "\n[dependencies]\nunused = { path = \"../unused\" }\n",
        "",
    );
    repo.lock();
    repo.commit();
    assert_eq!(
        repo.why("beta")["changes"],
        json!([{"kind": "package", "name": "unused", "change": "removed", "via": ["beta", "shared", "unused"]}])
    );
}

#[test]
fn a_service_that_was_never_released_is_all_new() {
    let repo = Repo::with_record();
    let why = repo.why("beta");
    assert_eq!(why["deployed_key"], json!(null));
    assert_eq!(
        why["changes"][0],
        json!({"kind": "package", "name": "beta", "change": "added", "via": ["beta"]})
    );
    let said = xtask(&repo.root, &["why", "beta"]).stdout;
    assert_eq!(said, "staging has no record of beta: all of it is new\n");
}

#[test]
fn a_manifest_that_nobody_has_is_an_error_that_says_how_to_get_it() {
    let (repo, registry) = (Repo::with_record(), Registry::start());
    repo.deploy_from(&registry.address);
    repo.remove("target/slipway");
    repo.append("services/beta/src/main.rs", "// changed\n");
    repo.commit();
    let error = xtask(&repo.root, &["why", "beta"]).error();
    assert!(error.contains("git checkout 111111111111"), "{error}");
    assert_eq!(
        repo.affected()[1]["reason"],
        "another key: `cargo xtask why beta` says what changed"
    );
}

#[test]
fn a_manifest_comes_with_the_image_where_this_checkout_never_made_it() {
    let (repo, registry) = (Repo::with_record(), Registry::start());
    repo.deploy_from(&registry.address);
    let kept = format!("target/slipway/keys/{}.json", repo.keys()["beta"]);
    let manifest = std::fs::read(repo.root.join(kept)).unwrap();
    repo.remove("target/slipway");
    travels_along(&registry, "beta", &manifest);
    repo.append("services/beta/src/main.rs", "// changed\n");
    repo.commit();
    assert_eq!(
        repo.why("beta")["changes"],
        json!([{"kind": "file", "name": "services/beta/src/main.rs", "change": "changed", "via": ["beta"]}])
    );
}

/// Pushes what a registry without a list of referrers has when a key's manifest travels with the deployed image.
fn travels_along(registry: &Registry, service: &str, manifest: &[u8]) {
    let digest = |bytes: &[u8]| {
        let hash = Sha256::digest(bytes);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    };
    let base = format!("http://{}/v2/shop/{service}", registry.address);
    let (kind, image) = (
        "application/vnd.slipway.key.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    );
    let describe = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "artifactType": kind, "digest": digest(bytes), "size": bytes.len()});
    for blob in [b"{}", manifest] {
        let opened = ureq::post(format!("{base}/blobs/uploads/"))
            .send_empty()
            .unwrap();
        let location = opened.headers()["Location"].to_str().unwrap();
        let url = format!("{location}&digest={}", digest(blob));
        ureq::put(url).send(blob).unwrap();
    }
    let put = |reference: &str, media_type: &str, text: &str| {
        let url = format!("{base}/manifests/{reference}");
        let put = ureq::put(url).header("Content-Type", media_type);
        put.send(text).unwrap();
    };
    let subject = json!({"mediaType": image, "digest": format!("sha256:{:064}", 0), "size": 2});
    let artifact = json!({
        "schemaVersion": 2, "mediaType": image, "artifactType": kind, "subject": subject,
        "config": describe("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [describe(kind, manifest)],
    })
    .to_string();
    put(&digest(artifact.as_bytes()), image, &artifact);
    let index = "application/vnd.oci.image.index.v1+json";
    let entry = describe(image, artifact.as_bytes());
    let list = json!({"schemaVersion": 2, "mediaType": index, "manifests": [entry]});
    put(&format!("sha256-{:064}", 0), index, &list.to_string());
}

#[test]
fn unknown_services_and_environments_are_named_with_the_known_ones() {
    let repo = Repo::with_record();
    let error = xtask(&repo.root, &["why", "delta"]).error();
    assert!(
        error.contains("`delta`") && error.contains("alpha, beta"),
        "{error}"
    );
    let error = xtask(&repo.root, &["affected", "--env", "mars"]).error();
    assert!(
        error.contains("`mars`") && error.contains("staging"),
        "{error}"
    );
}
