//! Through the pages as a browser without script: addresses, forms and cookies.

use std::collections::{BTreeSet, VecDeque};

use libtest_mimic::Trial;
use reqwest::{Client, RequestBuilder, redirect};
use shop::{Answer, PATIENCE, Product, Shop, new_customer, new_key, order_of, send};
use testkit::eventually;
use uuid::Uuid;

use crate::{
    Journey,
    html::{self, Form},
    trials,
};

pub(crate) fn trials(journey: &Journey) -> Vec<Trial> {
    trials!(journey, pages:
        the_front_page_shows_the_products_and_the_search_finds_some,
        quantities_in_the_cart_can_be_changed_and_products_removed,
        more_than_there_is_does_not_get_into_the_cart,
        checkout_places_the_order_and_its_page_goes_on_to_shipped,
        a_form_that_is_sent_twice_places_one_order,
        an_order_is_cancelled_by_its_form,
        an_order_is_shown_to_nobody_else,
        cookies_are_kept_from_scripts_and_from_other_sites,
        every_answer_forbids_foreign_content,
        what_another_site_sends_is_refused_and_changes_nothing,
        a_cart_that_was_tampered_with_is_empty,
        every_link_and_every_picture_leads_somewhere,
    )
}

/// Somebody with a browser that keeps cookies.
struct Visitor {
    shop: Shop,
    http: Client,
}

impl Visitor {
    fn new(shop: &Shop) -> Self {
        let http = Client::builder().cookie_store(true);
        Self {
            shop: shop.clone(),
            http: http.build().expect("an HTTP client"),
        }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.shop.base))
    }

    fn post(&self, form: &Form) -> RequestBuilder {
        assert_eq!(form.method, "post", "{form:?}");
        let request = self.http.post(format!("{}{}", self.shop.base, form.action));
        request.form(&form.fields)
    }

    async fn open(&self, path: &str) -> Page {
        Page::of(send(self.get(path)).await.must_be(200))
    }

    /// Sends a form and follows where it leads.
    async fn submit(&self, form: &Form) -> Page {
        Page::of(send(self.post(form)).await.must_be(200))
    }

    /// Puts so many pieces of a product into the cart.
    async fn add(&self, product: &Product, quantity: i64) -> Page {
        let page = self.open(&format!("/products/{}", product.id)).await;
        let form = page
            .form("/cart/items")
            .with("quantity", &quantity.to_string());
        self.submit(&form).await
    }

    /// Orders what is in the cart. Returns the order's page.
    async fn check_out(&self) -> Page {
        let form = self.open("/checkout").await.form("/checkout");
        self.submit(&form).await
    }
}

/// A page that was shown.
struct Page(Answer);

impl Page {
    #[track_caller]
    fn of(answer: Answer) -> Self {
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{answer}"
        );
        forbids_foreign_content(&answer);
        Self(answer)
    }

    /// The form with this action.
    #[track_caller]
    fn form(&self, action: &str) -> Form {
        let found = html::forms(&self.0.body)
            .into_iter()
            .find(|form| form.action == action);
        found.unwrap_or_else(|| panic!("no form to {action} on {}", self.0))
    }

    fn values(&self, attribute: &str) -> Vec<String> {
        html::values(&self.0.body, attribute)
    }

    fn cart_count(&self) -> String {
        self.values("data-cart-count").concat()
    }

    fn state(&self) -> String {
        self.values("data-state").concat()
    }

    /// The id of the order that the page shows.
    #[track_caller]
    fn order(&self) -> Uuid {
        let cancel = html::forms(&self.0.body)
            .into_iter()
            .find(|form| form.action.ends_with("/cancel"));
        let cancel =
            cancel.unwrap_or_else(|| panic!("no order that can be cancelled on {}", self.0));
        let id = cancel
            .action
            .split('/')
            .nth(2)
            .and_then(|id| id.parse().ok());
        id.unwrap_or_else(|| panic!("no order in {}", cancel.action))
    }
}

/// Nothing from elsewhere and nothing inline runs in the page, and nobody frames it.
#[track_caller]
fn forbids_foreign_content(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "no {rule} in {policy:?}: {answer}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name} of {answer}");
    }
    assert!(!answer.header("x-request-id").is_empty(), "{answer}");
}

async fn the_front_page_shows_the_products_and_the_search_finds_some(shop: Shop) {
    let products = shop.products().await;
    let visitor = Visitor::new(&shop);
    let skus = |products: &[Product]| {
        products
            .iter()
            .map(|product| product.sku.clone())
            .collect::<Vec<_>>()
    };
    let front = visitor.open("/").await;
    assert_eq!(
        front.values("data-sku"),
        skus(&products[..products.len().min(24)])
    );

    let search = html::forms(&front.0.body)
        .into_iter()
        .find(|form| form.method == "get");
    assert_eq!(
        search.map(|form| (form.action, form.fields)),
        Some(("/".into(), vec![("q".into(), String::new())]))
    );
    let mut found = products.clone();
    found.retain(|product| format!("{product:?}").to_lowercase().contains("brass"));
    assert_eq!(
        visitor.open("/?q=Brass").await.values("data-sku"),
        skus(&found)
    );
    assert!(
        visitor
            .open("/?q=no+such+thing")
            .await
            .values("data-sku")
            .is_empty()
    );
}

async fn quantities_in_the_cart_can_be_changed_and_products_removed(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    assert_eq!(visitor.open("/cart").await.cart_count(), "0");
    visitor.add(&one, 1).await;
    let page = visitor.add(&two, 2).await;
    assert_eq!(page.cart_count(), "3");
    assert!(
        page.0
            .body
            .contains(&format!("{} is in your cart", two.name)),
        "{}",
        page.0
    );

    let cart = visitor.open("/cart").await;
    assert_eq!(
        cart.values("data-product"),
        [one.id.to_string(), two.id.to_string()]
    );
    let change = cart
        .form(&format!("/cart/items/{}", one.id))
        .with("quantity", "4");
    let cart = visitor.submit(&change).await;
    assert_eq!(cart.cart_count(), "6");
    assert_eq!(cart.form(&change.action).field("quantity"), "4");

    let remove = cart
        .form(&format!("/cart/items/{}", two.id))
        .with("quantity", "0");
    let cart = visitor.submit(&remove).await;
    assert_eq!(cart.values("data-product"), [one.id.to_string()]);
    assert_eq!(cart.cart_count(), "4");
    // An old form of what is no longer in it puts nothing back.
    assert_eq!(
        visitor
            .submit(&remove.with("quantity", "5"))
            .await
            .cart_count(),
        "4"
    );
}

async fn more_than_there_is_does_not_get_into_the_cart(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    let form = visitor
        .open(&format!("/products/{}", one.id))
        .await
        .form("/cart/items");
    for quantity in [
        (one.available + 1).to_string(),
        "0".into(),
        "-1".into(),
        "1001".into(),
        "many".into(),
    ] {
        let refused = send(visitor.post(&form.clone().with("quantity", &quantity)))
            .await
            .must_be(422);
        let page = Page::of(refused);
        assert_eq!(page.form("/cart/items").field("quantity"), quantity);
        assert!(page.0.body.contains("role=\"alert\""), "{}", page.0);
        assert_eq!(page.cart_count(), "0");
    }
}

async fn checkout_places_the_order_and_its_page_goes_on_to_shipped(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    visitor.add(&one, 1).await;
    visitor.add(&two, 1).await;
    let page = visitor.check_out().await;
    assert_eq!(page.cart_count(), "0");
    assert!(
        ["pending", "confirmed"].contains(&&*page.state()),
        "{}",
        page.0
    );
    assert_eq!(
        page.values("data-product"),
        [one.id.to_string(), two.id.to_string()]
    );
    assert!(
        page.0
            .body
            .contains("<noscript><meta http-equiv=\"refresh\""),
        "does not refresh itself without script"
    );

    let address = format!("/orders/{}", page.order());
    let shipped = eventually(PATIENCE, async || {
        let page = visitor.open(&address).await;
        if page.state() == "shipped" {
            Ok(page)
        } else {
            Err(page.state())
        }
    })
    .await;
    assert!(
        !shipped.0.body.contains("http-equiv"),
        "refreshes for nothing"
    );
    assert_eq!(
        visitor.open("/orders").await.values("data-order"),
        [page.order().to_string()]
    );
    assert_eq!(shop.available(&one).await, one.available - 1);
    assert_eq!(shop.available(&two).await, two.available - 1);
}

async fn a_form_that_is_sent_twice_places_one_order(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    visitor.add(&one, 1).await;
    let form = visitor.open("/checkout").await.form("/checkout");
    let (first, second) = tokio::join!(visitor.submit(&form), visitor.submit(&form));
    // By now the cart is empty.
    let late = visitor.submit(&form).await;
    assert_eq!(
        [first.order(), first.order()],
        [second.order(), late.order()]
    );
    assert_eq!(
        visitor.open("/orders").await.values("data-order"),
        [first.order().to_string()]
    );
    assert_eq!(shop.available(&one).await, one.available - 1);
    shop.cancel(first.order()).await;
}

async fn an_order_is_cancelled_by_its_form(shop: Shop) {
    let [one, _] = shop.two_products().await;
    for attempt in 1.. {
        let visitor = Visitor::new(&shop);
        visitor.add(&one, 1).await;
        let page = visitor.check_out().await;
        let form = page.form(&format!("/orders/{}/cancel", page.order()));
        let answer = send(visitor.post(&form)).await;
        // Where shipping takes no time, the parcel may be out of the door already.
        if answer.status == 409 && attempt < 5 {
            continue;
        }
        assert_eq!(Page::of(answer.must_be(200)).state(), "cancelled");
        assert_eq!(shop.order(page.order()).await.state, "cancelled");
        return;
    }
}

async fn an_order_is_shown_to_nobody_else(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let (visitor, other) = (Visitor::new(&shop), Visitor::new(&shop));
    visitor.add(&one, 1).await;
    let page = visitor.check_out().await;
    let id = page.order();
    other.add(&one, 1).await;
    other.open("/checkout").await;
    for path in [format!("/orders/{id}"), format!("/orders/{id}/events")] {
        send(other.get(&path)).await.must_be(404);
    }
    send(other.post(&page.form(&format!("/orders/{id}/cancel"))))
        .await
        .must_be(404);
    assert!(other.open("/orders").await.values("data-order").is_empty());
    shop.cancel(id).await;
}

async fn cookies_are_kept_from_scripts_and_from_other_sites(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let http = Client::builder()
        .cookie_store(true)
        .redirect(redirect::Policy::none());
    let visitor = Visitor {
        shop: shop.clone(),
        http: http.build().expect("an HTTP client"),
    };
    let form = visitor
        .open(&format!("/products/{}", one.id))
        .await
        .form("/cart/items");
    let added = send(visitor.post(&form)).await.must_be(303);
    let checkout = send(visitor.get("/checkout")).await.must_be(200);
    let cookies: Vec<_> = [added, checkout].iter().flat_map(cookies_of).collect();
    let names: BTreeSet<_> = cookies
        .iter()
        .filter_map(|cookie| cookie.split('=').next())
        .collect();
    assert!(
        names.is_superset(&BTreeSet::from(["cart", "customer"])),
        "{names:?}"
    );
    for cookie in &cookies {
        let flags: Vec<_> = cookie.split("; ").skip(1).collect();
        for flag in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            // A cookie that is removed carries nothing.
            assert!(
                flags.contains(&flag) || flags.contains(&"Max-Age=0"),
                "no {flag} in {cookie}"
            );
        }
    }
}

fn cookies_of(answer: &Answer) -> Vec<String> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    cookies
        .map(|cookie| cookie.to_str().expect("ASCII").to_owned())
        .collect()
}

async fn every_answer_forbids_foreign_content(shop: Shop) {
    let visitor = Visitor::new(&shop);
    for (path, status) in [
        ("/", 200),
        ("/cart", 200),
        ("/orders", 200),
        ("/checkout", 200),
        ("/nowhere", 404),
        ("/products/nothing", 404),
        ("/orders/00000000-0000-4000-8000-000000000000", 404),
        ("/?page_token=nonsense", 400),
        ("/assets/shop.css", 200),
        ("/assets/shop.js", 200),
        ("/assets/nothing.css", 404),
        ("/api/v1/products", 200),
        ("/api/v1/nothing", 404),
    ] {
        let answer = send(visitor.get(path)).await.must_be(status);
        forbids_foreign_content(&answer);
        if answer.header("content-type").starts_with("text/html") {
            assert_eq!(answer.header("cache-control"), "no-store", "{answer}");
            for inline in [
                "<script>",
                "<style",
                " style=\"",
                " onclick=\"",
                "javascript:",
            ] {
                assert!(!answer.body.contains(inline), "{inline} on {path}");
            }
        }
    }
}

async fn what_another_site_sends_is_refused_and_changes_nothing(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    visitor.add(&one, 1).await;
    let add = visitor
        .open(&format!("/products/{}", two.id))
        .await
        .form("/cart/items");
    let place = visitor.open("/checkout").await.form("/checkout");
    let customer = new_customer();
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://shop.example"),
        ("Origin", "null"),
    ] {
        for form in [&add, &place] {
            let refused = send(visitor.post(form).header(name, value))
                .await
                .must_be(403);
            Page::of(refused);
        }
        let order = shop
            .post("/api/v1/orders")
            .header("Idempotency-Key", new_key())
            .header(name, value);
        let refused = send(order.json(&order_of(&customer, &[(&one, 1)]))).await;
        refused.must_be_problem(403, "cross-site-request");
    }
    assert_eq!(
        visitor.open("/cart").await.values("data-product"),
        [one.id.to_string()]
    );
    assert!(
        visitor
            .open("/orders")
            .await
            .values("data-order")
            .is_empty()
    );
    assert!(shop.orders_of(&customer).await.is_empty());
    assert_eq!(shop.available(&one).await, one.available);

    // What the shop's own page sends passes.
    let own = send(
        visitor
            .post(&add)
            .header("Origin", &shop.base)
            .header("Sec-Fetch-Site", "same-origin"),
    );
    assert_eq!(Page::of(own.await.must_be(200)).cart_count(), "2");
}

async fn a_cart_that_was_tampered_with_is_empty(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let client = Client::builder().redirect(redirect::Policy::none());
    let client = client.build().expect("an HTTP client");
    let form = Visitor::new(&shop)
        .open(&format!("/products/{}", one.id))
        .await
        .form("/cart/items");
    let request = client
        .post(format!("{}{}", shop.base, form.action))
        .form(&form.fields);
    let added = send(request).await.must_be(303);
    let cart = cookies_of(&added)
        .into_iter()
        .find(|cookie| cookie.starts_with("cart="));
    let cart = cart
        .expect("a cart")
        .split(';')
        .next()
        .expect("its value")
        .to_owned();

    let (one, two) = (one.id.simple().to_string(), two.id.simple().to_string());
    assert!(cart.contains(&one), "{cart}");
    for (cookie, count) in [
        (cart.clone(), "1"),
        (cart.replace(&one, &two), "0"),
        (cart.replace(".1", ".2"), "0"),
        (format!("cart={one}.1"), "0"),
        (cart[..cart.len() - 4].to_owned(), "0"),
        ("cart=%00%ff".to_owned(), "0"),
    ] {
        let request = client
            .get(format!("{}/cart", shop.base))
            .header("Cookie", &cookie);
        let page = Page::of(send(request).await.must_be(200));
        assert_eq!(page.cart_count(), count, "{cookie}");
    }
}

async fn every_link_and_every_picture_leads_somewhere(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let visitor = Visitor::new(&shop);
    visitor.add(&one, 1).await;
    let page = visitor.check_out().await;
    visitor.add(&two, 1).await;

    let mut known = BTreeSet::new();
    let mut open = VecDeque::from(
        [
            "/",
            "/?q=brass",
            "/?q=nothing+like+it",
            "/cart",
            "/checkout",
            "/orders",
        ]
        .map(ToOwned::to_owned),
    );
    open.push_back(format!("/orders/{}", page.order()));
    while let Some(address) = open.pop_front() {
        let path = address.split('#').next().unwrap_or_default().to_owned();
        assert!(
            path.is_empty() || path.starts_with('/'),
            "{address} leads out of the shop"
        );
        if path.is_empty() || !known.insert(path.clone()) {
            continue;
        }
        let answer = send(visitor.get(&path)).await.must_be(200);
        forbids_foreign_content(&answer);
        let media_type = answer.header("content-type");
        if media_type.starts_with("text/html") {
            open.extend(
                ["href", "src"]
                    .iter()
                    .flat_map(|name| html::values(&answer.body, name)),
            );
        } else if media_type.starts_with("text/css") {
            let urls = answer
                .body
                .split("url(")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            let urls = urls
                .map(|url| url.trim_matches(['"', '\'']))
                .filter(|url| !url.starts_with("data:"));
            open.extend(urls.map(ToOwned::to_owned));
        }
    }
    assert!(known.len() > 40, "only {known:?}");
    shop.cancel(page.order()).await;
}
