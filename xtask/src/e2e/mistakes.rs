//! What people do to a cluster, on purpose and by mistake.

use std::collections::BTreeSet;

use super::{PATIENCE, SERVICES, STAGING, World, cluster::until, report::seconds};

impl World {
    /// A node is drained, with the disruption budgets in its way.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        let nodes = cluster.get(&["nodes"])?;
        let nodes: Vec<&str> = nodes["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|node| node["metadata"]["name"].as_str())
            .collect();
        let node = nodes[0];
        let before = self.names()?;
        // The database has one pod, and no budget: it is not what is tested here.
        let selector = format!("app.kubernetes.io/instance in ({})", SERVICES.join(","));
        let drain = duct::cmd!(
            "kubectl",
            "drain",
            node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=300s",
            "--pod-selector",
            &selector
        );
        let traffic = self.traffic(STAGING)?;
        let began = std::time::Instant::now();
        let draining = cluster
            .aimed(drain)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            .start()?;
        // Where it is the only node, there is nowhere else to go: pods come back to it while it is drained.
        if nodes.len() == 1 {
            until(PATIENCE, "the node is cordoned", || {
                let node = cluster.get(&["node", node])?;
                Ok((node["spec"]["unschedulable"] == true).then_some(()))
            })?;
            cluster.kubectl(&["uncordon", node])?;
        }
        let drained = draining.wait()?;
        let took = began.elapsed();
        if nodes.len() > 1 {
            cluster.kubectl(&["uncordon", node])?;
        }
        let seen = traffic.stop().without_failure()?;
        if !drained.status.success() {
            anyhow::bail!(
                "kubectl drain: {}",
                String::from_utf8_lossy(&drained.stderr)
            );
        }
        let left = self.names()?.intersection(&before).count();
        if nodes.len() == 1 && left > 0 {
            anyhow::bail!("{left} pods were not drained");
        }
        let where_to = if nodes.len() == 1 {
            "the only node, uncordoned while it was drained"
        } else {
            "one of several nodes"
        };
        self.report.seen(
            "a node is drained under traffic, with the disruption budgets in place",
            format!(
                "{} pods evicted from {where_to} in {}; {seen}",
                before.len() - left,
                seconds(took)
            ),
        );
        Ok(())
    }

    /// An ApplicationSet that is deleted by mistake takes no workload with it, and comes back.
    pub(super) fn lost_application_set(&mut self) -> anyhow::Result<()> {
        let (cluster, argocd) = (&self.cluster, &*self.cluster.argocd);
        let uid = || -> anyhow::Result<Option<String>> {
            let set = cluster.find(argocd, "applicationsets.argoproj.io", STAGING)?;
            Ok(set.and_then(|set| set["metadata"]["uid"].as_str().map(str::to_owned)))
        };
        let before = uid()?;
        let pods = self.names()?;
        let traffic = self.traffic(STAGING)?;
        cluster.kubectl(&[
            "delete",
            "applicationsets.argoproj.io",
            STAGING,
            "--namespace",
            argocd,
        ])?;
        let (_, took) = until(
            PATIENCE,
            "Argo CD makes the ApplicationSet and its applications again",
            || {
                let again = uid()?;
                let application =
                    cluster.find(argocd, "applications.argoproj.io", "staging-catalog")?;
                let well = application.is_some_and(|one| {
                    one["status"]["health"]["status"] == "Healthy"
                        && one["status"]["sync"]["status"] == "Synced"
                });
                Ok((again.is_some() && again != before && well).then_some(()))
            },
        )?;
        let seen = traffic.stop().without_failure()?;
        if self.names()? != pods {
            anyhow::bail!("pods were replaced");
        }
        self.report.seen(
            "an ApplicationSet is deleted by mistake: every pod goes on, and it comes back",
            format!("after {}; {seen}", seconds(took)),
        );
        Ok(())
    }

    /// A service is taken away: what it ran is pruned, its data is kept.
    pub(super) fn retirement(&mut self) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        let folder = format!("gitops/environments/{STAGING}/postgres");
        self.place.pull()?;
        self.place.write(
            &format!("{folder}/chart.yaml"),
            "chart: retired\nrevision: retired-1.0.0\n",
        )?;
        self.place.push("chore: staging's database goes")?;
        let (_, pruned) = until(PATIENCE, "Argo CD prunes the database", || {
            let set = cluster.find(STAGING, "statefulset", "postgres")?;
            Ok(set.is_none().then_some(()))
        })?;
        self.place.pull()?;
        std::fs::remove_dir_all(self.place.clone().join(&folder))?;
        self.place.push("chore: staging's database is gone")?;
        let (_, gone) = until(PATIENCE, "Argo CD takes the application away", || {
            let application = cluster.find(
                &cluster.argocd,
                "applications.argoproj.io",
                "staging-postgres",
            )?;
            Ok(application.is_none().then_some(()))
        })?;
        let claim = cluster.find(STAGING, "persistentvolumeclaim", "data-postgres-0")?;
        let Some(claim) = claim.filter(|claim| claim["status"]["phase"] == "Bound") else {
            anyhow::bail!("the data of the database went with it");
        };
        self.report.seen(
            "a service taken out of Git is pruned, and its data is kept",
            format!(
                "pruned after {}, its application gone after another {}; {} is {}",
                seconds(pruned),
                seconds(gone),
                claim["metadata"]["name"].as_str().unwrap_or_default(),
                claim["status"]["phase"].as_str().unwrap_or_default()
            ),
        );
        Ok(())
    }

    /// The pods of the services in staging.
    fn names(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for service in SERVICES {
            for pod in self.cluster.pods(STAGING, service)? {
                names.extend(pod["metadata"]["name"].as_str().map(str::to_owned));
            }
        }
        Ok(names)
    }
}
