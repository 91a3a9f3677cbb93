//! Entity tags and conditional requests (RFC 9110, sections 8.8 and 13.1.2).

use std::fmt::Write;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of the SHA-256 of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Answers with `response` under its `etag`, or with 304 when the client has it already. Caches keep it
/// as `cache` says.
pub fn conditional(
    request: &HeaderMap,
    etag: String,
    cache: &'static str,
    response: impl IntoResponse,
) -> Response {
    let fresh = matches(request, &etag);
    let headers = [
        (header::ETAG, etag),
        (header::CACHE_CONTROL, cache.to_owned()),
    ];
    if fresh {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, response).into_response()
    }
}

/// `If-None-Match` compares weakly.
fn matches(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_matches_in_a_list_and_weakly() {
        let mut headers = HeaderMap::new();
        assert!(!matches(&headers, "\"a\""));
        headers.append(header::IF_NONE_MATCH, "\"b\", W/\"a\"".parse().unwrap());
        assert!(matches(&headers, "\"a\""));
        assert!(matches(&headers, "W/\"b\""));
        assert!(!matches(&headers, "\"c\""));
        headers.append(header::IF_NONE_MATCH, "*".parse().unwrap());
        assert!(matches(&headers, "\"c\""));
    }
}
