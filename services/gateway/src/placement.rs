//! Placing an order, from the API and from the shop's checkout alike.

use uuid::Uuid;

use crate::backends::{Backends, Placed};
use crate::domain::{NewOrder, Rejection, check_against_catalog};
use crate::problem::{Kind, Problem};

/// Places `order` once for its customer and `key`. The order that comes back is pending or stands.
///
/// What the catalog does not know or sells in another currency is refused before anything is written.
/// While the catalog is down the order is taken all the same and waits for it.
///
/// # Errors
/// The catalog's and the order service's problems; `out-of-stock` or `invalid-body` for an order that
/// was rejected, with its address as `instance`.
pub async fn place(backends: &Backends, key: &str, order: &NewOrder) -> Result<Placed, Problem> {
    let ids: Vec<Uuid> = order.lines.iter().map(|line| line.product_id).collect();
    match backends.products_by_id(&ids).await {
        Ok(products) => {
            check_against_catalog(&order.lines, &order.currency, &products)
                .map_err(|violations| Problem::broken(Kind::InvalidBody, violations))?;
        }
        Err(problem) if problem.kind == Kind::CatalogUnavailable => {}
        Err(problem) => return Err(problem),
    }
    let placed = backends.place(key, order).await?;
    match &placed.order.rejection {
        Some(why) => Err(rejected(placed.order.id, order, why)),
        None => Ok(placed),
    }
}

fn rejected(id: Uuid, order: &NewOrder, why: &Rejection) -> Problem {
    let is_it = |product| {
        order
            .lines
            .iter()
            .position(|line| line.product_id == product)
    };
    let line = why.product_id.and_then(is_it);
    let field = |name| line.map_or("lines".to_owned(), |at| format!("lines[{at}].{name}"));
    let (kind, field, rule) = match why.reason.as_str() {
        "OUT_OF_STOCK" => (Kind::OutOfStock, field("quantity"), "in-stock"),
        "PRODUCT_NOT_FOUND" => (Kind::InvalidBody, field("product_id"), "known"),
        "CURRENCY_MISMATCH" => (Kind::InvalidBody, field("product_id"), "currency"),
        _ => (Kind::InvalidBody, "lines".to_owned(), "total"),
    };
    Problem {
        instance: Some(format!("/api/v1/orders/{id}")),
        product_id: why.product_id,
        ..Problem::rule(kind, &field, rule, &why.message).with_detail(&why.message)
    }
}
