//! The API's description, generated from its handlers.

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{JSON, orders, products};
use crate::app::Shared;
use crate::domain::Violation;
use crate::etag;
use crate::problem::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slipway shop",
        version = "1",
        description = "Products and orders. Amounts are whole minor units of a currency. \
            Whatever goes wrong is an RFC 9457 problem whose `type` is stable and explains itself at its address. \
            Unknown fields and parameters are refused by name. Every answer carries `x-request-id`.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody, Violation)),
    tags(
        (name = "products", description = "What the shop sells."),
        (name = "orders", description = "What customers ordered."),
    ),
)]
struct Document;

/// `/api/v1` with all operations, and their description at `/api/v1/openapi.json`.
///
/// # Panics
/// Never: the document is made of strings and maps, which are always JSON.
pub fn router() -> Router<Shared> {
    let operations = OpenApiRouter::new()
        .merge(products::router())
        .merge(orders::router());
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v1", operations)
        .split_for_parts();
    let json = document.to_pretty_json().expect("strings and maps");
    let (etag, json) = (
        format!("\"{}\"", etag::digest(json.as_bytes())),
        Bytes::from(json),
    );
    let serve = async move |headers: HeaderMap| {
        etag::conditional(&headers, etag, "no-cache", ([JSON], json))
    };
    router.route("/api/v1/openapi.json", get(serve))
}
