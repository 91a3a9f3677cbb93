//! An Application, as far as a release has to know it.
//! <https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml>

use serde::Deserialize;

/// An Application of one service in one environment.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Application {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    pub(crate) status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    destination: Destination,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Source {
    /// Set on the source that the values come from.
    #[serde(rename = "ref")]
    reference: Option<String>,
    #[serde(default)]
    helm: Helm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Helm {
    #[serde(default)]
    release_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Destination {
    #[serde(default)]
    namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    #[serde(default)]
    pub(crate) sync: Sync,
    #[serde(default)]
    pub(crate) health: Health,
    pub(crate) operation_state: Option<Operation>,
    #[serde(default)]
    pub(crate) conditions: Vec<Condition>,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Sync {
    /// `Synced`, `OutOfSync` or `Unknown`.
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    revisions: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Health {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing` or `Unknown`.
    #[serde(default)]
    pub(crate) status: String,
}

/// The last sync, or the one that runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    /// `Running`, `Succeeded`, `Failed`, `Error` or `Terminating`.
    pub(crate) phase: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    sync_result: Option<SyncResult>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct SyncResult {
    #[serde(default)]
    revisions: Vec<String>,
    #[serde(default)]
    resources: Vec<Synced>,
}

/// What became of one object of a sync.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Synced {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    message: String,
    /// `SyncFailed` where the object could not be applied.
    #[serde(default)]
    status: String,
    /// How a hook's run ended.
    #[serde(default)]
    hook_phase: String,
    #[serde(default)]
    hook_type: String,
}

impl Synced {
    fn has_failed(&self) -> bool {
        matches!(&*self.hook_phase, "Failed" | "Error")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Resource {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

impl Application {
    /// Where its objects are.
    pub(crate) fn namespace(&self) -> &str {
        &self.spec.destination.namespace
    }

    /// The name of the Helm release, which its objects carry as `app.kubernetes.io/instance`.
    pub(crate) fn release(&self) -> &str {
        let names = self
            .spec
            .sources
            .iter()
            .map(|source| &*source.helm.release_name);
        names
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default()
    }

    /// The commit of the values that the cluster was last compared with.
    pub(crate) fn revision(&self) -> Option<&str> {
        self.of_values(&self.status.sync.revisions)
    }

    /// The commit of the values that the last sync applies or applied.
    pub(crate) fn applied(&self) -> Option<&str> {
        let result = self.status.operation_state.as_ref()?.sync_result.as_ref()?;
        self.of_values(&result.revisions)
    }

    fn of_values<'a>(&self, revisions: &'a [String]) -> Option<&'a str> {
        let sources = &self.spec.sources;
        let at = sources
            .iter()
            .position(|source| source.reference.is_some())?;
        revisions.get(at).map(String::as_str)
    }

    /// Whether the cluster has what Git says, and all of it works.
    pub(crate) fn is_well(&self) -> bool {
        self.status.sync.status == "Synced"
            && self.status.health.status == "Healthy"
            && !self.is_syncing()
    }

    /// Whether a sync runs.
    pub(crate) fn is_syncing(&self) -> bool {
        let operation = self.status.operation_state.as_ref();
        operation.is_some_and(|operation| operation.phase == "Running")
    }

    /// What it says of itself where it cannot be compared or applied.
    pub(crate) fn complaint(&self) -> Option<&str> {
        let error = |condition: &&Condition| condition.kind.ends_with("Error");
        let condition = self.status.conditions.iter().find(error)?;
        Some(&condition.message)
    }

    /// What failed of the last sync: each object or hook with its message.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.synced()
            .filter(|one| one.status == "SyncFailed" || one.has_failed())
            .map(|one| format!("{} {}: {}", one.kind, one.name, one.message))
            .collect()
    }

    /// Whether a hook has failed for good, such as the Job of the migrations.
    pub(crate) fn hook_failed(&self) -> bool {
        self.synced()
            .any(|one| !one.hook_type.is_empty() && one.has_failed())
    }

    /// What became of each object of the last sync.
    fn synced(&self) -> impl Iterator<Item = &Synced> {
        let operation = self.status.operation_state.iter();
        let results = operation.flat_map(|operation| &operation.sync_result);
        results.flat_map(|result| &result.resources)
    }

    /// The names of its Deployments or Rollouts, each after its kind.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = (&str, &str)> {
        let resources = self.status.resources.iter();
        resources
            .filter(|one| matches!(&*one.kind, "Deployment" | "Rollout"))
            .map(|one| (&*one.kind, &*one.name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn application(status: &serde_json::Value) -> Application {
        serde_json::from_value(json!({
            "metadata": {"name": "staging-catalog"},
            "spec": {
                "destination": {"namespace": "staging"},
                "sources": [{"repoURL": "charts"}, {"repoURL": "values", "ref": "values"}],
            },
            "status": status,
        }))
        .expect("an application")
    }

    #[test]
    fn the_revision_is_that_of_the_values() {
        let status = json!({"sync": {"status": "Synced", "revisions": ["chart", "commit"]}});
        assert_eq!(application(&status).revision(), Some("commit"));
        assert_eq!(application(&json!({})).revision(), None);
    }

    #[test]
    fn nothing_is_well_while_a_sync_runs() {
        let mut status = json!({"sync": {"status": "Synced"}, "health": {"status": "Healthy"}});
        assert!(application(&status).is_well());
        status["operationState"] = json!({"phase": "Running"});
        assert!(!application(&status).is_well());
        status["operationState"]["phase"] = "Succeeded".into();
        status["health"]["status"] = "Progressing".into();
        assert!(!application(&status).is_well());
    }

    #[test]
    fn failed_hooks_and_objects_are_named() {
        let application = application(
            &json!({"operationState": {"phase": "Running", "syncResult": {"resources": [
                {"kind": "Job", "name": "catalog-migrations", "hookType": "Sync", "hookPhase": "Failed", "message": "Job has reached the specified backoff limit"},
                {"kind": "Service", "name": "catalog", "status": "SyncFailed", "message": "invalid"},
                {"kind": "ConfigMap", "name": "files", "status": "Synced", "message": "created"},
            ]}}}),
        );
        assert!(application.hook_failed());
        assert_eq!(
            application.failures(),
            [
                "Job catalog-migrations: Job has reached the specified backoff limit",
                "Service catalog: invalid"
            ]
        );
    }
}
