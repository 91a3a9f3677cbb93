//! Rendered objects.

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

/// The objects in what Helm printed.
pub(crate) fn parse(manifests: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in serde_norway::Deserializer::from_str(manifests) {
        let object = Value::deserialize(document).context("Helm printed no YAML")?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// `Kind/name`.
pub(crate) fn title(object: &Value) -> String {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
    format!(
        "{}/{}",
        text("/kind").unwrap_or("(no kind)"),
        text("/metadata/name").unwrap_or("(no name)")
    )
}

/// The pod template of whatever runs pods.
pub(crate) fn pod_template(object: &Value) -> Option<&Value> {
    let pointer = match object["kind"].as_str()? {
        "Deployment" | "Rollout" | "StatefulSet" | "Job" => "/spec/template",
        "CronJob" => "/spec/jobTemplate/spec/template",
        _ => return None,
    };
    object.pointer(pointer)
}

/// All containers of a pod's spec.
pub(crate) fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .filter_map(|key| spec[key].as_array())
        .flatten()
}

/// What stands at a path such as `spec/template/spec/containers/service/image`: a list's item is
/// found by its `name`, else by its number. `~1` in a key stands for `/`.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/')
        .filter(|key| !key.is_empty())
        .try_fold(object, |value, key| {
            let key = key.replace("~1", "/");
            match value {
                Value::Array(items) => items
                    .iter()
                    .find(|item| item["name"] == key.as_str())
                    .or_else(|| items.get(key.parse::<usize>().ok()?)),
                _ => value.get(&key),
            }
        })
}
