//! `/api/v1/products`.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Id, JSON, Params, next_link};
use crate::app::Shared;
use crate::domain::{Page, Product};
use crate::etag;
use crate::problem::{Kind, Problem, problems};

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
}

problems!(ListProblems: InvalidParameters, CatalogUnavailable);

/// Products in the order of their names.
#[utoipa::path(
    get, path = "/products", tag = "products", operation_id = "listProducts",
    params(
        ("q" = Option<String>, Query, max_length = 100, description = "Text that name, description or SKU contains, in any case."),
        ("page_size" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Products on a page; 24 where it is left out."),
        ("page_token" = Option<String>, Query, description = "`next_page_token` of the page before; goes with the same `q` only."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that the client has."),
    ),
    responses(
        (status = 200, description = "One page of products.", body = Page<Product>, headers(
            ("ETag" = String, description = "Changes when the page's content does."),
            ("Link" = String, description = "`rel=\"next\"`: the next page, where there is one."),
        )),
        (status = 304, description = "The client has this page already."),
        ListProblems,
    ),
)]
async fn list(
    State(shop): State<Shared>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let (search, size) = (params.search(), params.page_size());
    let token = params.take("page_token").unwrap_or_default();
    params.finish()?;

    let page = shop.backends.products(&search, size, &token).await?;
    let link = next_link("/api/v1/products", &page, &[("q", &search)], size);
    let json = serde_json::to_vec(&page).map_err(|_| Kind::Internal)?;
    let etag = format!("\"{}\"", etag::digest(&json));
    let body = etag::conditional(&headers, etag, "no-cache", ([JSON], json));
    Ok((link, body).into_response())
}

problems!(GetProblems: InvalidParameters, ProductNotFound, CatalogUnavailable);

/// One product.
#[utoipa::path(
    get, path = "/products/{id}", tag = "products", operation_id = "getProduct",
    params(
        ("id" = Uuid, Path, description = "The product's id."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that the client has."),
    ),
    responses(
        (status = 200, description = "The product.", body = Product, headers(
            ("ETag" = String, description = "Follows the product's revision."),
        )),
        (status = 304, description = "The client has this revision already."),
        GetProblems,
    ),
)]
async fn get(
    State(shop): State<Shared>,
    headers: HeaderMap,
    Id(id): Id,
) -> Result<Response, Problem> {
    let product = shop.backends.product(id).await?;
    // Weak: another version of the gateway may write the same revision in other bytes.
    let etag = format!("W/\"{}\"", product.revision);
    Ok(etag::conditional(&headers, etag, "no-cache", Json(product)))
}
