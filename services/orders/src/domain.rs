//! Orders and the rules of their lives: plain types, no I/O. Time, ids and chance come in as
//! arguments.
//!
//! Invariants, which the tests below walk and both databases check:
//! - a state changes only along [`OrderState::moves`];
//! - the open step fits the state, see [`OrderState::allows`].

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// The most that an order may cost, in minor units of its currency.
pub const TOTAL_LIMIT: i64 = 1_000_000_000_000;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// Placed; its stock isn't reserved for certain yet.
    Pending,
    /// Stock is reserved, prices are fixed.
    Confirmed,
    /// Cannot be fulfilled.
    Rejected,
    /// Taken back before it was shipped.
    Cancelled,
    /// Has left the house.
    Shipped,
}

impl OrderState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Confirmed,
        Self::Rejected,
        Self::Cancelled,
        Self::Shipped,
    ];

    /// The states that may follow; none after a final one.
    #[must_use]
    pub const fn moves(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Confirmed, Self::Rejected, Self::Cancelled],
            Self::Confirmed => &[Self::Shipped, Self::Cancelled],
            Self::Rejected | Self::Cancelled | Self::Shipped => &[],
        }
    }

    /// Whether an order in this state may have `step` open.
    #[must_use]
    pub const fn allows(self, step: Option<SagaStep>) -> bool {
        match step {
            None => !matches!(self, Self::Pending),
            Some(SagaStep::Reserve) => matches!(self, Self::Pending),
            // A rejected order as well: see `Order::reject`.
            Some(SagaStep::Release) => matches!(self, Self::Cancelled | Self::Rejected),
            Some(SagaStep::Commit) => matches!(self, Self::Shipped),
        }
    }

    /// The name in databases, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
        }
    }
}

/// What the catalog must still be told about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaStep {
    /// Set the stock aside.
    Reserve,
    /// Give the stock back.
    Release,
    /// Book the stock as shipped.
    Commit,
}

impl SagaStep {
    /// Every step.
    pub const ALL: [Self; 3] = [Self::Reserve, Self::Release, Self::Commit];

    /// The name in databases, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Release => "release",
            Self::Commit => "commit",
        }
    }
}

/// An open step and when it is to be tried next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextStep {
    /// The step.
    pub step: SagaStep,
    /// When the recovery loop takes it up.
    pub due: OffsetDateTime,
    /// How often the recovery loop has taken it up.
    pub attempts: u32,
}

/// What a customer asks for; its fields have been checked by `validation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Who orders.
    pub customer_id: String,
    /// ISO 4217.
    pub currency: String,
    /// Each product once.
    pub lines: Vec<NewLine>,
}

/// A line of a [`NewOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// The product.
    pub product_id: Uuid,
    /// Pieces.
    pub quantity: i32,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Random, because knowing it is enough to read the order.
    pub id: Uuid,
    /// Who ordered.
    pub customer_id: String,
    /// Where it stands.
    pub state: OrderState,
    /// What the catalog must still be told.
    pub next: Option<NextStep>,
    /// ISO 4217.
    pub currency: String,
    /// What was ordered.
    pub lines: Vec<Line>,
    /// In minor units; once it is confirmed.
    pub total: Option<i64>,
    /// Once it is rejected.
    pub rejection: Option<Rejection>,
    /// Once it is shipped.
    pub tracking_code: Option<String>,
    /// W3C Trace Context of the request that placed it; may be empty.
    pub traceparent: String,
    /// When it was placed.
    pub placed_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// A line of an [`Order`]. Stored as JSON: a field may be added with a default, none renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The product.
    pub product_id: Uuid,
    /// Pieces.
    pub quantity: i32,
    /// What was reserved; once the order is confirmed.
    pub offer: Option<Offer>,
}

/// A product as it was when it was reserved. Stored as JSON, see [`Line`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Stock keeping unit.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Price of one piece in minor units of the order's currency.
    pub unit_price: i64,
}

/// Why an order cannot be fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The kind.
    pub reason: RejectionReason,
    /// The product that it is about.
    pub product_id: Option<Uuid>,
    /// A sentence for people.
    pub message: String,
}

/// The kinds of [`Rejection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionReason {
    /// Fewer pieces are left than were ordered.
    OutOfStock,
    /// The catalog has no such product.
    ProductNotFound,
    /// The product is sold in another currency.
    CurrencyMismatch,
    /// The order costs more than [`TOTAL_LIMIT`].
    TotalTooLarge,
}

impl RejectionReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::OutOfStock,
        Self::ProductNotFound,
        Self::CurrencyMismatch,
        Self::TotalTooLarge,
    ];

    /// The name in the API and in databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfStock => "OUT_OF_STOCK",
            Self::ProductNotFound => "PRODUCT_NOT_FOUND",
            Self::CurrencyMismatch => "CURRENCY_MISMATCH",
            Self::TotalTooLarge => "TOTAL_TOO_LARGE",
        }
    }
}

/// A change that the order's state doesn't allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} cannot become {}", from.as_str(), to.as_str())]
pub struct IllegalMove {
    /// Where the order stands.
    pub from: OrderState,
    /// Where it was to go.
    pub to: OrderState,
}

impl Order {
    /// A pending order. The recovery loop takes it up at `due`, unless its own request is done by then.
    #[must_use]
    pub fn place(
        new: NewOrder,
        id: Uuid,
        traceparent: String,
        now: OffsetDateTime,
        due: OffsetDateTime,
    ) -> Self {
        let lines = new.lines.into_iter().map(|line| Line {
            product_id: line.product_id,
            quantity: line.quantity,
            offer: None,
        });
        Self {
            id,
            customer_id: new.customer_id,
            state: OrderState::Pending,
            next: Some(NextStep::new(SagaStep::Reserve, due)),
            currency: new.currency,
            lines: lines.collect(),
            total: None,
            rejection: None,
            tracking_code: None,
            traceparent,
            placed_at: now,
            updated_at: now,
        }
    }

    /// The stock is set aside: confirmed at these prices, `offers` in the order of the lines; or
    /// rejected when the total is past [`TOTAL_LIMIT`].
    ///
    /// # Errors
    /// The order isn't pending.
    pub fn confirm(&mut self, offers: Vec<Offer>, now: OffsetDateTime) -> Result<(), IllegalMove> {
        let Some(total) = total(&self.lines, &offers) else {
            let rejection = Rejection {
                reason: RejectionReason::TotalTooLarge,
                product_id: None,
                message: "The order costs more than one order may.".to_owned(),
            };
            return self.reject(rejection, now);
        };
        self.enter(OrderState::Confirmed, None, now)?;
        self.total = Some(total);
        for (line, offer) in self.lines.iter_mut().zip(offers) {
            line.offer = Some(offer);
        }
        Ok(())
    }

    /// The order cannot be fulfilled. Whatever may be set aside for it is released: another
    /// replica's Reserve, or one thought lost, may succeed after the one that failed.
    ///
    /// # Errors
    /// The order isn't pending.
    pub fn reject(&mut self, rejection: Rejection, now: OffsetDateTime) -> Result<(), IllegalMove> {
        let release = NextStep::new(SagaStep::Release, now);
        self.enter(OrderState::Rejected, Some(release), now)?;
        self.rejection = Some(rejection);
        Ok(())
    }

    /// The customer takes the order back.
    ///
    /// # Errors
    /// The order is neither pending nor confirmed.
    pub fn cancel(&mut self, now: OffsetDateTime, due: OffsetDateTime) -> Result<(), IllegalMove> {
        let release = NextStep::new(SagaStep::Release, due);
        self.enter(OrderState::Cancelled, Some(release), now)
    }

    /// The order has left the house.
    ///
    /// # Errors
    /// The order isn't confirmed.
    pub fn ship(
        &mut self,
        tracking_code: String,
        now: OffsetDateTime,
        due: OffsetDateTime,
    ) -> Result<(), IllegalMove> {
        let commit = NextStep::new(SagaStep::Commit, due);
        self.enter(OrderState::Shipped, Some(commit), now)?;
        self.tracking_code = Some(tracking_code);
        Ok(())
    }

    /// The catalog has heard of the release or commit. A pending order's Reserve ends by a change
    /// of state instead.
    pub fn close_step(&mut self) {
        if self.state.allows(None) {
            self.next = None;
        }
    }

    fn enter(
        &mut self,
        to: OrderState,
        next: Option<NextStep>,
        now: OffsetDateTime,
    ) -> Result<(), IllegalMove> {
        let from = self.state;
        if !from.moves().contains(&to) {
            return Err(IllegalMove { from, to });
        }
        self.state = to;
        self.next = next;
        self.updated_at = now;
        Ok(())
    }
}

impl NextStep {
    const fn new(step: SagaStep, due: OffsetDateTime) -> Self {
        Self {
            step,
            due,
            attempts: 0,
        }
    }
}

/// The sum over the lines; `None` past [`TOTAL_LIMIT`].
fn total(lines: &[Line], offers: &[Offer]) -> Option<i64> {
    lines
        .iter()
        .zip(offers)
        .try_fold(0_i64, |sum, (line, offer)| {
            sum.checked_add(offer.unit_price.checked_mul(line.quantity.into())?)
        })
        .filter(|total| *total <= TOTAL_LIMIT)
}

/// What happened to an order, for those who act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its stock is reserved: it can be shipped.
    OrderConfirmed {
        /// The order.
        order_id: Uuid,
    },
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Operation {
        Reserved { unit_price: i64 },
        Refused,
        Cancel,
        Ship,
        StepHeard,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            (0..=2 * TOTAL_LIMIT).prop_map(|unit_price| Operation::Reserved { unit_price }),
            Just(Operation::Refused),
            Just(Operation::Cancel),
            Just(Operation::Ship),
            Just(Operation::StepHeard),
        ]
    }

    fn apply(order: &mut Order, operation: Operation, at: OffsetDateTime) {
        // A refused move is checked for by comparing the order before and after.
        let _ = match operation {
            Operation::Reserved { unit_price } => {
                let offer = Offer {
                    sku: "MUG-1".into(),
                    name: "Mug".into(),
                    unit_price,
                };
                order.confirm(vec![offer; order.lines.len()], at)
            }
            Operation::Refused => order.reject(
                Rejection {
                    reason: RejectionReason::OutOfStock,
                    product_id: None,
                    message: "Sold out.".into(),
                },
                at,
            ),
            Operation::Cancel => order.cancel(at, at),
            Operation::Ship => order.ship(format!("T-{at}"), at, at),
            Operation::StepHeard => {
                order.close_step();
                Ok(())
            }
        };
    }

    fn pending(quantities: &[i32]) -> Order {
        let lines = quantities
            .iter()
            .enumerate()
            .map(|(product, quantity)| NewLine {
                product_id: Uuid::from_u128(product as u128),
                quantity: *quantity,
            });
        let new = NewOrder {
            customer_id: "ada".into(),
            currency: "EUR".into(),
            lines: lines.collect(),
        };
        let now = OffsetDateTime::UNIX_EPOCH;
        Order::place(new, Uuid::from_u128(1), String::new(), now, now)
    }

    fn offer(unit_price: i64) -> Offer {
        Offer {
            sku: "MUG-1".into(),
            name: "Mug".into(),
            unit_price,
        }
    }

    proptest! {
        #[test]
        fn no_sequence_of_operations_reaches_an_illegal_order(
            quantities in vec(1..=1000, 1..=5),
            operations in vec(operation(), 0..20),
        ) {
            let mut order = pending(&quantities);
            for (second, operation) in (1..).zip(operations) {
                let before = order.clone();
                apply(&mut order, operation, OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second));

                let step = order.next.map(|next| next.step);
                prop_assert!(order.state.allows(step), "{:?} with {step:?}", order.state);
                if order.state == before.state {
                    // Nothing but the open step may have changed, and only by being closed.
                    let next = order.next.and(before.next);
                    prop_assert_eq!(&order, &Order { next, ..before.clone() });
                } else {
                    prop_assert!(before.state.moves().contains(&order.state));
                    prop_assert!(order.updated_at > before.updated_at);
                }

                let priced = matches!(order.state, OrderState::Confirmed | OrderState::Shipped)
                    || before.total.is_some();
                prop_assert_eq!(order.total.is_some(), priced);
                prop_assert!(order.lines.iter().all(|line| line.offer.is_some() == priced));
                prop_assert!(order.total.is_none_or(|total| (0..=TOTAL_LIMIT).contains(&total)));
                prop_assert_eq!(order.rejection.is_some(), order.state == OrderState::Rejected);
                prop_assert_eq!(order.tracking_code.is_some(), order.state == OrderState::Shipped);
            }
        }

        #[test]
        fn the_total_is_exact_or_refused(
            lines in vec((1..=1000_i32, 0..=100_000_000_000_i64), 1..=100),
        ) {
            let exact: i128 = lines.iter().map(|(n, price)| i128::from(*n) * i128::from(*price)).sum();
            let quantities: Vec<_> = lines.iter().map(|(quantity, _)| *quantity).collect();
            let offers: Vec<_> = lines.iter().map(|(_, price)| offer(*price)).collect();
            let total = total(&pending(&quantities).lines, &offers);
            let expected = i64::try_from(exact).ok().filter(|total| *total <= TOTAL_LIMIT);
            prop_assert_eq!(total, expected);
        }
    }

    #[test]
    fn only_pending_and_confirmed_orders_can_move() {
        let can_move = OrderState::ALL.map(|state| !state.moves().is_empty());
        assert_eq!(can_move, [true, true, false, false, false]);
    }

    #[test]
    fn an_order_at_the_limit_is_confirmed_and_one_above_it_rejected() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let mut order = pending(&[1]);
        order.confirm(vec![offer(TOTAL_LIMIT)], at).unwrap();
        assert_eq!(order.total, Some(TOTAL_LIMIT));

        let mut order = pending(&[1]);
        order.confirm(vec![offer(TOTAL_LIMIT + 1)], at).unwrap();
        assert_eq!(order.state, OrderState::Rejected);
        assert_eq!(order.next.map(|next| next.step), Some(SagaStep::Release));
    }

    #[test]
    fn a_total_that_overflows_is_refused() {
        let order = pending(&[1000]);
        assert_eq!(total(&order.lines, &[offer(i64::MAX)]), None);
    }
}
