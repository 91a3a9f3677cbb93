//! Networks that break, registries that are busy, lie, or refuse.

use std::{
    collections::HashSet,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use jiff::{Timestamp, fmt::rfc2822};

use super::{
    QUICK, SBOM, anonymous, image,
    proxy::{Fault, Proxy, Seen},
    registry::Registry as Server,
    told,
};
use crate::{
    gitops::Digests,
    image::{
        Blob, Image, KEY_MANIFEST,
        registry::{Registry, credentials::Credentials, retry::Patience},
    },
};

/// A request without what differs each time it is made.
pub(super) fn kind(seen: &Seen) -> String {
    let (path, digest) = match seen.path.split_once("/uploads/") {
        Some((path, rest)) => (path, rest.split_once("digest=").map_or("", |it| it.1)),
        None => (seen.path.as_str(), ""),
    };
    format!("{} {path} {digest}", seen.method)
}

/// Does this to the first of each kind of request that `which` picks.
fn once_each(
    server: &Server,
    which: fn(&Seen) -> bool,
    mut fault: impl FnMut() -> Fault + Send + 'static,
) -> Proxy {
    let mut met = HashSet::new();
    Proxy::start(&server.address, move |seen| {
        if which(seen) && met.insert(kind(seen)) {
            return fault();
        }
        Fault::Pass
    })
}

fn is_upload(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path.contains("/blobs/uploads/")
}

fn is_manifest(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.path.contains("/manifests/")
}

/// Pushes through the proxy, and looks without it whether all is there.
fn push_and_look(server: &Server, proxy: &Proxy, image: &Image) {
    push_patiently(server, proxy, image, QUICK);
}

fn push_patiently(server: &Server, proxy: &Proxy, image: &Image, patience: Patience) {
    let registry = Registry::with(Credentials::none(), patience);
    registry
        .push(
            &format!("{}/shop/catalog", proxy.address),
            image,
            &["1.0.0"],
        )
        .unwrap();
    let (registry, repository) = (anonymous(), format!("{}/shop/catalog", server.address));
    let digest = &image.manifest.digest;
    assert_eq!(
        registry.resolve(&repository, "1.0.0").unwrap().as_ref(),
        Some(digest)
    );
    for kind in [KEY_MANIFEST, SBOM] {
        assert_eq!(
            registry.attached(&repository, digest, kind).unwrap().len(),
            1
        );
    }
    for layer in &image.layers {
        let url = format!(
            "http://{}/v2/shop/catalog/blobs/{}",
            server.address, layer.digest
        );
        let mut answer = ureq::get(url).call().unwrap();
        assert_eq!(
            answer
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_vec()
                .unwrap(),
            layer.bytes
        );
    }
}

#[test]
fn everything_may_fail_once() {
    let server = Server::start();
    let mut statuses = [500, 502, 503, 504, 408, 429].into_iter().cycle();
    let proxy = once_each(
        &server,
        |_| true,
        move || {
            let status = statuses.next().unwrap_or_default();
            Fault::answer(&format!("{status} Not Now"), "", "<html>")
        },
    );
    push_and_look(&server, &proxy, &image("catalog"));
}

#[test]
fn every_answer_may_be_lost() {
    let server = Server::start();
    let proxy = once_each(&server, |_| true, || Fault::LoseAnswer);
    push_and_look(&server, &proxy, &image("catalog"));
    // What had arrived is not sent again.
    let mut uploads: Vec<String> = proxy
        .seen()
        .iter()
        .filter(|it| is_upload(it))
        .map(kind)
        .collect();
    let all = uploads.len();
    uploads.sort();
    uploads.dedup();
    assert_eq!(uploads.len(), all);
}

#[test]
fn a_registry_in_which_another_run_pushes_the_same_is_asked_again() {
    let server = Server::start();
    let body = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}"#;
    let proxy = once_each(&server, is_manifest, move || {
        Fault::answer("400 Bad Request", "", body)
    });
    push_and_look(&server, &proxy, &image("catalog"));
}

#[test]
fn uploads_that_break_in_the_middle_are_made_again() {
    let server = Server::start();
    let proxy = once_each(
        &server,
        |it| is_upload(it) || is_manifest(it),
        || Fault::Break,
    );
    push_and_look(&server, &proxy, &image("catalog"));
}

#[test]
fn an_upload_may_be_slow_but_not_stand_still() {
    let server = Server::start();
    let mut image = image("catalog");
    let layer = Blob::new(image.layers[1].media_type, vec![7; 24 << 20]);
    let manifest = String::from_utf8(image.manifest.bytes).unwrap();
    let size = format!("\"size\":{}", image.layers[1].bytes.len());
    let manifest = manifest
        .replace(&image.layers[1].digest, &layer.digest)
        .replace(&size, &format!("\"size\":{}", layer.bytes.len()));
    image.manifest = Blob::new(image.manifest.media_type, manifest.into_bytes());
    image.layers[1] = layer;
    let subject = image.manifest.descriptor();
    for attached in &mut image.attached {
        let document = &attached.blobs[1];
        *attached =
            crate::image::Attached::json(&subject, document.media_type, document.bytes.clone())
                .unwrap();
    }
    let stalls = AtomicUsize::new(0);
    let proxy = Proxy::start(&server.address, move |seen| {
        if !is_upload(seen) || seen.length < 1 << 20 {
            return Fault::Pass;
        }
        match stalls.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::Stall(Duration::from_secs(20)),
            _ => Fault::Slow,
        }
    });
    let started = Instant::now();
    push_patiently(&server, &proxy, &image, QUICK);
    // The second took longer than a silence may.
    assert_eq!(
        proxy.seen().iter().filter(|it| it.length > 1 << 20).count(),
        2
    );
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn who_asks_to_wait_is_waited_for() {
    let server = Server::start();
    let date = || {
        let date = Timestamp::now() + Duration::from_secs(2);
        let printer = rfc2822::DateTimePrinter::new();
        printer.timestamp_to_rfc9110_string(&date).unwrap()
    };
    let seconds = || "1".to_owned();
    for after in [&seconds as &dyn Fn() -> String, &date] {
        let header = format!("Retry-After: {}\r\n", after());
        let mut first = true;
        let proxy = Proxy::start(&server.address, move |_| match std::mem::take(&mut first) {
            true => Fault::answer("429 Too Many Requests", &header, ""),
            false => Fault::Pass,
        });
        let started = Instant::now();
        let repository = format!("{}/shop/catalog", proxy.address);
        assert_eq!(anonymous().resolve(&repository, "1.0.0").unwrap(), None);
        // A date has whole seconds.
        assert!(started.elapsed() >= Duration::from_millis(900));
        assert_eq!(proxy.seen().len(), 2);
    }
}

#[test]
fn it_gives_up_after_some_attempts() {
    let server = Server::start();
    for (answer, said) in [
        (
            ("429 Too Many Requests", "Retry-After: 0\r\n"),
            "answers 429, in 6 attempts",
        ),
        (
            ("503 Service Unavailable", ""),
            "answers 503, in 6 attempts",
        ),
        (
            ("429 Too Many Requests", "Retry-After: 4000\r\n"),
            "asks to wait for 4000 s",
        ),
    ] {
        let (status, header) = answer;
        let proxy = Proxy::start(&server.address, move |_| Fault::answer(status, header, ""));
        let repository = format!("{}/shop/catalog", proxy.address);
        let error = told(anonymous().push(&repository, &image("catalog"), &["1.0.0"]));
        assert!(
            error.contains(said) && error.contains("run it again"),
            "{error}"
        );
        assert!(proxy.seen().len() <= 6);
    }
}

#[test]
fn a_registry_that_is_away_is_told() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = told(anonymous().resolve(&format!("127.0.0.1:{port}/shop/catalog"), "1.0.0"));
    assert!(error.contains(&format!("127.0.0.1:{port}: ")), "{error}");
    assert!(error.contains("in 6 attempts"), "{error}");
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let server = Server::start();
    let image = image("catalog");
    let other = format!("sha256:{}", "0".repeat(64));
    for digest in [&image.layers[1].digest, &image.manifest.digest] {
        let (from, to) = (
            format!("Content-Digest: {digest}"),
            format!("Content-Digest: {other}"),
        );
        let proxy = Proxy::start(&server.address, move |seen| match seen.method.as_str() {
            "PUT" => Fault::Change(from.clone(), to.clone()),
            _ => Fault::Pass,
        });
        let repository = format!("{}/{}", proxy.address, &digest[7..20]);
        let error = told(anonymous().push(&repository, &image, &["1.0.0"]));
        assert!(
            error.contains(&format!("says that it stored {other}")),
            "{error}"
        );
    }
}

#[test]
fn what_is_pulled_is_verified() {
    let server = Server::start();
    let image = image("catalog");
    let digest = &image.manifest.digest;
    let repository = format!("{}/shop/catalog", server.address);
    anonymous().push(&repository, &image, &["1.0.0"]).unwrap();

    let proxy = Proxy::start(&server.address, |seen| {
        match seen.path.contains("/blobs/") {
            true => Fault::Damage,
            false => Fault::Pass,
        }
    });
    let repository = format!("{}/shop/catalog", proxy.address);
    let error = told(anonymous().attached(&repository, digest, KEY_MANIFEST));
    assert!(error.contains("gives sha256:"), "{error}");

    let proxy = Proxy::start(&server.address, |_| Fault::Damage);
    let repository = format!("{}/shop/catalog", proxy.address);
    for error in [
        told(anonymous().resolve(&repository, "1.0.0")),
        told(anonymous().size(&repository, digest)),
        told(anonymous().tag(&repository, digest, "1.0.1")),
    ] {
        assert!(error.contains("gives sha256:"), "{error}");
    }
}

#[test]
fn a_repository_that_does_not_exist_is_told_with_how_to_create_it() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| {
        // As ECR words it.
        let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'shop/catalog' does not exist in the registry with id '123456789012'"}]}"#;
        match seen.method.as_str() {
            "HEAD" => Fault::answer("404 Not Found", "", ""),
            _ => Fault::answer("404 Not Found", "Content-Type: application/json\r\n", body),
        }
    });
    let repository = format!("{}/shop/catalog", proxy.address);
    assert_eq!(anonymous().resolve(&repository, "1.0.0").unwrap(), None);
    let error = told(anonymous().push(&repository, &image("catalog"), &["1.0.0"]));
    assert!(error.contains("has no repository shop/catalog"), "{error}");
    assert!(
        error.contains("create the repository shop/catalog"),
        "{error}"
    );
}

/// A registry whose tags never move, in which somebody sets a tag just after the look at it.
fn late_tag(server: &Server) -> Proxy {
    let mut looks = 0;
    Proxy::start(&server.address, move |seen| {
        if !seen.path.ends_with("/manifests/1.0.0") {
            return Fault::Pass;
        }
        if seen.method == "PUT" {
            // As ECR words it.
            let body = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag '1.0.0' already exists in the 'shop/catalog' repository and cannot be overwritten because the repository is immutable."}]}"#;
            return Fault::answer("400 Bad Request", "", body);
        }
        looks += 1;
        match looks {
            1 => Fault::answer("404 Not Found", "", ""),
            _ => Fault::Pass,
        }
    })
}

#[test]
fn a_tag_that_another_run_sets_meanwhile_is_told_or_taken_for_its_own() {
    let server = Server::start();
    let (ours, theirs) = (image("ours"), image("theirs"));
    let repository = format!("{}/shop/catalog", server.address);
    anonymous().push(&repository, &theirs, &["1.0.0"]).unwrap();

    let proxy = late_tag(&server);
    let error = told(anonymous().push(
        &format!("{}/shop/catalog", proxy.address),
        &ours,
        &["1.0.0"],
    ));
    assert!(
        error.contains(&theirs.manifest.digest) && error.contains("tags never move"),
        "{error}"
    );

    let proxy = late_tag(&server);
    let repository = format!("{}/shop/catalog", proxy.address);
    anonymous().push(&repository, &theirs, &["1.0.0"]).unwrap();
    assert_eq!(proxy.count("PUT", "/manifests/1.0.0"), 1);
}

#[test]
fn a_tag_that_the_registry_does_not_like_is_told_in_its_words() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| {
        match is_manifest(seen) && seen.path.ends_with("1.0.0") {
            true => Fault::answer(
                "400 Bad Request",
                "",
                r#"{"errors":[{"code":"TAG_INVALID","message":"no digits here"}]}"#,
            ),
            false => Fault::Pass,
        }
    });
    let error = told(anonymous().push(
        &format!("{}/shop/catalog", proxy.address),
        &image("x"),
        &["1.0.0"],
    ));
    assert!(error.contains("TAG_INVALID no digits here"), "{error}");
}

#[test]
fn where_no_tag_may_change_the_list_of_referrers_needs_one_that_may() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| {
        match is_manifest(seen) && seen.path.contains("/sha256-") {
            true => Fault::answer("409 Conflict", "", ""),
            false => Fault::Pass,
        }
    });
    let error =
        told(anonymous().push(&format!("{}/shop/catalog", proxy.address), &image("x"), &[]));
    assert!(
        error.contains("keeps no list of referrers") && error.contains("`sha256-`"),
        "{error}"
    );
}

#[test]
fn a_registry_that_lists_referrers_is_asked_page_by_page_and_needs_no_tag() {
    let server = Server::start();
    let image = image("catalog");
    let repository = format!("{}/shop/catalog", server.address);
    let entry = |n: usize| {
        let mut entry = image.attached[n].manifest.descriptor();
        entry.artifact_type = Some(image.attached[n].blobs[1].media_type.to_owned());
        serde_json::json!({"schemaVersion": 2, "manifests": [entry]}).to_string()
    };
    let (pages, empty) = (
        [entry(0), entry(1)],
        r#"{"schemaVersion":2,"manifests":[]}"#,
    );
    let mut pushed = 0;
    let proxy = Proxy::start(&server.address, move |seen| {
        if is_manifest(seen) {
            pushed += 1;
            return Fault::Change(
                "Docker-Content-Digest".to_owned(),
                "OCI-Subject: sha256:0\r\nDocker-Content-Digest".to_owned(),
            );
        }
        match seen.path.split_once("/referrers/") {
            None => Fault::Pass,
            Some(_) if pushed < 3 => Fault::answer("200 OK", "", empty),
            Some((_, rest)) if rest.ends_with("?page=2") => Fault::answer("200 OK", "", &pages[1]),
            Some(_) => {
                let link = format!("Link: <{}?page=2>; rel=\"next\"\r\n", seen.path);
                Fault::answer("200 OK", &link, &pages[0])
            }
        }
    });
    let through = format!("{}/shop/catalog", proxy.address);
    anonymous().push(&through, &image, &[]).unwrap();
    assert_eq!(proxy.count("PUT", "/manifests/sha256-"), 0);
    for attached in &image.attached {
        let document = &attached.blobs[1];
        let digest = &image.manifest.digest;
        let found = anonymous()
            .attached(&through, digest, document.media_type)
            .unwrap();
        assert_eq!(found, std::slice::from_ref(&document.bytes));
    }
    assert!(
        anonymous()
            .exists(&repository, &image.manifest.digest)
            .unwrap()
    );
}

#[test]
fn nothing_is_sent_without_tls_and_no_signature_is_shown() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| match seen.method.as_str() {
        "POST" => Fault::answer(
            "202 Accepted",
            "Location: http://store.example/upload?X-Signature=secret-9\r\n",
            "",
        ),
        _ => Fault::Pass,
    });
    let error =
        told(anonymous().push(&format!("{}/shop/catalog", proxy.address), &image("x"), &[]));
    assert!(
        error.contains("leads to store.example without TLS"),
        "{error}"
    );
    assert!(!error.contains("secret-9"), "{error}");
}

#[test]
fn going_in_circles_ends() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| {
        let header = format!("Location: {}\r\n", seen.path);
        Fault::answer("307 Temporary Redirect", &header, "")
    });
    let error = told(anonymous().resolve(&format!("{}/shop/catalog", proxy.address), "1.0.0"));
    assert!(error.contains("leads in a circle"), "{error}");
}

#[test]
fn an_answer_that_makes_no_sense_is_told_without_it() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |_| {
        Fault::answer("418 I'm a teapot", "", "<html>secret-9\u{1b}[2J</html>")
    });
    let error = told(anonymous().resolve(&format!("{}/shop/catalog", proxy.address), "1.0.0"));
    assert!(error.contains("answers 418 for shop/catalog"), "{error}");
    assert!(!error.contains("secret-9"), "{error}");
}

#[test]
fn who_may_not_push_is_told_why() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| match seen.method.as_str() {
        "POST" => Fault::answer(
            "403 Forbidden",
            "",
            r#"{"errors":[{"code":"DENIED","message":"ada may not push"},{"code":"X"}]}"#,
        ),
        _ => Fault::Pass,
    });
    let repository = format!("{}/shop/catalog", proxy.address);
    let error = told(anonymous().push(&repository, &image("x"), &[]));
    assert!(
        error.contains("refuses access to shop/catalog: DENIED ada may not push; X"),
        "{error}"
    );
    assert!(error.contains("docker login"), "{error}");
}
