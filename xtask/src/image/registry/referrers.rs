//! What refers to an image: the registry's own list, or the tag that stands in for it where a
//! registry keeps none ("Referrers Tag Schema").

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::{Method, header::ACCEPT};

use super::{
    client::{Call, Client},
    errors::is_immutable,
    manifests::Document,
    name::{Name, is_same_origin},
    retry::Failed,
};
use crate::{
    hint::{WithHint, fail},
    image::{Blob, Descriptor, digest},
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What refers to an image.
pub(super) struct Referrers {
    pub(super) list: Vec<Descriptor>,
    /// Whether the registry keeps the list.
    pub(super) api: bool,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    artifact_type: Option<String>,
    config: Descriptor,
}

impl Client {
    /// What refers to a digest.
    pub(super) fn referrers(&self, name: &Name, digest: &str) -> anyhow::Result<Referrers> {
        let mut list = Vec::new();
        let mut next = Some(name.url(&format!("referrers/{digest}")));
        while let Some(url) = next {
            let answer = self.send(&Call::read(name, Method::GET, url).header(ACCEPT, INDEX))?;
            match answer.status {
                200 => list.append(&mut index(name, &answer.body)?.manifests),
                404 if list.is_empty() => return self.listed(name, digest),
                _ => return self.unexpected(name, &answer),
            }
            next = answer
                .next()
                .filter(|next| is_same_origin(next, &name.origin()));
        }
        Ok(Referrers { list, api: true })
    }

    fn listed(&self, name: &Name, digest: &str) -> anyhow::Result<Referrers> {
        let list = match self.manifest(name, &tag(digest))? {
            Some(stored) => index(name, &stored.bytes)?.manifests,
            None => Vec::new(),
        };
        Ok(Referrers { list, api: false })
    }

    /// Adds a manifest to the list under the tag. Whoever writes at the same moment may take it off
    /// again; the next push of the image sees that and adds it.
    pub(super) fn list_referrer(
        &self,
        name: &Name,
        subject: &str,
        manifest: &Blob,
    ) -> anyhow::Result<()> {
        let kind: Kind = serde_json::from_slice(&manifest.bytes)?;
        let mut entry = manifest.descriptor();
        entry.artifact_type = kind.artifact_type.or(Some(kind.config.media_type));
        let tag = tag(subject);
        self.patience.persist(|| {
            let mut list = match self.manifest(name, &tag)? {
                Some(stored) => parse(name, &stored.bytes)?,
                None => json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
            };
            let Some(entries) = list["manifests"].as_array_mut() else {
                return Ok(fail(format!("{name}:{tag} lists nothing"), "delete that tag")?);
            };
            if entries.iter().any(|it| it["digest"] == manifest.digest) {
                return Ok(());
            }
            entries.push(serde_json::to_value(&entry).map_err(anyhow::Error::from)?);
            let bytes = list.to_string().into_bytes();
            let answer = self.put(
                name,
                &tag,
                Document {
                    media_type: INDEX,
                    digest: &digest(&bytes),
                    bytes: &bytes,
                },
            )?;
            if is_immutable(&answer) {
                return Ok(fail(
                    format!("{} keeps no list of referrers, and does not let the tag {tag} change, which stands in for it", name.host),
                    "leave tags that start with `sha256-` out of the repository's immutability",
                )?);
            }
            if !answer.is_success() {
                return Ok(self.unexpected(name, &answer)?);
            }
            let now = self.listed(name, subject)?;
            if now.list.iter().any(|it| it.digest == manifest.digest) {
                return Ok(());
            }
            Err(Failed::passing(format!("others write {name}:{tag} too")))
        })
    }
}

fn index(name: &Name, bytes: &[u8]) -> anyhow::Result<Index> {
    serde_json::from_slice(bytes).hint(format!("{name} must list referrers as an OCI image index"))
}

fn parse(name: &Name, bytes: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(bytes).hint(format!("{name} must list referrers as an OCI image index"))
}

fn tag(digest: &str) -> String {
    digest.replace(':', "-")
}
