//! Page tokens of a customer's orders: where the page before ended.

use rpc::page_token;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::Position;

/// Valid for this customer only.
pub(crate) fn page_token(customer_id: &str, position: Position) -> String {
    let micros = (position.placed_at.unix_timestamp_nanos() / 1_000) as i64;
    let position = [&micros.to_be_bytes()[..], position.id.as_bytes()].concat();
    page_token::seal(&[LISTING, customer_id], &position)
}

/// The position that `token` stands for; `None` when it isn't one of this customer's tokens.
pub(crate) fn parse_page_token(customer_id: &str, token: &str) -> Option<Position> {
    let position = page_token::open(&[LISTING, customer_id], token)?;
    let (micros, id) = position.split_first_chunk::<8>()?;
    let micros = i64::from_be_bytes(*micros);
    let placed_at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok()?;
    let id = Uuid::from_slice(id).ok()?;
    Some(Position { placed_at, id })
}

const LISTING: &str = "orders.of_customer";

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        (0..=253_402_300_799_000_000_i64, any::<u128>()).prop_map(|(micros, id)| Position {
            placed_at: OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(micros),
            id: Uuid::from_u128(id),
        })
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_position_for_its_customer_only(position in position()) {
            let token = page_token("ada", position);
            prop_assert_eq!(parse_page_token("ada", &token), Some(position));
            prop_assert_eq!(parse_page_token("bob", &token), None);
        }

        #[test]
        fn a_token_with_one_character_changed_is_refused(position in position(), at in any::<Index>(), by in 1..128_u8) {
            let mut token = page_token("ada", position).into_bytes();
            let at = at.index(token.len());
            token[at] = (token[at] + by) % 128;
            prop_assert_eq!(parse_page_token("ada", &String::from_utf8(token).unwrap()), None);
        }

        #[test]
        fn any_text_as_token_is_refused_without_a_panic(token in "\\PC{0,80}") {
            prop_assert_eq!(parse_page_token("ada", &token), None);
        }
    }
}
