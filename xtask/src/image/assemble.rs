//! From a program to an image.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Attached, Blob, Descriptor, Image, KEY_MANIFEST, MANIFEST, SBOM, audit,
    base::{USER, base},
    layer::{Entry, layer},
    sbom,
};
use crate::{hint::fail, workspace::ContentKey};

/// See <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>.
#[derive(Serialize)]
struct Config<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: Run<'a>,
    rootfs: Root<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    user: String,
    entrypoint: [String; 1],
    working_dir: &'a str,
    labels: &'a BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Root<'a> {
    r#type: &'a str,
    diff_ids: [&'a str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: &'a BTreeMap<&'a str, &'a str>,
}

/// The image of the service that the key belongs to, of this program. All that is in it follows from the key.
pub(crate) fn assemble(
    program: &[u8],
    key: &ContentKey,
    licenses: &BTreeMap<&str, &str>,
) -> anyhow::Result<Image> {
    let manifest = &key.manifest;
    let service = &manifest.packages[&manifest.service];
    let program = audit::with_packages(program, manifest)?;
    let own = layer(BTreeMap::from([(
        service.name.clone(),
        Entry::program(&program),
    )]));
    let base = base();

    let mut labels = BTreeMap::from([
        ("dev.slipway.key", key.key.as_str()),
        ("org.opencontainers.image.title", service.name.as_str()),
    ]);
    if let Some(source) = &manifest.source {
        labels.insert("org.opencontainers.image.source", source);
    }
    let config = Config {
        created: "1970-01-01T00:00:00Z",
        architecture: architecture(&manifest.target)?,
        os: "linux",
        config: Run {
            user: format!("{USER}:{USER}"),
            entrypoint: [format!("/{}", service.name)],
            working_dir: "/",
            labels: &labels,
        },
        rootfs: Root {
            r#type: "layers",
            diff_ids: [&base.diff_id, &own.diff_id],
        },
    };
    let config = Blob::json("application/vnd.oci.image.config.v1+json", &config)?;
    let layers = vec![base.blob.clone(), own.blob];
    let oci = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: config.descriptor(),
        layers: layers.iter().map(Blob::descriptor).collect(),
        annotations: &labels,
    };
    let oci = Blob::json(MANIFEST, &oci)?;
    let subject = oci.descriptor();
    let attached = vec![
        Attached::json(&subject, SBOM, sbom::cyclonedx(key, licenses)?)?,
        Attached::json(&subject, KEY_MANIFEST, manifest.json().into_bytes())?,
    ];
    Ok(Image {
        key: key.key.clone(),
        layers,
        config,
        manifest: oci,
        attached,
    })
}

/// What container engines call a target's processor.
fn architecture(target: &str) -> anyhow::Result<&'static str> {
    let (processor, rest) = target.split_once('-').unwrap_or((target, ""));
    match processor {
        "x86_64" if rest.contains("linux") => Ok("amd64"),
        "aarch64" if rest.contains("linux") => Ok("arm64"),
        _ => fail(
            format!("no image can be made for {target}"),
            "`target` in slipway.toml takes x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu, or the same with musl",
        ),
    }
}
