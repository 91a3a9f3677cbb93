//! The bill of materials of what was linked, in CycloneDX: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::BTreeMap;

use serde::Serialize;

use super::audit::is_crates_io;
use crate::workspace::{ContentKey, Package, sha256};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'a str,
    spec_version: &'a str,
    serial_number: String,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Component<'a>>,
    dependencies: Vec<Dependency<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    component: Component<'a>,
    properties: Vec<Property<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Component<'a> {
    r#type: &'a str,
    #[serde(rename = "bom-ref")]
    bom_ref: &'a str,
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
}

#[derive(Serialize)]
struct Hash<'a> {
    alg: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct License {
    expression: String,
}

#[derive(Serialize)]
struct Property<'a> {
    name: String,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    r#ref: &'a str,
    depends_on: Vec<&'a str>,
}

/// What the program with this key is made of: no build scripts, no procedural macros and nothing that only tests need.
/// `licenses` are by what the key's manifest calls packages.
pub(super) fn cyclonedx(
    key: &ContentKey,
    licenses: &BTreeMap<&str, &str>,
) -> anyhow::Result<Vec<u8>> {
    let manifest = &key.manifest;
    let component = |id: &'_ str| {
        let (id, package) = manifest.packages.get_key_value(id).expect("it is listed");
        let root = *id == manifest.service;
        let hash = package.checksum.iter().map(|content| Hash {
            alg: "SHA-256",
            content,
        });
        let license = licenses.get(id.as_str()).map(|license| License {
            // As it was written before Cargo took SPDX expressions.
            expression: license.replace('/', " OR "),
        });
        Component {
            r#type: if root { "application" } else { "library" },
            bom_ref: id,
            name: &package.name,
            version: &package.version,
            hashes: hash.collect(),
            licenses: license.into_iter().collect(),
            purl: purl(package),
        }
    };
    let linked = || {
        let packages = manifest.packages.iter();
        packages.filter(|(_, package)| package.is_linked())
    };
    let dependencies = linked().map(|(id, package)| Dependency {
        r#ref: id,
        depends_on: package
            .dependencies
            .iter()
            .filter(|(id, names)| {
                names.iter().any(|name| !name.starts_with("build "))
                    && manifest.packages.get(*id).is_some_and(Package::is_linked)
            })
            .map(|(id, _)| id.as_str())
            .collect(),
    });
    let toolchain = manifest.toolchain.iter().map(|(name, value)| Property {
        name: format!("slipway:{name}"),
        value,
    });
    let document = Document {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: uuid(&key.key),
        version: 1,
        metadata: Metadata {
            component: component(&manifest.service),
            properties: toolchain.collect(),
        },
        components: linked()
            .filter(|(id, _)| **id != manifest.service)
            .map(|(id, _)| component(id))
            .collect(),
        dependencies: dependencies.collect(),
    };
    Ok(serde_json::to_vec(&document)?)
}

/// The repository's own packages have none: there may be others of the same name on crates.io.
fn purl(package: &Package) -> Option<String> {
    let source = package.source.as_deref()?;
    let base = format!("pkg:cargo/{}@{}", package.name, encode(&package.version));
    Some(if is_crates_io(source) {
        base
    } else if source.starts_with("git+") {
        format!("{base}?vcs_url={}", encode(source))
    } else {
        let url = source.split_once('+').map_or(source, |(_, url)| url);
        format!("{base}?repository_url={}", encode(url))
    })
}

/// Percent-encoded as <https://github.com/package-url/purl-spec> has it.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// A UUID of version 8 (RFC 9562): the same for the same key.
fn uuid(key: &str) -> String {
    let hex = sha256(format!("cyclonedx {key}").as_bytes());
    let part = |from: usize, to: usize| &hex[from..to];
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::workspace::KeyManifest;

    fn package(
        name: &str,
        source: Option<&str>,
        on: &str,
        dependencies: &[(&str, &str)],
    ) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.0.0+a".to_owned(),
            source: source.map(str::to_owned),
            checksum: source.map(|_| "ab".to_owned()),
            built: BTreeMap::from([(on.to_owned(), BTreeSet::new())]),
            dependencies: dependencies
                .iter()
                .map(|(id, name)| ((*id).to_owned(), BTreeSet::from([(*name).to_owned()])))
                .collect(),
            ..Package::default()
        }
    }

    fn document() -> Value {
        let crates_io = Some("registry+https://github.com/rust-lang/crates.io-index");
        let git = Some("git+https://example.com/b?rev=1#1234");
        let own = Some("sparse+https://crates.example.com/index/");
        let root = [
            ("a 1", "a"),
            ("b 1", "b"),
            ("c 1", "c"),
            ("m 1", "m"),
            ("t 1", "build t"),
        ];
        let packages = [
            ("services/shop", package("shop", None, "target", &root)),
            ("a 1", package("a", crates_io, "target", &[])),
            ("b 1", package("b", git, "target", &[("a 1", "a")])),
            ("c 1", package("c", own, "target", &[])),
            ("m 1", package("m", crates_io, "host", &[])),
            ("t 1", package("t", crates_io, "target", &[])),
        ];
        let key = ContentKey {
            key: "1234".to_owned(),
            dirty: Vec::new(),
            manifest: KeyManifest {
                service: "services/shop".to_owned(),
                packages: packages
                    .map(|(id, package)| (id.to_owned(), package))
                    .into(),
                ..KeyManifest::default()
            },
        };
        let licenses = BTreeMap::from([("a 1", "MIT/Apache-2.0")]);
        let bytes = cyclonedx(&key, &licenses).unwrap();
        assert_eq!(bytes, cyclonedx(&key, &licenses).unwrap());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn it_lists_what_is_linked_and_where_that_is_from() {
        let document = document();
        let components = document["components"].as_array().unwrap().iter();
        let purls: Vec<&Value> = components.map(|component| &component["purl"]).collect();
        assert_eq!(
            purls,
            [
                "pkg:cargo/a@1.0.0%2Ba",
                "pkg:cargo/b@1.0.0%2Ba?vcs_url=git%2Bhttps:%2F%2Fexample.com%2Fb%3Frev%3D1%231234",
                "pkg:cargo/c@1.0.0%2Ba?repository_url=https:%2F%2Fcrates.example.com%2Findex%2F",
                "pkg:cargo/t@1.0.0%2Ba",
            ]
        );
        let first = &document["components"][0];
        assert_eq!(
            first["licenses"],
            json!([{"expression": "MIT OR Apache-2.0"}])
        );
        assert_eq!(
            first["hashes"],
            json!([{"alg": "SHA-256", "content": "ab"}])
        );
        assert_eq!(document["metadata"]["component"]["purl"], Value::Null);
    }

    #[test]
    fn dependencies_are_those_of_the_program() {
        let expected = json!([
            {"ref": "a 1", "dependsOn": []},
            {"ref": "b 1", "dependsOn": ["a 1"]},
            {"ref": "c 1", "dependsOn": []},
            {"ref": "services/shop", "dependsOn": ["a 1", "b 1", "c 1"]},
            {"ref": "t 1", "dependsOn": []},
        ]);
        assert_eq!(document()["dependencies"], expected);
    }

    #[test]
    fn its_number_is_a_uuid_that_follows_from_the_key() {
        let number = uuid("1234");
        let hex = number.strip_prefix("urn:uuid:").unwrap();
        let parts: Vec<usize> = hex.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!((&hex[14..15], &hex[19..20]), ("8", "8"));
        assert_ne!(number, uuid("1235"));
    }
}
