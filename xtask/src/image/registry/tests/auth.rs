//! Logging in.

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    QUICK, anonymous,
    faults::kind,
    image,
    proxy::{Fault, Proxy, Seen},
    registry::{PASSWORD, Registry as Server, USER},
    told,
};
use crate::image::{
    KEY_MANIFEST,
    registry::{Registry, credentials::Credentials},
};

/// A client whose Docker keeps this for a host.
fn with(host: &str, auth: &Value) -> (Registry, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({"auths": {host: auth}}).to_string();
    fs::write(folder.path().join("config.json"), config).unwrap();
    let registry = Registry::with(Credentials::in_folder(folder.path()), QUICK);
    (registry, folder)
}

fn password(user: &str, password: &str) -> Value {
    json!({"auth": STANDARD.encode(format!("{user}:{password}"))})
}

/// A registry that wants tokens from `/token` beside it, which are said to last for some seconds.
fn tokens(server: &Server, seconds: u64) -> Proxy {
    forgetful_tokens(server, seconds, |_| false)
}

/// A registry that refuses the token of a first request that `refuse` picks, and then wants another one for it.
fn forgetful_tokens(
    server: &Server,
    seconds: u64,
    refuse: impl Fn(&Seen) -> bool + Send + 'static,
) -> Proxy {
    let mut given = HashSet::new();
    let mut refused: HashMap<String, Option<String>> = HashMap::new();
    Proxy::start(&server.address, move |seen| {
        if seen.path.starts_with("/token") {
            let token = format!("token-{}", given.len());
            given.insert(Some(format!("Bearer {token}")));
            // As some registries do, under both names.
            let answer = json!({"token": token, "access_token": token, "expires_in": seconds});
            return Fault::answer("200 OK", "", &answer.to_string());
        }
        if !given.contains(&seen.authorization) {
            return challenge(seen, "/token");
        }
        let kind = kind(seen);
        if refuse(seen) && !refused.contains_key(&kind) {
            refused.insert(kind, seen.authorization.clone());
            return challenge(seen, "/token");
        }
        match refused.get(&kind) {
            Some(token) if *token == seen.authorization => challenge(seen, "/token"),
            _ => Fault::Pass,
        }
    })
}

fn challenge(seen: &Seen, path: &str) -> Fault {
    let realm = format!("http://{}{path}", seen.host);
    let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"the registry\"\r\n");
    Fault::answer("401 Unauthorized", &header, "")
}

#[test]
fn a_password_is_taken_from_docker() {
    let server = Server::with_password();
    let repository = format!("{}/shop/catalog", server.address);
    let image = image("catalog");
    let (registry, _folder) = with(&server.address, &password(USER, PASSWORD));
    registry.push(&repository, &image, &["1.0.0"]).unwrap();
    let tagged = registry.resolve(&repository, "1.0.0").unwrap();
    assert_eq!(tagged.unwrap(), image.manifest.digest);
}

#[test]
fn without_a_password_or_with_a_wrong_one_it_says_how_to_log_in() {
    let server = Server::with_password();
    let repository = format!("{}/shop/catalog", server.address);
    let (wrong, _folder) = with(&server.address, &password(USER, "not-this-one"));
    for registry in [anonymous(), wrong] {
        let error = told(registry.push(&repository, &image("catalog"), &["1.0.0"]));
        assert!(error.contains("refuses access to shop/catalog"), "{error}");
        assert!(
            error.contains(&format!("docker login {}", server.address)),
            "{error}"
        );
        assert!(!error.contains("not-this-one"), "{error}");
    }
}

#[test]
fn tokens_are_kept_while_they_last() {
    let server = Server::start();
    let proxy = tokens(&server, 3600);
    let repository = format!("{}/shop/catalog", proxy.address);
    anonymous()
        .push(&repository, &image("catalog"), &["1.0.0"])
        .unwrap();
    // One to read with, one to write with.
    assert_eq!(proxy.count("GET", "/token"), 2);
    let scopes: Vec<String> = proxy.seen().into_iter().map(|it| it.path).collect();
    let asked = |scope: &str| {
        scopes
            .iter()
            .any(|it| it.contains(scope) && it.contains("service=the"))
    };
    assert!(
        asked("scope=repository%3Ashop%2Fcatalog%3Apull"),
        "{scopes:?}"
    );
    assert!(asked("pull%2Cpush"), "{scopes:?}");
}

#[test]
fn a_token_that_the_registry_no_longer_takes_is_renewed() {
    let server = Server::start();
    // The very first request is refused already, for having none.
    let is_first = |seen: &Seen| seen.method == "GET" && seen.path.ends_with("/1.0.0");
    let proxy = forgetful_tokens(&server, 3600, move |seen| !is_first(seen));
    let repository = format!("{}/shop/catalog", proxy.address);
    let image = image("catalog");
    anonymous().push(&repository, &image, &["1.0.0"]).unwrap();
    let found = anonymous()
        .attached(&repository, &image.manifest.digest, KEY_MANIFEST)
        .unwrap();
    assert_eq!(found.len(), 1);
    assert!(proxy.count("GET", "/token") > 10);
}

#[test]
fn a_token_that_has_expired_is_not_sent() {
    let server = Server::start();
    let proxy = tokens(&server, 0);
    let repository = format!("{}/shop/catalog", proxy.address);
    let registry = anonymous();
    for _ in 0..5 {
        registry.resolve(&repository, "1.0.0").unwrap();
    }
    assert_eq!(proxy.count("GET", "/token"), 5);
    // The first is without any.
    assert_eq!(proxy.count("GET", "/v2/"), 6);
}

#[test]
fn the_password_goes_to_the_token_server_only() {
    let server = Server::start();
    let proxy = tokens(&server, 3600);
    let repository = format!("{}/shop/catalog", proxy.address);
    let (registry, _folder) = with(&proxy.address, &password(USER, PASSWORD));
    registry.push(&repository, &image("catalog"), &[]).unwrap();
    for seen in proxy.seen() {
        let header = seen.authorization.unwrap_or_default();
        assert_eq!(
            seen.path.starts_with("/token"),
            header.starts_with("Basic ")
        );
    }
}

#[test]
fn an_identity_token_is_exchanged() {
    let server = Server::start();
    let proxy = tokens(&server, 3600);
    let repository = format!("{}/shop/catalog", proxy.address);
    let auth = json!({"auth": STANDARD.encode("00000000:"), "identitytoken": "identity-7"});
    let (registry, _folder) = with(&proxy.address, &auth);
    registry.push(&repository, &image("catalog"), &[]).unwrap();
    let asked: Vec<Seen> = proxy
        .seen()
        .into_iter()
        .filter(|it| it.path == "/token")
        .collect();
    assert!(!asked.is_empty());
    for seen in asked {
        let form = String::from_utf8(seen.body).unwrap();
        assert_eq!((seen.method.as_str(), seen.authorization), ("POST", None));
        assert!(form.contains("grant_type=refresh_token"), "{form}");
        assert!(form.contains("refresh_token=identity-7"), "{form}");
        assert!(form.contains("service=the"), "{form}");
    }
}

#[test]
fn a_token_server_that_refuses_is_told_without_the_secret() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |seen| match seen.path.as_str() {
        path if path.starts_with("/token") => Fault::answer("403 Forbidden", "", "{}"),
        _ => challenge(seen, "/token"),
    });
    let (registry, _folder) = with(&proxy.address, &password(USER, PASSWORD));
    let error = told(registry.resolve(&format!("{}/shop/catalog", proxy.address), "1.0.0"));
    assert!(
        error.contains("refuses access") && error.contains("docker login"),
        "{error}"
    );
    assert!(!error.contains(PASSWORD), "{error}");
    assert_eq!(proxy.seen().len(), 2, "asking again would not help");
}

#[test]
fn a_token_server_that_is_busy_is_waited_for() {
    let server = Server::start();
    let (asked, counter) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let seen_by_test = Arc::clone(&asked);
    let proxy = Proxy::start(&server.address, move |seen| {
        if !seen.path.starts_with("/token") {
            return match seen.authorization {
                Some(_) => Fault::Pass,
                None => challenge(seen, "/token"),
            };
        }
        seen_by_test.fetch_add(1, Ordering::Relaxed);
        match counter.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::answer("503 Service Unavailable", "", ""),
            1 => Fault::answer("429 Too Many Requests", "Retry-After: 0\r\n", ""),
            _ => Fault::answer("200 OK", "", r#"{"access_token":"t"}"#),
        }
    });
    let tag = anonymous().resolve(&format!("{}/shop/catalog", proxy.address), "1.0.0");
    assert_eq!(tag.unwrap(), None);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn passwords_are_not_sent_for_tokens_without_tls() {
    let server = Server::start();
    let proxy = Proxy::start(&server.address, |_| {
        let header =
            "WWW-Authenticate: Bearer realm=\"http://auth.example/token?key=secret-9\"\r\n";
        Fault::answer("401 Unauthorized", header, "")
    });
    let (registry, _folder) = with(&proxy.address, &password(USER, PASSWORD));
    let error = told(registry.resolve(&format!("{}/shop/catalog", proxy.address), "1.0.0"));
    assert!(
        error.contains("auth.example for tokens without TLS"),
        "{error}"
    );
    assert!(!error.contains("secret-9"), "{error}");
}

#[test]
fn what_is_elsewhere_gets_no_login() {
    let server = Server::start();
    let store = Proxy::start(&server.address, |_| Fault::Pass);
    let address = store.address.clone();
    let tokens = json!({"token": "t", "expires_in": 3600}).to_string();
    let proxy = Proxy::start(&server.address, move |seen| {
        if seen.path.starts_with("/token") {
            return Fault::answer("200 OK", "", &tokens);
        }
        if seen.authorization.is_none() {
            return challenge(seen, "/token");
        }
        let is_blob = seen.path.contains("/blobs/sha256:");
        if seen.method == "GET" && is_blob {
            let header = format!("Location: http://{address}{}\r\n", seen.path);
            return Fault::answer("307 Temporary Redirect", &header, "");
        }
        if seen.method == "POST" {
            // The registry gives URLs with the host that it was asked by.
            let (here, there) = (
                format!("http://{}/", seen.host),
                format!("http://{address}/"),
            );
            return Fault::Change(here, there);
        }
        Fault::Pass
    });
    let repository = format!("{}/shop/catalog", proxy.address);
    let image = image("catalog");
    let registry = anonymous();
    registry.push(&repository, &image, &[]).unwrap();
    let found = registry
        .attached(&repository, &image.manifest.digest, KEY_MANIFEST)
        .unwrap();
    assert_eq!(found.len(), 1);
    assert!(store.count("PUT", "/blobs/uploads/") > 0);
    assert_eq!(store.count("GET", "/blobs/sha256:"), 1);
    assert!(store.seen().iter().all(|it| it.authorization.is_none()));
}
