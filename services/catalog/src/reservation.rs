//! Reservations: what an order takes out of the stock, and how it is given back or shipped.
//!
//! The stores call these rules inside their write transactions, on rows that they have locked.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::{Currency, Money, Product, Refusal, Sku};

/// The most lines of one reservation.
pub const MAX_LINES: usize = 100;
/// The most pieces of one line.
pub const MAX_QUANTITY: i32 = 1_000;

/// What an order asks for, its fields already checked: each product once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReservation {
    /// The order; its id is the reservation's.
    pub order_id: Uuid,
    /// The currency that all products must have.
    pub currency: Currency,
    /// What to take.
    pub lines: Vec<NewLine>,
}

/// One line of a [`NewReservation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Which product.
    pub product_id: Uuid,
    /// How many pieces, from 1.
    pub quantity: i32,
}

impl NewReservation {
    /// The ids of the products, in the order of the lines.
    pub fn product_ids(&self) -> Vec<Uuid> {
        self.lines.iter().map(|line| line.product_id).collect()
    }

    /// Takes every line out of the stock of `products`, which are in the order of their ids. After
    /// a refusal `products` is half changed and must not be stored.
    ///
    /// # Errors
    /// The first line that can't be taken says why.
    pub fn take(
        &self,
        products: &mut [Product],
        now: OffsetDateTime,
    ) -> Result<Reservation, Refusal> {
        let lines = self.lines.iter().map(|line| {
            let product = find(products, line.product_id)?;
            let details = product.details.clone();
            if details.price.currency != self.currency {
                return Err(Refusal::CurrencyMismatch {
                    product_id: product.id,
                    name: details.name,
                    currency: details.price.currency,
                });
            }
            let quantity = i64::from(line.quantity);
            let stock = product.stock.reserve(quantity);
            product.set_stock(stock.ok_or_else(|| product.out_of_stock(quantity))?, now);
            Ok(ReservedLine {
                product_id: product.id,
                quantity: line.quantity,
                sku: product.sku.clone(),
                name: details.name,
                unit_price: details.price,
            })
        });
        Ok(Reservation {
            order_id: self.order_id,
            state: ReservationState::Held,
            lines: lines.collect::<Result<_, _>>()?,
            created_at: now,
            updated_at: now,
        })
    }
}

/// A line as it was taken; later changes of the product leave it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedLine {
    /// Which product.
    pub product_id: Uuid,
    /// How many pieces.
    pub quantity: i32,
    /// The product's SKU.
    pub sku: Sku,
    /// The product's name when it was reserved.
    pub name: String,
    /// The product's price when it was reserved.
    pub unit_price: Money,
}

/// Where a reservation stands. `Held` is the only state that is left again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationState {
    /// The pieces are set aside.
    Held,
    /// The pieces went back, or none were taken because the release came first.
    Released,
    /// The pieces left.
    Committed,
}

impl ReservationState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Held, Self::Released, Self::Committed];

    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Released => "released",
            Self::Committed => "committed",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The two ways in which a held reservation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Give the pieces back.
    Release,
    /// Book them as shipped.
    Commit,
}

/// The pieces that an order holds, held, or has shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The order that it belongs to.
    pub order_id: Uuid,
    /// Where it stands.
    pub state: ReservationState,
    /// What was taken, in the order asked for.
    pub lines: Vec<ReservedLine>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

impl Reservation {
    /// A reservation that was released before it was made, so that a late reserve takes nothing.
    pub fn tombstone(order_id: Uuid, now: OffsetDateTime) -> Self {
        Self {
            order_id,
            state: ReservationState::Released,
            lines: Vec::new(),
            created_at: now,
            updated_at: now,
        }
    }

    /// The ids of the products, in the order of the lines.
    pub fn product_ids(&self) -> Vec<Uuid> {
        self.lines.iter().map(|line| line.product_id).collect()
    }

    /// The answer when the order reserves again.
    ///
    /// # Errors
    /// [`Refusal::ReservationClosed`] when it was released, [`Refusal::ReservationMismatch`] when
    /// `again` asks for something else.
    pub fn replay(self, again: &NewReservation) -> Result<Self, Refusal> {
        let order_id = self.order_id;
        if self.state == ReservationState::Released {
            return Err(Refusal::ReservationClosed { order_id });
        }
        let same = self.lines.len() == again.lines.len()
            && again.lines.iter().all(|new| {
                self.lines.iter().any(|old| {
                    old.product_id == new.product_id
                        && old.quantity == new.quantity
                        && old.unit_price.currency == again.currency
                })
            });
        if same {
            Ok(self)
        } else {
            Err(Refusal::ReservationMismatch { order_id })
        }
    }

    /// Whether `settlement` still has something to do; it hasn't when it was done before.
    ///
    /// # Errors
    /// [`Refusal::ReservationClosed`] or [`Refusal::ReservationCommitted`] when the reservation
    /// ended the other way.
    pub fn needs(&self, settlement: Settlement) -> Result<bool, Refusal> {
        let order_id = self.order_id;
        match (self.state, settlement) {
            (ReservationState::Held, _) => Ok(true),
            (ReservationState::Released, Settlement::Release)
            | (ReservationState::Committed, Settlement::Commit) => Ok(false),
            (ReservationState::Released, Settlement::Commit) => {
                Err(Refusal::ReservationClosed { order_id })
            }
            (ReservationState::Committed, Settlement::Release) => {
                Err(Refusal::ReservationCommitted { order_id })
            }
        }
    }

    /// Ends a held reservation, moving its pieces in `products`, which are in the order of their
    /// ids.
    ///
    /// # Errors
    /// [`Refusal::ProductNotFound`] when a product of the lines isn't in `products`.
    pub fn settle(
        &mut self,
        settlement: Settlement,
        products: &mut [Product],
        now: OffsetDateTime,
    ) -> Result<(), Refusal> {
        for line in &self.lines {
            let product = find(products, line.product_id)?;
            let quantity = i64::from(line.quantity);
            let stock = match settlement {
                Settlement::Release => product.stock.release(quantity),
                Settlement::Commit => product.stock.ship(quantity),
            };
            product.set_stock(stock, now);
        }
        self.state = match settlement {
            Settlement::Release => ReservationState::Released,
            Settlement::Commit => ReservationState::Committed,
        };
        self.updated_at = now;
        Ok(())
    }
}

fn find(products: &mut [Product], product_id: Uuid) -> Result<&mut Product, Refusal> {
    match products.binary_search_by_key(&product_id, |product| product.id) {
        Ok(index) => Ok(&mut products[index]),
        Err(_) => Err(Refusal::ProductNotFound { product_id }),
    }
}
