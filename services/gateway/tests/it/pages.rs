//! The shop's pages, as a browser without script sees them.

use std::collections::BTreeSet;

use crate::harness::{Page, Shop, eventually};
use crate::world::set;

#[tokio::test]
async fn a_visitor_finds_orders_and_watches() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let mug = shop.world.stock("MUG", "Enamel mug", 950, 2);
    let visitor = shop.visitor();

    visitor
        .get("/")
        .await
        .says("Hemp rope")
        .says("€19.90")
        .says("Enamel mug")
        .says("Only 2 left");
    let found = visitor.get("/?q=mug").await;
    found
        .says("Enamel mug")
        .says_nothing_of("Hemp rope")
        .says("value=\"mug\"");
    visitor
        .get(&format!("/products/{rope}"))
        .await
        .says("Hemp rope, well made.");

    let added = visitor.put_in_cart(rope, "2").await;
    assert_eq!(
        (added.status, &*added.path),
        (200, &*format!("/products/{rope}"))
    );
    added
        .says("Hemp rope is in your cart")
        .says("2 in your cart already")
        .says("data-cart-count=\"2\"");
    visitor.get("/").await.says_nothing_of("is in your cart");
    visitor.put_in_cart(mug, "1").await;
    let cart = visitor.get("/cart").await;
    cart.says("Hemp rope")
        .says("€39.80")
        .says("€49.30")
        .says("href=\"/checkout\"");

    let changed = visitor
        .post(&format!("/cart/items/{rope}"), &[("quantity", "1")])
        .await;
    assert_eq!(changed.path, "/cart");
    changed.says("Your cart is up to date").says("€29.40");
    let removed = visitor
        .post(&format!("/cart/items/{mug}"), &[("quantity", "0")])
        .await;
    removed
        .says("Enamel mug was taken out of your cart")
        .says("€19.90");

    visitor
        .get("/checkout")
        .await
        .says("Place the order")
        .says("€19.90");
    let order = visitor.check_out().await;
    assert!(order.path.starts_with("/orders/"), "{}", order.path);
    order
        .says("Hemp rope")
        .says("€19.90")
        .says("data-state=\"confirmed\"")
        .says("data-cart-count=\"0\"");
    assert_eq!(shop.world.available(rope), 6);
    visitor
        .get("/orders")
        .await
        .says("Hemp rope")
        .says(&order.path)
        .says("Confirmed");
    shop.world.ship();
    visitor
        .get(&order.path)
        .await
        .says("data-state=\"shipped\"")
        .says_nothing_of("Cancel this order");
}

#[tokio::test]
async fn pressing_twice_orders_once() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 70);
    let visitor = shop.visitor();

    // At once, with the same cookies.
    visitor.put_in_cart(rope, "2").await;
    let key = visitor.checkout_key().await;
    let form = [("idempotency_key", &*key)];
    let (first, second) = tokio::join!(
        visitor.post("/checkout", &form),
        visitor.post("/checkout", &form)
    );
    assert_eq!(first.path, second.path);
    assert!(first.path.starts_with("/orders/"));
    // One after the other: the cart is empty by then.
    assert_eq!(visitor.post("/checkout", &form).await.path, first.path);
    assert_eq!(
        (shop.world.orders().len(), shop.world.available(rope)),
        (1, 68)
    );

    // An old form with a new cart: nothing is ordered that nobody has seen.
    visitor.put_in_cart(rope, "1").await;
    let refused = visitor.post("/checkout", &form).await;
    assert_eq!(refused.status, 422);
    refused
        .says("has become an order before")
        .says("Place the order")
        .says_nothing_of(&key);
    assert_eq!(shop.world.orders().len(), 1);
}

#[tokio::test]
async fn an_order_that_cannot_be_filled_keeps_the_cart_and_says_why() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "5").await;
    let key = visitor.checkout_key().await;
    shop.world.take(rope, 4);

    let refused = visitor
        .post("/checkout", &[("idempotency_key", &key)])
        .await;
    assert_eq!((refused.status, &*refused.path), (409, "/checkout"));
    refused.says("Only 3 are left").says("cannot be placed");
    visitor
        .get("/cart")
        .await
        .says("Only 3 are left.")
        .says_nothing_of("href=\"/checkout\"");
    visitor
        .post(&format!("/cart/items/{rope}"), &[("quantity", "3")])
        .await
        .says("href=\"/checkout\"");
    visitor.check_out().await.says("data-state=\"confirmed\"");
}

#[tokio::test]
async fn an_order_refused_at_the_last_moment_says_why_and_gets_a_new_key() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "5").await;
    let key = visitor.checkout_key().await;
    set(&shop.world.sold_out_meanwhile, true);
    let refused = visitor
        .post("/checkout", &[("idempotency_key", &key)])
        .await;
    assert_eq!((refused.status, &*refused.path), (409, "/checkout"));
    refused
        .says("5 asked for, 0 available.")
        .says_nothing_of(&key)
        .says("data-cart-count=\"5\"");
    visitor.get("/orders").await.says("Rejected");
}

#[tokio::test]
async fn quantities_that_make_no_sense_are_explained_where_they_were_typed() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 1_500);
    let bell = shop.world.stock("BELL", "Bell", 500, 0);
    let few = shop.world.stock("FEW", "Few", 500, 3);
    let visitor = shop.visitor();
    for typed in ["0", "-1", "1001", "two", "1.5", "", "99999999999999999999"] {
        let refused = visitor.put_in_cart(rope, typed).await;
        assert_eq!(refused.status, 422);
        refused
            .says("Order between 1 and 1000.")
            .says("aria-invalid=\"true\"")
            .says("Hemp rope");
        refused
            .says("data-cart-count=\"0\"")
            .says(&format!("value=\"{typed}\""));
    }
    visitor
        .put_in_cart(bell, "1")
        .await
        .says("Out of stock")
        .says("data-cart-count=\"0\"");
    visitor.put_in_cart(few, "4").await.says("Only 3 are left");
    visitor.put_in_cart(rope, "600").await;
    visitor
        .put_in_cart(rope, "600")
        .await
        .says("600 are in your cart");

    let refused = visitor
        .post(&format!("/cart/items/{rope}"), &[("quantity", "<b>")])
        .await;
    assert_eq!(refused.status, 422);
    refused
        .says("Order between 0 and 1000.")
        .says("Hemp rope")
        .says_nothing_of("<b>");
    visitor.get("/cart").await.says("value=\"600\"");
}

#[tokio::test]
async fn a_cart_takes_fifty_products() {
    let shop = Shop::open().await;
    let visitor = shop.visitor();
    for at in 0..50 {
        let id = shop.world.stock(&format!("P-{at}"), "Thing", 100, 1_000);
        visitor.put_in_cart(id, "1000").await;
    }
    let last = shop.world.stock("LAST", "Last", 100, 1);
    let refused = visitor.put_in_cart(last, "1").await;
    refused
        .says("up to 50 different products")
        .says("data-cart-count=\"50000\"");
    visitor.check_out().await.says("data-state=\"confirmed\"");
}

#[tokio::test]
async fn while_the_catalog_is_down_the_page_says_so_and_the_rest_works() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "1").await;
    let order = visitor.check_out().await;
    visitor.put_in_cart(rope, "2").await;
    let key = visitor.checkout_key().await;

    set(&shop.world.catalog_down, true);
    let front = visitor.get("/").await;
    assert_eq!(front.status, 503);
    front
        .says("The catalogue is out of reach")
        .says("data-cart-count=\"2\"");
    let product = visitor.get(&format!("/products/{rope}")).await;
    assert_eq!(product.status, 503);
    product.says("The catalogue is out of reach");
    let cart = visitor.get("/cart").await;
    assert_eq!(cart.status, 200);
    cart.says("The catalogue is out of reach")
        .says("value=\"2\"")
        .says_nothing_of("href=\"/checkout\"");
    visitor
        .post(&format!("/cart/items/{rope}"), &[("quantity", "3")])
        .await
        .says("data-cart-count=\"3\"");
    let checkout = visitor
        .post("/checkout", &[("idempotency_key", &key)])
        .await;
    assert_eq!(checkout.status, 503);
    checkout.says("The catalogue is out of reach");
    visitor.get("/orders").await.says("Hemp rope");
    visitor
        .get(&order.path)
        .await
        .says("Hemp rope")
        .says("data-state=\"confirmed\"");

    set(&shop.world.catalog_down, false);
    visitor
        .get("/cart")
        .await
        .says("€59.70")
        .says("href=\"/checkout\"");
}

#[tokio::test]
async fn while_the_order_service_is_down_the_shop_stays_open_and_the_form_keeps_its_key() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "2").await;
    let key = visitor.checkout_key().await;
    set(&shop.world.orders_down, true);
    assert_eq!(visitor.get("/").await.status, 200);
    assert_eq!(visitor.get("/cart").await.status, 200);
    let orders = visitor.get("/orders").await;
    assert_eq!(orders.status, 503);
    orders.says("The order desk does not answer");
    let refused = visitor
        .post("/checkout", &[("idempotency_key", &key)])
        .await;
    assert_eq!(refused.status, 503);
    refused
        .says(&key)
        .says("Place the order")
        .says("Orders cannot be placed")
        .says("data-cart-count=\"2\"");

    set(&shop.world.orders_down, false);
    visitor
        .post("/checkout", &[("idempotency_key", &key)])
        .await
        .says("data-state=\"confirmed\"");
}

#[tokio::test]
async fn a_pending_order_says_so_and_can_be_cancelled() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "2").await;
    set(&shop.world.saga_stuck, true);
    let order = visitor.check_out().await;
    order
        .says("data-state=\"pending\"")
        .says("Hemp rope")
        .says("http-equiv=\"refresh\"");
    visitor.get("/orders").await.says("2 pieces");
    let cancelled = visitor.post(&format!("{}/cancel", order.path), &[]).await;
    cancelled
        .says("data-state=\"cancelled\"")
        .says_nothing_of("http-equiv=\"refresh\"");

    set(&shop.world.saga_stuck, false);
    visitor.put_in_cart(rope, "1").await;
    let order = visitor.check_out().await;
    shop.world.ship();
    let late = visitor.post(&format!("{}/cancel", order.path), &[]).await;
    assert_eq!(late.status, 409);
    late.says("It is too late to cancel this order")
        .says("data-state=\"shipped\"");
}

#[tokio::test]
async fn cookies_are_signed_and_a_forged_one_counts_as_none() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let form = [
        ("product_id", rope.to_string()),
        ("quantity", "2".to_owned()),
    ];
    let added = shop.post("/cart/items").form(&form).send().await.unwrap();
    assert_eq!(added.status(), 303);
    let cookies: Vec<_> = added
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|one| one.to_str().unwrap().to_owned())
        .collect();
    for cookie in &cookies {
        assert!(
            cookie.contains("HttpOnly")
                && cookie.contains("SameSite=Lax")
                && cookie.contains("Path=/"),
            "{cookie}"
        );
        assert!(
            !cookie.contains("Secure"),
            "browsers do not keep it over http: {cookie}"
        );
    }
    let cart = cookies
        .iter()
        .find(|cookie| cookie.starts_with("cart="))
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let ask = async |cookie: &str| {
        let request = shop
            .client
            .get(format!("{}/cart", shop.url))
            .header("cookie", cookie);
        Page::of(request.send().await.unwrap()).await
    };
    ask(cart)
        .await
        .says("Hemp rope")
        .says("data-cart-count=\"2\"");
    let forged = [
        cart.replace(".2", ".9"),
        cart[..cart.len() - 1].to_owned(),
        "cart=".to_owned(),
        "cart=%00%FF".to_owned(),
        format!("cart={rope}.2"),
    ];
    for forged in forged {
        let page = ask(&forged).await;
        assert_eq!(page.status, 200, "{forged}");
        page.says("data-cart-count=\"0\"").says("Nothing in it yet");
    }

    let shop = Shop::with(&["--public-url", "https://shop.example"]).await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let form = [
        ("product_id", rope.to_string()),
        ("quantity", "2".to_owned()),
    ];
    let added = shop.post("/cart/items").form(&form).send().await.unwrap();
    assert!(
        added
            .headers()
            .get_all("set-cookie")
            .iter()
            .all(|cookie| cookie.to_str().unwrap().contains("Secure"))
    );
}

#[tokio::test]
async fn carts_survive_a_restart_when_the_key_is_set() {
    let key = "5a".repeat(64);
    let shop = Shop::with(&["--cookie-key", &key]).await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let form = [
        ("product_id", rope.to_string()),
        ("quantity", "2".to_owned()),
    ];
    let added = shop.post("/cart/items").form(&form).send().await.unwrap();
    let cart = added
        .headers()
        .get_all("set-cookie")
        .iter()
        .find(|one| one.as_bytes().starts_with(b"cart="))
        .unwrap();
    for (settings, count) in [(vec!["--cookie-key", &*key], 2), (vec![], 0)] {
        let shop = Shop::with(&settings).await;
        let request = shop
            .client
            .get(format!("{}/cart", shop.url))
            .header("cookie", cart);
        Page::of(request.send().await.unwrap())
            .await
            .says(&format!("data-cart-count=\"{count}\""));
    }
}

#[tokio::test]
async fn whatever_goes_wrong_is_told_in_words() {
    let shop = Shop::open().await;
    let visitor = shop.visitor();
    for path in [
        "/nothing",
        "/products/rope",
        "/products/018f0000-0000-7000-8000-000000000000",
        "/orders/1",
        "/orders/%FF/events",
        "/orders/018f0000-0000-4000-8000-000000000000",
        "/assets/nothing.css",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.says("Not on the chart");
    }
    for path in [
        "/?page_token=tampered",
        "/?q=%FF",
        &format!("/?q={}", "x".repeat(101)),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 400, "{path}");
        page.says("That did not work");
    }
    assert_eq!(visitor.get("/?utm_source=letter").await.status, 200);
    let wrong: [(u16, reqwest::RequestBuilder); 6] = [
        (405, shop.post("/cart")),
        (415, shop.post("/cart/items").body("product_id=x")),
        (
            404,
            shop.post("/cart/items")
                .form(&[("product_id", "x"), ("quantity", "1")]),
        ),
        (400, shop.post("/cart/items").form(&[("quantity", "1")])),
        (
            400,
            shop.post("/checkout").form(&[("idempotency_key", "x")]),
        ),
        (
            413,
            shop.post("/checkout")
                .form(&[("idempotency_key", "x".repeat(1 << 20))]),
        ),
    ];
    for (status, request) in wrong {
        let page = Page::of(request.send().await.unwrap()).await;
        assert_eq!(page.status, status, "{}", page.html);
        page.says("<h1>").says_nothing_of("problems/");
    }
}

#[tokio::test]
async fn what_people_type_is_never_markup() {
    let shop = Shop::open().await;
    let evil = "<script>alert(1)</script>\" onload=\"x";
    shop.world.stock("EVIL", evil, 100, 5);
    let visitor = shop.visitor();
    visitor
        .get("/")
        .await
        .says("&#60;script&#62;")
        .says_nothing_of("<script>alert");
    let query = "/?q=%3Cscript%3Ealert(1)%3C/script%3E%22%20onload%3D%22x";
    visitor
        .get(query)
        .await
        .says_nothing_of("<script>alert")
        .says_nothing_of("\" onload=\"");
}

#[tokio::test]
async fn after_adding_from_the_list_one_is_back_in_the_list() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let form = [
        ("product_id", rope.to_string()),
        ("quantity", "1".to_owned()),
    ];
    let own = &shop.url;
    for (referer, location) in [
        (format!("{own}/?q=rope"), "/?q=rope".to_owned()),
        (format!("{own}/"), "/".to_owned()),
        (format!("{own}//evil.example"), format!("/products/{rope}")),
        (format!("{own}/orders"), format!("/products/{rope}")),
        ("nonsense".to_owned(), format!("/products/{rope}")),
    ] {
        let added = shop
            .post("/cart/items")
            .form(&form)
            .header("referer", &referer)
            .send()
            .await
            .unwrap();
        assert_eq!(added.headers()["location"], location, "{referer}");
    }
}

#[tokio::test]
async fn everything_that_the_pages_refer_to_is_there() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    shop.world.stock("UNDRAWN", "Undrawn", 1_990, 7);
    let visitor = shop.visitor();
    visitor.put_in_cart(rope, "1").await;
    let mut html = String::new();
    for path in [
        "/",
        "/cart",
        "/checkout",
        "/orders",
        "/nothing",
        &format!("/products/{rope}"),
    ] {
        html.push_str(&visitor.get(path).await.html);
    }
    html.push_str(&visitor.check_out().await.html);
    let css = shop.get("/assets/shop.css").await.text().await.unwrap();
    let refers = |text: &str, before: &str, after: char| {
        text.split(before)
            .skip(1)
            .filter_map(|rest| rest.split(after).next())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut paths: BTreeSet<String> = [
        refers(&html, "src=\"", '"'),
        refers(&html, "href=\"", '"'),
        refers(&css, "url(\"", '"'),
    ]
    .into_iter()
    .flatten()
    .filter(|path| path.starts_with("/assets/"))
    .collect();
    assert!(paths.len() > 8, "{paths:?}");
    paths.extend(["/favicon.ico", "/robots.txt"].map(str::to_owned));
    for path in paths {
        let response = visitor
            .client
            .get(format!("{}{path}", shop.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_ne!(
            response.headers()["content-type"],
            "application/octet-stream",
            "{path}"
        );
    }
}

#[tokio::test]
async fn assets_are_kept_for_good_under_their_hash_and_revalidated_otherwise() {
    let shop = Shop::open().await;
    let plain = shop.get("/assets/shop.css").await;
    assert_eq!(plain.headers()["cache-control"], "no-cache");
    assert_eq!(plain.headers()["content-type"], "text/css; charset=utf-8");
    let etag = plain.headers()["etag"].clone();
    let again = shop
        .client
        .get(format!("{}/assets/shop.css", shop.url))
        .header("if-none-match", &etag);
    assert_eq!(again.send().await.unwrap().status(), 304);

    let page = shop.visitor().get("/").await;
    let href = page.between("rel=\"stylesheet\" href=\"", "\"");
    let hashed = shop.get(&href).await;
    assert_eq!(
        hashed.headers()["cache-control"],
        "public, max-age=31536000, immutable",
        "{href}"
    );
    assert_eq!(hashed.headers()["etag"], etag);
    let stale = shop.get("/assets/shop.css?v=0000000000000000").await;
    assert_eq!(stale.headers()["cache-control"], "no-cache");
}

#[tokio::test]
async fn readiness_does_not_depend_on_the_services_behind() {
    let shop = Shop::with(&[
        "--catalog-url",
        "http://127.0.0.1:9",
        "--orders-url",
        "http://127.0.0.1:9",
    ])
    .await;
    eventually("ready", async || {
        shop.client
            .get(format!("{}/readyz", shop.admin))
            .send()
            .await
            .is_ok_and(|response| response.status() == 200)
    })
    .await;
    shop.visitor().get("/cart").await.says("Nothing in it yet");
}
