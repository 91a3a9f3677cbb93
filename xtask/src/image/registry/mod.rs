//! A client of OCI registries (distribution specification 1.1).

mod auth;
mod blobs;
mod client;
mod credentials;
mod errors;
mod manifests;
mod name;
mod referrers;
mod retry;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    panic::resume_unwind,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Context;

use self::{
    blobs::Sent,
    client::Client,
    credentials::Credentials,
    manifests::{Document, Parts},
    name::Name,
    retry::Patience,
};
use super::{Attached, Blob, Descriptor, Image, KEY_MANIFEST};
use crate::{
    gitops::Digests,
    hint::{WithHint, fail},
    workspace::KeyManifest,
};

/// The registries that images go to and come from. A repository is `host[:port]/path`.
pub(crate) struct Registry {
    client: Client,
    /// Where a registry's blobs were last seen: host and digest to path.
    seen: Mutex<HashMap<(String, String), String>>,
}

/// What a push did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pushed {
    /// Sent: blobs and manifests.
    pub(crate) bytes: u64,
    /// Blobs and manifests that the registry had already.
    pub(crate) skipped: usize,
}

/// What an image consists of, as the registry has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Contents {
    pub(crate) manifest: Descriptor,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

impl Registry {
    /// With Docker's credentials, which are looked up when a registry asks for them.
    pub(crate) fn new() -> Self {
        Self::with(Credentials::of_docker(), Patience::default())
    }

    fn with(credentials: Credentials, patience: Patience) -> Self {
        Self {
            client: Client::new(credentials, patience),
            seen: Mutex::default(),
        }
    }

    /// The digest behind a tag. None where there is no such tag, or no such repository.
    pub(crate) fn resolve(&self, repository: &str, tag: &str) -> anyhow::Result<Option<String>> {
        self.digest_of(&Name::parse(repository)?, tag)
    }

    /// Pushes an image: blobs, manifest, what is attached, then the tags. What is there is not sent again.
    pub(crate) fn push(
        &self,
        repository: &str,
        image: &Image,
        tags: &[&str],
    ) -> anyhow::Result<Pushed> {
        let name = Name::parse(repository)?;
        let digest = &image.manifest.digest;
        let mut pushed = Pushed::default();

        // Before anything is sent: a tag that is another image's stops it all.
        let mut missing = Vec::new();
        for tag in tags {
            if !self.is_tagged(&name, digest, tag)? {
                missing.push(*tag);
            }
        }
        let blobs = image.layers.iter().chain([&image.config]);
        if (!tags.is_empty() && missing.is_empty()) || self.client.has_manifest(&name, digest)? {
            // The registry took the manifest, so it had all that is named in it.
            for blob in blobs {
                self.remember(&name, &blob.digest);
                pushed.skipped += 1;
            }
            pushed.skipped += 1;
        } else {
            self.push_blobs(&name, blobs, &mut pushed)?;
            self.client
                .put_manifest(&name, Document::from(&image.manifest))?;
            pushed.bytes += image.manifest.bytes.len() as u64;
        }
        self.push_attached(&name, digest, &image.attached, &mut pushed)?;
        for tag in missing {
            self.set_tag(&name, tag, Document::from(&image.manifest))?;
        }
        Ok(pushed)
    }

    /// Gives a digest a tag. A tag is never moved to another digest.
    pub(crate) fn tag(&self, repository: &str, digest: &str, tag: &str) -> anyhow::Result<()> {
        let name = Name::parse(repository)?;
        if self.is_tagged(&name, digest, tag)? {
            return Ok(());
        }
        let Some(stored) = self.client.manifest(&name, digest)? else {
            return fail(
                format!("{name} has no {digest} to be tagged {tag}"),
                "push the image first",
            );
        };
        self.set_tag(&name, tag, Document::from(&stored))
    }

    /// Adds a JSON document about an image that is there.
    pub(crate) fn attach_json(
        &self,
        repository: &str,
        digest: &str,
        artifact_type: &'static str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Pushed> {
        let Some(image) = self.size(repository, digest)? else {
            return fail(
                format!("{repository} does not have {digest} any more"),
                "run this again: it is built and pushed anew",
            );
        };
        let document = Attached::json(&image.manifest, artifact_type, bytes)?;
        self.attach(repository, digest, document)
    }

    /// Adds something about an image that is there.
    pub(crate) fn attach(
        &self,
        repository: &str,
        digest: &str,
        attached: Attached,
    ) -> anyhow::Result<Pushed> {
        let mut pushed = Pushed::default();
        self.push_attached(&Name::parse(repository)?, digest, &[attached], &mut pushed)?;
        Ok(pushed)
    }

    /// The documents of this type about an image: each one's first blob.
    pub(crate) fn attached(
        &self,
        repository: &str,
        digest: &str,
        artifact_type: &str,
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        let name = Name::parse(repository)?;
        let mut documents = Vec::new();
        for referrer in self.client.referrers(&name, digest)?.list {
            if referrer.artifact_type.as_deref() != Some(artifact_type) {
                continue;
            }
            // A list may outlive what it names.
            let Some(stored) = self.client.manifest(&name, &referrer.digest)? else {
                continue;
            };
            if let Some(first) = Parts::of(&name, &stored)?.layers.first() {
                documents.push(self.client.blob(&name, &first.digest)?);
            }
        }
        Ok(documents)
    }

    /// The manifest behind an image's key, if it came with one.
    pub(crate) fn key_manifest(
        &self,
        repository: &str,
        digest: &str,
    ) -> anyhow::Result<Option<KeyManifest>> {
        let documents = self.attached(repository, digest, KEY_MANIFEST)?;
        let Some(document) = documents.first() else {
            return Ok(None);
        };
        serde_json::from_slice(document)
            .map(Some)
            .context(format!("the key manifest of {repository}@{digest}"))
            .hint("it was written by another version of xtask: run that of the recorded commit")
    }

    /// What an image consists of. None where it is not there.
    pub(crate) fn size(&self, repository: &str, digest: &str) -> anyhow::Result<Option<Contents>> {
        let name = Name::parse(repository)?;
        let Some(stored) = self.client.manifest(&name, digest)? else {
            return Ok(None);
        };
        let Parts { config, layers } = Parts::of(&name, &stored)?;
        Ok(Some(Contents {
            manifest: stored.descriptor(),
            config,
            layers,
        }))
    }

    /// A blob of a repository.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> anyhow::Result<Vec<u8>> {
        self.client.blob(&Name::parse(repository)?, digest)
    }

    fn digest_of(&self, name: &Name, tag: &str) -> anyhow::Result<Option<String>> {
        let stored = self.client.manifest(name, tag)?;
        Ok(stored.map(|stored| stored.digest))
    }

    /// Whether a tag is this digest's. An error where it is another's.
    fn is_tagged(&self, name: &Name, digest: &str, tag: &str) -> anyhow::Result<bool> {
        match self.digest_of(name, tag)? {
            None => Ok(false),
            Some(found) if found == digest => Ok(true),
            Some(found) => fail(
                format!("{name}:{tag} is {found} already, and would have become {digest}"),
                "tags never move: release under a new version, or see who pushed that one",
            ),
        }
    }

    fn set_tag(&self, name: &Name, tag: &str, manifest: Document) -> anyhow::Result<()> {
        let answer = self.client.put(name, tag, manifest)?;
        let refused = errors::is_immutable(&answer);
        // Also when it was taken: somebody else may have set it between the look and the push.
        if (refused || answer.is_success()) && self.is_tagged(name, manifest.digest, tag)? {
            return Ok(());
        }
        if answer.is_success() {
            return fail(
                format!(
                    "{} took the tag {tag} for {name} and does not have it",
                    name.host
                ),
                "run it again; if that does not help, see the registry's log",
            );
        }
        self.client.unexpected(name, &answer)
    }

    fn push_attached(
        &self,
        name: &Name,
        digest: &str,
        attached: &[Attached],
        pushed: &mut Pushed,
    ) -> anyhow::Result<()> {
        if attached.is_empty() {
            return Ok(());
        }
        let known = self.client.referrers(name, digest)?;
        for Attached { manifest, blobs } in attached {
            if known.list.iter().any(|it| it.digest == manifest.digest) {
                pushed.skipped += blobs.len() + 1;
                continue;
            }
            self.push_blobs(name, blobs, pushed)?;
            let answer = self.client.put_manifest(name, Document::from(manifest))?;
            pushed.bytes += manifest.bytes.len() as u64;
            if !known.api && answer.header("OCI-Subject").is_none() {
                self.client.list_referrer(name, digest, manifest)?;
            }
        }
        Ok(())
    }

    /// Uploads side by side; there are a handful.
    fn push_blobs<'a>(
        &self,
        name: &Name,
        blobs: impl IntoIterator<Item = &'a Blob>,
        pushed: &mut Pushed,
    ) -> anyhow::Result<()> {
        let blobs: BTreeMap<&str, &Blob> = blobs
            .into_iter()
            .map(|blob| (blob.digest.as_str(), blob))
            .collect();
        let sent: Vec<anyhow::Result<Sent>> = thread::scope(|scope| {
            let running: Vec<_> = blobs
                .values()
                .map(|blob| scope.spawn(|| self.push_blob(name, blob)))
                .collect();
            running
                .into_iter()
                .map(|upload| upload.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        for sent in sent {
            match sent? {
                Sent::Bytes(bytes) => pushed.bytes += bytes,
                Sent::Nothing => pushed.skipped += 1,
            }
        }
        Ok(())
    }

    fn push_blob(&self, name: &Name, blob: &Blob) -> anyhow::Result<Sent> {
        let elsewhere = self
            .seen()
            .get(&(name.host.clone(), blob.digest.clone()))
            .filter(|path| **path != name.path)
            .cloned();
        let sent = self.client.put_blob(name, blob, elsewhere.as_deref())?;
        self.remember(name, &blob.digest);
        Ok(sent)
    }

    /// Services share layers: what one repository has, the next one mounts.
    fn remember(&self, name: &Name, digest: &str) {
        self.seen()
            .insert((name.host.clone(), digest.to_owned()), name.path.clone());
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<(String, String), String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Digests for Registry {
    fn exists(&self, repository: &str, digest: &str) -> anyhow::Result<bool> {
        self.client.has_manifest(&Name::parse(repository)?, digest)
    }
}
