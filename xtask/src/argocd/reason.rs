//! Why a pod is not ready, in its own words.

use serde_json::Value;

use super::{Access, Application};

/// What is wrong with a pod.
#[derive(Debug, PartialEq)]
pub(super) struct Reason {
    pub(super) pod: String,
    pub(super) words: String,
    /// Whether waiting is unlikely to help.
    pub(super) is_definite: bool,
    /// The container whose log says more, and whether that of its run before does.
    log: Option<(String, bool)>,
}

/// Waiting reasons of the kubelet after which a container starts by luck only.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states>
const STUCK: [&str; 8] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

impl Reason {
    /// What is wrong with this pod, if anything is. One that ended well, or is about to be removed, is no matter.
    pub(super) fn of(pod: &Value) -> Option<Self> {
        let name = pod["metadata"]["name"].as_str()?;
        if !pod["metadata"]["deletionTimestamp"].is_null() || pod["status"]["phase"] == "Succeeded"
        {
            return None;
        }
        let reason = |words: String, is_definite, log| Self {
            pod: name.to_owned(),
            words,
            is_definite,
            log,
        };
        let condition = |kind: &str| {
            let conditions = pod["status"]["conditions"].as_array()?;
            conditions.iter().find(|one| one["type"] == kind)
        };
        if let Some(scheduled) = condition("PodScheduled")
            && scheduled["status"] == "False"
        {
            return Some(reason(
                format!("no node takes it: {}", text(&scheduled["message"])),
                true,
                None,
            ));
        }
        for container in ["initContainerStatuses", "containerStatuses"]
            .iter()
            .filter_map(|list| pod["status"][list].as_array())
            .flatten()
        {
            let who = text(&container["name"]);
            let state = &container["state"];
            let waiting = text(&state["waiting"]["reason"]);
            if STUCK.contains(&waiting) {
                let ended = &container["lastState"]["terminated"];
                if ended.is_object() {
                    let words = format!("container {who} ended with {}", ending(ended));
                    return Some(reason(words, true, Some((who.to_owned(), true))));
                }
                let message = text(&state["waiting"]["message"]);
                return Some(reason(
                    format!("container {who}: {waiting}: {message}"),
                    true,
                    None,
                ));
            }
            let ended = &state["terminated"];
            if ended.is_object() && ended["exitCode"] != 0 {
                let words = format!("container {who} ended with {}", ending(ended));
                return Some(reason(words, false, Some((who.to_owned(), false))));
            }
        }
        let ready = condition("Ready")?;
        if ready["status"] == "True" {
            return None;
        }
        Some(reason(
            format!("not ready: {}", text(&ready["message"])),
            false,
            None,
        ))
    }

    /// The reason with what only others know: the failed probe from the pod's events, the end of its log.
    pub(super) fn in_full(
        &self,
        access: &Access,
        application: &Application,
        pod: &Value,
    ) -> String {
        let mut lines = format!("pod {}: {}", self.pod, self.words);
        if let Some((container, previous)) = &self.log {
            let log = access.log(application, &self.pod, container, *previous);
            for line in log.unwrap_or_default().lines() {
                lines.push_str("\n  | ");
                lines.push_str(line);
            }
            return lines;
        }
        let events = access
            .events(application, &self.pod, text(&pod["metadata"]["uid"]))
            .unwrap_or_default();
        let probe = events.iter().rfind(|event| event["reason"] == "Unhealthy");
        if let Some(event) = probe {
            lines.push_str("\n  | ");
            lines.push_str(text(&event["message"]).trim());
        }
        lines
    }
}

fn ending(terminated: &Value) -> String {
    let code = &terminated["exitCode"];
    match text(&terminated["reason"]) {
        "" | "Error" => format!("exit code {code}"),
        reason => format!("exit code {code} ({reason})"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: &Value) -> Option<(String, bool)> {
        let pod = json!({"metadata": {"name": "catalog-1"}, "status": status});
        Reason::of(&pod).map(|reason| (reason.words, reason.is_definite))
    }

    #[test]
    fn what_keeps_a_pod_from_being_ready_is_said() {
        assert_eq!(
            of(
                &json!({"containerStatuses": [{"name": "service", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]})
            ),
            Some((
                "container service: ImagePullBackOff: not found".to_owned(),
                true
            ))
        );
        assert_eq!(
            of(
                &json!({"containerStatuses": [{"name": "service", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]})
            ),
            Some((
                "container service ended with exit code 137 (OOMKilled)".to_owned(),
                true
            ))
        );
        assert_eq!(
            of(
                &json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]})
            ),
            Some(("no node takes it: 0/1 nodes are available".to_owned(), true))
        );
        assert_eq!(
            of(
                &json!({"conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [service]"}]})
            ),
            Some((
                "not ready: containers with unready status: [service]".to_owned(),
                false
            ))
        );
    }

    #[test]
    fn a_pod_that_is_ready_or_has_done_its_work_is_no_matter() {
        assert_eq!(
            of(&json!({"conditions": [{"type": "Ready", "status": "True"}]})),
            None
        );
        assert_eq!(of(&json!({"phase": "Succeeded"})), None);
        assert_eq!(of(&json!({"phase": "Pending"})), None);
    }
}
