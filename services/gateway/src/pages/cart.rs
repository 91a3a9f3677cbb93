//! The cart: it lives in a signed cookie, so it works whatever else is down.

use std::collections::HashMap;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::products::product_page;
use super::view::{self, CartLine, CartPage, Here, Notice, QuantityField};
use super::visit::{Cart, MAX_CART_LINES, Told};
use super::{Visit, pieces_left, product};
use crate::api::Id;
use crate::app::{Shared, Shop};
use crate::domain::{self, MAX_QUANTITY, NewLine, check_against_catalog, line_total};
use crate::problem::{Kind, Problem};

/// The cart with what the catalog says about it.
pub(super) struct Basket {
    pub(super) lines: Vec<CartLine>,
    /// The sum, while all prices are known and in one currency.
    pub(super) total: Option<String>,
    /// The one currency of all products.
    pub(super) currency: Option<String>,
    /// Problems that belong to no line.
    pub(super) problems: Vec<String>,
    /// Whether the catalog did not answer.
    pub(super) catalog_down: bool,
}

impl Basket {
    /// Looks up what is in the cart.
    pub(super) async fn look_up(shop: &Shop, cart: &Cart) -> Result<Self, Problem> {
        let ids: Vec<Uuid> = cart.lines().iter().map(|line| line.product_id).collect();
        let (products, catalog_down) = match shop.backends.products_by_id(&ids).await {
            Ok(products) => (products, false),
            Err(problem) if problem.kind == Kind::CatalogUnavailable => (HashMap::new(), true),
            Err(problem) => return Err(problem),
        };
        let mut basket = Self {
            lines: Vec::new(),
            total: None,
            currency: None,
            problems: Vec::new(),
            catalog_down,
        };
        for line in cart.lines() {
            let known = products.get(&line.product_id);
            let mut shown = CartLine {
                product_id: line.product_id.to_string(),
                product: known.map(product),
                quantity: QuantityField::of(line.quantity, MAX_QUANTITY),
                line_total: known.and_then(|known| {
                    let total = line_total(known.price.minor_units, line.quantity)?;
                    Some(view::price(total, &known.price.currency))
                }),
            };
            shown.quantity.problem = match known.map(pieces_left) {
                None if catalog_down => None,
                None => Some("This is no longer sold. Please remove it.".to_owned()),
                Some(0) => Some("None are left. Please remove it for now.".to_owned()),
                Some(left) if left < line.quantity => Some(format!("Only {left} are left.")),
                Some(_) => None,
            };
            basket.lines.push(shown);
        }
        basket.add_up(cart.lines(), &products);
        Ok(basket)
    }

    fn add_up(&mut self, lines: &[NewLine], products: &HashMap<Uuid, domain::Product>) {
        let mut known = lines
            .iter()
            .filter_map(|line| products.get(&line.product_id));
        let Some(first) = known.next() else {
            return;
        };
        let currency = &first.price.currency;
        match check_against_catalog(lines, currency, products) {
            Ok(total) => {
                self.total = Some(view::price(total, currency));
                self.currency = Some(currency.clone());
            }
            Err(violations) => {
                let broken = |rule| violations.0.iter().any(|one| one.rule == rule);
                if broken("currency") {
                    let text =
                        "These are sold in different currencies. Please order them one by one.";
                    self.problems.push(text.to_owned());
                }
                if broken("total") {
                    let text = "This is more than one order can cost. Please order less at once.";
                    self.problems.push(text.to_owned());
                }
            }
        }
    }

    /// Whether it can be ordered as it is.
    pub(super) fn can_be_ordered(&self) -> bool {
        let mut lines = self.lines.iter();
        self.currency.is_some() && lines.all(|line| line.quantity.problem.is_none())
    }
}

fn cart_page(visit: Visit, basket: Basket, status: StatusCode) -> Response {
    let mut shell = visit.shell(Here::Cart);
    if basket.catalog_down {
        shell.notice = Some(Notice::catalog_down());
    }
    let page = CartPage {
        shell,
        can_check_out: basket.can_be_ordered(),
        lines: basket.lines,
        total: basket.total,
        problems: basket.problems,
    };
    visit.page(status, &page)
}

/// `GET /cart`
pub(super) async fn show(State(shop): State<Shared>, visit: Visit) -> Result<Response, Problem> {
    let basket = Basket::look_up(&shop, &visit.cart).await?;
    Ok(cart_page(visit, basket, StatusCode::OK))
}

/// What `POST /cart/items` takes.
#[derive(Deserialize)]
pub(super) struct Add {
    product_id: String,
    quantity: String,
}

/// `POST /cart/items`
pub(super) async fn add(
    State(shop): State<Shared>,
    mut visit: Visit,
    headers: HeaderMap,
    Form(form): Form<Add>,
) -> Result<Response, Problem> {
    let id = Uuid::parse_str(&form.product_id).map_err(|_| Kind::ProductNotFound)?;
    let found = match shop.backends.product(id).await {
        Ok(found) => Some(found),
        // The cart page looks at it again when the catalog is back.
        Err(problem) if problem.kind == Kind::CatalogUnavailable => None,
        Err(problem) => return Err(problem),
    };
    let before = visit.cart.quantity(id);
    let refusal = match (quantity(&form.quantity, 1), found.as_ref().map(pieces_left)) {
        (Err(why), _) => Some(why),
        (Ok(_), Some(0)) => Some("None are left.".to_owned()),
        (Ok(more), _) if before + more > MAX_QUANTITY => Some(format!(
            "One order takes up to {MAX_QUANTITY} of a kind, and {before} are in your cart."
        )),
        (Ok(more), Some(left)) if before + more > left => Some(format!(
            "Only {left} are left, and {before} of them are in your cart."
        )),
        (Ok(more), _) if !visit.cart.set(id, before + more) => Some(format!(
            "A cart takes up to {MAX_CART_LINES} different products. Please order these first."
        )),
        (Ok(_), _) => None,
    };
    match (refusal, found) {
        (Some(why), Some(found)) => {
            let field = QuantityField {
                value: form.quantity,
                max: MAX_QUANTITY,
                problem: Some(why),
            };
            let page = product_page(&visit, &found, field);
            Ok(visit.page(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
        (Some(_), None) => Err(Kind::CatalogUnavailable.into()),
        (None, found) => {
            visit.keep_cart();
            let name = found.map_or("The product".to_owned(), |found| found.name);
            visit.tell(Told::Added, &name);
            Ok(visit.redirect(&came_from(&headers).unwrap_or(format!("/products/{id}"))))
        }
    }
}

/// The list or the product whose form was sent, to stay there. Never another site.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let referer: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let path = referer.path_and_query()?.as_str();
    let known = path == "/" || path.starts_with("/?") || path.starts_with("/products/");
    known.then(|| path.to_owned())
}

/// What `POST /cart/items/{id}` takes; 0 takes the product out.
#[derive(Deserialize)]
pub(super) struct Set {
    quantity: String,
}

/// `POST /cart/items/{id}`
pub(super) async fn set(
    State(shop): State<Shared>,
    mut visit: Visit,
    id: Result<Id, Problem>,
    Form(form): Form<Set>,
) -> Result<Response, Problem> {
    let Id(id) = id.map_err(|_| Kind::ProductNotFound)?;
    let pieces = match quantity(&form.quantity, 0) {
        Ok(pieces) => pieces,
        Err(why) => {
            let mut basket = Basket::look_up(&shop, &visit.cart).await?;
            let id = id.to_string();
            for line in basket.lines.iter_mut().filter(|line| line.product_id == id) {
                line.quantity.value.clone_from(&form.quantity);
                line.quantity.problem = Some(why.clone());
            }
            return Ok(cart_page(visit, basket, StatusCode::UNPROCESSABLE_ENTITY));
        }
    };
    // Only what is in the cart can be changed: the form may be an old one.
    if visit.cart.quantity(id) > 0 {
        visit.cart.set(id, pieces);
        visit.keep_cart();
        if pieces == 0 {
            let name = shop.backends.product(id).await.map(|found| found.name);
            visit.tell(Told::Removed, name.as_deref().unwrap_or("The product"));
        } else {
            visit.tell(Told::Updated, "");
        }
    }
    Ok(visit.redirect("/cart"))
}

/// A quantity as it was typed, or what is wrong with it.
fn quantity(text: &str, least: u32) -> Result<u32, String> {
    let typed = text.trim().parse().ok();
    typed
        .filter(|quantity| (least..=MAX_QUANTITY).contains(quantity))
        .ok_or_else(|| format!("Order between {least} and {MAX_QUANTITY}."))
}
