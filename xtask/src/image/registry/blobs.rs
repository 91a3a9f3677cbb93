//! Blobs: there, mounted from another repository, or uploaded.

use ureq::http::{Method, header::CONTENT_TYPE};

use super::{
    client::{Answer, Call, Client},
    manifests::verified,
    name::Name,
    retry::Failed,
};
use crate::{hint::fail, image::Blob};

/// What an upload took.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    Bytes(u64),
    Nothing,
}

impl Client {
    /// Sees to it that a repository has a blob; `elsewhere` is another one of the registry that may have it.
    ///
    /// What breaks in the middle starts again with the look whether it is there: the answer may have been lost when the
    /// blob was not. It is sent whole again rather than from where it broke, which needs one request less when nothing
    /// breaks; layers have a few megabytes.
    pub(super) fn put_blob(
        &self,
        name: &Name,
        blob: &Blob,
        elsewhere: Option<&str>,
    ) -> anyhow::Result<Sent> {
        self.patience
            .persist(|| self.put_blob_once(name, blob, elsewhere))
    }

    fn put_blob_once(
        &self,
        name: &Name,
        blob: &Blob,
        elsewhere: Option<&str>,
    ) -> Result<Sent, Failed> {
        let url = name.url(&format!("blobs/{}", blob.digest));
        let answer = self.once(&Call::read(name, Method::HEAD, url))?;
        // Whatever else it says has no body to say why; the upload's answer does.
        if answer.status == 200 {
            return Ok(Sent::Nothing);
        }
        let answer = self.open(name, &blob.digest, elsewhere)?;
        if answer.status == 201 {
            return Ok(Sent::Nothing);
        }
        let Some(location) = answer.location().filter(|_| answer.status == 202) else {
            return Ok(self.unexpected(name, &answer)?);
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{separator}digest={}", blob.digest);
        let upload = Call::write(name, Method::PUT, url, &blob.bytes)
            .header(CONTENT_TYPE, "application/octet-stream");
        let answer = self.once(&upload)?;
        if answer.is_success() {
            stored(name, &answer, &blob.digest)?;
            return Ok(Sent::Bytes(blob.bytes.len() as u64));
        }
        if answer.says("BLOB_UPLOAD_UNKNOWN") || answer.says("BLOB_UPLOAD_INVALID") {
            return Err(Failed::passing(format!("{} lost an upload", name.host)));
        }
        Ok(self.unexpected(name, &answer)?)
    }

    /// Opens an upload (202), unless the blob can be mounted (201).
    fn open(&self, name: &Name, digest: &str, elsewhere: Option<&str>) -> Result<Answer, Failed> {
        let url = name.url("blobs/uploads/");
        if let Some(path) = elsewhere {
            let url = format!("{url}?mount={digest}&from={path}");
            let answer = self.once(&Call::write(name, Method::POST, url, &[]).and_read(path))?;
            if matches!(answer.status, 201 | 202) {
                return Ok(answer);
            }
        }
        self.once(&Call::write(name, Method::POST, url, &[]))
    }

    /// A blob's bytes.
    pub(super) fn blob(&self, name: &Name, digest: &str) -> anyhow::Result<Vec<u8>> {
        let url = name.url(&format!("blobs/{digest}"));
        let answer = self.send(&Call::read(name, Method::GET, url))?;
        match answer.status {
            200 => verified(name, digest, answer.body),
            404 => fail(
                format!("{name} has lost {digest}"),
                "restore it from the registry's backup, or build and push the image again",
            ),
            _ => self.unexpected(name, &answer),
        }
    }
}

/// Whether what the registry stored is what was sent, as far as it says.
pub(super) fn stored(name: &Name, answer: &Answer, digest: &str) -> anyhow::Result<()> {
    match answer.header("Docker-Content-Digest") {
        Some(other) if other != digest => fail(
            format!("{name} was sent {digest} and says that it stored {other}"),
            "something between here and the registry changes what is sent",
        ),
        _ => Ok(()),
    }
}
