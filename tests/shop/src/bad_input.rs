//! Input that no shop should take: each case gets exactly the right answer, and nothing is written.

use libtest_mimic::Trial;
use serde_json::{Value, json};
use shop::{List, Product, Shop, new_customer, new_key, order_of, send};
use uuid::Uuid;

use crate::{
    Journey,
    raw::{self, Request},
};

/// What the cases are made from.
struct Visit {
    product: Product,
    other: Product,
    customer: String,
    /// A good page token of the product list with pages of one.
    token: String,
}

struct Case {
    name: &'static str,
    request: fn(&Visit) -> Request,
    status: u16,
    /// The problem's type, and the field that it names, if it is about one. `None`: the request doesn't get as far as
    /// the application, or is no part of the API.
    problem: Option<(&'static str, &'static str)>,
}

const fn case(
    name: &'static str,
    status: u16,
    problem: &'static str,
    field: &'static str,
    request: fn(&Visit) -> Request,
) -> Case {
    Case {
        name,
        request,
        status,
        problem: Some((problem, field)),
    }
}

const fn bare(name: &'static str, status: u16, request: fn(&Visit) -> Request) -> Case {
    Case {
        name,
        request,
        status,
        problem: None,
    }
}

fn get(target: impl Into<Vec<u8>>) -> Request {
    Request::new("GET", target)
}

/// A `POST /orders` with a good key.
fn post(body: impl Into<Vec<u8>>) -> Request {
    let request = Request::new("POST", "/api/v1/orders").header("Idempotency-Key", new_key());
    request
        .header("Content-Type", "application/json")
        .body(body)
}

/// One piece of one product, with something else in it.
fn changed(visit: &Visit, change: impl FnOnce(&mut Value)) -> Request {
    let mut order = order_of(&visit.customer, &[(&visit.product, 1)]);
    change(&mut order);
    post(order.to_string())
}

fn quantity(visit: &Visit, quantity: &str) -> Request {
    let order = order_of(&visit.customer, &[(&visit.product, 7)]).to_string();
    assert!(order.contains(":7"));
    post(order.replace(":7", &format!(":{quantity}")))
}

/// A good order with these keys.
fn keyed(visit: &Visit, keys: &[&[u8]]) -> Request {
    let request = Request::new("POST", "/api/v1/orders").header("Content-Type", "application/json");
    let keyed = keys.iter().fold(request, |request, key| {
        request.header("Idempotency-Key", *key)
    });
    keyed.body(order_of(&visit.customer, &[(&visit.product, 1)]).to_string())
}

/// A good order sent as another media type.
fn typed(visit: &Visit, media_type: Option<&str>) -> Request {
    let request = Request::new("POST", "/api/v1/orders").header("Idempotency-Key", new_key());
    let typed = media_type
        .into_iter()
        .fold(request, |request, one| request.header("Content-Type", one));
    typed.body(order_of(&visit.customer, &[(&visit.product, 1)]).to_string())
}

/// The page token with its character at `from_end` replaced.
fn tampered(token: &str, from_end: usize) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let at = bytes.len() - 1 - from_end.min(bytes.len() - 1);
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("tokens are ASCII")
}

const UNKNOWN_ID: &str = "00000000-0000-4000-8000-000000000000";

#[rustfmt::skip] // a table
const CASES: &[Case] = &[
    // The order's lines
    case("an_unknown_product", 422, "invalid-body", "lines[0].product_id", |v| changed(v, |o| o["lines"][0]["product_id"] = UNKNOWN_ID.into())),
    case("a_product_id_that_is_no_uuid", 422, "invalid-body", "lines[0].product_id", |v| changed(v, |o| o["lines"][0]["product_id"] = "1 OR 1=1".into())),
    case("a_product_in_two_lines", 422, "invalid-body", "lines[1].product_id", |v| post(order_of(&v.customer, &[(&v.product, 1), (&v.product, 1)]).to_string())),
    case("quantity_0", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "0")),
    case("a_negative_quantity", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "-1")),
    case("a_quantity_over_the_limit", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "1001")),
    case("a_quantity_that_overflows_the_price", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "9223372036854775807")),
    case("a_quantity_of_more_than_64_bits", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "9223372036854775808")),
    case("half_a_piece", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "0.5")),
    case("a_quantity_as_text", 422, "invalid-body", "lines[0].quantity", |v| quantity(v, "\"1\"")),
    case("a_wrong_quantity_in_the_second_line", 422, "invalid-body", "lines[1].quantity", |v| post(order_of(&v.customer, &[(&v.product, 1), (&v.other, 0)]).to_string())),
    case("no_lines", 422, "invalid-body", "lines", |v| changed(v, |o| o["lines"] = json!([]))),
    case("ten_thousand_and_one_lines", 422, "invalid-body", "lines", |v| changed(v, |o| o["lines"] = (0..10_001).map(|_| json!({"product_id": Uuid::new_v4(), "quantity": 1})).collect())),
    case("lines_that_are_no_list", 422, "invalid-body", "lines", |v| changed(v, |o| o["lines"] = json!("two mugs"))),
    case("another_currency", 422, "invalid-body", "lines[0].product_id", |v| changed(v, |o| o["currency"] = "USD".into())),
    case("no_currency_code", 422, "invalid-body", "currency", |v| changed(v, |o| o["currency"] = "euro".into())),
    case("a_missing_customer", 422, "invalid-body", "customer_id", |v| changed(v, |o| drop(o.as_object_mut().and_then(|o| o.remove("customer_id"))))),
    case("an_empty_customer", 422, "invalid-body", "customer_id", |v| changed(v, |o| o["customer_id"] = "".into())),
    case("a_customer_with_markup", 422, "invalid-body", "customer_id", |v| changed(v, |o| o["customer_id"] = "<b>&'\"\u{0}".into())),
    case("an_unknown_field", 422, "invalid-body", "discount", |v| changed(v, |o| o["discount"] = 100.into())),
    case("a_field_twice", 422, "invalid-body", "currency", |v| post(order_of(&v.customer, &[(&v.product, 1)]).to_string().replacen('{', "{\"currency\":\"USD\",", 1))),
    // The key
    case("a_missing_key", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &[])),
    case("an_empty_key", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &[b""])),
    case("a_key_of_300_characters", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &[&[b'k'; 300]])),
    case("a_key_with_a_space", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &[b"my key"])),
    case("a_key_that_is_not_ascii", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &["schlüssel".as_bytes()])),
    case("two_keys", 400, "invalid-parameters", "Idempotency-Key", |v| keyed(v, &[b"one", b"two"])),
    // The body as such
    case("malformed_json", 400, "malformed-body", "", |v| post(format!("{{\"customer_id\": \"{}\",", v.customer))),
    case("something_after_the_json", 400, "malformed-body", "", |v| post(format!("{} []", order_of(&v.customer, &[(&v.product, 1)])))),
    case("an_empty_body", 400, "malformed-body", "", |_| post("")),
    case("json_nested_100000_deep", 422, "invalid-body", "[0]", |_| post("[".repeat(100_000))),
    case("lines_nested_100000_deep", 422, "invalid-body", "lines[0][0]", |v| post(format!("{{\"customer_id\":\"{}\",\"lines\":{}", v.customer, "[".repeat(100_000)))),
    case("invalid_utf8_in_the_body", 400, "malformed-body", "", |v| post([b"{\"customer_id\":\"\xff", v.customer.as_bytes(), b"\"}"].concat())),
    case("another_content_type", 415, "unsupported-media-type", "", |v| typed(v, Some("text/plain"))),
    case("no_content_type", 415, "unsupported-media-type", "", |v| typed(v, None)),
    case("a_form_instead_of_json", 415, "unsupported-media-type", "", |v| typed(v, Some("application/x-www-form-urlencoded"))),
    case("a_body_over_1_mib", 413, "body-too-large", "", |v| changed(v, |o| o["customer_id"] = "a".repeat(1 << 20).into())),
    // Parameters
    case("a_tampered_cursor", 400, "invalid-parameters", "page_token", |v| get(format!("/api/v1/products?page_size=1&page_token={}", tampered(&v.token, 4)))),
    case("a_cursor_tampered_with_in_front", 400, "invalid-parameters", "page_token", |v| get(format!("/api/v1/products?page_size=1&page_token={}", tampered(&v.token, usize::MAX)))),
    case("a_cursor_cut_short", 400, "invalid-parameters", "page_token", |v| get(format!("/api/v1/products?page_size=1&page_token={}", &v.token[..v.token.len() / 2]))),
    case("a_cursor_of_another_search", 400, "invalid-parameters", "page_token", |v| get(format!("/api/v1/products?page_size=1&q=brass&page_token={}", v.token))),
    case("a_cursor_of_another_list", 400, "invalid-parameters", "page_token", |v| get(format!("/api/v1/orders?customer_id={}&page_token={}", v.customer, v.token))),
    case("a_list_without_a_customer", 400, "invalid-parameters", "customer_id", |_| get("/api/v1/orders")),
    case("a_list_of_a_customer_with_a_quote", 400, "invalid-parameters", "customer_id", |_| get("/api/v1/orders?customer_id=%27;--")),
    case("page_size_0", 400, "invalid-parameters", "page_size", |_| get("/api/v1/products?page_size=0")),
    case("page_size_101", 400, "invalid-parameters", "page_size", |_| get("/api/v1/products?page_size=101")),
    case("page_size_in_words", 400, "invalid-parameters", "page_size", |_| get("/api/v1/products?page_size=ten")),
    case("a_parameter_twice", 400, "invalid-parameters", "q", |_| get("/api/v1/products?q=a&q=b")),
    case("an_unknown_parameter", 400, "invalid-parameters", "sort", |_| get("/api/v1/products?sort=price")),
    case("a_search_of_101_characters", 400, "invalid-parameters", "q", |_| get(format!("/api/v1/products?q={}", "a".repeat(101)))),
    case("invalid_utf8_in_the_query", 400, "invalid-parameters", "q", |_| get("/api/v1/products?q=%ff%fe")),
    case("a_nul_in_the_query", 400, "invalid-parameters", "q", |_| get("/api/v1/products?q=a%00b")),
    // Paths and methods
    case("a_product_that_is_not_there", 404, "product-not-found", "", |_| get(format!("/api/v1/products/{UNKNOWN_ID}"))),
    case("an_order_that_is_not_there", 404, "order-not-found", "", |_| get(format!("/api/v1/orders/{UNKNOWN_ID}"))),
    case("cancelling_an_order_that_is_not_there", 404, "order-not-found", "", |_| Request::new("POST", format!("/api/v1/orders/{UNKNOWN_ID}/cancel"))),
    case("an_id_that_is_no_uuid", 400, "invalid-parameters", "id", |_| get("/api/v1/products/1")),
    case("a_nul_in_the_path", 400, "invalid-parameters", "id", |_| get("/api/v1/products/%00")),
    case("invalid_utf8_in_the_path", 400, "invalid-parameters", "id", |_| get("/api/v1/products/%ff%fe")),
    case("dots_as_an_id", 400, "invalid-parameters", "id", |_| get("/api/v1/products/%2e%2e")),
    case("dots_that_climb", 404, "not-found", "", |_| get("/api/v1/products/../../../etc/passwd")),
    case("encoded_dots_that_climb", 404, "not-found", "", |_| get("/api/v1/products/%2e%2e/%2e%2e/etc/passwd")),
    case("an_empty_segment", 404, "not-found", "", |_| get("/api/v1//products")),
    case("an_unknown_route", 404, "not-found", "", |_| get("/api/v1/customers")),
    case("an_unknown_version", 404, "not-found", "", |_| get("/api/v2/products")),
    case("an_unknown_method", 405, "method-not-allowed", "", |_| Request::new("BREW", "/api/v1/orders")),
    case("a_method_that_does_not_fit", 405, "method-not-allowed", "", |_| Request::new("DELETE", "/api/v1/products")),
    bare("two_slashes_in_front", 404, |_| get("//api/v1/products")),
    bare("dots_that_climb_out_of_the_assets", 404, |_| get("/assets/../Cargo.toml")),
    bare("encoded_slashes_that_climb_out_of_the_assets", 404, |_| get("/assets/..%2f..%2fCargo.toml")),
    bare("a_nul_in_an_assets_name", 404, |_| get("/assets/shop.css%00.svg")),
    bare("a_page_of_no_product", 404, |_| get("/products/%00")),
    bare("a_tampered_cursor_of_a_page", 400, |v| get(format!("/?page_token={}", tampered(&v.token, 4)))),
    // What HTTP itself does not allow, answered by the server before the application
    bare("a_flood_of_headers", 431, |_| (0..5_000).fold(get("/api/v1/products"), |flood, n| flood.header(format!("X-Flood-{n}"), "drip"))),
    bare("a_header_of_a_megabyte", 431, |_| get("/api/v1/products").header("X-Flood", vec![b'a'; 1 << 20])),
    bare("a_path_of_70000_characters", 431, |_| get(format!("/api/v1/products/{}", "a".repeat(70_000)))),
    bare("raw_bytes_in_the_path", 400, |_| get(b"/api/v1/products/\xff\xfe".as_slice())),
    bare("a_space_in_the_path", 400, |_| get("/api/v1/products/a b")),
    bare("two_lengths_of_one_body", 400, |_| post("{}").header("Content-Length", "7")),
];

pub(crate) fn trials(journey: &Journey) -> Vec<Trial> {
    let trial = |case: &'static Case| {
        journey.trial(format!("bad_input::{}", case.name), async |shop| {
            check(&shop, case).await;
        })
    };
    CASES.iter().map(trial).collect()
}

async fn check(shop: &Shop, case: &Case) {
    let [product, other] = shop.two_products().await;
    let first_page: List<Product> = send(shop.get("/api/v1/products?page_size=1"))
        .await
        .must_be(200)
        .json();
    let visit = Visit {
        product,
        other,
        customer: new_customer(),
        token: first_page.next_page_token.expect("a second page"),
    };
    let before = shop.products().await;

    let answer = raw::send(shop, &(case.request)(&visit)).await;
    if answer.status == 405 {
        assert!(answer.header("allow").contains("GET"), "{answer}");
    }
    match case.problem {
        None => drop(answer.must_be(case.status)),
        Some((slug, field)) => {
            let problem = answer.must_be_problem(case.status, slug);
            let named = problem["errors"].as_array().into_iter().flatten();
            let named: Vec<_> = named.filter_map(|error| error["field"].as_str()).collect();
            let expected: Vec<_> = Some(field)
                .filter(|field| !field.is_empty())
                .into_iter()
                .collect();
            assert_eq!(named, expected, "{problem}");
        }
    }

    assert!(
        shop.orders_of(&visit.customer).await.is_empty(),
        "an order was written"
    );
    assert_eq!(shop.products().await, before, "stock has changed");
}
