//! Images as files: one archive that skopeo, podman, containerd and every Docker can read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Blob, Descriptor, Image, key_tag,
    layer::{Entry, tar},
};

/// See <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u32,
    media_type: &'a str,
    manifests: [Named<'a>; 1],
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    descriptor: Descriptor,
    annotations: BTreeMap<&'a str, &'a str>,
}

/// What Docker before 25 reads instead: <https://github.com/moby/docker-image-spec/blob/v1.3.1/v1.2.md>.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Docker<'a> {
    config: String,
    repo_tags: [&'a str; 1],
    layers: Vec<String>,
}

/// The image in OCI's layout, known by its key in this repository. What is attached stays behind: archives have no place for it
/// that others look at.
pub(crate) fn archive(image: &Image, repository: &str) -> anyhow::Result<Vec<u8>> {
    let tag = key_tag(&image.key);
    let name = format!("{repository}:{tag}");
    let index = Index {
        schema_version: 2,
        media_type: "application/vnd.oci.image.index.v1+json",
        manifests: [Named {
            descriptor: image.manifest.descriptor(),
            annotations: BTreeMap::from([
                // Docker and containerd read the first, skopeo the second.
                ("io.containerd.image.name", name.as_str()),
                ("org.opencontainers.image.ref.name", &tag),
            ]),
        }],
    };
    let docker = [Docker {
        config: path(&image.config),
        repo_tags: [&name],
        layers: image.layers.iter().map(path).collect(),
    }];
    let index = serde_json::to_vec(&index)?;
    let docker = serde_json::to_vec(&docker)?;
    let blobs = image.layers.iter().chain([&image.config, &image.manifest]);
    let mut entries: BTreeMap<String, Entry<'_>> = blobs
        .map(|blob| (path(blob), Entry::file(&blob.bytes)))
        .collect();
    entries.insert("index.json".to_owned(), Entry::file(index));
    entries.insert("manifest.json".to_owned(), Entry::file(docker));
    entries.insert(
        "oci-layout".to_owned(),
        Entry::file(br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice()),
    );
    Ok(tar(&entries))
}

fn path(blob: &Blob) -> String {
    format!("blobs/{}", blob.digest.replace(':', "/"))
}
