//! What registries say when they refuse (OCI distribution specification, "Error Codes").

use serde::Deserialize;

use super::{client::Answer, name::Name};
use crate::hint::fail;

const LONGEST_MESSAGE: usize = 300;

#[derive(Deserialize)]
pub(super) struct OciError {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<OciError>,
}

/// The errors in an answer's body.
pub(super) fn errors(body: &[u8]) -> Vec<OciError> {
    serde_json::from_slice(body).map_or_else(|_| Vec::new(), |envelope: Envelope| envelope.errors)
}

/// Whether a registry of tags that never move refused one because it exists.
pub(super) fn is_immutable(answer: &Answer) -> bool {
    answer.says("ImageTagAlreadyExists")
        || answer.says("immutable")
        || answer.says("TAG_INVALID")
        || answer.status == 409
}

/// The error for an answer that nothing here expects.
pub(super) fn unexpected<T>(name: &Name, answer: &Answer) -> anyhow::Result<T> {
    if answer.says("NAME_UNKNOWN") {
        return fail(
            format!("{} has no repository {}", name.host, name.path),
            how_to_create(name),
        );
    }
    let status = answer.status;
    fail(
        format!(
            "{} answers {status} for {}{}",
            name.host,
            name.path,
            said(answer)
        ),
        "see the registry's log",
    )
}

/// What a registry says of its refusal, as the end of a sentence.
pub(super) fn said(answer: &Answer) -> String {
    let said: String = errors(&answer.body)
        .iter()
        .map(|error| format!("; {} {}", error.code, error.message))
        .collect();
    let said = said.replacen("; ", ": ", 1);
    said.chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(LONGEST_MESSAGE)
        .collect()
}

fn how_to_create(name: &Name) -> String {
    let region = name
        .host
        .split_once(".dkr.ecr.")
        .and_then(|(_, rest)| rest.split_once(".amazonaws.com"));
    match region {
        Some((region, _)) => format!(
            "aws ecr create-repository --region {region} --repository-name {} --image-tag-mutability IMMUTABLE",
            name.path
        ),
        None => format!(
            "create the repository {} in the registry first, or see that `registry` in slipway.toml is right",
            name.path
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_repository_comes_with_the_way_to_create_it() {
        let hint = |repository| how_to_create(&Name::parse(repository).unwrap());
        assert_eq!(
            hint("123456789012.dkr.ecr.eu-central-1.amazonaws.com/slipway/catalog"),
            "aws ecr create-repository --region eu-central-1 --repository-name slipway/catalog --image-tag-mutability IMMUTABLE"
        );
        assert!(hint("ghcr.io/slipway/catalog").contains("create the repository slipway/catalog"));
    }
}
