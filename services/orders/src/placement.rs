//! Placing an order: once per customer and key, however often it is asked for.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    domain::{NewOrder, Order, OrderState},
    error::Error,
    metrics::{self, Placed},
    saga::Saga,
    store::{IdempotencyKey, Inserted},
};

impl Saga {
    /// Stores the order, then asks the catalog for its stock. The order that comes back is pending
    /// when there was no clear answer in time. True: the key had been used for this order before.
    pub(crate) async fn place(&self, new: NewOrder, key: String) -> Result<(Order, bool), Error> {
        let key = IdempotencyKey {
            content_hash: content_hash(&new),
            key,
        };
        let now = (self.clock)();
        let traceparent = telemetry::propagation::traceparent(&tracing::Span::current());
        let order = Order::place(new, Uuid::new_v4(), traceparent, now, now + self.grace);
        let (order, replayed) = match self.store.insert(&order, &key).await? {
            Inserted::New => (order, false),
            Inserted::Replayed(order) => (*order, true),
            Inserted::KeyReused => {
                metrics::placed(Placed::KeyReused);
                return Err(Error::IdempotencyKeyReused);
            }
        };
        let order = match order.state {
            OrderState::Pending => self.try_step(order).await,
            _ => order,
        };
        metrics::placed(match order.state {
            _ if replayed => Placed::Replayed,
            OrderState::Pending => Placed::Pending,
            OrderState::Rejected => Placed::Rejected,
            OrderState::Confirmed | OrderState::Shipped => Placed::Confirmed,
            OrderState::Cancelled => Placed::Cancelled,
        });
        Ok((order, replayed))
    }
}

/// Tells whether two requests ask for the same; the order of the lines doesn't matter.
fn content_hash(new: &NewOrder) -> [u8; 32] {
    let mut lines: Vec<_> = new.lines.iter().collect();
    lines.sort_by_key(|line| line.product_id);
    let mut hash = Sha256::new();
    hash.update(b"orders.placement.v1\0");
    hash.update(&new.currency);
    for line in lines {
        hash.update(line.product_id);
        hash.update(line.quantity.to_be_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NewLine;

    fn order(currency: &str, lines: &[(u128, i32)]) -> NewOrder {
        let lines = lines.iter().map(|(product, quantity)| NewLine {
            product_id: Uuid::from_u128(*product),
            quantity: *quantity,
        });
        NewOrder {
            customer_id: "ada".into(),
            currency: currency.into(),
            lines: lines.collect(),
        }
    }

    #[test]
    fn the_order_of_lines_does_not_matter_and_all_else_does() {
        let hash = content_hash(&order("EUR", &[(1, 2), (2, 1)]));
        assert_eq!(hash, content_hash(&order("EUR", &[(2, 1), (1, 2)])));
        for other in [
            order("USD", &[(1, 2), (2, 1)]),
            order("EUR", &[(1, 1), (2, 2)]),
            order("EUR", &[(1, 2), (3, 1)]),
            order("EUR", &[(1, 2)]),
        ] {
            assert_ne!(hash, content_hash(&other), "{other:?}");
        }
    }
}
