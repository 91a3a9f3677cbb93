//! Through the REST API, as `curl` would.

use std::collections::HashSet;

use libtest_mimic::Trial;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shop::{Answer, List, Order, PATIENCE, Product, Shop, new_customer, new_key, order_of, send};
use testkit::eventually;
use tokio::task::JoinSet;

use crate::{Journey, trials};

pub(crate) fn trials(journey: &Journey) -> Vec<Trial> {
    trials!(journey, api:
        about_twenty_products_have_a_price_and_a_stock,
        paging_by_link_header_visits_each_product_exactly_once,
        searching_finds_text_in_any_case,
        what_the_client_has_already_is_not_sent_again,
        a_request_id_is_echoed_and_a_traceparent_accepted,
        an_order_of_two_products_is_confirmed_and_then_shipped,
        ordering_again_with_the_same_key_gives_the_same_order_and_takes_nothing,
        a_key_cannot_be_used_for_another_order,
        twenty_requests_with_one_key_at_once_make_one_order,
        ordering_more_than_there_is_names_the_product_and_takes_nothing,
        cancelling_gives_the_stock_back_and_can_be_repeated,
        a_shipped_order_cannot_be_cancelled,
        orders_are_listed_newest_first_page_by_page,
        the_openapi_document_describes_all_that_is_used_here,
    )
}

async fn about_twenty_products_have_a_price_and_a_stock(shop: Shop) {
    let products = shop.products().await;
    assert!(
        (15..=100).contains(&products.len()),
        "{} products",
        products.len()
    );
    for product in &products {
        assert!(
            product.price.minor_units > 0 && product.available >= 0,
            "{product:?}"
        );
        assert_eq!(product.price.currency, "EUR", "{product:?}");
        assert!(
            !product.name.is_empty() && !product.description.is_empty(),
            "{product:?}"
        );
    }
    assert!(
        products
            .iter()
            .filter(|product| product.available > 0)
            .count()
            >= 10
    );
    let skus: HashSet<_> = products.iter().map(|product| &product.sku).collect();
    assert_eq!(skus.len(), products.len());
}

/// Follows the `Link` headers from `path` to the last page.
async fn all_pages<T: DeserializeOwned>(shop: &Shop, path: &str, most: usize) -> Vec<T> {
    let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let answer = send(shop.get(&path)).await.must_be(200);
        let page: List<T> = answer.json();
        next = answer.next_page();
        assert!(page.items.len() <= most, "{answer}");
        assert_eq!(page.next_page_token.is_some(), next.is_some(), "{answer}");
        items.extend(page.items);
    }
    items
}

async fn paging_by_link_header_visits_each_product_exactly_once(shop: Shop) {
    let paged: Vec<Product> = all_pages(&shop, "/api/v1/products?page_size=7", 7).await;
    assert_eq!(paged, shop.products().await);
}

async fn searching_finds_text_in_any_case(shop: Shop) {
    let products = shop.products().await;
    for text in ["brass", "BRASS", "rope-12", "7 × 50", "no such thing"] {
        let path = format!(
            "/api/v1/products?page_size=100&q={}",
            text.replace(' ', "%20")
        );
        let found: List<Product> = send(shop.get(&path)).await.must_be(200).json();
        let mut expected = products.clone();
        expected.retain(|product| {
            let Product {
                sku,
                name,
                description,
                ..
            } = product;
            let texts = [sku, name, description];
            texts
                .iter()
                .any(|one| one.to_lowercase().contains(&text.to_lowercase()))
        });
        assert_eq!(found.items, expected, "{text}");
        assert_eq!(expected.is_empty(), text == "no such thing");
    }
}

async fn what_the_client_has_already_is_not_sent_again(shop: Shop) {
    let [product, _] = shop.two_products().await;
    for path in [
        "/api/v1/products".to_owned(),
        format!("/api/v1/products/{}", product.id),
    ] {
        let first = send(shop.get(&path)).await.must_be(200);
        let etag = first.header("etag");
        assert!(!etag.is_empty(), "{first}");
        let again = send(shop.get(&path).header("If-None-Match", etag))
            .await
            .must_be(304);
        assert_eq!((again.header("etag"), &*again.body), (etag, ""));
        send(shop.get(&path).header("If-None-Match", "\"other\""))
            .await
            .must_be(200);
    }
}

async fn a_request_id_is_echoed_and_a_traceparent_accepted(shop: Shop) {
    let id = new_key();
    for traceparent in [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "nonsense",
    ] {
        let request = shop.get("/api/v1/products?page_size=1");
        let request = request
            .header("X-Request-Id", &id)
            .header("traceparent", traceparent);
        assert_eq!(send(request).await.must_be(200).header("x-request-id"), id);
    }
    let unfit = "an id with spaces";
    let answer = send(shop.get("/api/v1/products").header("X-Request-Id", unfit)).await;
    assert!(!["", unfit].contains(&answer.must_be(200).header("x-request-id")));
}

/// The order in the answer to a request that placed one.
#[track_caller]
fn placed(answer: Answer) -> Order {
    let answer = answer.must_be(201);
    let order: Order = answer.json();
    assert_eq!(
        answer.header("location"),
        format!("/api/v1/orders/{}", order.id),
        "{answer}"
    );
    order
}

async fn an_order_of_two_products_is_confirmed_and_then_shipped(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let customer = new_customer();
    let order = shop
        .place(&new_key(), &order_of(&customer, &[(&one, 2), (&two, 1)]))
        .await;
    let order = placed(order);

    assert_eq!(
        (&*order.state, &order.customer_id),
        ("confirmed", &customer)
    );
    let total = 2 * one.price.minor_units + two.price.minor_units;
    assert_eq!(
        order.total.as_ref().map(|total| total.minor_units),
        Some(total),
        "{order:?}"
    );
    for (line, (product, quantity)) in order.lines.iter().zip([(&one, 2), (&two, 1)]) {
        assert_eq!((line.product_id, line.quantity), (product.id, quantity));
        assert_eq!(
            (&line.sku, &line.name),
            (&Some(product.sku.clone()), &Some(product.name.clone()))
        );
        assert_eq!(line.unit_price.as_ref(), Some(&product.price));
    }
    assert_eq!(shop.available(&one).await, one.available - 2);
    assert_eq!(shop.available(&two).await, two.available - 1);

    let shipped = shop.shipped(order.id).await;
    assert!(shipped.tracking_code.is_some_and(|code| !code.is_empty()));
    assert_eq!((shipped.total, shipped.lines), (order.total, order.lines));
    assert_eq!(shop.available(&one).await, one.available - 2);
    assert_eq!(shop.available(&two).await, two.available - 1);
}

/// Puts an order's stock back on the shelves, unless it has been shipped in the meantime.
async fn give_back(shop: &Shop, order: &Order) {
    let status = shop.cancel(order.id).await.status;
    assert!([200, 409].contains(&status), "cancelling answered {status}");
}

async fn ordering_again_with_the_same_key_gives_the_same_order_and_takes_nothing(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let (customer, key) = (new_customer(), new_key());
    let first = placed(
        shop.place(&key, &order_of(&customer, &[(&one, 1), (&two, 1)]))
            .await,
    );
    let left = (shop.available(&one).await, shop.available(&two).await);

    // The order of the lines is not part of the content.
    let again = shop
        .place(&key, &order_of(&customer, &[(&two, 1), (&one, 1)]))
        .await;
    assert_eq!(again.header("idempotent-replayed"), "true", "{again}");
    let again = placed(again);

    assert_eq!(
        (again.id, &again.lines, &again.total),
        (first.id, &first.lines, &first.total)
    );
    assert_eq!(
        (shop.available(&one).await, shop.available(&two).await),
        left
    );
    assert_eq!(shop.orders_of(&customer).await.len(), 1);
    give_back(&shop, &first).await;
}

async fn a_key_cannot_be_used_for_another_order(shop: Shop) {
    let [one, two] = shop.two_products().await;
    let (customer, key) = (new_customer(), new_key());
    let first = placed(shop.place(&key, &order_of(&customer, &[(&one, 1)])).await);

    for other in [
        order_of(&customer, &[(&one, 2)]),
        order_of(&customer, &[(&two, 1)]),
    ] {
        shop.place(&key, &other)
            .await
            .must_be_problem(422, "idempotency-key-reused");
    }
    let [first_only] = &*shop.orders_of(&customer).await else {
        panic!("{customer} does not have one order");
    };
    assert_eq!(first_only.id, first.id);

    // Keys belong to their customers.
    let other = placed(
        shop.place(&key, &order_of(&new_customer(), &[(&one, 1)]))
            .await,
    );
    assert_ne!(other.id, first.id);
    give_back(&shop, &first).await;
    give_back(&shop, &other).await;
}

async fn twenty_requests_with_one_key_at_once_make_one_order(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let (customer, key) = (new_customer(), new_key());
    let body = order_of(&customer, &[(&one, 1)]);
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (shop, key, body) = (shop.clone(), key.clone(), body.clone());
        requests.spawn(async move { shop.place(&key, &body).await });
    }
    let answers = requests.join_all().await;

    let replayed = |answer: &&Answer| answer.header("idempotent-replayed") == "true";
    // The first too, when the gateway had to send it twice.
    assert!(answers.iter().filter(replayed).count() >= 19);
    let ids: HashSet<_> = answers
        .into_iter()
        .map(|answer| placed(answer).id)
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(shop.available(&one).await, one.available - 1);
    let [order] = &*shop.orders_of(&customer).await else {
        panic!("{customer} does not have one order");
    };
    give_back(&shop, order).await;
}

async fn ordering_more_than_there_is_names_the_product_and_takes_nothing(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let products = shop.products().await;
    let few = |product: &&Product| product.available < 1000 && product.id != one.id;
    let scarce = products
        .iter()
        .filter(few)
        .max_by_key(|product| product.available);
    let scarce = scarce.expect("a product with less than 1,000 pieces");

    let body = order_of(
        &new_customer(),
        &[(&one, 1), (scarce, scarce.available + 1)],
    );
    let problem = shop
        .place(&new_key(), &body)
        .await
        .must_be_problem(409, "out-of-stock");

    assert_eq!(problem["product_id"], scarce.id.to_string(), "{problem}");
    assert_eq!(
        problem["errors"][0]["field"], "lines[1].quantity",
        "{problem}"
    );
    assert_eq!(shop.products().await, products);
    let instance = problem["instance"]
        .as_str()
        .expect("the rejected order's address");
    let order: Order = send(shop.get(instance)).await.must_be(200).json();
    assert_eq!(order.state, "rejected");
}

async fn cancelling_gives_the_stock_back_and_can_be_repeated(shop: Shop) {
    let [one, _] = shop.two_products().await;
    // Where shipping takes no time, the parcel may be out of the door already.
    for attempt in 1.. {
        let before = shop.available(&one).await;
        let order = placed(
            shop.place(&new_key(), &order_of(&new_customer(), &[(&one, 3)]))
                .await,
        );
        let answer = shop.cancel(order.id).await;
        if answer.status == 409 && attempt < 5 {
            continue;
        }
        let cancelled: Order = answer.must_be(200).json();
        assert_eq!((cancelled.id, &*cancelled.state), (order.id, "cancelled"));
        eventually(PATIENCE, async || {
            let left = shop.available(&one).await;
            if left == before { Ok(()) } else { Err(left) }
        })
        .await;

        let again: Order = shop.cancel(order.id).await.must_be(200).json();
        assert_eq!(again, cancelled);
        assert_eq!(shop.available(&one).await, before);
        return;
    }
}

async fn a_shipped_order_cannot_be_cancelled(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let order = placed(
        shop.place(&new_key(), &order_of(&new_customer(), &[(&one, 1)]))
            .await,
    );
    let shipped = shop.shipped(order.id).await;
    let left = shop.available(&one).await;
    shop.cancel(order.id)
        .await
        .must_be_problem(409, "order-not-cancellable");
    assert_eq!(shop.order(order.id).await, shipped);
    assert_eq!(shop.available(&one).await, left);
}

async fn orders_are_listed_newest_first_page_by_page(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let (customer, body) = (new_customer(), |customer: &str| {
        order_of(customer, &[(&one, 1)])
    });
    let mut placed_ids = Vec::new();
    for _ in 0..3 {
        let order = placed(shop.place(&new_key(), &body(&customer)).await);
        give_back(&shop, &order).await;
        placed_ids.insert(0, order.id);
    }
    let path = format!("/api/v1/orders?customer_id={customer}&page_size=2");
    let listed: Vec<Order> = all_pages(&shop, &path, 2).await;
    let ids: Vec<_> = listed.iter().map(|order| order.id).collect();
    assert_eq!(ids, placed_ids);
    assert!(listed.iter().all(|order| order.customer_id == customer));
    assert!(shop.orders_of(&new_customer()).await.is_empty());
}

async fn the_openapi_document_describes_all_that_is_used_here(shop: Shop) {
    let document: Value = send(shop.get("/api/v1/openapi.json"))
        .await
        .must_be(200)
        .json();
    let version = document["openapi"].as_str().unwrap_or_default();
    assert!(version.starts_with("3.1."), "version {version}");
    for (method, path, statuses) in [
        ("get", "/api/v1/products", &["200", "304", "400"][..]),
        (
            "get",
            "/api/v1/products/{id}",
            &["200", "304", "400", "404"],
        ),
        ("get", "/api/v1/orders", &["200", "400"]),
        (
            "post",
            "/api/v1/orders",
            &["201", "202", "400", "409", "413", "415", "422"],
        ),
        ("get", "/api/v1/orders/{id}", &["200", "400", "404"]),
        (
            "post",
            "/api/v1/orders/{id}/cancel",
            &["200", "403", "404", "409"],
        ),
    ] {
        for status in statuses {
            let response = &document["paths"][path][method]["responses"][status];
            assert!(
                response["description"].is_string(),
                "{method} {path}: {status} is not described"
            );
        }
    }
}
