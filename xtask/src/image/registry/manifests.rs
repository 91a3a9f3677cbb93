//! Manifests, byte for byte.

use serde::Deserialize;
use ureq::http::{
    Method,
    header::{ACCEPT, CONTENT_TYPE},
};

use super::{
    blobs::stored,
    client::{Answer, Call, Client},
    errors::said,
    name::Name,
    retry::Failed,
};
use crate::{
    hint::{WithHint, fail},
    image::{Blob, Descriptor, digest},
};

const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest that a registry has.
pub(super) struct Stored {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

/// A manifest to be sent.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) media_type: &'a str,
    pub(super) digest: &'a str,
    pub(super) bytes: &'a [u8],
}

/// What a manifest names.
#[derive(Deserialize)]
pub(super) struct Parts {
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

impl Parts {
    pub(super) fn of(name: &Name, stored: &Stored) -> anyhow::Result<Self> {
        serde_json::from_slice(&stored.bytes).hint(format!(
            "{name}@{} must be the manifest of one image",
            stored.digest
        ))
    }
}

impl Stored {
    /// How another manifest refers to it.
    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            artifact_type: None,
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
        }
    }
}

impl<'a> From<&'a Blob> for Document<'a> {
    fn from(blob: &'a Blob) -> Self {
        Self {
            media_type: blob.media_type,
            digest: &blob.digest,
            bytes: &blob.bytes,
        }
    }
}

impl<'a> From<&'a Stored> for Document<'a> {
    fn from(stored: &'a Stored) -> Self {
        Self {
            media_type: &stored.media_type,
            digest: &stored.digest,
            bytes: &stored.bytes,
        }
    }
}

impl Client {
    /// Whether the registry has a manifest.
    pub(super) fn has_manifest(&self, name: &Name, digest: &str) -> anyhow::Result<bool> {
        let url = name.url(&format!("manifests/{digest}"));
        let answer = self.send(&Call::read(name, Method::HEAD, url).header(ACCEPT, ACCEPTED))?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => self.unexpected(name, &answer),
        }
    }

    /// The manifest behind a digest or tag. Its digest is that of its bytes, whatever the registry says.
    pub(super) fn manifest(&self, name: &Name, reference: &str) -> anyhow::Result<Option<Stored>> {
        let url = name.url(&format!("manifests/{reference}"));
        let answer = self.send(&Call::read(name, Method::GET, url).header(ACCEPT, ACCEPTED))?;
        match answer.status {
            200 => {}
            404 => return Ok(None),
            _ => return self.unexpected(name, &answer),
        }
        let media_type = answer.header("Content-Type").unwrap_or_default().to_owned();
        let promised = match answer.header("Docker-Content-Digest") {
            _ if reference.starts_with("sha256:") => reference.to_owned(),
            Some(promised) => promised.to_owned(),
            None => digest(&answer.body),
        };
        Ok(Some(Stored {
            bytes: verified(name, &promised, answer.body)?,
            digest: promised,
            media_type,
        }))
    }

    /// Sends a manifest under its digest.
    pub(super) fn put_manifest(&self, name: &Name, manifest: Document) -> anyhow::Result<Answer> {
        let answer = self.put(name, manifest.digest, manifest)?;
        if answer.is_success() {
            return Ok(answer);
        }
        self.unexpected(name, &answer)
    }

    /// Sends a manifest under a digest or tag. The answer may be a refusal.
    pub(super) fn put(
        &self,
        name: &Name,
        reference: &str,
        manifest: Document,
    ) -> anyhow::Result<Answer> {
        let url = name.url(&format!("manifests/{reference}"));
        let call = Call::write(name, Method::PUT, url, manifest.bytes)
            .header(CONTENT_TYPE, manifest.media_type);
        let answer = self.patience.persist(|| {
            let answer = self.once(&call)?;
            // docker-registry does not know a blob in the moment in which another run pushes the same one.
            if answer.status == 400 && answer.says("MANIFEST_BLOB_UNKNOWN") {
                return Err(Failed::passing(format!(
                    "{} misses a part of what it was given for {}{}",
                    name.host,
                    name.path,
                    said(&answer)
                )));
            }
            Ok(answer)
        })?;
        if answer.is_success() {
            stored(name, &answer, manifest.digest)?;
        }
        Ok(answer)
    }
}

/// These bytes, if they have this digest.
pub(super) fn verified(name: &Name, promised: &str, bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let found = digest(&bytes);
    if found == promised {
        return Ok(bytes);
    }
    fail(
        format!("{name} gives {found} for {promised}"),
        "the registry's store is damaged, or something between here and there changes what it sends",
    )
}
