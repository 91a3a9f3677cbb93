//! From the cart to an order.

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::Visit;
use super::cart::Basket;
use super::view::{CheckoutPage, Here, Notice};
use crate::app::Shared;
use crate::domain::NewOrder;
use crate::placement;
use crate::problem::{Kind, Problem};

const FORM_USED: &str = "This form has become an order before, with other things in it. \
    Look at your orders, then place this one if it is a new one.";
const CHANGED: &str = "The catalogue has changed. Please look at your cart again.";

/// `GET /checkout`
pub(super) async fn show(
    State(shop): State<Shared>,
    mut visit: Visit,
) -> Result<Response, Problem> {
    if visit.cart.is_empty() {
        return Ok(visit.redirect("/cart"));
    }
    // Here and not when the order is placed: two presses of the button must be the same customer's.
    visit.customer_or_new();
    let basket = Basket::look_up(&shop, &visit.cart).await?;
    Ok(checkout_page(visit, basket, Uuid::new_v4(), StatusCode::OK))
}

fn checkout_page(visit: Visit, basket: Basket, key: Uuid, status: StatusCode) -> Response {
    let mut shell = visit.shell(Here::Cart);
    if basket.catalog_down {
        shell.notice = Some(Notice::catalog_down());
    }
    let page = CheckoutPage {
        shell,
        can_place: basket.can_be_ordered(),
        lines: basket.lines,
        total: basket.total,
        idempotency_key: key.to_string(),
        problems: basket.problems,
    };
    visit.page(status, &page)
}

/// What `POST /checkout` takes: the key that was made with the form. What is ordered is the cart.
#[derive(Deserialize)]
pub(super) struct Place {
    idempotency_key: String,
}

/// `POST /checkout`
pub(super) async fn place(
    State(shop): State<Shared>,
    mut visit: Visit,
    Form(form): Form<Place>,
) -> Result<Response, Problem> {
    let key = Uuid::parse_str(&form.idempotency_key).map_err(|_| {
        Problem::rule(
            Kind::InvalidParameters,
            "idempotency_key",
            "uuid",
            "must be a UUID",
        )
    })?;
    if visit.cart.is_empty() {
        let order = visit.placed(key).map(|order| format!("/orders/{order}"));
        return Ok(visit.redirect(order.as_deref().unwrap_or("/cart")));
    }
    let mut basket = Basket::look_up(&shop, &visit.cart).await?;
    let Some(currency) = basket.currency.clone().filter(|_| basket.can_be_ordered()) else {
        let status = if basket.catalog_down {
            Kind::CatalogUnavailable.status()
        } else {
            StatusCode::CONFLICT
        };
        return Ok(checkout_page(visit, basket, key, status));
    };
    let order = NewOrder {
        customer_id: visit.customer_or_new().to_string(),
        currency,
        lines: visit.cart.lines().to_vec(),
    };
    let problem = match placement::place(&shop.backends, &key.to_string(), &order).await {
        Ok(placed) => {
            visit.keep_placed(key, placed.order.id);
            return Ok(visit.redirect(&format!("/orders/{}", placed.order.id)));
        }
        Err(problem) => problem,
    };
    let (key, text) = match problem.kind {
        // Nobody knows whether it was placed: the same key places it once.
        Kind::OrdersUnavailable => (key, Notice::orders_down().text),
        // From here on the key belongs to another order.
        Kind::IdempotencyKeyReused => (Uuid::new_v4(), FORM_USED.to_owned()),
        Kind::OutOfStock | Kind::InvalidBody => {
            basket = Basket::look_up(&shop, &visit.cart).await?;
            let text = problem.detail.clone();
            (Uuid::new_v4(), text.unwrap_or_else(|| CHANGED.to_owned()))
        }
        _ => return Err(problem),
    };
    basket.problems.push(text);
    Ok(checkout_page(visit, basket, key, problem.kind.status()))
}
