//! What the shop knows of a visitor: signed cookies and nothing else.

use std::convert::Infallible;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, SameSite, SignedCookieJar};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use time::Duration;
use uuid::Uuid;

use super::page;
use super::view::{Here, Notice, Shell};
use crate::app::{Shared, Shop};
use crate::domain::{MAX_QUANTITY, NewLine};

/// The most products in one cart: its cookie stays well below the 4 KiB that browsers keep.
pub(super) const MAX_CART_LINES: usize = 50;

const CART: &str = "cart";
const CUSTOMER: &str = "customer";
const NOTICE: &str = "notice";
const PLACED: &str = "placed";

/// A visitor's request. Cookies that are missing, malformed or not signed by the shop count as none.
pub struct Visit {
    jar: SignedCookieJar,
    secure: bool,
    /// What is in the cart.
    pub(super) cart: Cart,
    notice: Option<Notice>,
}

impl FromRequestParts<Shared> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shop: &Shared) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers, shop))
    }
}

impl Visit {
    /// The visitor whose cookies are in `headers`.
    #[must_use]
    pub fn of(headers: &HeaderMap, shop: &Shop) -> Self {
        let jar = SignedCookieJar::from_headers(headers, shop.key.clone());
        let cart = value(&jar, CART).and_then(|cart| Cart::parse(&cart));
        let notice = value(&jar, NOTICE).and_then(|notice| read(&notice));
        Self {
            jar,
            secure: shop.secure,
            cart: cart.unwrap_or_default(),
            notice,
        }
    }

    /// The frame of this visitor's pages.
    pub(super) fn shell(&self, here: Here) -> Shell {
        Shell {
            here,
            cart_count: self.cart.pieces(),
            query: String::new(),
            notice: self.notice.clone(),
        }
    }

    /// Answers with a page; a notice that was waiting has been shown by it.
    pub(super) fn page(self, status: StatusCode, template: &impl Template) -> Response {
        let jar = match self.notice {
            Some(_) => self.jar.remove(Cookie::build(NOTICE).path("/")),
            None => self.jar,
        };
        (jar, page(status, template)).into_response()
    }

    /// Answers a form: the browser goes on to `path`, so that reloading sends nothing twice.
    pub(super) fn redirect(self, path: &str) -> Response {
        (self.jar, Redirect::to(path)).into_response()
    }

    /// Keeps the cart.
    pub(super) fn keep_cart(&mut self) {
        self.set(CART, &self.cart.to_string(), Duration::days(30));
    }

    /// Who this is, if they have been given an id.
    pub(super) fn customer(&self) -> Option<Uuid> {
        Uuid::parse_str(&value(&self.jar, CUSTOMER)?).ok()
    }

    /// Who this is; a new id for somebody who has none.
    pub(super) fn customer_or_new(&mut self) -> Uuid {
        self.customer().unwrap_or_else(|| {
            let id = Uuid::new_v4();
            self.set(CUSTOMER, &id.to_string(), Duration::days(365));
            id
        })
    }

    /// Has the next page say that something was done to `product` in the cart.
    pub(super) fn tell(&mut self, what: Told, product: &str) {
        let product = BASE64_URL_SAFE_NO_PAD.encode(product);
        self.set(
            NOTICE,
            &format!("{}.{product}", what.word()),
            Duration::minutes(5),
        );
    }

    /// The order that the checkout form with this key became.
    pub(super) fn placed(&self, key: Uuid) -> Option<Uuid> {
        let placed = value(&self.jar, PLACED)?;
        let (of, order) = placed.split_once('.')?;
        let is_it = Uuid::parse_str(of) == Ok(key);
        Uuid::parse_str(order).ok().filter(|_| is_it)
    }

    /// Empties the cart into an order. The form's key is kept: the second press of the button may
    /// come with an empty cart.
    pub(super) fn keep_placed(&mut self, key: Uuid, order: Uuid) {
        self.cart = Cart::default();
        self.keep_cart();
        self.set(PLACED, &format!("{key}.{order}"), Duration::hours(1));
    }

    fn set(&mut self, name: &'static str, value: &str, keep: Duration) {
        let cookie = Cookie::build((name, format!("{name}.{value}")))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(keep);
        self.jar = self.jar.clone().add(cookie);
    }
}

/// A cookie's value. It starts with the cookie's name, which the signature does not cover: else one
/// cookie's value could be sent as another's.
fn value(jar: &SignedCookieJar, name: &str) -> Option<String> {
    let cookie = jar.get(name)?;
    let value = cookie.value().strip_prefix(name)?.strip_prefix('.')?;
    Some(value.to_owned())
}

/// What a notice tells of.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// A product was put into the cart.
    Added,
    /// A product was taken out.
    Removed,
    /// A quantity was changed.
    Updated,
}

impl Told {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Updated => "updated",
        }
    }
}

fn read(notice: &str) -> Option<Notice> {
    let (what, product) = notice.split_once('.')?;
    let product = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(product).ok()?).ok()?;
    match what {
        "added" => Some(Notice::added(&product)),
        "removed" => Some(Notice::removed(&product)),
        "updated" => Some(Notice::updated()),
        _ => None,
    }
}

/// Products and quantities, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cart(Vec<NewLine>);

/// `<product>.<quantity>` for each line, with `_` in between.
impl std::fmt::Display for Cart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, line) in self.0.iter().enumerate() {
            let between = if at > 0 { "_" } else { "" };
            write!(f, "{between}{}.{}", line.product_id.simple(), line.quantity)?;
        }
        Ok(())
    }
}

impl Cart {
    fn parse(text: &str) -> Option<Self> {
        let line = |text: &str| {
            let (id, quantity) = text.split_once('.')?;
            Some(NewLine {
                product_id: Uuid::parse_str(id).ok()?,
                quantity: quantity.parse().ok()?,
            })
        };
        let lines = text.split('_').filter(|line| !line.is_empty());
        lines.map(line).collect::<Option<_>>().map(Self)
    }

    pub(super) fn lines(&self) -> &[NewLine] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Pieces in all.
    fn pieces(&self) -> u32 {
        self.0.iter().map(|line| line.quantity).sum()
    }

    /// Pieces of one product.
    pub(super) fn quantity(&self, product: Uuid) -> u32 {
        let line = self.0.iter().find(|line| line.product_id == product);
        line.map_or(0, |line| line.quantity)
    }

    /// Sets the pieces of one product; none takes it out. At [`MAX_CART_LINES`] no further product goes in.
    pub(super) fn set(&mut self, product_id: Uuid, quantity: u32) -> bool {
        let quantity = quantity.min(MAX_QUANTITY);
        match self.0.iter().position(|line| line.product_id == product_id) {
            Some(at) if quantity == 0 => {
                self.0.remove(at);
            }
            Some(at) => self.0[at].quantity = quantity,
            None if quantity == 0 => {}
            None if self.0.len() >= MAX_CART_LINES => return false,
            None => self.0.push(NewLine {
                product_id,
                quantity,
            }),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_cart_fits_its_cookie_and_takes_no_more_products() {
        let mut cart = Cart::default();
        for _ in 0..MAX_CART_LINES {
            assert!(cart.set(Uuid::now_v7(), MAX_QUANTITY));
        }
        assert!(!cart.set(Uuid::now_v7(), 1));
        assert!(cart.set(cart.lines()[7].product_id, 5));
        assert!(cart.to_string().len() < 3_000);
        assert_eq!(Cart::parse(&cart.to_string()), Some(cart));
    }

    #[test]
    fn what_is_no_cart_is_none() {
        assert_eq!(Cart::parse(""), Some(Cart::default()));
        for text in [
            "x",
            "x.1",
            "018f0000000070008000000000000000",
            ".",
            "018f0000000070008000000000000000.-1",
        ] {
            assert_eq!(Cart::parse(text), None, "{text}");
        }
    }
}
