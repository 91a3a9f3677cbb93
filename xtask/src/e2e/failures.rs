//! Releases that do not work: what runs goes on, and `--wait` says why.

use std::time::Instant;

use serde_json::Value;

use super::{STAGING, World, begin::split, cluster::until, report::seconds};
use crate::argocd;

impl World {
    /// A version that never gets ready; back from it, held, and on again.
    pub(super) fn never_ready(&mut self) -> anyhow::Result<()> {
        let good = self.digest(STAGING, "gateway")?;
        self.place.pull()?;
        let serving = "        tracing::info!(%addr, \"serving\");\n";
        self.place.replace(
            "services/gateway/src/app.rs",
            serving,
            &format!("        drop(lifecycle.latch(\"never\"));\n{serving}"),
        )?;
        let commit = self
            .place
            .push("feat(gateway): waits for what never comes")?;
        self.build("gateway")?;

        let traffic = self.traffic(STAGING)?;
        let said = self.fails(&["release", "--wait"], &["Readiness probe failed", "hint:"])?;
        self.still_serves("gateway", &good)?;
        let seen = traffic.stop().without_failure()?;
        self.report.seen(
            "a version that never gets ready: --wait exits 1 with the pod's reason, and the pods before go on",
            format!("{said}; {seen}"),
        );

        let arguments = [
            "rollback",
            "gateway",
            "--env",
            STAGING,
            "--reason",
            "never ready",
            "--wait",
            "--json",
        ];
        let back = self.place.xtask(&self.cluster, &arguments)?.json()?;
        if self.digest(STAGING, "gateway")? != good {
            anyhow::bail!("the rollback did not bring the digest of before");
        }
        let held = self.release()?;
        if action(&held, "gateway") != Some("held") {
            anyhow::bail!("a held gateway was not left alone: {held}");
        }
        self.place.revert(&commit)?;
        let arguments = ["resume", "gateway", "--env", STAGING, "--json"];
        self.place.xtask(&self.cluster, &arguments)?.json()?;
        let again = self.release()?;
        if !matches!(action(&again, "gateway"), Some("released" | "unchanged")) {
            anyhow::bail!("the gateway was not released once resumed: {again}");
        }
        self.report.seen(
            "rollback, hold, a release that leaves it held, resume, release",
            format!("back: {}; on again: {}", split(&back), split(&again)),
        );
        Ok(())
    }

    /// A migration that fails leaves the version before serving.
    pub(super) fn broken_migration(&mut self) -> anyhow::Result<()> {
        let good = self.digest(STAGING, "orders")?;
        self.place.pull()?;
        self.place.write(
            "services/orders/migrations/postgres/9999_broken.sql",
            "ALTER TABLE no_such_table ADD COLUMN nothing TEXT;\n",
        )?;
        let commit = self
            .place
            .push("feat(orders): a migration that cannot work")?;
        self.build("orders")?;

        let traffic = self.traffic(STAGING)?;
        let said = self.fails(
            &["release", "--wait"],
            &["no_such_table", "container migrations"],
        )?;
        if self.digest(STAGING, "orders")? != good {
            anyhow::bail!("pods of the new version run, whose migration failed");
        }
        let seen = traffic.stop().without_failure()?;
        self.report.seen(
            "a migration that fails: the version before serves, and --wait says why",
            format!("{said}; {seen}"),
        );
        self.place.revert(&commit)?;
        let again = self.release()?;
        self.report
            .seen("the commit is taken back, and released", split(&again));
        Ok(())
    }

    /// A record of an image that no registry has.
    pub(super) fn missing_image(&mut self) -> anyhow::Result<()> {
        let good = self.digest(STAGING, "fulfilment")?;
        self.place.pull()?;
        let file = format!("gitops/environments/{STAGING}/fulfilment/image.yaml");
        let missing = format!("sha256:{}", "0".repeat(64));
        self.place.replace(&file, &good, &missing)?;
        let commit = self.place.push("chore: an image that nobody has")?;
        let release = ["release", "--service", "fulfilment", "--wait"];
        let said = self.fails(&release, &["ImagePull", "fulfilment"])?;
        self.still_serves("fulfilment", &good)?;
        self.report.seen(
            "an image that no registry has: the version before serves, and --wait says why",
            said,
        );
        self.place.revert(&commit)?;
        let arguments = ["release", "--service", "fulfilment", "--wait", "--json"];
        let again = self.place.xtask(&self.cluster, &arguments)?.json()?;
        self.report.seen("the record is taken back", split(&again));
        Ok(())
    }

    /// A command that fails and says all of these words. Returns after which time, and the line with the first of them.
    fn fails(&self, arguments: &[&str], words: &[&str]) -> anyhow::Result<String> {
        let began = Instant::now();
        let said = self.place.xtask(&self.cluster, arguments)?.refused(words)?;
        let line = said.lines().find(|line| line.contains(words[0]));
        let line = line.unwrap_or_default().trim_start_matches([' ', '|']);
        let beginning: String = line.chars().take(120).collect();
        Ok(format!("after {}: `{beginning}`", seconds(began.elapsed())))
    }

    /// Both pods of staging's version before are there and ready.
    fn still_serves(&self, service: &str, digest: &str) -> anyhow::Result<()> {
        let pods = self.cluster.pods(STAGING, service)?;
        let old = pods
            .iter()
            .filter(|pod| is_ready(pod) && argocd::runs(pod, digest));
        match old.count() {
            2.. => Ok(()),
            old => anyhow::bail!("only {old} pods of the version before still serve"),
        }
    }

    /// Hands that touch the cluster: Argo CD puts it right.
    pub(super) fn drift(&mut self) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        cluster.kubectl(&[
            "scale",
            "deployment/catalog",
            "--namespace",
            STAGING,
            "--replicas=3",
        ])?;
        let (_, scaled) = until(super::PATIENCE, "Argo CD scales catalog back", || {
            let deployment = cluster.get(&["deployment", "catalog", "--namespace", STAGING])?;
            Ok((deployment["spec"]["replicas"] == 2).then_some(()))
        })?;
        cluster.kubectl(&["delete", "service", "catalog", "--namespace", STAGING])?;
        let (_, made) = until(super::PATIENCE, "Argo CD makes the Service again", || {
            cluster.find(STAGING, "service", "catalog")
        })?;
        let answered = super::begin::answers(&self.shop(STAGING)?, super::PATIENCE)?;
        self.report.seen(
            "drift is healed",
            format!(
                "a Deployment scaled by hand after {}; a deleted Service after {}, and the shop answers {} later",
                seconds(scaled),
                seconds(made),
                seconds(answered)
            ),
        );
        Ok(())
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|one| one["type"] == "Ready" && one["status"] == "True")
}

fn action<'a>(outcome: &'a Value, service: &str) -> Option<&'a str> {
    let services = outcome["services"].as_array()?;
    let found = services.iter().find(|one| one["service"] == service)?;
    found["action"].as_str()
}
