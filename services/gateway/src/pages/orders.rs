//! A customer's own orders.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::view::{
    self, Here, Notice, OrderLine, OrderListing, OrderPage, OrderRow, OrderState, OrderStatus,
    OrdersPage, Rejection, Tone,
};
use super::{Visit, moment, status_of};
use crate::api::{Id, Params};
use crate::app::{Shared, Shop};
use crate::assets;
use crate::domain::{self, Order, Product};
use crate::problem::{Kind, Problem};

/// `GET /orders`
pub(super) async fn list(
    State(shop): State<Shared>,
    visit: Visit,
    mut params: Params,
) -> Result<Response, Problem> {
    let token = params.take("page_token").unwrap_or_default();
    params.check()?;
    let mut page = OrdersPage {
        shell: visit.shell(Here::Orders),
        listing: OrderListing::Found(Vec::new()),
        next: None,
    };
    let Some(customer) = visit.customer() else {
        return Ok(visit.page(StatusCode::OK, &page));
    };
    let customer = customer.to_string();
    let problem = match shop.backends.orders_of(&customer, 0, &token).await {
        Ok(found) => {
            page.listing = OrderListing::Found(found.items.iter().map(row).collect());
            page.next = found.next_page_token;
            None
        }
        Err(problem) if problem.kind == Kind::OrdersUnavailable => {
            page.listing = OrderListing::Unavailable;
            Some(problem)
        }
        Err(problem) => return Err(problem),
    };
    Ok(visit.page(status_of(problem.as_ref()), &page))
}

fn row(order: &Order) -> OrderRow {
    OrderRow {
        id: order.id.to_string(),
        state: state(order, &HashMap::new()),
        placed: moment(order.placed_at),
        summary: summary(order),
        total: total(order),
    }
}

/// `Enamel mug and 2 others`
fn summary(order: &Order) -> String {
    let first = order.lines.first().and_then(|line| line.name.as_ref());
    let Some(name) = first else {
        let pieces: u32 = order.lines.iter().map(|line| line.quantity).sum();
        let s = if pieces == 1 { "" } else { "s" };
        return format!("{pieces} piece{s}");
    };
    match order.lines.len() - 1 {
        0 => name.clone(),
        1 => format!("{name} and 1 other"),
        others => format!("{name} and {others} others"),
    }
}

/// The visitor's own order of this id.
pub(super) async fn own(
    shop: &Shop,
    visit: &Visit,
    id: Result<Id, Problem>,
) -> Result<Order, Problem> {
    let Id(id) = id.map_err(|_| Kind::OrderNotFound)?;
    let customer = visit.customer().ok_or(Kind::OrderNotFound)?;
    let order = shop.backends.order(id).await?;
    if order.customer_id == customer.to_string() {
        Ok(order)
    } else {
        Err(Kind::OrderNotFound.into())
    }
}

/// `GET /orders/{id}`
pub(super) async fn show(
    State(shop): State<Shared>,
    visit: Visit,
    id: Result<Id, Problem>,
) -> Result<Response, Problem> {
    let order = own(&shop, &visit, id).await?;
    let page = order_page(&shop, &visit, &order).await;
    Ok(visit.page(StatusCode::OK, &page))
}

/// `POST /orders/{id}/cancel`
pub(super) async fn cancel(
    State(shop): State<Shared>,
    visit: Visit,
    id: Result<Id, Problem>,
) -> Result<Response, Problem> {
    let mut order = own(&shop, &visit, id).await?;
    match shop.backends.cancel(order.id).await {
        Ok(_) => Ok(visit.redirect(&format!("/orders/{}", order.id))),
        Err(problem) if problem.kind == Kind::OrderNotCancellable => {
            order = shop.backends.order(order.id).await?;
            let mut page = order_page(&shop, &visit, &order).await;
            page.shell.notice = Some(Notice {
                tone: Tone::Problem,
                title: "It is too late to cancel this order".to_owned(),
                text: "Nothing was changed.".to_owned(),
                link: None,
            });
            Ok(visit.page(problem.kind.status(), &page))
        }
        Err(problem) => Err(problem),
    }
}

async fn order_page(shop: &Shop, visit: &Visit, order: &Order) -> OrderPage {
    let products = names(shop, order).await;
    let line = |line: &domain::OrderLine| {
        let known = products.get(&line.product_id);
        let name = line.name.as_ref().or(known.map(|known| &known.name));
        let sku = line.sku.as_ref().or(known.map(|known| &known.sku));
        let unit = line.unit_price.as_ref().map(|price| price.minor_units);
        let price = |minor_units| view::price(minor_units, &order.currency);
        OrderLine {
            product_id: line.product_id.to_string(),
            name: name.map_or_else(|| line.product_id.to_string(), Clone::clone),
            picture: assets::picture(sku.map_or("default", String::as_str)),
            quantity: line.quantity,
            unit_price: unit.map(price),
            line_total: unit
                .and_then(|unit| domain::line_total(unit, line.quantity))
                .map(price),
        }
    };
    OrderPage {
        shell: visit.shell(Here::Orders),
        status: status(order, &products),
        lines: order.lines.iter().map(line).collect(),
        total: total(order),
    }
}

/// What the catalog knows of an order's products, where the order itself does not: before it is
/// confirmed. Without an answer the page shows less.
pub(super) async fn names(shop: &Shop, order: &Order) -> HashMap<Uuid, Product> {
    let unnamed = order.lines.iter().filter(|line| line.name.is_none());
    let ids: Vec<Uuid> = unnamed.map(|line| line.product_id).collect();
    shop.backends.products_by_id(&ids).await.unwrap_or_default()
}

fn total(order: &Order) -> Option<String> {
    let total = order.total.as_ref()?;
    Some(view::price(total.minor_units, &total.currency))
}

/// The part of the page that changes.
pub(super) fn status(order: &Order, products: &HashMap<Uuid, Product>) -> OrderStatus {
    let changed = moment(order.updated_at);
    let confirmed = order.state == domain::OrderState::Confirmed;
    OrderStatus {
        order_id: order.id.to_string(),
        state: state(order, products),
        placed: moment(order.placed_at),
        confirmed: confirmed.then(|| changed.clone()),
        ended: order.state.is_final().then_some(changed),
        can_cancel: !order.state.is_final(),
    }
}

fn state(order: &Order, products: &HashMap<Uuid, Product>) -> OrderState {
    match order.state {
        domain::OrderState::Pending => OrderState::Pending,
        domain::OrderState::Confirmed => OrderState::Confirmed,
        domain::OrderState::Cancelled => OrderState::Cancelled,
        domain::OrderState::Shipped => OrderState::Shipped,
        domain::OrderState::Rejected => {
            let why = order.rejection.as_ref();
            let product = why.and_then(|why| products.get(&why.product_id?));
            OrderState::Rejected(Rejection {
                product: product.map(|product| product.name.clone()),
                reason: why.map_or_else(String::new, |why| why.message.clone()),
            })
        }
    }
}
