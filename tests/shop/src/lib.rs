//! The shop as a program sees it: what the journey (`main.rs`) and the tests of the whole system (`tests/it`) share.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "fields are those of /api/v1/openapi.json; for a test, what is not as it should be is a panic"
)]

use std::{fmt, time::Duration};

use reqwest::{Client, RequestBuilder, header::HeaderMap};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

/// The longest shipping time that the suite puts up with, and something for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The shop at an address.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Without a slash at the end.
    pub base: String,
    http: Client,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Money {
    pub currency: String,
    pub minor_units: i64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Product {
    pub id: Uuid,
    pub sku: String,
    pub name: String,
    pub description: String,
    pub price: Money,
    pub available: i64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Order {
    pub id: Uuid,
    pub customer_id: String,
    pub state: String,
    pub lines: Vec<OrderLine>,
    pub total: Option<Money>,
    pub tracking_code: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct OrderLine {
    pub product_id: Uuid,
    pub quantity: i64,
    pub sku: Option<String>,
    pub name: Option<String>,
    pub unit_price: Option<Money>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    pub items: Vec<T>,
    pub next_page_token: Option<String>,
}

/// An answer that has been read to its end, with the request that it belongs to.
#[derive(Debug)]
pub struct Answer {
    pub request: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:.1000}", self.request, self.status, self.body)
    }
}

impl Answer {
    #[track_caller]
    pub fn must_be(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Checks that it is the problem `/problems/<slug>`, and returns it.
    #[track_caller]
    pub fn must_be_problem(self, status: u16, slug: &str) -> Value {
        let answer = self.must_be(status);
        let problem: Value = answer.json();
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{answer}"
        );
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{answer}");
        assert_eq!(problem["status"], status, "{answer}");
        assert_eq!(
            problem["request_id"],
            answer.header("x-request-id"),
            "{answer}"
        );
        problem
    }

    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap_or("not ASCII"))
    }

    /// The path and query of the next page, from the `Link` header (RFC 8288).
    pub fn next_page(&self) -> Option<String> {
        let (target, relation) = self.header("link").split_once('>')?;
        assert_eq!(relation, "; rel=\"next\"", "{self}");
        Some(target.trim_start_matches('<').to_owned())
    }
}

impl Shop {
    pub fn new(base: impl Into<String>) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(30));
        Self {
            base: base.into(),
            http: http.build().expect("an HTTP client"),
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// All products, by one request.
    pub async fn products(&self) -> Vec<Product> {
        let answer = send(self.get("/api/v1/products?page_size=100")).await;
        let list: List<Product> = answer.must_be(200).json();
        assert!(list.next_page_token.is_none(), "more than 100 products");
        list.items
    }

    /// The two products of which most is left, so that tests can be repeated.
    pub async fn two_products(&self) -> [Product; 2] {
        let mut products = self.products().await;
        products.sort_by_key(|product| -product.available);
        let [first, second, ..] = &*products else {
            panic!("only {} products", products.len());
        };
        assert!(
            second.available >= 10,
            "almost sold out; start with fresh data: {second:?}"
        );
        [first.clone(), second.clone()]
    }

    /// How many pieces of the product can be ordered.
    pub async fn available(&self, product: &Product) -> i64 {
        let answer = send(self.get(&format!("/api/v1/products/{}", product.id))).await;
        answer.must_be(200).json::<Product>().available
    }

    /// Sends [`an order`](order_of).
    pub async fn place(&self, key: &str, order: &Value) -> Answer {
        let request = self.post("/api/v1/orders").header("Idempotency-Key", key);
        send(request.json(order)).await
    }

    pub async fn cancel(&self, id: Uuid) -> Answer {
        send(self.post(&format!("/api/v1/orders/{id}/cancel"))).await
    }

    pub async fn order(&self, id: Uuid) -> Order {
        let answer = send(self.get(&format!("/api/v1/orders/{id}"))).await;
        answer.must_be(200).json()
    }

    /// The customer's orders, up to a hundred.
    pub async fn orders_of(&self, customer: &str) -> Vec<Order> {
        let path = format!("/api/v1/orders?page_size=100&customer_id={customer}");
        let list: List<Order> = send(self.get(&path)).await.must_be(200).json();
        list.items
    }

    /// Waits until the order is shipped.
    pub async fn shipped(&self, id: Uuid) -> Order {
        testkit::eventually(PATIENCE, async || {
            let order = self.order(id).await;
            if order.state == "shipped" {
                Ok(order)
            } else {
                Err(order)
            }
        })
        .await
    }
}

/// Sends a request and reads the answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.expect("a well-formed request");
    let told = format!("{} {}", request.method(), request.url());
    let response = client.execute(request).await;
    let response = response.unwrap_or_else(|error| panic!("{told}: {error:?}"));
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await;
    Answer {
        body: body.unwrap_or_else(|error| panic!("{told}: {error:?}")),
        request: told,
        status,
        headers,
    }
}

/// A customer whom nobody has heard of.
pub fn new_customer() -> String {
    format!("journey-{}", Uuid::new_v4())
}

/// An idempotency key.
pub fn new_key() -> String {
    Uuid::new_v4().to_string()
}

/// The body of an order in euros: products and how many pieces of each.
pub fn order_of(customer: &str, lines: &[(&Product, i64)]) -> Value {
    let line = |(product, quantity): &(&Product, i64)| json!({"product_id": product.id, "quantity": quantity});
    let lines: Vec<_> = lines.iter().map(line).collect();
    json!({"customer_id": customer, "currency": "EUR", "lines": lines})
}
