//! Docker's credentials: its `config.json` and the helper programs named there.

use std::{env, fs, io::ErrorKind, path::PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde::Deserialize;

use crate::hint::{WithHint, fail};

/// The folder with Docker's `config.json`, if there is one.
pub(super) struct Credentials {
    folder: Option<PathBuf>,
}

/// Which programs keep credentials.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Helpers {
    creds_store: Option<String>,
    cred_helpers: std::collections::BTreeMap<String, String>,
}

impl Credentials {
    /// Where Docker keeps them: `DOCKER_CONFIG`, else `~/.docker`.
    pub(super) fn of_docker() -> Self {
        let folder = env::var_os("DOCKER_CONFIG")
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .or_else(|| Some(env::home_dir()?.join(".docker")));
        Self { folder }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { folder: None }
    }

    #[cfg(test)]
    pub(super) fn in_folder(folder: &std::path::Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
        }
    }

    /// The credential for a host, if there is one.
    pub(super) fn find(&self, host: &str) -> anyhow::Result<Option<DockerCredential>> {
        let Some(path) = self.file() else {
            return Ok(None);
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).hint(format!("{} must be readable", path.display()));
            }
        };
        let key = key(host);
        let error = match get_credential_from_reader(text.as_slice(), key) {
            Ok(credential) => return Ok(Some(credential)),
            Err(error) => error,
        };
        let helper = helper(&text, key).unwrap_or_default();
        let check = format!(
            "see what `echo {key} | {helper} get` says, or take it out of {}",
            path.display()
        );
        match error {
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound => Ok(None),
            // What all helpers say on stdout (github.com/docker/docker-credential-helpers, credentials/error.go).
            CredentialRetrievalError::HelperFailure { stdout, .. }
                if stdout.contains("credentials not found") =>
            {
                Ok(None)
            }
            // Neither of its outputs is shown: one of them is where secrets are told.
            CredentialRetrievalError::HelperFailure { .. } => {
                fail(format!("{helper} gives no credential for {host}"), check)
            }
            CredentialRetrievalError::MalformedHelperResponse => fail(
                format!("{helper} answers for {host} with something that is no credential"),
                check,
            ),
            CredentialRetrievalError::HelperCommunicationError => fail(
                format!("{helper}, which keeps the credential for {host}, cannot be asked"),
                format!("install {helper} where PATH finds it; {check}"),
            ),
            CredentialRetrievalError::CredentialDecodingError
            | CredentialRetrievalError::CredentialMismatchError
            | CredentialRetrievalError::ConfigReadError => fail(
                format!("{}: {error}", path.display()),
                format!("log in anew: docker login {host}"),
            ),
        }
    }

    /// What to do when a host refuses what was found for it.
    pub(super) fn advice(&self, host: &str) -> String {
        let text = self.file().and_then(|path| fs::read(path).ok());
        match text.and_then(|text| helper(&text, key(host))) {
            Some(helper) => format!(
                "see whether `echo {} | {helper} get` gives a credential that may do this",
                key(host)
            ),
            None => format!("docker login {host}, as somebody who may do this"),
        }
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.folder.as_deref()?.join("config.json"))
    }
}

/// Under what Docker keeps a host's credential.
fn key(host: &str) -> &str {
    match host {
        "docker.io" => "https://index.docker.io/v1/",
        host => host,
    }
}

fn helper(config: &[u8], key: &str) -> Option<String> {
    let helpers: Helpers = serde_json::from_slice(config).ok()?;
    let name = helpers.cred_helpers.get(key).cloned();
    let name = name.or(helpers.creds_store).filter(|name| !name.is_empty());
    name.map(|name| format!("docker-credential-{name}"))
}
