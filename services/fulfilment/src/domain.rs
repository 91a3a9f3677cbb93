//! Shipments: plain types and rules.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

/// How far a shipment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShipmentState {
    /// Being packed.
    Packing,
    /// Has left; the order knows.
    Shipped,
    /// The order was cancelled before it left.
    Void,
}

impl ShipmentState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Packing, Self::Shipped, Self::Void];

    /// The state's name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packing => "packing",
            Self::Shipped => "shipped",
            Self::Void => "void",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// One order's parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The order that it fulfils.
    pub order_id: Uuid,
    /// What the customer follows it by.
    pub tracking_code: String,
    /// How far it is.
    pub state: ShipmentState,
    /// When it is packed.
    pub ready_at: OffsetDateTime,
}

impl Shipment {
    /// A parcel whose packing begins now; `parcel` makes its tracking code unique.
    #[must_use]
    pub fn new(order_id: Uuid, parcel: Uuid, now: OffsetDateTime, shipping_time: Duration) -> Self {
        Self {
            order_id,
            tracking_code: tracking_code(parcel),
            state: ShipmentState::Packing,
            ready_at: now + shipping_time,
        }
    }

    /// How long packing still takes.
    #[must_use]
    pub fn remaining(&self, now: OffsetDateTime) -> Duration {
        (self.ready_at - now).try_into().unwrap_or(Duration::ZERO)
    }
}

/// `SW-` and sixteen characters that are hard to mistake for each other (Crockford's base 32).
fn tracking_code(parcel: Uuid) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = parcel.as_u128();
    let characters = (0..16).map(|position| {
        let index = (bits >> (position * 5)) as usize % ALPHABET.len();
        char::from(ALPHABET[index])
    });
    "SW-".chars().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shipment_taken_over_waits_only_for_what_is_left() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let shipment = Shipment::new(Uuid::nil(), Uuid::nil(), start, Duration::from_secs(10));
        let after = |seconds| shipment.remaining(start + Duration::from_secs(seconds));
        assert_eq!(after(0), Duration::from_secs(10));
        assert_eq!(after(7), Duration::from_secs(3));
        assert_eq!(after(11), Duration::ZERO);
    }

    #[test]
    fn tracking_codes_are_readable_and_differ() {
        assert_eq!(tracking_code(Uuid::nil()), "SW-0000000000000000");
        assert_eq!(tracking_code(Uuid::max()), "SW-ZZZZZZZZZZZZZZZZ");
        let codes: std::collections::BTreeSet<String> = (0..1000)
            .map(|bits| tracking_code(Uuid::from_u128(bits)))
            .collect();
        assert_eq!(codes.len(), 1000);
    }

    #[test]
    fn states_are_found_by_their_names() {
        for state in ShipmentState::ALL {
            assert_eq!(ShipmentState::parse(state.as_str()), Some(state));
        }
        assert_eq!(ShipmentState::parse("lost"), None);
    }
}
