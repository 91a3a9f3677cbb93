//! The field rules of orders.proto. Each function names every violation at once, or returns what
//! the use case takes.

use std::{collections::HashMap, ops::RangeInclusive, time::Duration};

use proto::orders::v1 as pb;
use rpc::error::Violations;
use tonic::Status;
use uuid::Uuid;

use crate::{
    domain::{NewLine, NewOrder},
    listing::parse_page_token,
    store::Position,
};

const MAX_LINES: usize = 100;
const QUANTITY: RangeInclusive<i32> = 1..=1_000;
const LEASE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// The order and its idempotency key.
pub(crate) fn place_order(request: pb::PlaceOrderRequest) -> Result<(NewOrder, String), Status> {
    let mut violations = Violations::default();
    customer_id(&mut violations, &request.customer_id);
    visible(
        &mut violations,
        "idempotency_key",
        &request.idempotency_key,
        255,
    );
    let currency = request.currency.as_bytes();
    violations.check(
        currency.len() == 3 && currency.iter().all(u8::is_ascii_uppercase),
        "currency",
        "three capital letters (ISO 4217)",
    );
    let count = request.lines.len();
    violations.check((1..=MAX_LINES).contains(&count), "lines", "1 to 100 lines");

    let mut first_lines = HashMap::new();
    let mut lines = Vec::with_capacity(count.min(MAX_LINES));
    for (index, line) in request.lines.iter().take(MAX_LINES).enumerate() {
        let (field, quantity) = (format!("lines[{index}].product_id"), line.quantity);
        let product_id = uuid(&mut violations, &field, &line.product_id);
        if let Some(product_id) = product_id {
            let first = *first_lines.entry(product_id).or_insert(index);
            let rule = format!("each product once; lines[{first}] has it too");
            violations.check(first == index, field, rule);
            lines.push(NewLine {
                product_id,
                quantity,
            });
        }
        let field = format!("lines[{index}].quantity");
        violations.check(QUANTITY.contains(&quantity), field, "1 to 1,000");
    }
    violations.into_result()?;
    let order = NewOrder {
        customer_id: request.customer_id,
        currency: request.currency,
        lines,
    };
    Ok((order, request.idempotency_key))
}

/// The id of an order.
pub(crate) fn order_id(id: &str) -> Result<Uuid, Status> {
    let mut violations = Violations::default();
    let id = uuid(&mut violations, "id", id);
    finish(violations, id)
}

/// The page's size and where it begins.
pub(crate) fn list_orders(request: &pb::ListOrdersRequest) -> Result<(u32, Position), Status> {
    let mut violations = Violations::default();
    customer_id(&mut violations, &request.customer_id);
    let size = limit(&mut violations, "page_size", request.page_size, 20);
    let position = match request.page_token.as_str() {
        "" => Some(Position::START),
        token => parse_page_token(&request.customer_id, token),
    };
    let rule = "the next_page_token of this customer's page before";
    violations.check(position.is_some(), "page_token", rule);
    finish(violations, position.map(|position| (size, position)))
}

/// The id of an order that has been shipped under a tracking code.
pub(crate) fn mark_shipped(request: &pb::MarkShippedRequest) -> Result<Uuid, Status> {
    let mut violations = Violations::default();
    let id = uuid(&mut violations, "id", &request.id);
    visible(&mut violations, "tracking_code", &request.tracking_code, 64);
    finish(violations, id)
}

/// How many events, and for how long.
pub(crate) fn lease_events(request: &pb::LeaseEventsRequest) -> Result<(u32, Duration), Status> {
    let mut violations = Violations::default();
    violations.check((1..=100).contains(&request.limit), "limit", "1 to 100");
    let lease = lease(&mut violations, request.lease);
    finish(
        violations,
        lease.map(|lease| (request.limit.unsigned_abs(), lease)),
    )
}

/// The event and the token of its lease.
pub(crate) fn acknowledge_event(
    request: &pb::AcknowledgeEventRequest,
) -> Result<(Uuid, Uuid), Status> {
    let mut violations = Violations::default();
    let held = held(&mut violations, &request.event_id, &request.lease_token);
    finish(violations, held)
}

/// The event and the token of its lease.
pub(crate) fn reject_event(request: &pb::RejectEventRequest) -> Result<(Uuid, Uuid), Status> {
    let mut violations = Violations::default();
    let held = held(&mut violations, &request.event_id, &request.lease_token);
    // PostgreSQL's text cannot hold U+0000.
    let length = request.reason.chars().count();
    let readable = (1..=500).contains(&length) && !request.reason.contains('\0');
    violations.check(
        readable,
        "reason",
        "1 to 500 characters, none of them U+0000",
    );
    finish(violations, held)
}

/// The event, the token of its lease, and for how long.
pub(crate) fn extend_lease(
    request: &pb::ExtendLeaseRequest,
) -> Result<(Uuid, Uuid, Duration), Status> {
    let mut violations = Violations::default();
    let held = held(&mut violations, &request.event_id, &request.lease_token);
    let lease = lease(&mut violations, request.lease);
    finish(
        violations,
        held.zip(lease)
            .map(|((id, token), lease)| (id, token, lease)),
    )
}

/// How many dead letters.
pub(crate) fn list_dead_letters(request: &pb::ListDeadLettersRequest) -> Result<u32, Status> {
    let mut violations = Violations::default();
    let limit = limit(&mut violations, "limit", request.limit, 20);
    finish(violations, Some(limit))
}

fn finish<T>(violations: Violations, parsed: Option<T>) -> Result<T, Status> {
    match parsed {
        Some(parsed) if violations.is_empty() => Ok(parsed),
        _ => Err(violations.into_status()),
    }
}

fn customer_id(violations: &mut Violations, id: &str) {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    violations.check(
        (1..=64).contains(&id.len()) && id.bytes().all(known),
        "customer_id",
        "1 to 64 letters, digits, '_' or '-'",
    );
}

fn visible(violations: &mut Violations, field: &str, text: &str, longest: usize) {
    let holds =
        (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    violations.check(
        holds,
        field,
        format!("1 to {longest} visible ASCII characters"),
    );
}

/// Only the hyphenated form: an id has one spelling.
fn uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Uuid> {
    let id = Uuid::parse_str(text).ok().filter(|_| text.len() == 36);
    violations.check(id.is_some(), field, "a UUID");
    id
}

fn held(violations: &mut Violations, event_id: &str, lease_token: &str) -> Option<(Uuid, Uuid)> {
    let event_id = uuid(violations, "event_id", event_id);
    let lease_token = uuid(violations, "lease_token", lease_token);
    event_id.zip(lease_token)
}

fn limit(violations: &mut Violations, field: &str, limit: i32, default: u32) -> u32 {
    violations.check(
        (0..=100).contains(&limit),
        field,
        "1 to 100, or 0 for the default",
    );
    match limit.unsigned_abs() {
        0 => default,
        limit => limit,
    }
}

fn lease(violations: &mut Violations, lease: Option<prost_types::Duration>) -> Option<Duration> {
    let lease = lease.and_then(|lease| Duration::try_from(lease).ok());
    let lease = lease.filter(|lease| LEASE.contains(lease));
    violations.check(lease.is_some(), "lease", "1 s to 10 min");
    lease
}
