//! Changes that reach staging and production as they should, under traffic.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use super::{PRODUCTION, SERVICES, STAGING, World, begin::split, cluster::until, report::seconds};

/// How often each of two services is rolled in a row.
const ROLLS: usize = 5;

impl World {
    /// A commit to one service becomes healthy pods of it, and of no other.
    pub(super) fn change(&mut self) -> anyhow::Result<()> {
        let before = self.generations()?;
        self.place.pull()?;
        self.touch("catalog")?;
        self.place.push("docs(catalog): a remark")?;
        let released = self.release()?;
        self.only("catalog", &before)?;
        self.report.seen(
            "a commit to catalog becomes healthy pods, and no other service rolls",
            split(&released),
        );
        Ok(())
    }

    /// Rolls of two services in a row, back and forth between two versions of each.
    pub(super) fn rolls(&mut self) -> anyhow::Result<()> {
        // The gateway's other version is built before there is traffic.
        self.place.pull()?;
        self.touch("gateway")?;
        let mut commits =
            BTreeMap::from([("gateway", self.place.push("docs(gateway): a remark")?)]);
        self.build("gateway")?;
        let catalog = self.place.last_commit_of("services/catalog")?;
        commits.insert("catalog", catalog);

        let traffic = self.traffic(STAGING)?;
        let mut times = Vec::new();
        // The gateway's commit is there and released by the first of its rolls.
        for (service, is_new) in [("gateway", true), ("catalog", false)] {
            for roll in 0..ROLLS {
                let before = self.generations()?;
                if roll > 0 || !is_new {
                    self.place.revert(&commits[service])?;
                    let reverted = self.place.last_commit_of(&format!("services/{service}"))?;
                    commits.insert(service, reverted);
                }
                let released = self.release()?;
                self.only(service, &before)?;
                let took = |part: &str| released["took"][part].as_f64().unwrap_or_default();
                times.push((took("notice"), took("rollout")));
                if traffic.failed() > 0 {
                    break;
                }
            }
        }
        let seen = traffic.stop().without_failure()?;
        self.gateway_before = commits.remove("gateway").context("it was rolled")?;
        let slowest = |of: fn(&(f64, f64)) -> f64| times.iter().map(of).fold(0.0, f64::max);
        self.report.seen(
            &format!("{} rolls in a row under traffic", times.len()),
            format!(
                "{seen}; seen by Argo CD within {:.1} s, rolled out within {:.1} s",
                slowest(|time| time.0),
                slowest(|time| time.1)
            ),
        );
        Ok(())
    }

    /// Has `--wait` ask Argo CD by its API from here on, where its address is known.
    pub(super) fn ask_server(&mut self) -> anyhow::Result<()> {
        let Some(server) = self.options.argocd_server.clone() else {
            self.report.skipped(
                "asking Argo CD by its API",
                "without --argocd-server everything is asked with kubectl",
            );
            return Ok(());
        };
        self.place.pull()?;
        let setting = format!("[argocd]\nserver = {server:?}\n");
        self.place.replace("slipway.toml", "[argocd]\n", &setting)?;
        self.place.push("chore: Argo CD's API")?;
        let rows = self
            .place
            .xtask(&self.cluster, &["status", "--env", STAGING, "--json"])?
            .json()?;
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let well = rows
            .iter()
            .filter(|row| row["sync"] == "Synced" && row["health"] == "Healthy");
        if well.count() != SERVICES.len() {
            anyhow::bail!("status by Argo CD's API: {rows:?}");
        }
        self.report.seen(
            "Argo CD is asked by its API from here on, with kubectl until here",
            "status: 4 services Synced and Healthy",
        );
        Ok(())
    }

    /// Production has nothing until it is promoted to; then it runs the same digests.
    pub(super) fn promotion(&mut self) -> anyhow::Result<()> {
        let pods = self.cluster.list(PRODUCTION, "pods")?;
        if !pods.is_empty() {
            anyhow::bail!(
                "production has {} pods before anything was promoted",
                pods.len()
            );
        }
        let arguments = [
            "promote", "--all", "--from", STAGING, "--to", PRODUCTION, "--wait", "--json",
        ];
        let promoted = self.place.xtask(&self.cluster, &arguments)?.json()?;
        for service in SERVICES {
            let (here, there) = (
                self.digest(STAGING, service)?,
                self.digest(PRODUCTION, service)?,
            );
            if here != there {
                anyhow::bail!("staging runs {service} as {here}, production as {there}");
            }
        }
        self.report.seen(
            "promotion: production, empty until now, is healthy with staging's digests",
            split(&promoted),
        );
        Ok(())
    }

    /// A canary that keeps to its objectives is taken.
    pub(super) fn canary_that_passes(&mut self) -> anyhow::Result<()> {
        // Back to the version that the last roll replaced.
        self.place.revert(&self.gateway_before)?;
        self.release()?;
        let traffic = self.traffic(PRODUCTION)?;
        let promoted = self.promote_gateway()?.json()?;
        let seen = traffic.stop().without_failure()?;
        let run = self.analysis()?;
        if run["status"]["phase"] != "Successful" {
            anyhow::bail!("the canary's analysis ended as {}", run["status"]);
        }
        self.report.seen(
            "a canary of the gateway keeps to its objectives and is taken",
            format!("analysis {}; {seen}; {}", measured(&run), split(&promoted)),
        );
        Ok(())
    }

    /// A canary that answers with errors is aborted.
    pub(super) fn canary_that_fails(&mut self) -> anyhow::Result<()> {
        let good = self.digest(PRODUCTION, "gateway")?;
        self.place.pull()?;
        self.place.replace(
            "services/gateway/src/app.rs",
            "    middleware::wrap(routes, shop)\n",
            "    let broken = axum::middleware::map_response(|_: axum::response::Response| async { http::StatusCode::INTERNAL_SERVER_ERROR });\n    middleware::wrap(routes.route_layer(broken), shop)\n",
        )?;
        let commit = self
            .place
            .push("feat(gateway): answers that nobody wants")?;
        self.release()?;
        let traffic = self.traffic(PRODUCTION)?;
        let said = self.promote_gateway()?.refused(&["gateway", "aborted"])?;
        let tally = traffic.stop();
        let run = self.analysis()?;
        if run["status"]["phase"] != "Failed" {
            anyhow::bail!("the canary's analysis ended as {}; {said}", run["status"]);
        }
        let (_, took) = until(super::PATIENCE, "the gateway runs as before", || {
            Ok((self.digest(PRODUCTION, "gateway").ok().as_ref() == Some(&good)).then_some(()))
        })?;
        let after = self.traffic(PRODUCTION)?;
        crate::pause::pause(std::time::Duration::from_secs(5));
        after.stop().without_failure()?;
        self.report.seen(
            "a canary that answers with errors is aborted by its analysis, and --wait says so",
            format!(
                "{}; {}; back after another {}",
                measured(&run),
                tally.summary(),
                seconds(took)
            ),
        );
        self.place.revert(&commit)?;
        self.release()?;
        self.promote_gateway()?.json()?;
        Ok(())
    }

    fn promote_gateway(&self) -> anyhow::Result<super::place::Ran> {
        let arguments = [
            "promote", "gateway", "--from", STAGING, "--to", PRODUCTION, "--wait", "--json",
        ];
        self.place.xtask(&self.cluster, &arguments)
    }

    /// The last analysis of the gateway's canary.
    fn analysis(&self) -> anyhow::Result<Value> {
        let mut runs = self.cluster.list(PRODUCTION, "analysisruns.argoproj.io")?;
        runs.sort_by_key(|run| {
            run["metadata"]["creationTimestamp"]
                .as_str()
                .map(str::to_owned)
        });
        runs.pop().context("no canary was analysed")
    }

    /// Changes a service's source, and nothing that it does.
    fn touch(&self, service: &str) -> anyhow::Result<()> {
        let file = format!("services/{service}/src/main.rs");
        let text = std::fs::read_to_string(self.place.clone().join(&file))?;
        self.place.write(&file, &format!("{text}// A remark.\n"))
    }

    /// How often each service's pods were replaced so far.
    fn generations(&self) -> anyhow::Result<BTreeMap<&'static str, Value>> {
        let mut all = BTreeMap::new();
        for service in SERVICES {
            let deployment = self
                .cluster
                .get(&["deployment", service, "--namespace", STAGING])?;
            all.insert(
                service,
                deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone(),
            );
        }
        Ok(all)
    }

    /// Fails unless this service alone has new pods since then.
    fn only(&self, service: &str, before: &BTreeMap<&'static str, Value>) -> anyhow::Result<()> {
        let rolled: Vec<&str> = self
            .generations()?
            .into_iter()
            .filter(|(name, now)| before[name] != *now)
            .map(|(name, _)| name)
            .collect();
        if rolled != [service] {
            anyhow::bail!("{rolled:?} rolled, where only {service} was changed");
        }
        Ok(())
    }
}

/// What an analysis counted.
fn measured(run: &Value) -> String {
    let metrics = run["status"]["metricResults"].as_array();
    let counts = metrics.into_iter().flatten().map(|metric| {
        let count = |what: &str| metric[what].as_u64().unwrap_or_default();
        format!(
            "{} good {} bad {}",
            metric["name"].as_str().unwrap_or_default(),
            count("successful"),
            count("failed")
        )
    });
    counts.collect::<Vec<_>>().join(", ")
}
