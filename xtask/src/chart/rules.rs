//! What holds for everything that a chart renders, whatever the values are.

use serde_json::Value;

use super::objects::{containers, pod_template, title};

/// What is broken in these objects, which were rendered together.
pub(crate) fn broken(objects: &[Value]) -> Vec<String> {
    let mut broken = Vec::new();
    for object in objects {
        let mut say = |what: String| broken.push(format!("{}: {what}", title(object)));
        names(object, &mut say);
        if holds_null(object) {
            say("it has a null".to_owned());
        }
        if let Some(template) = pod_template(object) {
            restricted(&template["spec"], &mut say);
            selector(object, template, &mut say);
        }
    }
    let mut titles: Vec<String> = objects.iter().map(title).collect();
    titles.sort();
    for pair in titles.windows(2).filter(|pair| pair[0] == pair[1]) {
        broken.push(format!("{} is rendered twice", pair[0]));
    }
    broken
}

/// Names and labels that the API takes.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>
fn names(object: &Value, say: &mut impl FnMut(String)) {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // A Service's name has to begin with a letter; a Job's becomes a label.
    let strict = matches!(
        object["kind"].as_str(),
        Some("Service" | "Job" | "Deployment" | "Rollout")
    );
    if !is_name(name, if strict { 63 } else { 253 }, strict) {
        say(format!("{name:?} is no name"));
    }
    let of_pods = pod_template(object).map(|template| &template["metadata"]["labels"]);
    for labels in [Some(&object["metadata"]["labels"]), of_pods]
        .into_iter()
        .flatten()
    {
        for (key, value) in labels.as_object().into_iter().flatten() {
            if !value.as_str().is_some_and(is_label) {
                say(format!("{value} is no value of the label {key}"));
            }
        }
    }
    if let Some(template) = pod_template(object) {
        for container in containers(&template["spec"]) {
            let name = container["name"].as_str().unwrap_or_default();
            if !is_name(name, 63, false) {
                say(format!("{name:?} is no container's name"));
            }
        }
    }
}

fn is_name(name: &str, longest: usize, letter_first: bool) -> bool {
    let inner = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (c == '.' && !letter_first)
    };
    (1..=longest).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && (!letter_first || name.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn is_label(value: &str) -> bool {
    let outer = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || (value.len() <= 63
            && value.chars().all(|c| outer(c) || "-_.".contains(c))
            && value.starts_with(outer)
            && value.ends_with(outer))
}

/// The restricted Pod Security Standard, and what goes beyond it here: the ids, the read-only root
/// and no token. <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
fn restricted(spec: &Value, say: &mut impl FnMut(String)) {
    if spec["automountServiceAccountToken"] != false {
        say("its pods get a token".to_owned());
    }
    let pod = &spec["securityContext"];
    for container in containers(spec) {
        let own = &container["securityContext"];
        let either = |key: &str| {
            if own[key].is_null() {
                &pod[key]
            } else {
                &own[key]
            }
        };
        let held = [
            (either("runAsNonRoot") == true, "runAsNonRoot"),
            (
                either("runAsUser").as_u64().is_some_and(|id| id > 0),
                "runAsUser",
            ),
            (
                matches!(
                    either("seccompProfile")["type"].as_str(),
                    Some("RuntimeDefault" | "Localhost")
                ),
                "seccompProfile",
            ),
            (
                own["allowPrivilegeEscalation"] == false,
                "allowPrivilegeEscalation",
            ),
            (own["privileged"] != true, "privileged"),
            (
                own["readOnlyRootFilesystem"] == true,
                "readOnlyRootFilesystem",
            ),
            (
                own["capabilities"]["drop"] == serde_json::json!(["ALL"]),
                "capabilities.drop",
            ),
            (own["capabilities"].get("add").is_none(), "capabilities.add"),
        ];
        for (_, what) in held.iter().filter(|(held, _)| !held) {
            say(format!("{what} of {} is not restricted", container["name"]));
        }
    }
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    for volume in volumes.filter(|volume| volume.get("hostPath").is_some()) {
        say(format!("the volume {} is the node's", volume["name"]));
    }
}

/// A selector finds its pods, and has nothing that a release changes.
fn selector(object: &Value, template: &Value, say: &mut impl FnMut(String)) {
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    for (key, value) in labels.into_iter().flatten() {
        if template["metadata"]["labels"].get(key) != Some(value) {
            say(format!("its selector has {key}, its pods have not"));
        }
        if !["name", "instance", "component"]
            .iter()
            .any(|fixed| *key == format!("app.kubernetes.io/{fixed}"))
        {
            say(format!("its selector has {key}, which may change"));
        }
    }
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}
