//! An ApplicationSet over many services: how long until all are synced, and how soon a commit is noticed.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::{World, cluster::until, report::seconds};

/// For 200 applications on two cores.
const LIMIT: Duration = Duration::from_secs(1200);

impl World {
    /// Generates so many services without pods, has Argo CD sync them all, and changes one of them: noticed by polling,
    /// and told by a webhook.
    pub(super) fn scale(&mut self, services: usize) -> anyhow::Result<()> {
        self.place.pull()?;
        for number in 0..services {
            let folder = format!("gitops/environments/scale/s{number:03}");
            self.place.write(
                &format!("{folder}/chart.yaml"),
                "chart: microservice\nrevision: microservice-1.0.0\n",
            )?;
            self.place.write(
                &format!("{folder}/values.yaml"),
                "image: {repository: registry.example/none, tag: \"1.0.0\"}\nreplicas: 0\npdb: {enabled: false}\n",
            )?;
        }
        let set = std::fs::read_to_string(
            self.place
                .clone()
                .join("gitops/argocd/platform/staging.yaml"),
        )?;
        let (set, _project) = set.split_once("\n---").unwrap_or((&set, ""));
        // The same set over another folder; in staging's project and namespace, where it may do no more.
        let set = set
            .replace("name: staging\n", "name: scale\n")
            .replace("staging-{{.path.basename}}", "scale-{{.path.basename}}")
            .replace(
                "slipway.dev/environment: staging",
                "slipway.dev/environment: scale",
            )
            .replace("environments/staging/", "environments/scale/");
        self.place.push("chore: many services")?;
        let began = Instant::now();
        self.cluster.apply(&set)?;
        let argocd = self.cluster.argocd.clone();
        let cluster = &self.cluster;
        let applications = || -> anyhow::Result<Vec<Value>> {
            let list = cluster.get(&[
                "applications.argoproj.io",
                "--namespace",
                &argocd,
                "--selector=slipway.dev/environment=scale",
            ])?;
            Ok(list["items"].as_array().cloned().unwrap_or_default())
        };
        let mut made = None;
        until(LIMIT, "all applications are synced", || {
            let all = applications()?;
            if all.len() == services {
                made.get_or_insert_with(|| began.elapsed());
            }
            let synced = all
                .iter()
                .filter(|one| one["status"]["sync"]["status"] == "Synced");
            Ok((synced.count() == services).then_some(()))
        })?;
        let synced = began.elapsed();
        self.report.seen(
            &format!("an ApplicationSet over {services} services"),
            format!(
                "all applications made after {}, all synced after {}",
                seconds(made.context("they were made")?),
                seconds(synced)
            ),
        );

        for (how, by_webhook) in [("polling", false), ("a webhook", true)] {
            let mut times = Vec::new();
            for round in 0..3 {
                times.push(self.noticed(services / 2, round, by_webhook)?);
            }
            times.sort();
            self.report.seen(
                &format!("a commit is noticed by {how}, with {services} applications"),
                format!(
                    "fastest {}, median {}, slowest {}",
                    seconds(times[0]),
                    seconds(times[1]),
                    seconds(times[2])
                ),
            );
        }
        Ok(())
    }

    /// How long it takes from a commit until the cluster has what it changes.
    fn noticed(&self, number: usize, round: usize, by_webhook: bool) -> anyhow::Result<Duration> {
        self.place.pull()?;
        let value = format!("{by_webhook}-{round}");
        self.place.overlay(
            &format!("gitops/environments/scale/s{number:03}/values.yaml"),
            &format!("commonLabels: {{round: \"{value}\"}}"),
        )?;
        let before = self.place.head()?;
        let commit = self.place.push("chore: one of many changes")?;
        if by_webhook {
            self.tell(&before, &commit)?;
        }
        let name = format!("s{number:03}");
        let (_, took) = until(LIMIT, "the change is there", || {
            let found = self.cluster.find(super::STAGING, "deployment", &name)?;
            Ok(found.filter(|one| one["metadata"]["labels"]["round"] == *value))
        })?;
        Ok(took)
    }

    /// What GitHub sends to Argo CD.
    fn tell(&self, before: &str, commit: &str) -> anyhow::Result<()> {
        let server = self
            .options
            .argocd_server
            .as_ref()
            .context("--argocd-server says where the webhook is")?;
        let url = self.git.url("slipway.git");
        let page = url.trim_end_matches(".git");
        let event = json!({
            "ref": "refs/heads/main",
            "before": before,
            "after": commit,
            "repository": {"html_url": page, "default_branch": "main"},
            "commits": [{"id": commit, "added": [], "removed": [], "modified": ["gitops"]}],
        });
        ureq::post(format!("{server}/api/webhook"))
            .header("X-GitHub-Event", "push")
            .header("Content-Type", "application/json")
            .send(event.to_string())
            .context("Argo CD does not take the webhook")?;
        Ok(())
    }
}
