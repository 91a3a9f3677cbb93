//! Products, money and stock: plain types and the rules that hold for them wherever they are used.

use time::OffsetDateTime;
use uuid::Uuid;

/// The highest price, in minor units. With the limits below, a reservation's worth fits an `i64`.
pub const MAX_PRICE: i64 = 100_000_000_000;
/// The most pieces that a product starts with, or that one adjustment adds or takes.
pub const MAX_PIECES: i64 = 1_000_000_000;
/// The longest name, in characters.
pub const MAX_NAME: usize = 120;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 2_000;

/// An ISO 4217 code: three capital letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// `None` when `code` is not three capital letters.
    pub fn parse(code: &str) -> Option<Self> {
        let ok = code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase());
        ok.then(|| Self(code.to_owned()))
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An amount in whole minor units (cents), never a fraction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Which currency's minor units.
    pub currency: Currency,
    /// How many.
    pub minor_units: i64,
}

/// A stock keeping unit, the name by which people know a product: 2 to 32 of `A-Z`, `0-9` and `-`,
/// not starting with `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sku(String);

impl Sku {
    /// `None` when `code` has another form.
    pub fn parse(code: &str) -> Option<Self> {
        let ok = (2..=32).contains(&code.len())
            && !code.starts_with('-')
            && code
                .bytes()
                .all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'-'));
        ok.then(|| Self(code.to_owned()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A product's pieces by where they are. None of the three ever falls below zero, and only
/// [`Stock::adjust`] changes their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    /// Can be reserved.
    pub available: i64,
    /// Held by open reservations.
    pub reserved: i64,
    /// Left for good.
    pub shipped: i64,
}

impl Stock {
    /// Adds `delta` pieces to the available ones; `None` when too few are there to take.
    pub fn adjust(self, delta: i64) -> Option<Self> {
        let available = self.available.checked_add(delta).filter(|n| *n >= 0)?;
        Some(Self { available, ..self })
    }

    /// Sets `quantity` pieces aside; `None` when too few are available.
    pub fn reserve(self, quantity: i64) -> Option<Self> {
        (quantity <= self.available).then(|| Self {
            available: self.available - quantity,
            reserved: self.reserved + quantity,
            ..self
        })
    }

    /// Gives `quantity` reserved pieces back.
    pub fn release(self, quantity: i64) -> Self {
        Self {
            available: self.available + quantity,
            reserved: self.reserved - quantity,
            ..self
        }
    }

    /// Books `quantity` reserved pieces as shipped.
    pub fn ship(self, quantity: i64) -> Self {
        Self {
            reserved: self.reserved - quantity,
            shipped: self.shipped + quantity,
            ..self
        }
    }
}

/// What buyers are told of a product. An update replaces all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// What the product is called.
    pub name: String,
    /// A text about it.
    pub description: String,
    /// What one piece costs.
    pub price: Money,
}

/// A product as it will be created, its fields already checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProduct {
    /// Unique among all products.
    pub sku: Sku,
    /// What buyers are told.
    pub details: Details,
    /// Pieces available from the start.
    pub stock: i64,
}

/// A product of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// UUIDv7, so that new rows go to the end of the primary key's index.
    pub id: Uuid,
    /// Never changes.
    pub sku: Sku,
    /// What buyers are told.
    pub details: Details,
    /// Pieces by where they are.
    pub stock: Stock,
    /// Counts the changes of everything above, from 1.
    pub revision: i64,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When `revision` last grew.
    pub updated_at: OffsetDateTime,
}

impl Product {
    /// The first revision.
    pub fn new(id: Uuid, new: NewProduct, now: OffsetDateTime) -> Self {
        Self {
            id,
            sku: new.sku,
            details: new.details,
            stock: Stock {
                available: new.stock,
                ..Stock::default()
            },
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Replaces the details, if the revision is the expected one or any will do.
    ///
    /// # Errors
    /// [`Refusal::RevisionMismatch`].
    pub fn update(
        &mut self,
        details: Details,
        expected_revision: Option<i64>,
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        if expected_revision.is_some_and(|expected| expected != self.revision) {
            return Err(Refusal::RevisionMismatch {
                product_id: self.id,
                current: self.revision,
            });
        }
        self.details = details;
        self.touch(now);
        Ok(())
    }

    /// Adds `delta` pieces to the available ones.
    ///
    /// # Errors
    /// [`Refusal::OutOfStock`] when it would take more than there are.
    pub fn adjust_stock(&mut self, delta: i64, now: OffsetDateTime) -> Result<(), Refusal> {
        let stock = self.stock.adjust(delta);
        self.set_stock(stock.ok_or_else(|| self.out_of_stock(-delta))?, now);
        Ok(())
    }

    /// Puts the pieces where `stock` says.
    pub fn set_stock(&mut self, stock: Stock, now: OffsetDateTime) {
        self.stock = stock;
        self.touch(now);
    }

    fn touch(&mut self, now: OffsetDateTime) {
        self.revision += 1;
        self.updated_at = now;
    }

    /// The refusal to give `requested` pieces.
    pub fn out_of_stock(&self, requested: i64) -> Refusal {
        Refusal::OutOfStock {
            product_id: self.id,
            name: self.details.name.clone(),
            requested,
            available: self.stock.available,
        }
    }
}

/// Why the catalogue says no to a request that is well formed. The sentences are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum Refusal {
    #[error("there is no product {product_id}")]
    ProductNotFound { product_id: Uuid },
    #[error("another product has the SKU {}", .sku.as_str())]
    SkuTaken { sku: Sku },
    #[error("product {product_id} has changed: its revision is {current} now")]
    RevisionMismatch { product_id: Uuid, current: i64 },
    #[error("not enough of \"{name}\": {requested} asked for, {available} available")]
    OutOfStock {
        product_id: Uuid,
        name: String,
        requested: i64,
        available: i64,
    },
    #[error("\"{name}\" is sold in {}", .currency.as_str())]
    CurrencyMismatch {
        product_id: Uuid,
        name: String,
        currency: Currency,
    },
    #[error("order {order_id} has no reservation")]
    ReservationNotFound { order_id: Uuid },
    #[error("order {order_id} has reserved other lines")]
    ReservationMismatch { order_id: Uuid },
    #[error("the reservation of order {order_id} has been released")]
    ReservationClosed { order_id: Uuid },
    #[error("the reservation of order {order_id} has been committed")]
    ReservationCommitted { order_id: Uuid },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Currency, Sku, Stock};

    fn total(stock: Stock) -> i64 {
        stock.available + stock.reserved + stock.shipped
    }

    proptest! {
        #[test]
        fn stock_moves_keep_the_total_and_never_go_below_zero(
            start in 0..1_000_i64,
            moves in proptest::collection::vec((0..3, 1..200_i64), 0..50),
        ) {
            let mut stock = Stock { available: start, ..Stock::default() };
            for (kind, quantity) in moves {
                stock = match kind {
                    0 => stock.reserve(quantity).unwrap_or(stock),
                    // Only what was reserved can be released or shipped.
                    1 => stock.release(quantity.min(stock.reserved)),
                    _ => stock.ship(quantity.min(stock.reserved)),
                };
                prop_assert_eq!(total(stock), start);
                prop_assert!(stock.available >= 0 && stock.reserved >= 0 && stock.shipped >= 0);
            }
        }

        #[test]
        fn adjusting_changes_the_total_by_the_delta_or_not_at_all(
            available in 0..=i64::MAX,
            delta in any::<i64>(),
        ) {
            let stock = Stock { available, reserved: 0, shipped: 0 };
            match stock.adjust(delta) {
                Some(adjusted) => prop_assert_eq!(adjusted.available - available, delta),
                None => prop_assert!(available.checked_add(delta).is_none_or(|n| n < 0)),
            }
        }

        #[test]
        fn any_text_is_parsed_whole_or_refused(text in "\\PC{0,40}|[A-Z0-9-]{0,40}") {
            if let Some(sku) = Sku::parse(&text) {
                prop_assert_eq!(sku.as_str(), &text);
                prop_assert!(text.len() <= 32 && text.is_ascii());
            }
            if let Some(currency) = Currency::parse(&text) {
                prop_assert_eq!(currency.as_str(), &text);
                prop_assert_eq!(text.len(), 3);
            }
        }
    }
}
