//! From an empty cluster to a shop in staging.

use std::{fmt::Write, time::Duration};

use anyhow::Context;
use serde_json::Value;

use super::{
    PATIENCE, PRODUCTION, STAGING, World,
    cluster::{Cluster, until},
    report::seconds,
};
use crate::{
    hint::fail,
    system,
    workspace::{self, Profile},
};

/// On what these tests made, so that they remove nothing else.
const LABEL: &str = "slipway.dev/e2e";

/// Where a volume is made by hand, on the only node.
const VOLUME: &str = "/var/tmp/slipway-e2e";

/// The databases of production are on staging's server: a managed one is not what is tested here.
const DATABASES: [&str; 3] = ["catalog", "fulfilment", "orders"];

/// Settings that this cluster needs, over those of the environments: it has no ingress, no autoscaler and no cloud.
const GATEWAY: &str = "
env: {PUBLIC_URL: null}
ingress: {enabled: false}
service: {type: NodePort}
networkPolicy: {ingress: {anybody: {cidr: 0.0.0.0/0, ports: [http]}}}
";
/// Rolls that are over soon.
const EVERY: &str = "
rollout: {minReadySeconds: 2, progressDeadlineSeconds: 40}
migrations: {backoffLimit: 1}
";

/// Removes what an earlier run left; with `all`, also what this one made. Fails where the environments are others'.
pub(super) fn clear(cluster: &Cluster, all: bool) -> anyhow::Result<()> {
    let mut ours = Vec::new();
    for name in [STAGING, PRODUCTION] {
        let Some(namespace) = cluster.find("default", "namespace", name)? else {
            continue;
        };
        if namespace["metadata"]["labels"][LABEL] != "true" {
            return fail(
                format!("the cluster has a namespace {name} already, which this did not make"),
                "this needs a cluster of its own: docs/local-cluster.md",
            );
        }
        ours.push(name);
    }
    let argocd = &*cluster.argocd;
    let delete = |arguments: &[&str]| {
        let all = ["delete", "--ignore-not-found", "--timeout=120s"];
        cluster.kubectl(&[&all, arguments].concat()).map(drop)
    };
    let platform = cluster.find(argocd, "applications.argoproj.io", "platform")?;
    if ours.is_empty() && !all {
        if platform.is_some() {
            return fail(
                format!("{argocd} has an application `platform` already, which this did not make"),
                "this needs a cluster of its own: docs/local-cluster.md",
            );
        }
        return delete(&["persistentvolume", "slipway-e2e"]);
    }
    let within = ["--namespace", argocd];
    // From the top, so that nothing is made again.
    delete(&[&["applications.argoproj.io", "platform"], &within[..]].concat())?;
    delete(
        &[
            &["applicationsets.argoproj.io", STAGING, PRODUCTION, "scale"],
            &within[..],
        ]
        .concat(),
    )?;
    let mine = [
        "applications.argoproj.io",
        "--selector=slipway.dev/environment",
    ];
    delete(&[&mine[..], &within].concat())?;
    delete(
        &[
            &["appprojects.argoproj.io", "platform", STAGING, PRODUCTION],
            &within[..],
        ]
        .concat(),
    )?;
    for namespace in [STAGING, PRODUCTION] {
        // Argo CD holds on to hooks that were cut off, and nobody is left to let go of them.
        for job in cluster.list(namespace, "jobs")? {
            let name = job["metadata"]["name"].as_str().unwrap_or_default();
            let free = r#"{"metadata":{"finalizers":null}}"#;
            let patch = [
                "patch",
                "job",
                name,
                "--namespace",
                namespace,
                "--type=merge",
                "--patch",
                free,
            ];
            cluster.kubectl(&patch)?;
        }
    }
    delete(&["namespace", STAGING, PRODUCTION])?;
    delete(&["persistentvolume", "slipway-e2e"])
}

/// The address of the cluster's first node. Fails where Argo CD or Argo Rollouts is missing.
pub(super) fn node(cluster: &Cluster) -> anyhow::Result<String> {
    for (crd, what) in [
        ("applications.argoproj.io", "Argo CD"),
        ("rollouts.argoproj.io", "Argo Rollouts"),
    ] {
        if cluster
            .find("default", "customresourcedefinition", crd)?
            .is_none()
        {
            return fail(
                format!("the cluster has no {what}"),
                "docs/local-cluster.md says how to make one that has all that is needed",
            );
        }
    }
    let nodes = cluster.get(&["nodes"])?;
    let addresses = nodes["items"][0]["status"]["addresses"].as_array();
    let internal = addresses
        .into_iter()
        .flatten()
        .find(|address| address["type"] == "InternalIP");
    let address = internal.and_then(|address| address["address"].as_str());
    address
        .map(str::to_owned)
        .context("the cluster's first node has no InternalIP")
}

impl World {
    /// Sets the copy up for this cluster, and hands it to Argo CD.
    pub(super) fn hand_over(&mut self) -> anyhow::Result<()> {
        self.adapt()?;
        self.namespaces()?;
        let root = std::fs::read_to_string(self.place.clone().join("gitops/argocd/root.yaml"))?;
        self.cluster.kubectl_with(
            &["apply", "--namespace", &self.cluster.argocd, "--filename=-"],
            root,
        )?;
        let (_, took) = until(
            PATIENCE,
            "Argo CD has an application of each service",
            || {
                let applications = self
                    .cluster
                    .list(&self.cluster.argocd, "applications.argoproj.io")?;
                let found = applications
                    .iter()
                    .filter(|one| one["metadata"]["labels"]["slipway.dev/environment"].is_string());
                // Four services in each environment, and the database.
                Ok((found.count() == 9).then_some(()))
            },
        )?;
        self.report.seen(
            "the root application is applied to an empty cluster",
            format!("9 applications after {}", seconds(took)),
        );
        Ok(())
    }

    /// Releases for the first time, and walks through the shop.
    pub(super) fn first_release(&mut self) -> anyhow::Result<()> {
        let released = self.release()?;
        let services = released["services"].as_array().map_or(0, Vec::len);
        self.report.seen(
            "the first release reaches staging",
            format!("{services} services; {}", split(&released)),
        );
        self.databases_of_production()?;

        let shop = self.shop(STAGING)?;
        let programs = workspace::build(&["shop"], Profile::Dev)?;
        let log = self.place.folder.join("journey.log");
        let journey = system::journey(&programs, &shop, &["--skip", "browser::"])
            .stdout_path(&log)
            .unchecked()
            .run()?;
        let printed = std::fs::read_to_string(&log)?;
        if !journey.status.success() {
            return fail(
                format!("the journey failed in staging:\n{printed}"),
                "everything is left as it is, to be looked at",
            );
        }
        let result = printed
            .lines()
            .rfind(|line| line.starts_with("test result: "));
        self.report.seen(
            "the journey through staging's Service",
            result.context("the journey counted nothing")?,
        );
        Ok(())
    }

    /// Writes what this cluster needs into the copy, and pushes it.
    fn adapt(&self) -> anyhow::Result<()> {
        let place = &self.place;
        place.address(&self.git.url("slipway.git"), &self.git.url("charts.git"))?;
        let [old, new] = self
            .registries
            .each_ref()
            .map(|one| format!("registry = {one:?}"));
        place.replace("slipway.toml", &old, &new)?;
        // Optimising takes most of a build, and nothing here measures the programs.
        place.write(
            ".cargo/config.toml",
            &format!(
                "{}\n[profile.release]\nlto = \"off\"\ncodegen-units = 16\nopt-level = 1\n",
                std::fs::read_to_string(place.clone().join(".cargo/config.toml"))?
            ),
        )?;
        let file =
            |environment: &str, rest: &str| format!("gitops/environments/{environment}/{rest}");
        for environment in [STAGING, PRODUCTION] {
            place.overlay(&file(environment, "microservice.yaml"), EVERY)?;
            place.overlay(&file(environment, "gateway/values.yaml"), GATEWAY)?;
        }
        place.overlay(
            &file(STAGING, "fulfilment/values.yaml"),
            "env: {SHIPPING_TIME: 1s}",
        )?;
        if let Some(image) = &self.options.postgres {
            let (repository, tag) = image
                .rsplit_once(':')
                .context("--postgres-image is REPOSITORY:TAG")?;
            let values = format!("image: {{repository: {repository:?}, tag: {tag:?}}}");
            place.overlay(&file(STAGING, "postgres/values.yaml"), &values)?;
        }
        if !self.has_storage()? {
            place.overlay(
                &file(STAGING, "postgres/values.yaml"),
                "storage: {className: \"\"}",
            )?;
        }
        // Production sells something, too.
        place.overlay(
            &file(PRODUCTION, "catalog/values.yaml"),
            "initContainers: {seed: {args: [seed], secretEnv: {DATABASE_URL: {secret: catalog-database, key: url}}}}",
        )?;
        place.overlay(
            &file(PRODUCTION, "microservice.yaml"),
            "autoscaling: {enabled: false}\nexternalSecret: null",
        )?;
        let prometheus = match (&self.options.prometheus, &self.prometheus) {
            (Some(url), _) => url,
            (None, Some(started)) => &started.url,
            (None, None) => anyhow::bail!("a Prometheus is named or started"),
        };
        place.overlay(
            &file(PRODUCTION, "gateway/values.yaml"),
            &format!(
                "rollout:
  steps: [{{setWeight: 50}}, {{pause: {{duration: 40s}}}}]
  analysis: {{prometheus: {prometheus:?}, interval: 5s, window: 20s, failureLimit: 1}}"
            ),
        )?;
        place.write(
            &file(PRODUCTION, "policy.yaml"),
            "source: staging\nsoak: 1s\nhealth: required\nfreezes: []\n",
        )?;
        place.push("chore: settings of this cluster").map(drop)
    }

    fn has_storage(&self) -> anyhow::Result<bool> {
        let classes = self.cluster.get(&["storageclasses"])?;
        let is_default = |class: &Value| {
            class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
                == "true"
        };
        Ok(classes["items"]
            .as_array()
            .is_some_and(|classes| classes.iter().any(is_default)))
    }

    /// What gitops/README.md has people make by hand: namespaces and Secrets; and a volume where none is made by itself.
    fn namespaces(&self) -> anyhow::Result<()> {
        let password = format!("{:032x}", fastrand::u128(..));
        let key: String = (0..4)
            .map(|_| format!("{:032x}", fastrand::u128(..)))
            .collect();
        let mut manifests = String::new();
        let mut secret = |namespace: &str, name: &str, key: &str, value: &str| {
            let _infallible = write!(
                manifests,
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData: {{{key}: {value:?}}}\n"
            );
        };
        secret(STAGING, "postgres", "password", &password);
        for namespace in [STAGING, PRODUCTION] {
            secret(namespace, "gateway-cookies", "key", &key);
            for service in DATABASES {
                let database = if namespace == STAGING {
                    service.to_owned()
                } else {
                    format!("production_{service}")
                };
                let url = format!(
                    "postgres://postgres:{password}@postgres.{STAGING}:5432/{database}?sslmode=disable"
                );
                secret(namespace, &format!("{service}-database"), "url", &url);
            }
        }
        for namespace in [STAGING, PRODUCTION] {
            // Argo CD takes over what a client applies, and would drop the label.
            let own = [
                "apply",
                "--server-side",
                "--field-manager=slipway-e2e",
                "--filename=-",
            ];
            self.cluster.kubectl_with(&own, format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{{LABEL}: \"true\"}}}}\n"
            ))?;
        }
        if !self.has_storage()? {
            self.volume()?;
        }
        self.cluster.apply(&manifests)
    }

    /// A volume in a folder of the only node, which has to be this machine.
    fn volume(&self) -> anyhow::Result<()> {
        let nodes = self.cluster.get(&["nodes"])?;
        let name = match nodes["items"].as_array().map(Vec::as_slice) {
            Some([node]) if self.git.is_at(&self.node) => node["metadata"]["name"].clone(),
            _ => {
                return fail(
                    "the cluster has no default StorageClass, and its node is not this machine",
                    "give it one: docs/local-cluster.md",
                );
            }
        };
        if std::path::Path::new(VOLUME).exists() {
            std::fs::remove_dir_all(VOLUME).with_context(|| format!("cannot empty {VOLUME}"))?;
        }
        std::fs::create_dir_all(VOLUME).with_context(|| format!("cannot make {VOLUME}"))?;
        self.cluster.apply(&format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: slipway-e2e}}
spec:
  capacity: {{storage: 10Gi}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: \"\"
  claimRef: {{namespace: {STAGING}, name: data-postgres-0}}
  local: {{path: {VOLUME}}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
        - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{name}]}}]
"
        ))
    }

    fn databases_of_production(&self) -> anyhow::Result<()> {
        for service in DATABASES {
            self.cluster.kubectl(&[
                "exec",
                "--namespace",
                STAGING,
                "statefulset/postgres",
                "--",
                "createdb",
                "--username=postgres",
                &format!("production_{service}"),
            ])?;
        }
        Ok(())
    }
}

/// How a release's time was spent, as its JSON says.
pub(super) fn split(outcome: &Value) -> String {
    let parts = ["build", "push", "record", "notice", "rollout"]
        .iter()
        .filter_map(|part| {
            let seconds = outcome["took"][part].as_f64()?;
            Some(format!("{part} {seconds:.1} s"))
        });
    parts.collect::<Vec<_>>().join(", ")
}

/// A product of the shop with much in stock.
pub(super) fn product(shop: &str) -> anyhow::Result<String> {
    let mut answer = ureq::get(format!("{shop}/api/v1/products")).call()?;
    let products: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    let items = products["items"].as_array();
    let most = items
        .into_iter()
        .flatten()
        .max_by_key(|product| product["available"].as_u64().unwrap_or_default());
    most.and_then(|product| product["id"].as_str())
        .map(str::to_owned)
        .context("the shop sells nothing")
}

/// Waits until a service answers at this address again.
pub(super) fn answers(shop: &str, limit: Duration) -> anyhow::Result<Duration> {
    let (_, took) = until(limit, "the shop answers", || {
        Ok(ureq::get(format!("{shop}/api/v1/products"))
            .call()
            .ok()
            .map(drop))
    })?;
    Ok(took)
}
