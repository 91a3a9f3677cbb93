//! `/api/v1/orders`.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Body, CUSTOMER_ID_RULE, Id, Params, next_link};
use crate::app::Shared;
use crate::domain::{
    self, MAX_LINES, MAX_QUANTITY, NewLine, NewOrder, Order, OrderState, Page, Violations,
};
use crate::placement;
use crate::problem::{Kind, Problem, problems};

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Orders are their customers' business: no cache keeps them.
const NOT_STORED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(place, list))
        .routes(routes!(get))
        .routes(routes!(cancel))
}

/// An order to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrder)]
pub struct PlaceOrder {
    /// Who orders.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "customer-1")]
    customer_id: String,
    /// ISO 4217; all products must be sold in it.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: String,
    /// What is ordered, each product once.
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<PlaceLine>,
}

/// A product and how many pieces of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOrderLine)]
pub struct PlaceLine {
    #[schema(format = Uuid)]
    product_id: String,
    #[schema(minimum = 1, maximum = 1000)]
    quantity: i64,
}

impl PlaceOrder {
    /// The order, if it keeps to every rule that needs no look-up.
    fn check(self) -> Result<NewOrder, Violations> {
        let mut violations = Violations::default();
        if !domain::is_customer_id(&self.customer_id) {
            violations.add("customer_id", "format", CUSTOMER_ID_RULE);
        }
        if !domain::is_currency(&self.currency) {
            violations.add(
                "currency",
                "format",
                "must be three capital letters (ISO 4217)",
            );
        }
        if !(1..=MAX_LINES).contains(&self.lines.len()) {
            let message = format!("must have 1 to {MAX_LINES} lines");
            violations.add("lines", "length", message);
        }
        let mut lines = Vec::new();
        let mut seen = HashSet::new();
        // A thousand wrong lines need no thousand errors.
        for (at, line) in self.lines.iter().take(MAX_LINES).enumerate() {
            let product_id = Uuid::parse_str(&line.product_id).ok();
            if product_id.is_none() {
                violations.add(format!("lines[{at}].product_id"), "uuid", "must be a UUID");
            }
            if product_id.is_some_and(|id| !seen.insert(id)) {
                let message = "is in an earlier line; give each product one line";
                violations.add(format!("lines[{at}].product_id"), "unique", message);
            }
            let range = 1..=MAX_QUANTITY;
            let quantity = u32::try_from(line.quantity).ok();
            let quantity = quantity.filter(|quantity| range.contains(quantity));
            if quantity.is_none() {
                let message = format!("must be 1 to {MAX_QUANTITY}");
                violations.add(format!("lines[{at}].quantity"), "range", message);
            }
            lines.extend(
                product_id
                    .zip(quantity)
                    .map(|(product_id, quantity)| NewLine {
                        product_id,
                        quantity,
                    }),
            );
        }
        if !violations.0.is_empty() {
            return Err(violations);
        }
        Ok(NewOrder {
            customer_id: self.customer_id,
            currency: self.currency,
            lines,
        })
    }
}

/// The one `Idempotency-Key` of a request.
fn idempotency_key(headers: &HeaderMap) -> Result<String, Violations> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let mut violations = Violations::default();
    match (given.next(), given.next()) {
        (None, _) => violations.add(IDEMPOTENCY_KEY, "required", "is missing"),
        (Some(_), Some(_)) => violations.add(IDEMPOTENCY_KEY, "unique", "is given more than once"),
        (Some(key), None) => match key.as_bytes() {
            bytes if !(1..=255).contains(&bytes.len()) => {
                violations.add(IDEMPOTENCY_KEY, "length", "must have 1 to 255 characters");
            }
            bytes if !bytes.iter().all(u8::is_ascii_graphic) => {
                violations.add(IDEMPOTENCY_KEY, "characters", "must be visible ASCII");
            }
            bytes => return Ok(String::from_utf8_lossy(bytes).into_owned()),
        },
    }
    Err(violations)
}

problems!(PlaceProblems: InvalidParameters, MalformedBody, CrossSite, OutOfStock, BodyTooLarge,
    UnsupportedMediaType, InvalidBody, IdempotencyKeyReused, OrdersUnavailable);

/// Places an order, once for each customer and `Idempotency-Key`.
///
/// The status follows from the order's state: 201 when it stands, 202 while it is pending, 409 or 422
/// when it is rejected. Sent again with the same key and content, the request gives the same order as
/// it is by then, with the header `Idempotent-Replayed: true`.
#[utoipa::path(
    post, path = "/orders", tag = "orders", operation_id = "placeOrder",
    params(("Idempotency-Key" = String, Header, min_length = 1, max_length = 255, pattern = "^[!-~]+$",
        description = "Made up by the client, for example a UUID; visible ASCII.")),
    request_body = PlaceOrder,
    responses(
        (status = 201, description = "The order stands.", body = Order, headers(
            ("Location" = String, description = "The order's address."),
            ("Idempotent-Replayed" = String, description = "`true` when the key was used before."),
        )),
        (status = 202, description = "The order is pending; its address tells how it goes on.", body = Order, headers(
            ("Location" = String, description = "The order's address."),
            ("Idempotent-Replayed" = String, description = "`true` when the key was used before."),
        )),
        PlaceProblems,
    ),
)]
async fn place(
    State(shop): State<Shared>,
    headers: HeaderMap,
    Body(body): Body<PlaceOrder>,
) -> Result<Response, Problem> {
    let (key, new) = match (idempotency_key(&headers), body.check()) {
        (Ok(key), Ok(new)) => (key, new),
        (Ok(_), Err(body)) => return Err(Problem::broken(Kind::InvalidBody, body)),
        (Err(mut header), body) => {
            header.0.extend(body.err().unwrap_or_default().0);
            return Err(Problem::broken(Kind::InvalidParameters, header));
        }
    };

    let placed = placement::place(&shop.backends, &key, &new).await?;
    let status = match placed.order.state {
        OrderState::Pending => StatusCode::ACCEPTED,
        _ => StatusCode::CREATED,
    };
    let location = format!("/api/v1/orders/{}", placed.order.id);
    let replayed = placed.replayed.then_some([(REPLAYED, "true")]);
    let headers = [(header::LOCATION, location)];
    Ok((status, [NOT_STORED], headers, replayed, Json(placed.order)).into_response())
}

problems!(ListProblems: InvalidParameters, OrdersUnavailable);

/// A customer's orders, newest first.
#[utoipa::path(
    get, path = "/orders", tag = "orders", operation_id = "listOrders",
    params(
        ("customer_id" = String, Query, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "Whose orders."),
        ("page_size" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Orders on a page; 20 where it is left out."),
        ("page_token" = Option<String>, Query, description = "`next_page_token` of the page before; goes with the same customer only."),
    ),
    responses(
        (status = 200, description = "One page of orders.", body = Page<Order>, headers(
            ("Link" = String, description = "`rel=\"next\"`: the next page, where there is one."),
        )),
        ListProblems,
    ),
)]
async fn list(State(shop): State<Shared>, mut params: Params) -> Result<Response, Problem> {
    let (customer, size) = (params.customer_id(), params.page_size());
    let token = params.take("page_token").unwrap_or_default();
    params.finish()?;

    let page = shop.backends.orders_of(&customer, size, &token).await?;
    let link = next_link("/api/v1/orders", &page, &[("customer_id", &customer)], size);
    Ok(([NOT_STORED], link, Json(page)).into_response())
}

problems!(GetProblems: InvalidParameters, OrderNotFound, OrdersUnavailable);

/// One order. Its id cannot be guessed: knowing it is enough to read it.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = Uuid, Path, description = "The order's id.")),
    responses((status = 200, description = "The order.", body = Order), GetProblems),
)]
async fn get(State(shop): State<Shared>, Id(id): Id) -> Result<Response, Problem> {
    let order = shop.backends.order(id).await?;
    Ok(([NOT_STORED], Json(order)).into_response())
}

problems!(CancelProblems: InvalidParameters, CrossSite, OrderNotFound, OrderNotCancellable, OrdersUnavailable);

/// Cancels an order that is pending or confirmed. Cancelling it again changes nothing.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", tag = "orders", operation_id = "cancelOrder",
    params(("id" = Uuid, Path, description = "The order's id.")),
    responses((status = 200, description = "The order, cancelled.", body = Order), CancelProblems),
)]
async fn cancel(State(shop): State<Shared>, Id(id): Id) -> Result<Response, Problem> {
    let order = shop.backends.cancel(id).await?;
    Ok(([NOT_STORED], Json(order)).into_response())
}
