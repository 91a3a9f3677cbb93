//! Field rules: from the wire's messages to what the domain takes, or to INVALID_ARGUMENT with
//! every violation. The limits themselves stand where they belong to, in the domain.

use std::fmt::Display;

use proto::catalog::v1;
use rpc::error::Violations;
use tonic::Status;
use uuid::Uuid;

use crate::{
    domain::{
        Currency, Details, MAX_DESCRIPTION, MAX_NAME, MAX_PIECES, MAX_PRICE, Money, NewProduct, Sku,
    },
    listing::{DEFAULT_PAGE, Listing, MAX_FILTER, MAX_PAGE, Position, folded, parse_page_token},
    reservation::{MAX_LINES, MAX_QUANTITY, NewLine, NewReservation},
};

pub(crate) fn list_products(request: &v1::ListProductsRequest) -> Result<Listing, Status> {
    let mut violations = Violations::default();
    text(&mut violations, "filter", &request.filter, 0, MAX_FILTER);
    let page_size = usize::try_from(request.page_size).ok();
    let page_size = page_size.filter(|size| *size <= MAX_PAGE);
    let rule = format!("1 to {MAX_PAGE}, or 0 for {DEFAULT_PAGE}");
    violations.check(page_size.is_some(), "page_size", rule);
    let filter = folded(&request.filter);
    let after = match request.page_token.as_str() {
        "" => Some(Position::default()),
        token => parse_page_token(&filter, token),
    };
    let rule = "next_page_token of a listing with the same filter";
    violations.check(after.is_some(), "page_token", rule);
    let (Some(page_size), Some(after), true) = (page_size, after, violations.is_empty()) else {
        return Err(violations.into_status());
    };
    Ok(Listing {
        filter,
        page_size: if page_size == 0 {
            DEFAULT_PAGE
        } else {
            page_size
        },
        after,
    })
}

/// The id of a request that has nothing else.
pub(crate) fn id(field: &str, id: &str) -> Result<Uuid, Status> {
    let mut violations = Violations::default();
    uuid(&mut violations, field, id).ok_or_else(|| violations.into_status())
}

pub(crate) fn batch_get_products(
    request: &v1::BatchGetProductsRequest,
) -> Result<Vec<Uuid>, Status> {
    let mut violations = Violations::default();
    let ids = request.ids.iter().take(MAX_PAGE).enumerate();
    let ids = ids
        .filter_map(|(i, id)| uuid(&mut violations, format!("ids[{i}]"), id))
        .collect();
    range(&mut violations, "ids", request.ids.len(), 0, MAX_PAGE);
    violations.into_result()?;
    Ok(ids)
}

pub(crate) fn create_product(request: v1::CreateProductRequest) -> Result<NewProduct, Status> {
    let mut violations = Violations::default();
    let sku = Sku::parse(&request.sku);
    let rule = "2 to 32 of A-Z, 0-9 and -, not starting with -";
    violations.check(sku.is_some(), "sku", rule);
    let text = (request.name, request.description);
    let details = details(&mut violations, text, request.price);
    range(&mut violations, "stock", request.stock, 0, MAX_PIECES);
    let (Some(sku), Some(details), true) = (sku, details, violations.is_empty()) else {
        return Err(violations.into_status());
    };
    Ok(NewProduct {
        sku,
        details,
        stock: request.stock,
    })
}

/// The product, what to replace, and the revision that it must have.
pub(crate) fn update_product(
    request: v1::UpdateProductRequest,
) -> Result<(Uuid, Details, Option<i64>), Status> {
    let mut violations = Violations::default();
    let id = uuid(&mut violations, "id", &request.id);
    let text = (request.name, request.description);
    let details = details(&mut violations, text, request.price);
    let expected = request.expected_revision;
    let rule = "a revision, or 0 for any";
    violations.check(expected >= 0, "expected_revision", rule);
    let (Some(id), Some(details), true) = (id, details, violations.is_empty()) else {
        return Err(violations.into_status());
    };
    Ok((id, details, (expected > 0).then_some(expected)))
}

/// The product, and how many pieces to add.
pub(crate) fn adjust_stock(request: &v1::AdjustStockRequest) -> Result<(Uuid, i64), Status> {
    let mut violations = Violations::default();
    let id = uuid(&mut violations, "id", &request.id);
    let delta = request.delta;
    range(&mut violations, "delta", delta, -MAX_PIECES, MAX_PIECES);
    violations.check(delta != 0, "delta", "not 0");
    let (Some(id), true) = (id, violations.is_empty()) else {
        return Err(violations.into_status());
    };
    Ok((id, delta))
}

pub(crate) fn reserve(request: &v1::ReserveRequest) -> Result<NewReservation, Status> {
    let mut violations = Violations::default();
    let order_id = uuid(&mut violations, "order_id", &request.order_id);
    let currency = currency(&mut violations, "currency", &request.currency);
    let count = request.lines.len();
    range(&mut violations, "lines", count, 1, MAX_LINES);
    let mut lines: Vec<NewLine> = Vec::new();
    for (i, line) in request.lines.iter().take(MAX_LINES).enumerate() {
        let field = format!("lines[{i}].quantity");
        range(&mut violations, field, line.quantity, 1, MAX_QUANTITY);
        let field = format!("lines[{i}].product_id");
        let Some(product_id) = uuid(&mut violations, &field, &line.product_id) else {
            continue;
        };
        let first = lines.iter().all(|line| line.product_id != product_id);
        violations.check(first, field, "each product once");
        lines.push(NewLine {
            product_id,
            quantity: line.quantity,
        });
    }
    let (Some(order_id), Some(currency), true) = (order_id, currency, violations.is_empty()) else {
        return Err(violations.into_status());
    };
    Ok(NewReservation {
        order_id,
        currency,
        lines,
    })
}

fn details(
    violations: &mut Violations,
    (name, description): (String, String),
    price: Option<v1::Money>,
) -> Option<Details> {
    text(violations, "name", &name, 1, MAX_NAME);
    text(violations, "description", &description, 0, MAX_DESCRIPTION);
    violations.check(price.is_some(), "price", "required");
    let price = price?;
    let units = price.minor_units;
    range(violations, "price.minor_units", units, 0, MAX_PRICE);
    Some(Details {
        name,
        description,
        price: Money {
            currency: currency(violations, "price.currency", &price.currency)?,
            minor_units: price.minor_units,
        },
    })
}

fn uuid(violations: &mut Violations, field: impl Into<String>, text: &str) -> Option<Uuid> {
    let uuid = Uuid::parse_str(text).ok();
    violations.check(uuid.is_some(), field, "a UUID");
    uuid
}

fn range<N: PartialOrd + Copy + Display>(
    violations: &mut Violations,
    field: impl Into<String>,
    value: N,
    min: N,
    max: N,
) {
    let rule = format!("{min} to {max}");
    violations.check(min <= value && value <= max, field, rule);
}

fn currency(violations: &mut Violations, field: &str, code: &str) -> Option<Currency> {
    let currency = Currency::parse(code);
    let rule = "three capital letters (ISO 4217)";
    violations.check(currency.is_some(), field, rule);
    currency
}

/// Control characters are refused because PostgreSQL can't keep all of them (NUL), and people can
/// see none of them. A line break is one that people do see.
fn text(violations: &mut Violations, field: &str, text: &str, min: usize, max: usize) {
    let length = text.chars().count();
    let rule = format!("{min} to {max} characters");
    violations.check((min..=max).contains(&length), field, rule);
    let visible = !text.chars().any(|c| c.is_control() && c != '\n');
    violations.check(visible, field, "no control characters");
}
