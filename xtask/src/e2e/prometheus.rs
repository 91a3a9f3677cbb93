//! Prometheus on this machine, for the analysis of canaries where the cluster has none.

use std::{
    fs,
    net::{IpAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use serde_json::{Value, json};
use tiny_http::{Response, Server};

use super::cluster::{Cluster, until};
use crate::hint::WithHint;

/// Scrapes the pods of an environment until it is dropped.
pub(super) struct Prometheus {
    process: duct::Handle,
    targets: Arc<Server>,
    pub(super) url: String,
}

impl Prometheus {
    /// Starts on a free port of this address; waits until it answers.
    pub(super) fn start(
        cluster: &Cluster,
        address: IpAddr,
        folder: &Path,
        environment: &'static str,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let targets = discovery(cluster.clone(), environment)?;
        let port = targets.server_addr().to_ip().context("it has an address")?;
        // Not every build of Prometheus can ask Kubernetes itself: Debian's cannot.
        let config = format!(
            "global: {{scrape_interval: 2s}}\nscrape_configs:\n  - job_name: pods\n    http_sd_configs: [{{url: \"http://{port}/\", refresh_interval: 2s}}]\n"
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config)?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let listen = format!("{address}:{port}");
        let process = duct::cmd!(
            "prometheus",
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={listen}"),
        )
        .stdout_null()
        .stderr_path(folder.join("log"))
        .unchecked()
        .start()
        .context("cannot start prometheus")
        .hint("install it (Debian: prometheus), or name one that scrapes the cluster: --prometheus URL")?;
        let url = format!("http://{listen}");
        let this = Self {
            process,
            targets,
            url,
        };
        until(Duration::from_secs(30), "Prometheus is ready", || {
            let ready = ureq::get(format!("{}/-/ready", this.url)).call();
            Ok(ready.is_ok().then_some(()))
        })?;
        Ok(this)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        self.targets.unblock();
    }
}

/// Answers with the pods of the environment that have a port for metrics.
/// <https://prometheus.io/docs/prometheus/latest/http_sd/>
fn discovery(cluster: Cluster, environment: &'static str) -> anyhow::Result<Arc<Server>> {
    let server = Server::http("127.0.0.1:0")
        .map_err(|error| anyhow::anyhow!("cannot serve Prometheus its targets: {error}"))?;
    let server = Arc::new(server);
    let serving = Arc::clone(&server);
    std::thread::spawn(move || {
        while let Ok(request) = serving.recv() {
            let pods = cluster.list(environment, "pods").unwrap_or_default();
            let targets: Vec<Value> = pods.iter().filter_map(target).collect();
            let json = "Content-Type: application/json".parse::<tiny_http::Header>();
            let answer = Response::from_string(Value::from(targets).to_string());
            // Whoever asked has gone: it asks again.
            let _gone = request.respond(answer.with_header(json.expect("a header")));
        }
    });
    Ok(server)
}

/// A pod with the labels that Prometheus Operator gives it for the chart's ServiceMonitor.
fn target(pod: &Value) -> Option<Value> {
    let address = pod["status"]["podIP"].as_str()?;
    let ports = pod["spec"]["containers"][0]["ports"].as_array()?;
    let port = ports.iter().find(|port| port["name"] == "admin")?;
    let labels = &pod["metadata"]["labels"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(json!({
        "targets": [format!("{address}:{}", port["containerPort"])],
        "labels": {
            "job": text(&labels["app.kubernetes.io/instance"]),
            "namespace": text(&pod["metadata"]["namespace"]),
            "pod": text(&pod["metadata"]["name"]),
            "rollouts_pod_template_hash": text(&labels["rollouts-pod-template-hash"]),
        },
    }))
}
