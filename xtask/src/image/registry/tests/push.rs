//! Pushing, and reading what was pushed.

use super::{
    SBOM, anonymous, image,
    proxy::{Fault, Proxy},
    registry::Registry as Server,
    told,
};
use crate::{
    gitops::Digests,
    image::{Attached, Blob, KEY_MANIFEST, digest},
};

#[test]
fn a_pushed_image_is_there_with_its_tags_and_what_is_attached() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let image = image("catalog");
    let registry = anonymous();
    assert_eq!(registry.resolve(&repository, "1.0.0").unwrap(), None);
    assert!(
        !registry
            .exists(&repository, &image.manifest.digest)
            .unwrap()
    );

    let pushed = registry
        .push(&repository, &image, &["key-1", "1.0.0"])
        .unwrap();

    assert!(pushed.bytes > 700_000, "{pushed:?}");
    let digest_of = |tag| registry.resolve(&repository, tag).unwrap().unwrap();
    assert_eq!(digest_of("1.0.0"), image.manifest.digest);
    assert_eq!(digest_of("key-1"), image.manifest.digest);
    assert!(
        registry
            .exists(&repository, &image.manifest.digest)
            .unwrap()
    );
    for attached in &image.attached {
        let document = &attached.blobs[1];
        let found = registry
            .attached(&repository, &image.manifest.digest, document.media_type)
            .unwrap();
        assert_eq!(found, std::slice::from_ref(&document.bytes));
    }
    let size = registry
        .size(&repository, &image.manifest.digest)
        .unwrap()
        .unwrap();
    assert_eq!(size.manifest, image.manifest.descriptor());
    let layers: Vec<_> = image.layers.iter().map(Blob::descriptor).collect();
    assert_eq!(size.layers, layers);
}

#[test]
fn pushing_again_sends_nothing() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |_| Fault::Pass);
    let repository = format!("{}/shop/catalog", proxy.address);
    let image = image("catalog");
    anonymous().push(&repository, &image, &["1.0.0"]).unwrap();
    for tags in [&["1.0.0"][..], &[]] {
        proxy.forget();

        let pushed = anonymous().push(&repository, &image, tags).unwrap();

        assert_eq!((pushed.bytes, pushed.skipped), (0, 10));
        let reads = |method: &str| method == "GET" || method == "HEAD";
        assert!(proxy.seen().iter().all(|it| reads(&it.method)));
        assert!(proxy.seen().len() <= 4, "{:?}", proxy.seen());
    }
}

#[test]
fn a_push_that_ended_half_way_is_finished_by_the_next() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let whole = image("catalog");
    let mut half = whole.clone();
    half.attached.truncate(1);
    anonymous().push(&repository, &half, &[]).unwrap();

    anonymous().push(&repository, &whole, &["1.0.0"]).unwrap();

    let digest = &whole.manifest.digest;
    for kind in [KEY_MANIFEST, SBOM] {
        let found = anonymous().attached(&repository, digest, kind).unwrap();
        assert_eq!(found.len(), 1);
    }
    let tagged = anonymous().resolve(&repository, "1.0.0").unwrap();
    assert_eq!(tagged.as_ref(), Some(digest));
}

#[test]
fn a_layer_that_another_service_has_is_mounted() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |_| Fault::Pass);
    let of = |service| format!("{}/shop/{service}", proxy.address);
    let (catalog, orders) = (image("catalog"), image("orders"));
    let registry = anonymous();
    let first = registry.push(&of("catalog"), &catalog, &[]).unwrap();
    proxy.forget();

    let second = registry.push(&of("orders"), &orders, &[]).unwrap();

    let base = &orders.layers[0];
    assert_eq!(
        proxy.count("POST", &format!("mount={}&from=shop/catalog", base.digest)),
        1
    );
    assert_eq!(proxy.count("PUT", &format!("digest={}", base.digest)), 0);
    assert!(second.bytes < first.bytes);
    assert!(second.skipped > first.skipped);
}

#[test]
fn a_layer_that_cannot_be_mounted_is_uploaded() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |it| match it.path.contains("mount=") {
        true => Fault::answer("405 Method Not Allowed", "", ""),
        false => Fault::Pass,
    });
    let registry = anonymous();
    for service in ["catalog", "orders"] {
        let repository = format!("{}/shop/{service}", proxy.address);
        registry.push(&repository, &image(service), &[]).unwrap();
    }
    assert!(proxy.count("POST", "mount=") > 0);
}

#[test]
fn tags_never_move() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |_| Fault::Pass);
    let repository = format!("{}/shop/catalog", proxy.address);
    let (old, new) = (image("old"), image("new"));
    let registry = anonymous();
    registry.push(&repository, &old, &["1.0.0"]).unwrap();
    proxy.forget();

    let error = told(registry.push(&repository, &new, &["1.0.1", "1.0.0"]));

    assert!(
        error.contains(&old.manifest.digest) && error.contains("tags never move"),
        "{error}"
    );
    assert_eq!(proxy.count("PUT", ""), 0, "nothing is sent for it");
    registry.push(&repository, &new, &[]).unwrap();
    let error = told(registry.tag(&repository, &new.manifest.digest, "1.0.0"));
    assert!(error.contains("tags never move"), "{error}");
    registry
        .tag(&repository, &old.manifest.digest, "1.0.0")
        .unwrap();
    registry
        .tag(&repository, &old.manifest.digest, "latest-of-old")
        .unwrap();
    let tagged = registry.resolve(&repository, "latest-of-old").unwrap();
    assert_eq!(tagged.unwrap(), old.manifest.digest);
}

#[test]
fn what_is_not_there_cannot_be_tagged() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let error = told(anonymous().tag(&repository, &digest(b"nothing"), "1.0.0"));
    assert!(error.contains("push the image first"), "{error}");
}

#[test]
fn more_can_be_attached_later() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let image = image("catalog");
    let registry = anonymous();
    registry.push(&repository, &image, &[]).unwrap();
    let kind = "application/vnd.slipway.release.v1+json";
    let subject = registry
        .size(&repository, &image.manifest.digest)
        .unwrap()
        .unwrap()
        .manifest;
    for version in ["1.0.0", "1.0.1", "1.0.1"] {
        let bytes = format!(r#"{{"version":"{version}"}}"#).into_bytes();
        let attached = Attached::json(&subject, kind, bytes).unwrap();
        registry
            .attach(&repository, &image.manifest.digest, attached)
            .unwrap();
    }
    let found = registry
        .attached(&repository, &image.manifest.digest, kind)
        .unwrap();
    assert_eq!(
        found,
        [br#"{"version":"1.0.0"}"#, br#"{"version":"1.0.1"}"#]
    );
}

#[test]
fn a_damaged_store_is_noticed() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let image = image("catalog");
    anonymous().push(&repository, &image, &["1.0.0"]).unwrap();
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    for damaged in [&image.attached[0].blobs[1].digest, &image.manifest.digest] {
        let hex = hex(damaged);
        let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        let path = server.data().join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let digest = &image.manifest.digest;
    let error = told(anonymous().attached(&repository, digest, KEY_MANIFEST));
    assert!(error.contains("gives sha256:"), "{error}");
    assert!(anonymous().size(&repository, digest).is_err());
}

#[test]
fn twenty_who_attach_at_once_all_end_well() {
    let server = Server::start();
    let repository = format!("{}/shop/catalog", server.address);
    let image = image("catalog");
    anonymous().push(&repository, &image, &[]).unwrap();
    let digest = &image.manifest.digest;
    let attached = |n: usize| {
        let subject = image.manifest.descriptor();
        Attached::json(&subject, SBOM, format!("{{\"n\":{n}}}").into_bytes()).unwrap()
    };
    std::thread::scope(|scope| {
        for n in 0..20 {
            let (attached, repository) = (&attached, &repository);
            scope.spawn(move || anonymous().attach(repository, digest, attached(n)));
        }
    });
    // Who was taken off the list by another is put back by the next run.
    for n in 0..20 {
        anonymous()
            .attach(&repository, digest, attached(n))
            .unwrap();
    }
    let found = anonymous().attached(&repository, digest, SBOM).unwrap();
    assert_eq!(found.len(), 21);
}
