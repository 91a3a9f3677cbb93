//! What the shop's pages show.
//!
//! One struct per page, filled by the handlers and rendered by askama from `templates/`. Fields
//! hold what a person reads: prices and times arrive formatted, through [`price`] and [`Moment`].
//! Askama escapes every value, so nothing here is ever HTML.

use askama::Template;

/// Formats an amount of minor units for reading: `€1,249.00`, `-€0.05`, `¥1,200`, `1.50 CHF`.
///
/// `currency` is an ISO 4217 code; a code without a sign of its own follows the amount.
#[must_use]
pub fn price(minor: i64, currency: &str) -> String {
    let digits = match currency {
        "JPY" | "KRW" | "ISK" => 0,
        _ => 2,
    };
    let unit = 10_u64.pow(digits);
    let (whole, part) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);

    let plain = whole.to_string();
    let mut amount = String::with_capacity(plain.len() + plain.len() / 3 + 3);
    for (at, digit) in plain.char_indices() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            amount.push(',');
        }
        amount.push(digit);
    }
    if digits > 0 {
        amount.push_str(&format!(".{part:02}"));
    }

    let minus = if minor < 0 { "-" } else { "" };
    match currency {
        "EUR" => format!("{minus}€{amount}"),
        "GBP" => format!("{minus}£{amount}"),
        "USD" => format!("{minus}${amount}"),
        "JPY" => format!("{minus}¥{amount}"),
        other => format!("{minus}{amount}\u{a0}{other}"),
    }
}

/// A time, once for machines and once for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for `<time datetime>`.
    pub iso: String,
    /// For reading, with its zone: `5 March 2026, 14:02 UTC`.
    pub words: String,
}

// ---------------------------------------------------------------- every page

/// What every page carries around its content.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// The entry of the navigation that this page is.
    pub here: Here,
    /// Pieces in the cart, all lines together.
    pub cart_count: u32,
    /// What stands in the search field; empty where nothing was searched.
    pub query: String,
    /// A message above the content: something was done, or something is unavailable.
    pub notice: Option<Notice>,
}

/// The entry of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Here {
    /// The list of products.
    Shop,
    /// The cart.
    Cart,
    /// The customer's orders.
    Orders,
    /// Any other page: no entry is marked.
    #[default]
    Elsewhere,
}

/// A message above a page's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How the message is meant.
    pub tone: Tone,
    /// The message in a few words, without a full stop.
    pub title: String,
    /// One or two sentences; may be empty.
    pub text: String,
    /// Where to go next.
    pub link: Option<Link>,
}

/// How a [`Notice`] is meant; the words say it too, colour never alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something was done as asked.
    Done,
    /// A part of the shop is unavailable or something needs attention.
    Caution,
    /// What was asked could not be done.
    Problem,
}

impl Tone {
    /// The suffix of the style sheet's `notice-` class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Caution => "caution",
            Self::Problem => "problem",
        }
    }
}

/// A link inside a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// A path of this shop, starting with `/`.
    pub href: String,
    /// The link's words.
    pub label: String,
}

impl Notice {
    /// The catalogue does not answer: prices, stock and pictures cannot be shown.
    #[must_use]
    pub fn catalog_down() -> Self {
        Self {
            tone: Tone::Caution,
            title: "The catalogue is out of reach".into(),
            text: "Products, prices and stock cannot be shown just now. Your cart and your \
                   orders are safe and still open. Please try again in a minute."
                .into(),
            link: None,
        }
    }

    /// The order service does not answer: nothing can be ordered or looked up.
    #[must_use]
    pub fn orders_down() -> Self {
        Self {
            tone: Tone::Caution,
            title: "The order desk does not answer".into(),
            text: "Orders cannot be placed or looked up just now, and nothing was ordered twice. \
                   The shop and your cart keep working. Please try again in a minute."
                .into(),
            link: None,
        }
    }

    /// A product went into the cart.
    #[must_use]
    pub fn added(product: &str) -> Self {
        Self {
            tone: Tone::Done,
            title: format!("{product} is in your cart"),
            text: String::new(),
            link: Some(Link {
                href: "/cart".into(),
                label: "See your cart".into(),
            }),
        }
    }

    /// A product was taken out of the cart.
    #[must_use]
    pub fn removed(product: &str) -> Self {
        Self {
            tone: Tone::Done,
            title: format!("{product} was taken out of your cart"),
            text: String::new(),
            link: None,
        }
    }

    /// The quantities in the cart were changed.
    #[must_use]
    pub fn updated() -> Self {
        Self {
            tone: Tone::Done,
            title: "Your cart is up to date".into(),
            text: String::new(),
            link: None,
        }
    }
}

/// A quantity field as it was last sent, with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityField {
    /// What stands in the field: what the customer typed, even where it was refused.
    pub value: String,
    /// The most that one line may hold.
    pub max: u32,
    /// What is wrong, as a sentence: `Order between 1 and 99.` Shown beside the field and in
    /// the error summary.
    pub problem: Option<String>,
}

impl QuantityField {
    /// A field that holds `quantity` and has no problem.
    #[must_use]
    pub fn of(quantity: u32, max: u32) -> Self {
        Self {
            value: quantity.to_string(),
            max,
            problem: None,
        }
    }
}

// ---------------------------------------------------------------- products

/// What the shop says about a product's stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stock {
    /// More than [`Stock::FEW`] are left.
    Plenty,
    /// So many are left, at least one and at most [`Stock::FEW`].
    Few(u32),
    /// Nothing is left.
    Out,
}

impl Stock {
    /// From this many pieces down, the page names the number.
    pub const FEW: u32 = 5;

    /// The words' grade for `available` pieces.
    #[must_use]
    pub fn of(available: u32) -> Self {
        match available {
            0 => Self::Out,
            left if left <= Self::FEW => Self::Few(left),
            _ => Self::Plenty,
        }
    }

    /// `In stock`, `Only 3 left`, `Out of stock`.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Plenty => "In stock".into(),
            Self::Few(left) => format!("Only {left} left"),
            Self::Out => "Out of stock".into(),
        }
    }

    /// The suffix of the style sheet's `stock-` class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Plenty => "plenty",
            Self::Few(_) => "few",
            Self::Out => "out",
        }
    }

    /// Whether the product can be put in the cart.
    #[must_use]
    pub fn can_order(self) -> bool {
        self != Self::Out
    }
}

/// A product, as the shop shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The catalogue's id, as it stands in addresses and forms.
    pub id: String,
    /// The stock keeping unit, `ROPE-12`.
    pub sku: String,
    /// The product's name.
    pub name: String,
    /// One to three sentences of plain text.
    pub description: String,
    /// The price of one piece, formatted.
    pub price: String,
    /// The picture's path: `/assets/pictures/rope-12.svg`, or `default.svg` where none exists.
    pub picture: String,
    /// What is left.
    pub stock: Stock,
}

/// What `GET /` can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// One page of products; may be empty.
    Found(Vec<Product>),
    /// The catalogue does not answer.
    Unavailable,
}

/// `GET /`: the shop's front, a search's results, or a further page of either.
#[derive(Debug, Clone, Template)]
#[template(path = "products.html")]
pub struct ProductsPage {
    /// The frame; `shell.query` is the search.
    pub shell: Shell,
    /// The products of this page.
    pub listing: Listing,
    /// Whether this is a list's first page; the front's introduction stands there only.
    pub first_page: bool,
    /// The token of the next page, where there is one.
    pub next: Option<String>,
    /// What is wrong with the search or the page token, as a sentence.
    pub problem: Option<String>,
}

/// `GET /products/{id}`, and the answer to a refused `POST /cart/items`.
#[derive(Debug, Clone, Template)]
#[template(path = "product.html")]
pub struct ProductPage {
    /// The frame.
    pub shell: Shell,
    /// The product.
    pub product: Product,
    /// The quantity to add.
    pub quantity: QuantityField,
    /// How many pieces of it are in the cart already.
    pub in_cart: u32,
}

// ---------------------------------------------------------------- cart and checkout

/// One product in the cart, or in the summary before ordering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CartLine {
    /// The catalogue's id of the product.
    pub product_id: String,
    /// What is known of the product: none while the catalogue is down, or when it is gone.
    pub product: Option<Product>,
    /// The quantity, and what is wrong with it: `Only 3 are left.`
    pub quantity: QuantityField,
    /// Price times quantity, formatted; none while the price is unknown.
    pub line_total: Option<String>,
}

impl CartLine {
    /// The product's name, or words that stand for it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.product
            .as_ref()
            .map_or("Product without details", |product| &product.name)
    }
}

/// `GET /cart`, and the answer to a refused `POST /cart/items/{product_id}`.
#[derive(Debug, Clone, Template)]
#[template(path = "cart.html")]
pub struct CartPage {
    /// The frame.
    pub shell: Shell,
    /// The cart's lines; empty for an empty cart.
    pub lines: Vec<CartLine>,
    /// The sum of all lines, formatted; none while a price is unknown.
    pub total: Option<String>,
    /// Whether the cart can be ordered as it is: prices known, no problem left.
    pub can_check_out: bool,
    /// Problems that belong to no field, as sentences.
    pub problems: Vec<String>,
}

impl CartPage {
    /// Whether the error summary has anything to say.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
            || self
                .lines
                .iter()
                .any(|line| line.quantity.problem.is_some())
    }
}

/// `GET /checkout`, and the answer to a refused `POST /checkout`.
#[derive(Debug, Clone, Template)]
#[template(path = "checkout.html")]
pub struct CheckoutPage {
    /// The frame.
    pub shell: Shell,
    /// What will be ordered.
    pub lines: Vec<CartLine>,
    /// The sum of all lines, formatted; none while a price is unknown.
    pub total: Option<String>,
    /// The key that makes sending the form twice place one order. The same key stays in the
    /// form when it comes back after a failure without a clear answer.
    pub idempotency_key: String,
    /// Whether the order can be placed: without it the button is left out.
    pub can_place: bool,
    /// What is wrong, as sentences.
    pub problems: Vec<String>,
}

// ---------------------------------------------------------------- orders

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderState {
    /// Placed; the stock is not reserved yet.
    Pending,
    /// The stock is reserved.
    Confirmed,
    /// On its way.
    Shipped,
    /// It could not be taken.
    Rejected(Rejection),
    /// Called off by the customer.
    Cancelled,
}

/// Why an order was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The name of the product that it failed on, where there is one.
    pub product: Option<String>,
    /// A sentence for the customer: `Only 3 are left and you asked for 5.` May be empty.
    pub reason: String,
}

impl OrderState {
    /// One word: `Pending`, `Confirmed`, `Shipped`, `Rejected`, `Cancelled`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Confirmed => "Confirmed",
            Self::Shipped => "Shipped",
            Self::Rejected(_) => "Rejected",
            Self::Cancelled => "Cancelled",
        }
    }

    /// The state in the file names of `assets/flags/`, in classes and in `data-state`.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Rejected(_) => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// What the state means, as a heading over the order's timeline.
    #[must_use]
    pub fn headline(&self) -> &'static str {
        match self {
            Self::Pending => "We have your order and are checking the stock",
            Self::Confirmed => "Your order is confirmed and being packed",
            Self::Shipped => "Your order has shipped",
            Self::Rejected(_) => "We could not take this order",
            Self::Cancelled => "This order is cancelled",
        }
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Pending | Self::Confirmed)
    }

    /// The meaning of the state's flag in the International Code of Signals.
    #[must_use]
    pub fn signal(&self) -> &'static str {
        match self {
            Self::Pending => "Answering pennant: signal received",
            Self::Confirmed => "Flag C: affirmative",
            Self::Shipped => "Flag P, the Blue Peter: about to sail",
            Self::Rejected(_) => "Flag N: negative",
            Self::Cancelled => "Flag X: stop carrying out your intentions",
        }
    }
}

/// An order's state with what its timeline needs: the part of the page that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStatus {
    /// The order's id, as it stands in its address.
    pub order_id: String,
    /// Where the order stands.
    pub state: OrderState,
    /// When it was placed.
    pub placed: Moment,
    /// When it was confirmed, if that is known.
    pub confirmed: Option<Moment>,
    /// When it came to its end (shipped, rejected or cancelled), if that is known.
    pub ended: Option<Moment>,
    /// Whether the customer may cancel it now.
    pub can_cancel: bool,
}

/// One step of an order's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// The state that the step stands for.
    pub state: OrderState,
    /// When it was reached, if that is known.
    pub at: Option<&'a Moment>,
    /// Whether the order is past it, at it, or not there yet.
    pub reached: Reached,
}

/// Whether a timeline's step lies behind, is the present one, or lies ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Behind.
    Done,
    /// The present state.
    Now,
    /// Ahead.
    Ahead,
}

impl Reached {
    /// The suffix of the style sheet's `step-` class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Ahead => "ahead",
        }
    }
}

impl OrderStatus {
    /// The timeline: the way of a good order, or the way to its early end.
    #[must_use]
    pub fn steps(&self) -> Vec<Step<'_>> {
        use Reached::{Ahead, Done, Now};
        let step = |state: OrderState, at, reached| Step { state, at, reached };
        let placed = |reached| step(OrderState::Pending, Some(&self.placed), reached);
        let confirmed = |reached| step(OrderState::Confirmed, self.confirmed.as_ref(), reached);
        match &self.state {
            OrderState::Pending => vec![
                placed(Now),
                step(OrderState::Confirmed, None, Ahead),
                step(OrderState::Shipped, None, Ahead),
            ],
            OrderState::Confirmed => vec![
                placed(Done),
                confirmed(Now),
                step(OrderState::Shipped, None, Ahead),
            ],
            OrderState::Shipped => vec![
                placed(Done),
                confirmed(Done),
                step(OrderState::Shipped, self.ended.as_ref(), Now),
            ],
            ended @ (OrderState::Rejected(_) | OrderState::Cancelled) => {
                let mut steps = vec![placed(Done)];
                if self.confirmed.is_some() {
                    steps.push(confirmed(Done));
                }
                steps.push(step(ended.clone(), self.ended.as_ref(), Now));
                steps
            }
        }
    }
}

/// One product of an order, at the price that was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderLine {
    /// The catalogue's id of the product.
    pub product_id: String,
    /// The product's name, or its id where the name is unknown.
    pub name: String,
    /// The picture's path; `default.svg` while the product is unknown.
    pub picture: String,
    /// Pieces ordered.
    pub quantity: u32,
    /// The price of one piece; none before the order is confirmed.
    pub unit_price: Option<String>,
    /// Price times quantity; none before the order is confirmed.
    pub line_total: Option<String>,
}

/// `GET /orders/{id}`, and the answer to a refused `POST /orders/{id}/cancel`.
#[derive(Debug, Clone, Template)]
#[template(path = "order.html")]
pub struct OrderPage {
    /// The frame.
    pub shell: Shell,
    /// The part that changes.
    pub status: OrderStatus,
    /// What was ordered.
    pub lines: Vec<OrderLine>,
    /// The sum; none before the order is confirmed.
    pub total: Option<String>,
}

/// The data of an `order` event on `GET /orders/{id}/events`: replaces `#order-status`.
#[derive(Debug, Clone, Template)]
#[template(path = "order_status.html")]
pub struct OrderStatusFragment {
    /// The part that changes.
    pub status: OrderStatus,
}

/// One order in the list of orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order's id, as it stands in its address.
    pub id: String,
    /// Where it stands.
    pub state: OrderState,
    /// When it was placed.
    pub placed: Moment,
    /// What is in it, in a few words: `Enamel mug and 2 others`; `3 pieces` where names are unknown.
    pub summary: String,
    /// The sum; none before the order is confirmed.
    pub total: Option<String>,
}

/// What `GET /orders` can show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderListing {
    /// One page of orders, newest first; may be empty.
    Found(Vec<OrderRow>),
    /// The order service does not answer.
    Unavailable,
}

/// `GET /orders`: the customer's orders.
#[derive(Debug, Clone, Template)]
#[template(path = "orders.html")]
pub struct OrdersPage {
    /// The frame.
    pub shell: Shell,
    /// The orders of this page.
    pub listing: OrderListing,
    /// The token of the next page, where there is one.
    pub next: Option<String>,
}

// ---------------------------------------------------------------- when it goes wrong

/// Any page that could not be shown, except [`NotFoundPage`].
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The frame.
    pub shell: Shell,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in a few words, without a full stop.
    pub title: String,
    /// What happened and what to do, in a sentence or two; never internal text.
    pub text: String,
    /// The id of the request, for asking about it.
    pub request_id: Option<String>,
}

impl ErrorPage {
    /// 503: a page that is nothing without the catalogue.
    #[must_use]
    pub fn catalog_down(shell: Shell, request_id: Option<String>) -> Self {
        Self::from_notice(shell, 503, Notice::catalog_down(), request_id)
    }

    /// 503: a page that is nothing without the order service.
    #[must_use]
    pub fn orders_down(shell: Shell, request_id: Option<String>) -> Self {
        Self::from_notice(shell, 503, Notice::orders_down(), request_id)
    }

    /// 403: a form that was not sent from this shop.
    #[must_use]
    pub fn cross_site(shell: Shell, request_id: Option<String>) -> Self {
        Self {
            shell,
            status: 403,
            title: "This form came from somewhere else".into(),
            text: "For your safety the shop only takes forms that were sent from its own pages. \
                   Nothing was changed. Please go back to the shop and try again."
                .into(),
            request_id,
        }
    }

    /// 500: anything that should not happen.
    #[must_use]
    pub fn internal(shell: Shell, request_id: Option<String>) -> Self {
        Self {
            shell,
            status: 500,
            title: "Something broke on our side".into(),
            text: "It has been written into our log. Your cart is as you left it. \
                   Please try again in a minute."
                .into(),
            request_id,
        }
    }

    fn from_notice(shell: Shell, status: u16, notice: Notice, request_id: Option<String>) -> Self {
        Self {
            shell,
            status,
            title: notice.title,
            text: notice.text,
            request_id,
        }
    }
}

/// 404: no such page, product or order.
#[derive(Debug, Clone, Template)]
#[template(path = "not_found.html")]
pub struct NotFoundPage {
    /// The frame.
    pub shell: Shell,
    /// What is not there.
    pub what: Missing,
}

/// What a [`NotFoundPage`] did not find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing stands at this address.
    Page,
    /// The product was never there or is gone.
    Product,
    /// The order does not exist, or belongs to somebody else.
    Order,
}

impl Missing {
    /// What the page says about it.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Page => "There is nothing at this address.",
            Self::Product => "This product is not in our catalogue, or no longer.",
            Self::Order => "There is no such order among yours.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_groups_thousands_and_keeps_both_minor_digits() {
        assert_eq!(price(0, "EUR"), "€0.00");
        assert_eq!(price(5, "EUR"), "€0.05");
        assert_eq!(price(124_900, "EUR"), "€1,249.00");
        assert_eq!(price(123_456_789, "EUR"), "€1,234,567.89");
        assert_eq!(price(i64::MIN, "EUR"), "-€92,233,720,368,547,758.08");
    }

    #[test]
    fn price_knows_currencies_without_minor_digits_and_without_a_sign() {
        assert_eq!(price(1200, "JPY"), "¥1,200");
        assert_eq!(price(150, "CHF"), "1.50\u{a0}CHF");
    }

    #[test]
    fn stock_names_the_number_only_when_few_are_left() {
        assert_eq!(Stock::of(0).words(), "Out of stock");
        assert_eq!(Stock::of(1).words(), "Only 1 left");
        assert_eq!(Stock::of(Stock::FEW + 1).words(), "In stock");
    }

    #[test]
    fn an_order_called_off_before_it_was_confirmed_has_two_steps() {
        let moment = Moment {
            iso: "2026-03-05T14:02:00Z".into(),
            words: "5 March 2026, 14:02 UTC".into(),
        };
        let status = OrderStatus {
            order_id: "1".into(),
            state: OrderState::Cancelled,
            placed: moment.clone(),
            confirmed: None,
            ended: Some(moment),
            can_cancel: false,
        };
        let reached: Vec<_> = status.steps().iter().map(|step| step.reached).collect();
        assert_eq!(reached, [Reached::Done, Reached::Now]);
    }
}
