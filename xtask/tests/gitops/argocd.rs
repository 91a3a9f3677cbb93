//! What Argo CD says, through a kubectl that answers from files: health before a promotion, and waiting.

use std::{
    fs,
    process::Command,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::world::{PROMOTE, Ran, World, executable, run};

const POLICY: &str = "gitops/environments/production/policy.yaml";

/// A world whose cluster says what it is told to say.
struct Cluster {
    world: World,
}

impl Cluster {
    fn new() -> Self {
        let world = World::new();
        let answers = world.folder.path().join("answers");
        let script = format!(
            "#!/bin/sh\ncase $1 in\nget) cat '{0}'/\"$2\" 2>/dev/null || echo '{{\"items\":[]}}';;\nlogs) cat '{0}/log';;\npatch) echo \"$*\" >>'{0}/patched';;\nesac\n",
            answers.display()
        );
        fs::create_dir(&answers).expect("writable");
        executable(&world.folder.path().join("kubectl-bin/kubectl"), &script);
        Self { world }
    }

    fn says(&self, what: &str, items: &[Value]) {
        let path = self.world.folder.path().join("answers").join(what);
        fs::write(path, json!({"items": items}).to_string()).expect("writable");
    }

    /// An application that has seen this commit.
    fn is(&self, name: &str, revision: &str, sync: &str, health: &str, operation: &Value) {
        let application = application(name, revision, sync, health, operation);
        self.says("applications.argoproj.io", &[application]);
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let folder = self.world.folder.path().join("kubectl-bin");
        let path = std::env::var("PATH").expect("a PATH");
        let mut command: Command = self.world.command(arguments);
        run(command.env("PATH", format!("{}:{path}", folder.display())))
    }
}

fn application(name: &str, revision: &str, sync: &str, health: &str, operation: &Value) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "destination": {"namespace": name.split('-').next()},
            "sources": [{"helm": {"releaseName": "catalog"}}, {"ref": "values"}],
        },
        "status": {
            "sync": {"status": sync, "revisions": ["chart", revision]},
            "health": {"status": health},
            "operationState": operation,
        },
    })
}

#[test]
fn only_what_is_healthy_in_the_source_environment_is_promoted_where_that_is_asked_for() {
    let cluster = Cluster::new();
    cluster.world.stage("catalog", "1.0.0");
    let before = cluster.world.tip();
    cluster.world.stage("catalog", "1.1.0");
    let commit = cluster
        .world
        .commit("chore: a policy", &[(POLICY, "health: required\n")]);
    let done = json!({"phase": "Succeeded"});

    cluster.run(&PROMOTE).failed("no application of it");
    cluster.is("staging-catalog", &before, "Synced", "Healthy", &done);
    cluster.run(&PROMOTE).failed("has not seen it yet");
    cluster.is("staging-catalog", &commit, "Synced", "Degraded", &done);
    cluster
        .run(&PROMOTE)
        .failed("catalog 1.1.0: Synced, Degraded");
    cluster.is("staging-catalog", &commit, "Synced", "Healthy", &done);
    cluster.run(&PROMOTE).ok();
}

#[test]
fn an_emergency_asks_nobody_for_health() {
    let cluster = Cluster::new();
    cluster.world.stage("catalog", "1.0.0");
    cluster
        .world
        .commit("chore: a policy", &[(POLICY, "health: required\n")]);
    let broken = [&PROMOTE[..], &["--break-glass", "INC-7"]].concat();
    let ran = cluster.run(&broken).ok();
    assert!(ran.stderr.contains("not asked"), "{}", ran.stderr);
}

#[test]
fn waiting_ends_when_this_very_release_is_healthy() {
    let cluster = Cluster::new();
    cluster.world.stage("catalog", "1.0.0");
    cluster.run(&PROMOTE).ok();
    let commit = cluster.world.tip();
    let wait = [&PROMOTE[..], &["--wait", "--timeout", "1s", "--json"]].concat();

    // A healthy one, but of the commit before.
    let old = format!("{commit}~1");
    let old = crate::world::git(&cluster.world.remote(), &["rev-parse", &old]);
    let done = json!({"phase": "Succeeded"});
    cluster.is("production-catalog", &old, "Synced", "Healthy", &done);
    cluster.run(&wait).failed("not seen by Argo CD");

    // This one, while it is applied.
    let running = json!({"phase": "Running"});
    cluster.is("production-catalog", &commit, "Synced", "Healthy", &running);
    cluster.run(&wait).failed("production is not healthy");

    cluster.is("production-catalog", &commit, "Synced", "Healthy", &done);
    let ran = cluster.run(&wait).ok();
    assert_eq!(ran.action(), "unchanged");
    assert!(ran.json()["took"]["rollout"].is_f64(), "{}", ran.stdout);
}

#[test]
fn waiting_says_what_failed_in_the_pods_own_words() {
    let cluster = Cluster::new();
    let digest = cluster.world.stage("catalog", "1.0.0");
    cluster.run(&PROMOTE).ok();
    let commit = cluster.world.tip();
    let failed = json!({"phase": "Running", "syncResult": {"revisions": ["chart", commit], "resources": [{
        "kind": "Job", "name": "catalog-migrations", "hookType": "Sync", "hookPhase": "Failed",
        "message": "Job has reached the specified backoff limit",
    }]}});
    cluster.is(
        "production-catalog",
        &commit,
        "OutOfSync",
        "Healthy",
        &failed,
    );
    let pod = |name: &str, image: &str| {
        json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"image": image}]},
            "status": {
                "phase": "Failed",
                "containerStatuses": [{"name": "migrations", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
            },
        })
    };
    cluster.says(
        "pods",
        &[
            pod("catalog-old", "registry.example/catalog@sha256:0000"),
            pod("catalog-new", &format!("registry.example/catalog@{digest}")),
        ],
    );
    let log = cluster.world.folder.path().join("answers/log");
    fs::write(log, "error: relation does not exist\n").expect("writable");

    let ran = cluster
        .run(&[&PROMOTE[..], &["--wait", "--timeout", "30s"]].concat())
        .failed("Job has reached the specified backoff limit");
    assert!(
        ran.stderr.contains("pod catalog-new: container migrations ended with exit code 1\n  | error: relation does not exist"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("catalog-old"), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("catalog  unchanged"),
        "what was recorded is said all the same: {}",
        ran.stdout
    );
}

#[test]
fn a_sync_before_whose_migrations_cannot_start_is_ended() {
    let cluster = Cluster::new();
    let digest = cluster.world.stage("catalog", "1.0.0");
    cluster.run(&PROMOTE).ok();
    let commit = cluster.world.tip();
    let before = json!({"phase": "Running", "syncResult": {"revisions": ["chart", "before"]}});
    cluster.is("production-catalog", &commit, "Synced", "Healthy", &before);
    let wait = [&PROMOTE[..], &["--wait", "--timeout", "2s"]].concat();
    let patched = cluster.world.folder.path().join("answers/patched");
    let pod = |component: &str| {
        json!({
            "metadata": {"name": "catalog-1", "labels": {"app.kubernetes.io/component": component}},
            "spec": {"containers": [{"image": format!("registry.example/catalog@{digest}")}]},
            "status": {"containerStatuses": [{"name": "service", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
        })
    };
    // Other pods are not what the sync waits for.
    cluster.says("pods", &[pod("server")]);
    cluster.run(&wait).failed("production is not healthy");
    assert!(!patched.exists());

    cluster.says("pods", &[pod("migrations")]);
    cluster.run(&wait).failed("ending the sync before");
    let patch = fs::read_to_string(patched).expect("it was asked");
    assert!(
        patch.starts_with("patch applications.argoproj.io production-catalog")
            && patch.contains("Terminating"),
        "{patch}"
    );
}

/// Argo CD's API, as far as it is asked. Like the real one it refuses a change without a content type.
fn api(application: Value, pod: &Value) -> (String, Arc<Mutex<Vec<String>>>) {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let address = server.server_addr().to_ip().expect("an address");
    let tree = json!({"nodes": [{"kind": "Pod", "name": "catalog-1"}, {"kind": "Job", "name": "catalog"}]});
    let live = json!({"manifest": pod.to_string()});
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let path = request.url().split('?').next().expect("a path").to_owned();
            let header = |name: &'static str| {
                let found = request.headers().iter().find(|one| one.field.equiv(name));
                found.map(|one| one.value.to_string())
            };
            let typed = header("Content-Type").as_deref() == Some("application/json");
            let known = header("Authorization").as_deref() == Some("Bearer secret");
            let (status, answer) = match (known, request.method().as_str(), path.as_str()) {
                (false, ..) => (401, json!({"message": "no session"})),
                (_, "DELETE", _) if !typed => (415, json!("Invalid content type")),
                (_, "GET", "/api/v1/applications") => (200, json!({"items": [application]})),
                (_, "GET", path) if path.ends_with("/resource-tree") => (200, tree.clone()),
                (_, "GET", path) if path.ends_with("/resource") => (200, live.clone()),
                _ => (200, json!({})),
            };
            let line = format!("{} {path} {status}", request.method());
            heard.lock().expect("no panic").push(line);
            let answer = tiny_http::Response::from_string(answer.to_string());
            request
                .respond(answer.with_status_code(status))
                .expect("it listens");
        }
    });
    (format!("http://{address}"), asked)
}

#[test]
fn argo_cd_is_asked_by_its_api_where_that_is_named() {
    let cluster = Cluster::new();
    cluster.world.stage("catalog", "1.0.0");
    cluster.run(&PROMOTE).ok();
    let commit = cluster.world.tip();
    let before = json!({"phase": "Running", "syncResult": {"revisions": ["chart", "before"]}});
    let application = application("production-catalog", &commit, "Synced", "Healthy", &before);
    let pod = json!({
        "metadata": {"name": "catalog-1", "labels": {"app.kubernetes.io/component": "migrations"}},
        "status": {"containerStatuses": [{"name": "migrations", "state": {"waiting": {"reason": "ErrImagePull"}}}]},
    });
    let (url, asked) = api(application, &pod);
    let config = cluster.world.app().join("slipway.toml");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, format!("{text}\n[argocd]\nserver = {url:?}\n")).expect("writable");

    let wait = [&PROMOTE[..], &["--wait", "--timeout", "2s"]].concat();
    let run_as = |token: &str| {
        let mut command = cluster.world.command(&wait);
        run(command.env("ARGOCD_AUTH_TOKEN", token))
    };
    run_as("wrong").failed("401 Unauthorized: no session");
    run_as("secret").failed("ending the sync before");
    let asked = asked.lock().expect("no panic").join("\n");
    for line in [
        "GET /api/v1/applications/production-catalog 200",
        "GET /api/v1/applications/production-catalog/resource-tree 200",
        "GET /api/v1/applications/production-catalog/resource 200",
        "DELETE /api/v1/applications/production-catalog/operation 200",
    ] {
        assert!(asked.contains(line), "no {line} in\n{asked}");
    }
    assert_eq!(asked.matches("DELETE").count(), 1, "{asked}");
}

#[test]
fn status_says_what_argo_cd_says_and_does_without_it() {
    let cluster = Cluster::new();
    cluster.world.stage("catalog", "1.0.0");
    let status = ["status", "--env", "staging", "--json"];
    let done = json!({"phase": "Succeeded"});
    let commit = cluster.world.tip();
    cluster.is("staging-catalog", &commit, "Synced", "Healthy", &done);
    let row = cluster.run(&status).ok().json()[0].clone();
    assert_eq!(
        (&row["sync"], &row["health"]),
        (&json!("Synced"), &json!("Healthy"))
    );

    let kubectl = cluster.world.folder.path().join("kubectl-bin/kubectl");
    executable(
        &kubectl,
        "#!/bin/sh\necho 'connection refused' >&2; exit 1\n",
    );
    let ran = cluster.run(&status).ok();
    assert!(ran.stderr.contains("cannot be asked"), "{}", ran.stderr);
    assert_eq!(ran.json()[0]["health"], Value::Null);
}
