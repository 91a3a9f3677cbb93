//! The shelves, and one product.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::view::{Here, Listing, ProductPage, ProductsPage, QuantityField};
use super::{Visit, product, status_of};
use crate::api::{Id, Params};
use crate::app::Shared;
use crate::domain::{self, MAX_QUANTITY, MAX_SEARCH};
use crate::problem::{Kind, Problem};

/// `GET /`
pub(super) async fn list(
    State(shop): State<Shared>,
    visit: Visit,
    mut params: Params,
) -> Result<Response, Problem> {
    let search = params.search();
    let token = params.take("page_token");
    let found = match params.check() {
        Ok(()) => {
            let token = token.as_deref().unwrap_or_default();
            shop.backends.products(&search, 0, token).await
        }
        Err(problem) => Err(problem),
    };
    let mut page = ProductsPage {
        shell: visit.shell(Here::Shop),
        listing: Listing::Found(Vec::new()),
        first_page: token.is_none(),
        next: None,
        problem: None,
    };
    page.shell.query = search;
    let problem = match found {
        Ok(found) => {
            page.listing = Listing::Found(found.items.iter().map(product).collect());
            page.next = found.next_page_token;
            None
        }
        Err(problem) => {
            match problem.kind {
                Kind::CatalogUnavailable => page.listing = Listing::Unavailable,
                Kind::InvalidParameters => page.problem = Some(sentence(&problem)),
                _ => return Err(problem),
            }
            Some(problem)
        }
    };
    Ok(visit.page(status_of(problem.as_ref()), &page))
}

fn sentence(problem: &Problem) -> String {
    if problem.errors.iter().any(|error| error.field == "q") {
        return format!("Search with up to {MAX_SEARCH} plain characters.");
    }
    "This page of the list is no longer there. Please start from the first one.".to_owned()
}

/// `GET /products/{id}`
pub(super) async fn show(
    State(shop): State<Shared>,
    visit: Visit,
    id: Result<Id, Problem>,
) -> Result<Response, Problem> {
    let Id(id) = id.map_err(|_| Kind::ProductNotFound)?;
    let found = shop.backends.product(id).await?;
    let page = product_page(&visit, &found, QuantityField::of(1, MAX_QUANTITY));
    Ok(visit.page(StatusCode::OK, &page))
}

pub(super) fn product_page(
    visit: &Visit,
    found: &domain::Product,
    quantity: QuantityField,
) -> ProductPage {
    ProductPage {
        shell: visit.shell(Here::Shop),
        product: product(found),
        quantity,
        in_cart: visit.cart.quantity(found.id),
    }
}
