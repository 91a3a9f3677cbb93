//! Marking an order as shipped.

use uuid::Uuid;

use crate::{
    domain::{Order, OrderState},
    error::Error,
    saga::Saga,
};

impl Saga {
    /// A confirmed order has left the house: its stock is booked out. Idempotent; the first
    /// tracking code stays.
    pub(crate) async fn ship(&self, id: Uuid, tracking_code: &str) -> Result<Order, Error> {
        // Ends, because each round finds the order in a later state than the one before.
        loop {
            let mut order = self.find(id).await?;
            let from = order.state;
            if from == OrderState::Shipped {
                return Ok(order);
            }
            let now = (self.clock)();
            order
                .ship(tracking_code.to_owned(), now, now + self.grace)
                .map_err(|_| Error::NotShippable(from))?;
            if self.save(from, &order, None).await? {
                return Ok(self.try_step(order).await);
            }
        }
    }
}
