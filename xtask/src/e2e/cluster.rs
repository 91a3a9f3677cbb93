//! The cluster under test, through kubectl.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::Value;

use crate::{
    hint::{WithHint, fail},
    pause::pause,
};

/// How often something is looked at again.
const TICK: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) kubeconfig: Option<PathBuf>,
    /// Where Argo CD's Applications are.
    pub(super) argocd: String,
}

impl Cluster {
    /// A program that talks to this cluster.
    pub(super) fn aimed(&self, program: duct::Expression) -> duct::Expression {
        match &self.kubeconfig {
            Some(path) => program.env("KUBECONFIG", path),
            None => program,
        }
    }

    /// What kubectl prints.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with(arguments, String::new())
    }

    /// What kubectl prints for this input.
    pub(super) fn kubectl_with(&self, arguments: &[&str], input: String) -> anyhow::Result<String> {
        let ran = self
            .aimed(duct::cmd("kubectl", arguments))
            .stdin_bytes(input)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .run()
            .context("cannot run kubectl")
            .hint("install it: https://kubernetes.io/docs/tasks/tools/")?;
        if ran.status.success() {
            return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
        }
        fail(
            format!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&ran.stderr).trim()
            ),
            "--kubeconfig, KUBECONFIG and kubectl's current context say which cluster that is",
        )
    }

    /// Applies these manifests.
    pub(super) fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        self.kubectl_with(&["apply", "--filename=-"], manifests.to_owned())
            .map(drop)
    }

    /// An object, or a list of them.
    pub(super) fn get(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.kubectl(&[&["get", "--output=json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl's answer")
    }

    /// An object, if it is there.
    pub(super) fn find(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
    ) -> anyhow::Result<Option<Value>> {
        let text = self.kubectl(&[
            "get",
            kind,
            name,
            "--namespace",
            namespace,
            "--ignore-not-found",
            "--output=json",
        ])?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(
            serde_json::from_str(&text).context("kubectl's answer")?,
        ))
    }

    /// The objects of a kind in a namespace.
    pub(super) fn list(&self, namespace: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.get(&[kind, "--namespace", namespace])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The pods of a service that serve, without those that leave and those of Jobs.
    pub(super) fn pods(&self, namespace: &str, service: &str) -> anyhow::Result<Vec<Value>> {
        let mut pods = self.list(namespace, "pods")?;
        pods.retain(|pod| {
            let labels = &pod["metadata"]["labels"];
            labels["app.kubernetes.io/instance"] == service
                && labels["app.kubernetes.io/component"] != "migrations"
                && pod["metadata"]["deletionTimestamp"].is_null()
        });
        Ok(pods)
    }
}

/// Waits until `look` finds something, and returns it with the time that it took.
pub(super) fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Duration)> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok((found, started.elapsed()));
        }
        if started.elapsed() >= limit {
            return fail(
                format!("{what}: not within {} s", limit.as_secs()),
                "everything is left as it is, to be looked at",
            );
        }
        pause(TICK);
    }
}
