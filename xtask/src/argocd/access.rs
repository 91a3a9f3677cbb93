//! How Argo CD is asked: with kubectl, as whoever runs this, or by its API, where a pipeline has no access to the cluster.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use ureq::http::StatusCode;

use super::Application;
use crate::{
    config::Argocd,
    hint::{WithHint, fail},
};

/// Longer than an answer of a healthy API takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The label of the ApplicationSets in gitops/argocd.
const ENVIRONMENT: &str = "slipway.dev/environment";

/// A way to Argo CD and the objects that it manages.
pub(crate) enum Access {
    Kubectl {
        /// Where its Applications are.
        namespace: String,
    },
    Server {
        url: String,
        token: String,
        agent: ureq::Agent,
    },
}

#[derive(Deserialize)]
struct List<T> {
    /// Go writes an empty list as null.
    items: Option<Vec<T>>,
}

impl Access {
    /// The way that slipway.toml names: `argocd.server` with the token in `ARGOCD_AUTH_TOKEN`, else kubectl.
    pub(crate) fn of(config: &Argocd) -> anyhow::Result<Self> {
        let Some(url) = &config.server else {
            return Ok(Self::Kubectl {
                namespace: config.namespace.clone(),
            });
        };
        let Ok(token) = std::env::var("ARGOCD_AUTH_TOKEN") else {
            return fail(
                format!("no token for Argo CD at {url}"),
                "set ARGOCD_AUTH_TOKEN to one of an account that may get applications and logs: `argocd account generate-token --account ci`",
            );
        };
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self::Server {
            url: url.trim_end_matches('/').to_owned(),
            token,
            agent,
        })
    }

    /// The applications of an environment.
    pub(crate) fn applications(&self, environment: &str) -> anyhow::Result<Vec<Application>> {
        let label = format!("{ENVIRONMENT}={environment}");
        let list: List<Application> = match self {
            Self::Kubectl { namespace } => kubectl(&[
                "get",
                "applications.argoproj.io",
                "--namespace",
                namespace,
                "--selector",
                &label,
            ])?,
            Self::Server { .. } => self.get("applications", &[("selector", &label)])?,
        };
        Ok(list.items.unwrap_or_default())
    }

    /// Has Argo CD look at Git now, in place of waiting until it does.
    pub(crate) fn refresh(&self, application: &str) -> anyhow::Result<()> {
        match self {
            Self::Kubectl { namespace } => run(&[
                "annotate",
                "applications.argoproj.io",
                application,
                "--namespace",
                namespace,
                "--overwrite",
                "argocd.argoproj.io/refresh=normal",
            ])
            .map(drop),
            Self::Server { .. } => self
                .get::<Value>(
                    &format!("applications/{application}"),
                    &[("refresh", "normal")],
                )
                .map(drop),
        }
    }

    /// Ends the sync that runs.
    pub(crate) fn terminate(&self, application: &Application) -> anyhow::Result<()> {
        let name = &application.metadata.name;
        match self {
            Self::Kubectl { namespace } => run(&[
                "patch",
                "applications.argoproj.io",
                name,
                "--namespace",
                namespace,
                "--type=merge",
                r#"--patch={"status":{"operationState":{"phase":"Terminating"}}}"#,
            ])
            .map(drop),
            Self::Server { url, token, agent } => {
                let address = format!("{url}/api/v1/applications/{name}/operation");
                let answer = agent
                    .delete(&address)
                    .header("Authorization", format!("Bearer {token}"))
                    // Argo CD wants it of whatever changes something, also without a body.
                    .header("Content-Type", "application/json")
                    .call();
                read(answer, url, &address).map(drop)
            }
        }
    }

    /// The pods of an application.
    pub(crate) fn pods(&self, application: &Application) -> anyhow::Result<Vec<Value>> {
        let name = &application.metadata.name;
        match self {
            Self::Kubectl { .. } => {
                let instance = format!("app.kubernetes.io/instance={}", application.release());
                let list: List<Value> = kubectl(&[
                    "get",
                    "pods",
                    "--namespace",
                    application.namespace(),
                    "--selector",
                    &instance,
                ])?;
                Ok(list.items.unwrap_or_default())
            }
            Self::Server { .. } => {
                #[derive(Deserialize)]
                struct Tree {
                    nodes: Option<Vec<Node>>,
                }
                #[derive(Deserialize)]
                struct Node {
                    kind: String,
                    name: String,
                }
                let tree: Tree = self.get(&format!("applications/{name}/resource-tree"), &[])?;
                let nodes = tree.nodes.unwrap_or_default().into_iter();
                // A pod can be gone since the tree was read.
                let pods = nodes
                    .filter(|node| node.kind == "Pod")
                    .filter_map(|node| self.live(application, "Pod", &node.name).ok());
                Ok(pods.collect())
            }
        }
    }

    /// What keeps its Deployment or Rollout from being healthy, in its controller's words. Argo CD 3 does not say so in
    /// the Application itself.
    pub(crate) fn ailing(&self, application: &Application) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for (kind, name) in application.workloads() {
            let object: Value = match self {
                Self::Kubectl { .. } => {
                    kubectl(&["get", kind, name, "--namespace", application.namespace()])?
                }
                Self::Server { .. } => self.live(application, kind, name)?,
            };
            let status = &object["status"];
            let conditions = status["conditions"].as_array();
            let stuck = conditions
                .into_iter()
                .flatten()
                .find(|one| one["type"] == "Progressing" && one["status"] == "False");
            let message = match kind {
                "Rollout" => status["message"].as_str(),
                _ => stuck.and_then(|condition| condition["message"].as_str()),
            };
            lines.extend(message.map(|message| format!("{kind} {name}: {message}")));
        }
        Ok(lines)
    }

    /// An object of an application, as the cluster has it.
    fn live(&self, application: &Application, kind: &str, name: &str) -> anyhow::Result<Value> {
        #[derive(Deserialize)]
        struct Live {
            manifest: String,
        }
        let (group, version) = match kind {
            "Deployment" => ("apps", "v1"),
            "Rollout" => ("argoproj.io", "v1alpha1"),
            _ => ("", "v1"),
        };
        let Live { manifest } = self.get(
            &format!("applications/{}/resource", application.metadata.name),
            &[
                ("namespace", application.namespace()),
                ("resourceName", name),
                ("group", group),
                ("version", version),
                ("kind", kind),
            ],
        )?;
        serde_json::from_str(&manifest).context("Argo CD's manifest")
    }

    /// What happened to a pod, oldest first.
    pub(crate) fn events(
        &self,
        application: &Application,
        pod: &str,
        uid: &str,
    ) -> anyhow::Result<Vec<Value>> {
        let list: List<Value> = match self {
            Self::Kubectl { .. } => kubectl(&[
                "get",
                "events",
                "--namespace",
                application.namespace(),
                "--field-selector",
                &format!("involvedObject.name={pod}"),
                "--sort-by=.lastTimestamp",
            ])?,
            Self::Server { .. } => self.get(
                &format!("applications/{}/events", application.metadata.name),
                &[
                    ("resourceNamespace", application.namespace()),
                    ("resourceName", pod),
                    ("resourceUID", uid),
                ],
            )?,
        };
        Ok(list.items.unwrap_or_default())
    }

    /// The last lines of a container's log, or of the one that ran before it.
    pub(crate) fn log(
        &self,
        application: &Application,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> anyhow::Result<String> {
        const LINES: &str = "5";
        match self {
            Self::Kubectl { .. } => run(&[
                "logs",
                pod,
                "--namespace",
                application.namespace(),
                "--container",
                container,
                "--tail",
                LINES,
                &format!("--previous={previous}"),
            ]),
            Self::Server { .. } => {
                let path = format!("applications/{}/pods/{pod}/logs", application.metadata.name);
                let answer = self.text(
                    &path,
                    &[
                        ("namespace", application.namespace()),
                        ("container", container),
                        ("tailLines", LINES),
                        ("previous", if previous { "true" } else { "false" }),
                    ],
                )?;
                let lines = answer.lines().filter_map(|line| {
                    let line: Value = serde_json::from_str(line).ok()?;
                    Some(line["result"]["content"].as_str()?.to_owned())
                });
                Ok(lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
        let text = self.text(path, query)?;
        serde_json::from_str(&text).with_context(|| format!("Argo CD's answer to {path}"))
    }

    fn text(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let Self::Server { url, token, agent } = self else {
            anyhow::bail!("kubectl answers no paths");
        };
        let address = format!("{url}/api/v1/{path}");
        let request = agent.get(&address).query_pairs(query.iter().copied());
        let answer = request
            .header("Authorization", format!("Bearer {token}"))
            .call();
        read(answer, url, &address)
    }
}

/// The text of an answer of Argo CD's API.
fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    url: &str,
    address: &str,
) -> anyhow::Result<String> {
    let mut answer = answer
        .with_context(|| format!("cannot reach Argo CD at {url}"))
        .hint("see argocd.server in slipway.toml")?;
    let status = answer.status();
    let text = answer
        .body_mut()
        .read_to_string()
        .with_context(|| format!("cannot read the answer of {address}"))?;
    if status.is_success() {
        return Ok(text);
    }
    let message = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|answer| Some(answer["message"].as_str()?.to_owned()))
        .unwrap_or(text);
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "the token in ARGOCD_AUTH_TOKEN is not known there, or its time is over"
        }
        StatusCode::FORBIDDEN => {
            "the token's account needs `get` on applications and logs: gitops/argocd/platform/rbac.yaml"
        }
        _ => "see the log of argocd-server",
    };
    fail(format!("{address}: {status}: {}", message.trim()), hint)
}

/// What kubectl prints as JSON.
fn kubectl<T: DeserializeOwned>(arguments: &[&str]) -> anyhow::Result<T> {
    let text = run(&[arguments, &["--output=json"]].concat())?;
    serde_json::from_str(&text).context("kubectl's answer")
}

fn run(arguments: &[&str]) -> anyhow::Result<String> {
    let timeout = format!("--request-timeout={}s", TIMEOUT.as_secs());
    let ran = duct::cmd("kubectl", arguments.iter().copied().chain([&*timeout]))
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .context("cannot run kubectl")
        .hint("install it, or name Argo CD's address: argocd.server in slipway.toml")?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&ran.stderr);
    // It repeats what it cannot reach, line by line.
    let last = words.lines().rfind(|line| !line.is_empty());
    fail(
        format!("kubectl {}: {}", arguments[0], last.unwrap_or_default()),
        "kubectl asks the cluster of its current context: `kubectl config current-context`, KUBECONFIG",
    )
}
