//! JSON Schemas for kubeconform, made from what Kubernetes and the authors of custom resources
//! publish: `Group_Version_kind.json`, closed, so that an unknown field is an error.

use std::{fs, path::Path};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Where kubeconform finds a schema in a folder of these.
pub(crate) const TEMPLATE: &str = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json";

const DEFINITIONS: &str = "_definitions.json";

/// Writes the schemas of all kinds in an OpenAPI document of Kubernetes.
pub(super) fn of_openapi(document: &[u8], folder: &Path) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Document {
        definitions: Map<String, Value>,
    }
    let Document { mut definitions } = serde_json::from_slice(document)?;
    for (name, definition) in &mut definitions {
        close(definition);
        if name.ends_with(".api.resource.Quantity") {
            // YAML has `cpu: 1` as a number, and the API takes it.
            *definition = json!({"type": ["string", "number"]});
        }
    }
    for (name, definition) in &definitions {
        let kinds = definition["x-kubernetes-group-version-kind"].as_array();
        for kind in kinds.into_iter().flatten() {
            let text = |key: &str| kind[key].as_str().unwrap_or_default();
            let schema = json!({"$ref": format!("{DEFINITIONS}#/definitions/{name}")});
            write(
                folder,
                text("group"),
                text("version"),
                text("kind"),
                &schema,
            )?;
        }
    }
    let definitions = json!({"definitions": definitions}).to_string();
    let definitions = definitions.replace(
        "\"#/definitions/",
        &format!("\"{DEFINITIONS}#/definitions/"),
    );
    fs::write(folder.join(DEFINITIONS), definitions)?;
    Ok(())
}

/// Writes the schemas of a `CustomResourceDefinition`'s versions.
pub(super) fn of_custom_resource(yaml: &str, folder: &Path) -> anyhow::Result<()> {
    let mut definition: Value = serde_norway::from_str(yaml)?;
    let spec = &mut definition["spec"];
    let (group, kind) = (spec["group"].clone(), spec["names"]["kind"].clone());
    let versions = spec["versions"].as_array_mut().context("it has versions")?;
    for version in versions {
        let name = version["name"].clone();
        let schema = &mut version["schema"]["openAPIV3Schema"];
        close(schema);
        // The API server checks these of every object.
        schema["properties"]["metadata"] = json!({"type": "object"});
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        write(folder, &text(&group), &text(&name), &text(&kind), schema)?;
    }
    Ok(())
}

fn write(
    folder: &Path,
    group: &str,
    version: &str,
    kind: &str,
    schema: &Value,
) -> anyhow::Result<()> {
    // kubeconform calls the group of core kinds by its version.
    let group = if group.is_empty() { version } else { group };
    let name = format!("{group}_{version}_{}.json", kind.to_lowercase());
    fs::write(folder.join(name), schema.to_string())?;
    Ok(())
}

/// Refuses fields that are not described, and says in JSON Schema what OpenAPI says in formats.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let open = object.contains_key("additionalProperties")
                || object.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            if object.get("properties").is_some_and(Value::is_object) && !open {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            let either = object
                .get("format")
                .is_some_and(|format| format == "int-or-string")
                || object.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
            if either {
                object.remove("format");
                object.insert("type".to_owned(), json!(["integer", "string"]));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
