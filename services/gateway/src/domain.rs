//! Products and orders as the gateway knows them and as its API shows them, and the rules that it
//! checks before it asks anybody.

use std::collections::HashMap;

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The most pieces of one product in one order.
pub const MAX_QUANTITY: u32 = 1_000;
/// The most lines of one order.
pub const MAX_LINES: usize = 100;
/// The most that one order may cost, in minor units.
pub const MAX_TOTAL: i64 = 1_000_000_000_000;
/// The longest text to search for, in characters.
pub const MAX_SEARCH: usize = 100;

/// A rule that a field of a request breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// The field: a header's or parameter's name, or a path into the body.
    #[schema(example = "lines[0].quantity")]
    pub field: String,
    /// The rule's stable name.
    #[schema(example = "range")]
    pub rule: String,
    /// The rule in words.
    #[schema(example = "must be 1 to 1000")]
    pub message: String,
}

/// Collects every broken rule, so that a caller hears of all at once.
#[derive(Debug, Default)]
pub struct Violations(pub Vec<Violation>);

impl Violations {
    /// Notes a violation.
    pub fn add(
        &mut self,
        field: impl Into<String>,
        rule: impl Into<String>,
        message: impl Into<String>,
    ) {
        let (field, rule, message) = (field.into(), rule.into(), message.into());
        self.0.push(Violation {
            field,
            rule,
            message,
        });
    }
}

/// An amount: whole minor units (cents) and their currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Money {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Never a fraction.
    pub minor_units: i64,
}

/// A product.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Product {
    /// The catalog's id.
    pub id: Uuid,
    /// Stock keeping unit: the name by which people know it.
    pub sku: String,
    /// What it is called.
    pub name: String,
    /// A text for buyers.
    pub description: String,
    /// What one piece costs.
    pub price: Money,
    /// Pieces that can be ordered.
    #[schema(minimum = 0)]
    pub available: i64,
    /// Counts the product's changes, of its stock too; the `ETag` follows it.
    pub revision: i64,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: OffsetDateTime,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// Leads to the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Order {
    /// Random: knowing it is enough to read the order.
    pub id: Uuid,
    /// Who ordered.
    pub customer_id: String,
    /// Where it stands.
    pub state: OrderState,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// The sum, once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// Why, when the order is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
    /// Set once the order is shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_code: Option<String>,
    /// When it was placed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub placed_at: OffsetDateTime,
    /// When its state last changed.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: OffsetDateTime,
}

/// Where an order stands: `pending` becomes `confirmed`, `rejected` or `cancelled`; `confirmed` becomes
/// `shipped` or `cancelled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// Placed; the stock is not reserved yet.
    Pending,
    /// The stock is reserved and the prices are fixed.
    Confirmed,
    /// It cannot be fulfilled; see `rejection`.
    Rejected,
    /// Taken back before it was shipped.
    Cancelled,
    /// Has left the house.
    Shipped,
}

impl OrderState {
    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Confirmed)
    }
}

/// Why an order cannot be fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejection {
    /// `OUT_OF_STOCK`, `PRODUCT_NOT_FOUND`, `CURRENCY_MISMATCH` or `TOTAL_TOO_LARGE`.
    pub reason: String,
    /// The product that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<Uuid>,
    /// A sentence for people.
    pub message: String,
}

/// A line of an order. SKU, name and price are those of the moment when the order was confirmed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OrderLine {
    /// The product.
    pub product_id: Uuid,
    /// Pieces.
    pub quantity: u32,
    /// Set once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Set once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Set once the order is confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Money>,
}

/// What a customer asks for, its fields checked.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Who orders.
    pub customer_id: String,
    /// ISO 4217; all products must have it.
    pub currency: String,
    /// What is ordered.
    pub lines: Vec<NewLine>,
}

/// A product and how many pieces of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// The product.
    pub product_id: Uuid,
    /// 1 to [`MAX_QUANTITY`].
    pub quantity: u32,
}

/// Whether `code` has the form of an ISO 4217 code.
#[must_use]
pub fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Whether `id` can name a customer.
#[must_use]
pub fn is_customer_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// What `quantity` pieces at `price` cost; `None` above [`MAX_TOTAL`].
#[must_use]
pub fn line_total(price: i64, quantity: u32) -> Option<i64> {
    price
        .checked_mul(i64::from(quantity))
        .filter(|total| *total <= MAX_TOTAL)
}

/// Compares the lines with the catalog's products: each must be known and sold in `currency`, and the
/// sum, which is returned, must stay within [`MAX_TOTAL`].
///
/// # Errors
/// Every line that breaks one of these rules.
pub fn check_against_catalog(
    lines: &[NewLine],
    currency: &str,
    products: &HashMap<Uuid, Product>,
) -> Result<i64, Violations> {
    let mut violations = Violations::default();
    let mut sum = Some(0_i64);
    for (at, line) in lines.iter().enumerate() {
        let field = format!("lines[{at}].product_id");
        let Some(product) = products.get(&line.product_id) else {
            violations.add(field, "known", "the catalog has no such product");
            continue;
        };
        let price = &product.price;
        if price.currency != currency {
            let message = format!("is sold in {}, not in {currency}", price.currency);
            violations.add(field, "currency", message);
        }
        let total = line_total(price.minor_units, line.quantity);
        sum = sum
            .zip(total)
            .map(|(sum, total)| sum.saturating_add(total))
            .filter(|sum| *sum <= MAX_TOTAL);
    }
    let Some(sum) = sum else {
        let message = format!("must not cost more than {MAX_TOTAL} minor units in all");
        violations.add("lines", "total", message);
        return Err(violations);
    };
    if violations.0.is_empty() {
        Ok(sum)
    } else {
        Err(violations)
    }
}
