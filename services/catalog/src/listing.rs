//! Listing: products in the order of (name, id), page by page, narrowed by a text.

use rpc::page_token;
use uuid::Uuid;

use crate::domain::Product;

/// The most products of one page, and of one batch.
pub const MAX_PAGE: usize = 100;
/// The products of a page when the caller names no number.
pub const DEFAULT_PAGE: usize = 24;
/// The longest filter, in characters.
pub const MAX_FILTER: usize = 100;

/// Which products to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Part of the name, the description or the SKU; case doesn't matter. Empty for all products.
    pub filter: String,
    /// Products on a page.
    pub page_size: usize,
    /// Where the page before ended.
    pub after: Position,
}

/// A place between two products of a listing. The default one is before all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The name of the product before.
    pub name: String,
    /// The id of the product before.
    pub id: Uuid,
}

impl Listing {
    /// How many products to look up: one more than the page shows tells whether another follows.
    pub fn limit(&self) -> usize {
        self.page_size + 1
    }

    /// The page, and the token of the next page or an empty one, made of up to [`Self::limit`]
    /// products.
    pub fn page(&self, mut products: Vec<Product>) -> (Vec<Product>, String) {
        let more = products.len() > self.page_size;
        products.truncate(self.page_size);
        let token = match products.last() {
            Some(last) if more => page_token(&self.filter, &last.details.name, last.id),
            _ => String::new(),
        };
        (products, token)
    }
}

/// Valid for a listing with the same filter only.
fn page_token(filter: &str, name: &str, id: Uuid) -> String {
    let position = [id.as_bytes(), name.as_bytes()].concat();
    page_token::seal(&[LISTING, filter], &position)
}

/// The position that `token` stands for; `None` when it isn't a token of a listing with `filter`.
pub fn parse_page_token(filter: &str, token: &str) -> Option<Position> {
    let position = page_token::open(&[LISTING, filter], token)?;
    let (id, name) = position.split_first_chunk::<16>()?;
    let name = str::from_utf8(name).ok()?.to_owned();
    Some(Position {
        name,
        id: Uuid::from_bytes(*id),
    })
}

const LISTING: &str = "catalog.products";

/// The text in which a listing looks for its [`folded`] filter. A filter has no line break, so it
/// can't match across two fields.
pub fn search_text(product: &Product) -> String {
    let Product { details, sku, .. } = product;
    let sku = sku.as_str();
    folded(&format!("{}\n{}\n{sku}", details.name, details.description))
}

/// `text` without case: each character's upper case, in lower case, so that `ß` is `ss` and every
/// sigma is the same. Done here because the databases fold Unicode differently or not at all.
pub fn folded(text: &str) -> String {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use uuid::Uuid;

    use super::{Position, folded, page_token, parse_page_token};

    #[test]
    fn folding_knows_more_than_ascii() {
        assert_eq!(folded("STRASSE"), folded("Straße"));
        assert_eq!(folded("ΌΔΟΣ"), folded("όδος"));
        assert_ne!(folded("a"), folded("ä"));
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_position(filter in "\\PC{0,40}", name in "\\PC{1,120}", id in any::<u128>()) {
            let id = Uuid::from_u128(id);
            let token = page_token(&filter, &name, id);
            prop_assert_eq!(parse_page_token(&filter, &token), Some(Position { name, id }));
            prop_assert_eq!(parse_page_token(&format!("{filter}x"), &token), None);
        }

        #[test]
        fn a_token_with_one_character_changed_is_refused(name in "\\PC{1,120}", at in any::<proptest::sample::Index>(), by in 1..128_u8) {
            let mut token = page_token("mug", &name, Uuid::nil()).into_bytes();
            let at = at.index(token.len());
            token[at] = (token[at] + by) % 128;
            let token = String::from_utf8(token).unwrap();
            prop_assert!(parse_page_token("mug", &token).is_none());
        }

        #[test]
        fn any_text_as_token_is_refused_without_a_panic(token in "\\PC{0,200}") {
            prop_assert!(parse_page_token("", &token).is_none());
        }
    }
}
