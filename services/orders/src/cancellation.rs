//! Cancelling an order before it is shipped.

use uuid::Uuid;

use crate::{
    domain::{Order, OrderState},
    error::Error,
    saga::Saga,
};

impl Saga {
    /// Cancels the order and gives its stock back. Idempotent.
    pub(crate) async fn cancel(&self, id: Uuid) -> Result<Order, Error> {
        // Ends, because each round finds the order in a later state than the one before.
        loop {
            let mut order = self.find(id).await?;
            let from = order.state;
            if from == OrderState::Cancelled {
                return Ok(order);
            }
            let now = (self.clock)();
            order
                .cancel(now, now + self.grace)
                .map_err(|_| Error::NotCancellable(from))?;
            if self.save(from, &order, None).await? {
                return Ok(self.try_step(order).await);
            }
        }
    }
}
