//! The API's description is true: every operation is called, and what comes back must be described.

use boon::{Compiler, SchemaIndex, Schemas};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

use crate::harness::{Shop, order_of};
use crate::world::set;

/// The description, and a compiler that finds schemas in it.
struct Description {
    document: Value,
    schemas: Schemas,
    compiler: Compiler,
    called: BTreeSet<String>,
}

impl Description {
    async fn of(shop: &Shop) -> Self {
        let document: Value = shop.get("/api/v1/openapi.json").await.json().await.unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        compiler
            .add_resource("openapi.json", document.clone())
            .unwrap();
        Self {
            document,
            schemas: Schemas::new(),
            compiler,
            called: BTreeSet::new(),
        }
    }

    fn schema(&mut self, pointer: &[&str]) -> SchemaIndex {
        let escaped = pointer
            .iter()
            .map(|part| part.replace('~', "~0").replace('/', "~1"));
        let location = format!("openapi.json#/{}", escaped.collect::<Vec<_>>().join("/"));
        self.compiler
            .compile(&location, &mut self.schemas)
            .unwrap_or_else(|error| panic!("{location}: {error:#}"))
    }

    #[track_caller]
    fn fits(&mut self, value: &Value, pointer: &[&str]) {
        let schema = self.schema(pointer);
        if let Err(error) = self.schemas.validate(value, schema) {
            panic!("{error:#}\n{value:#}");
        }
    }

    /// The answer's status, media type and body must be described for the operation.
    async fn check(&mut self, operation: &str, response: Response) -> Value {
        let (path, method) = self.find(operation);
        self.called.insert(operation.to_owned());
        let status = response.status().as_u16().to_string();
        let described = self.document["paths"][&path][&method]["responses"][&status].clone();
        assert!(
            described.is_object(),
            "{operation} does not describe {status}"
        );
        for header in described["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
        {
            let optional = ["Link", "Idempotent-Replayed"].contains(&header.as_str());
            assert!(
                optional || response.headers().contains_key(header),
                "{operation} {status} has no {header}"
            );
        }
        let media_type = response
            .headers()
            .get("content-type")
            .map(|value| value.to_str().unwrap().to_owned());
        let body = response.bytes().await.unwrap();
        let Some(content) = described["content"].as_object() else {
            assert!(body.is_empty(), "{operation} {status} describes no body");
            return Value::Null;
        };
        let media_type = media_type.unwrap();
        assert!(
            content.contains_key(&media_type),
            "{operation} {status} does not describe {media_type}"
        );
        let body: Value = serde_json::from_slice(&body).unwrap();
        self.fits(
            &body,
            &[
                "paths",
                &path,
                &method,
                "responses",
                &status,
                "content",
                &media_type,
                "schema",
            ],
        );
        if let Some(kind) = body["type"].as_str() {
            assert!(
                described["description"].as_str().unwrap().contains(kind),
                "{operation} {status} does not describe {kind}"
            );
        }
        body
    }

    fn find(&self, operation: &str) -> (String, String) {
        for (path, methods) in self.document["paths"].as_object().unwrap() {
            for (method, described) in methods.as_object().unwrap() {
                if described["operationId"] == operation {
                    return (path.clone(), method.clone());
                }
            }
        }
        panic!("{operation} is not described");
    }

    /// A request to the operation, as its description has it.
    fn request(&self, shop: &Shop, operation: &str, id: &str) -> RequestBuilder {
        let (path, method) = self.find(operation);
        let url = format!("{}{}", shop.url, path.replace("{id}", id));
        shop.client.request(
            Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
            url,
        )
    }
}

#[tokio::test]
async fn the_description_is_complete_and_true() {
    let shop = Shop::open().await;
    let rope = shop.world.stock("ROPE-12", "Hemp rope", 1_990, 7);
    let mut api = Description::of(&shop).await;
    let rope_id = rope.to_string();
    let unknown = Uuid::new_v4().to_string();
    let valid = order_of(&[(rope, 1)]);
    api.fits(&valid, &["components", "schemas", "NewOrder"]);

    // Products.
    let list = api.request(&shop, "listProducts", "").send().await.unwrap();
    let etag = list.headers()["etag"].clone();
    api.check("listProducts", list).await;
    let paged = api
        .request(&shop, "listProducts", "")
        .query(&[("page_size", "1"), ("q", "rope")]);
    api.check("listProducts", paged.send().await.unwrap()).await;
    let unchanged = api
        .request(&shop, "listProducts", "")
        .header("if-none-match", etag);
    api.check("listProducts", unchanged.send().await.unwrap())
        .await;
    let wrong = api
        .request(&shop, "listProducts", "")
        .query(&[("page_size", "0")]);
    api.check("listProducts", wrong.send().await.unwrap()).await;
    for id in [&*rope_id, &*unknown, "rope"] {
        let get = api.request(&shop, "getProduct", id).send().await.unwrap();
        api.check("getProduct", get).await;
    }

    // Orders.
    let place = |key: &str, body: &Value| shop.order_request(key, body);
    let created = api
        .check("placeOrder", place("a", &valid).send().await.unwrap())
        .await;
    let order_id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(created["state"], "confirmed");
    set(&shop.world.saga_stuck, true);
    let pending = api
        .check("placeOrder", place("b", &valid).send().await.unwrap())
        .await;
    set(&shop.world.saga_stuck, false);
    let refused = [
        (place("a", &order_of(&[(rope, 2)])), 422),
        (place("c", &order_of(&[(rope, 100)])), 409),
        (place("d", &order_of(&[(Uuid::now_v7(), 1)])), 422),
        (place("e", &json!({})), 422),
        (place("", &valid), 400),
        (
            place("f", &valid).header("sec-fetch-site", "cross-site"),
            403,
        ),
        (
            shop.post("/api/v1/orders")
                .header("Idempotency-Key", "g")
                .body("x"),
            415,
        ),
        (
            shop.post("/api/v1/orders")
                .header("Idempotency-Key", "g")
                .header("content-type", "application/json")
                .body("{"),
            400,
        ),
        (
            shop.post("/api/v1/orders")
                .header("Idempotency-Key", "g")
                .header("content-type", "application/json")
                .body(vec![b' '; 2 << 20]),
            413,
        ),
    ];
    for (request, status) in refused {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        api.check("placeOrder", response).await;
    }
    for id in [&*order_id, pending["id"].as_str().unwrap(), &*unknown, "1"] {
        let get = api.request(&shop, "getOrder", id).send().await.unwrap();
        api.check("getOrder", get).await;
    }
    let rejected = shop
        .world
        .orders()
        .into_iter()
        .find(|order| order.rejection.is_some())
        .unwrap();
    let get = api
        .request(&shop, "getOrder", &rejected.id)
        .send()
        .await
        .unwrap();
    assert_eq!(api.check("getOrder", get).await["state"], "rejected");
    for customer in ["ada", "nobody", "?"] {
        let list = api
            .request(&shop, "listOrders", "")
            .query(&[("customer_id", customer)]);
        api.check("listOrders", list.send().await.unwrap()).await;
    }
    for id in [&*order_id, &*rejected.id, &*unknown, "1"] {
        let cancel = api.request(&shop, "cancelOrder", id).send().await.unwrap();
        api.check("cancelOrder", cancel).await;
    }
    let foreign = api
        .request(&shop, "cancelOrder", &order_id)
        .header("origin", "null");
    api.check("cancelOrder", foreign.send().await.unwrap())
        .await;

    // Bad days.
    set(&shop.world.catalog_down, true);
    set(&shop.world.orders_down, true);
    for operation in [
        "listProducts",
        "getProduct",
        "listOrders",
        "getOrder",
        "cancelOrder",
    ] {
        let request = api
            .request(&shop, operation, &rope_id)
            .query(&[("customer_id", "ada")]);
        let request = if operation == "listProducts" {
            api.request(&shop, operation, "")
        } else {
            request
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503);
        api.check(operation, response).await;
    }
    api.check("placeOrder", place("h", &valid).send().await.unwrap())
        .await;

    let described: BTreeSet<String> = api.document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(api.called, described, "an operation was not called");
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_parameter_is_explained() {
    let shop = Shop::open().await;
    let mut api = Description::of(&shop).await;
    let document = api.document.clone();
    for (name, _) in document["components"]["schemas"].as_object().unwrap() {
        api.schema(&["components", "schemas", name]);
    }
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            assert!(
                operation["summary"].is_string() && operation["tags"].is_array(),
                "{operation}"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{parameter}");
            }
        }
    }
}
