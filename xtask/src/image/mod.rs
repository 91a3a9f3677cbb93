//! OCI images: what is built, what travels along with it, and the registry that keeps it. Built without a container
//! engine, and the same bytes for the same key everywhere.

mod archive;
mod assemble;
mod audit;
mod base;
mod build;
mod layer;
pub(crate) mod registry;
mod sbom;

use serde::{Deserialize, Serialize};

pub(crate) use self::{archive::archive, assemble::assemble, base::recipe, build::build};
use crate::workspace::{ContentKey, Service, Workspace, sha256};

/// The media type of an image's manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The artifact type of the manifest that an image's key was computed from.
pub(crate) const KEY_MANIFEST: &str = "application/vnd.slipway.key.v1+json";
/// The artifact type of what version and commit an image was released as. Both are no part of it: the same key gives
/// the same image at any commit.
pub(crate) const RELEASE: &str = "application/vnd.slipway.release.v1+json";
/// The artifact type of an image's bill of materials.
pub(crate) const SBOM: &str = "application/vnd.cyclonedx+json";

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Bytes with their digest.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) media_type: &'static str,
    /// `sha256:…`
    pub(crate) digest: String,
    pub(crate) bytes: Vec<u8>,
}

/// An OCI image: what is pushed, exactly.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) key: String,
    pub(crate) layers: Vec<Blob>,
    pub(crate) config: Blob,
    pub(crate) manifest: Blob,
    pub(crate) attached: Vec<Attached>,
}

/// What travels along as an OCI referrer: its manifest's `subject` is the image's manifest.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) manifest: Blob,
    pub(crate) blobs: Vec<Blob>,
}

/// What a manifest says of something that it refers to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) digest: String,
    pub(crate) size: u64,
}

/// The manifest of an artifact (OCI image specification 1.1, "Guidelines for Artifact Usage").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Descriptor,
    layers: [Descriptor; 1],
    subject: &'a Descriptor,
}

/// Builds a service and makes its image.
pub(crate) fn make(
    workspace: &Workspace,
    service: &Service,
    key: &ContentKey,
) -> anyhow::Result<Image> {
    let program = build(workspace, service, key, workspace.target_folder())?;
    assemble(&program, key, &workspace.licenses())
}

/// The tag of the image with this key.
pub(crate) fn key_tag(key: &str) -> String {
    format!("key-{key}")
}

impl Blob {
    pub(crate) fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self {
            media_type,
            digest: digest(&bytes),
            bytes,
        }
    }

    fn json(media_type: &'static str, value: &impl Serialize) -> anyhow::Result<Self> {
        Ok(Self::new(media_type, serde_json::to_vec(value)?))
    }

    /// How a manifest refers to it.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.to_owned(),
            artifact_type: None,
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
        }
    }
}

impl Attached {
    /// A JSON document about `subject`. The same document about the same image has the same digest.
    pub(crate) fn json(
        subject: &Descriptor,
        artifact_type: &'static str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Self> {
        let config = Blob::new(EMPTY, b"{}".to_vec());
        let document = Blob::new(artifact_type, bytes);
        let manifest = serde_json::to_vec(&Artifact {
            schema_version: 2,
            media_type: MANIFEST,
            artifact_type,
            config: config.descriptor(),
            layers: [document.descriptor()],
            subject,
        })?;
        Ok(Self {
            manifest: Blob::new(MANIFEST, manifest),
            blobs: vec![config, document],
        })
    }
}

/// The digest of these bytes, as registries write it.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}
