//! Pictures, style sheet and script, embedded in the binary.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, header};
use axum::response::{Redirect, Response};

use crate::etag;
use crate::problem::{Kind, Problem};

struct Asset {
    bytes: &'static [u8],
    hash: String,
}

/// Written by `build.rs`: each file's path under `assets/`, and its content.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

static ASSETS: LazyLock<BTreeMap<&str, Asset>> = LazyLock::new(|| {
    let asset = |bytes| Asset {
        bytes,
        hash: etag::digest(bytes),
    };
    FILES
        .iter()
        .map(|(path, bytes)| (*path, asset(bytes)))
        .collect()
});

/// The address of an asset. It names the content's hash, so that browsers may keep what they get
/// there for good.
#[must_use]
pub fn url(path: &str) -> String {
    match ASSETS.get(path) {
        Some(asset) => format!("/assets/{path}?v={}", asset.hash),
        None => format!("/assets/{path}"),
    }
}

/// The address of the signal flag of an order's state.
#[must_use]
pub fn flag(state: &str) -> String {
    url(&format!("flags/{state}.svg"))
}

/// The address of a product's picture, or of one that stands for it.
#[must_use]
pub fn picture(sku: &str) -> String {
    let path = format!("pictures/{}.svg", sku.to_ascii_lowercase());
    if ASSETS.contains_key(path.as_str()) {
        url(&path)
    } else {
        url("pictures/default.svg")
    }
}

/// `GET /assets/{path}`
///
/// # Errors
/// `not-found`.
pub async fn serve(
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asset = ASSETS.get(path.as_str()).ok_or(Kind::NotFound)?;
    let current = query.is_some_and(|query| query == format!("v={}", asset.hash));
    let keep = if current {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let etag = format!("\"{}\"", asset.hash);
    let body = ([(header::CONTENT_TYPE, media_type(&path))], asset.bytes);
    Ok(etag::conditional(&headers, etag, keep, body))
}

/// `GET /favicon.ico`: asked for by programs that read no HTML.
pub async fn favicon() -> Redirect {
    Redirect::to("/assets/favicon.svg")
}

/// `GET /robots.txt`: products may be indexed, carts and orders not.
pub async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /api/\nDisallow: /cart\nDisallow: /checkout\nDisallow: /orders\n"
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
