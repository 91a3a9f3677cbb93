//! The shop's pages, rendered on the server: what its handlers have in common.

mod cart;
mod checkout;
mod events;
mod orders;
mod products;
pub mod view;
mod visit;

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::app::Shared;
use crate::problem::{Kind, Problem, RETRY_AFTER};
use crate::{assets, domain};
use view::{ErrorPage, Here, Missing, Moment, NotFoundPage, Stock};
pub use visit::Visit;

/// All pages.
pub fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(products::list))
        .route("/products/{id}", get(products::show))
        .route("/cart", get(cart::show))
        .route("/cart/items", post(cart::add))
        .route("/cart/items/{id}", post(cart::set))
        .route("/checkout", get(checkout::show).post(checkout::place))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::show))
        .route("/orders/{id}/cancel", post(orders::cancel))
        .route("/orders/{id}/events", get(events::follow))
}

/// A rendered page. It is the visitor's own, with cart and orders, so nothing keeps it.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let retry = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([RETRY_AFTER]);
            let headers = [(header::CACHE_CONTROL, "no-store")];
            (status, retry, headers, Html(html)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            Problem::from(Kind::Internal).into_response()
        }
    }
}

/// The page for a problem that left a handler.
pub fn in_words(visit: &Visit, problem: &Problem, request_id: String) -> Response {
    let shell = visit.shell(Here::Elsewhere);
    let status = problem.kind.status();
    let id = Some(request_id);
    let missing = |what| {
        page(
            status,
            &NotFoundPage {
                shell: shell.clone(),
                what,
            },
        )
    };
    let (title, text) = match problem.kind {
        Kind::NotFound => return missing(Missing::Page),
        Kind::ProductNotFound => return missing(Missing::Product),
        Kind::OrderNotFound => return missing(Missing::Order),
        Kind::CatalogUnavailable => return page(status, &ErrorPage::catalog_down(shell, id)),
        Kind::OrdersUnavailable => return page(status, &ErrorPage::orders_down(shell, id)),
        Kind::CrossSite => return page(status, &ErrorPage::cross_site(shell, id)),
        Kind::Internal => return page(status, &ErrorPage::internal(shell, id)),
        Kind::Overloaded => (
            "The shop is full",
            "More people are here than we can serve at once. Please try again in a minute.",
        ),
        Kind::DeadlineExceeded => (
            "That took too long",
            "We gave up waiting. Please try again: pressing twice still orders once.",
        ),
        kind => (
            kind.title(),
            "The shop did not understand this. Please go back and try again.",
        ),
    };
    let error = ErrorPage {
        shell,
        status: status.as_u16(),
        title: title.to_owned(),
        text: text.to_owned(),
        request_id: id,
    };
    page(status, &error)
}

/// The status of a page that shows all it can while a service is down.
fn status_of(problem: Option<&Problem>) -> StatusCode {
    problem.map_or(StatusCode::OK, |problem| problem.kind.status())
}

fn moment(time: OffsetDateTime) -> Moment {
    let words =
        format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    // Every time between the years 0 and 9999 can be written both ways.
    Moment {
        iso: time.format(&Rfc3339).unwrap_or_default(),
        words: time.format(words).unwrap_or_default(),
    }
}

fn product(product: &domain::Product) -> view::Product {
    view::Product {
        id: product.id.to_string(),
        sku: product.sku.clone(),
        name: product.name.clone(),
        description: product.description.clone(),
        price: view::price(product.price.minor_units, &product.price.currency),
        picture: assets::picture(&product.sku),
        stock: Stock::of(pieces_left(product)),
    }
}

fn pieces_left(product: &domain::Product) -> u32 {
    u32::try_from(product.available.max(0)).unwrap_or(u32::MAX)
}
