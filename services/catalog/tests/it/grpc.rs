//! The contract of `catalog.proto`, through the public door.

use std::{collections::HashMap, fmt::Debug};

use proto::catalog::v1::{
    self, AdjustStockRequest, BatchGetProductsRequest, CommitRequest, CreateProductRequest,
    GetProductRequest, GetReservationRequest, ListProductsRequest, ReleaseRequest,
    ReservationState, ReserveRequest, UpdateProductRequest,
};
use rpc::error::ErrorReason;
use testkit::Backend;
use tonic::{Code, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use uuid::Uuid;

use crate::{TestApp, eur, new_product, on_both_databases, reserve_request};

on_both_databases!(
    a_product_lives_from_creation_to_shipment,
    every_broken_field_rule_is_named_at_once_and_nothing_is_written,
    values_at_their_limits_are_taken,
    refusals_carry_a_reason_that_programs_can_read,
    listing_pages_by_token_with_the_same_filter_only,
    a_batch_comes_in_the_order_asked_for,
);

/// The fields that the status names, in its order.
fn broken<T: Debug>(answer: Result<Response<T>, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = rpc::error::violations(&status);
    assert!(
        violations
            .iter()
            .all(|violation| !violation.rule.is_empty())
    );
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// The status' code, reason and metadata.
fn refused<T: Debug>(answer: Result<T, Status>) -> (Code, String, HashMap<String, String>) {
    let status = answer.unwrap_err();
    let reason = ErrorReason::of(&status).unwrap_or_else(|| panic!("no reason: {status:?}"));
    assert_eq!(reason.domain, "catalog.slipway");
    (status.code(), reason.reason, reason.metadata)
}

async fn a_product_lives_from_creation_to_shipment(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut client = app.client.clone();
    let created = app.create("ROPE-12", 10).await;
    assert_eq!((created.revision, created.available), (1, 10));
    assert_eq!(app.product(&created.id).await, created);

    let update = UpdateProductRequest {
        id: created.id.clone(),
        name: "Rope".to_owned(),
        description: "Two lines,\none break.".to_owned(),
        price: Some(eur(1_500)),
        expected_revision: created.revision,
    };
    let updated = client.update_product(update).await.unwrap();
    let updated = updated.into_inner().product.unwrap();
    assert_eq!(updated.price, Some(eur(1_500)));
    assert_eq!(updated.sku, "ROPE-12");

    let (kept, given_up) = (Uuid::new_v4(), Uuid::new_v4());
    let line = [(created.id.as_str(), 3)];
    let reservation = app.reserve(kept, &line).await.unwrap();
    assert_eq!(reservation.state(), ReservationState::Held);
    assert_eq!(reservation.lines[0].name, "Rope");
    assert_eq!(reservation.lines[0].unit_price, Some(eur(1_500)));
    assert_eq!(app.reserve(kept, &line).await.unwrap(), reservation);
    app.reserve(given_up, &line).await.unwrap();

    let order_id = given_up.to_string();
    let released = client.release(ReleaseRequest { order_id }).await.unwrap();
    let released = released.into_inner().reservation.unwrap();
    assert_eq!(released.state(), ReservationState::Released);
    let order_id = kept.to_string();
    let committed = client.commit(CommitRequest { order_id }).await.unwrap();
    let committed = committed.into_inner().reservation.unwrap();
    assert_eq!(committed.state(), ReservationState::Committed);
    let order_id = kept.to_string();
    let read = client
        .get_reservation(GetReservationRequest { order_id })
        .await;
    assert_eq!(read.unwrap().into_inner().reservation, Some(committed));

    let id = created.id.clone();
    let adjusted = client
        .adjust_stock(AdjustStockRequest { id, delta: -2 })
        .await;
    let product = adjusted.unwrap().into_inner().product.unwrap();
    let stock = (product.available, product.reserved, product.shipped);
    assert_eq!(stock, (5, 0, 3));
    assert_eq!(app.product(&created.id).await, product);
    assert!(product.revision > updated.revision);
    assert_eq!(product.created_at, created.created_at);
}

async fn every_broken_field_rule_is_named_at_once_and_nothing_is_written(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut client = app.client.clone();
    let product = app.create("ROPE-12", 10).await;
    let id = product.id.as_str();

    let create = CreateProductRequest {
        sku: "rope".to_owned(),
        name: String::new(),
        description: "x".repeat(2_001),
        price: Some(v1::Money {
            currency: "euro".to_owned(),
            minor_units: i64::MAX,
        }),
        stock: -1,
    };
    assert_eq!(
        broken(client.create_product(create).await),
        [
            "sku",
            "name",
            "description",
            "price.minor_units",
            "price.currency",
            "stock"
        ]
    );
    let bare = CreateProductRequest {
        price: None,
        ..new_product("-ROPE", 1_000_000_001)
    };
    assert_eq!(
        broken(client.create_product(bare).await),
        ["sku", "price", "stock"]
    );
    for name in ["x".repeat(121), "a\0b".to_owned(), "a\u{7f}".to_owned()] {
        let request = CreateProductRequest {
            name,
            ..new_product("ROPE-13", 1)
        };
        assert_eq!(broken(client.create_product(request).await), ["name"]);
    }
    let update = UpdateProductRequest {
        id: "../etc/passwd".to_owned(),
        expected_revision: -1,
        price: Some(eur(-1)),
        ..UpdateProductRequest::default()
    };
    assert_eq!(
        broken(client.update_product(update).await),
        ["id", "name", "price.minor_units", "expected_revision"]
    );
    for delta in [0, 1_000_000_001, -1_000_000_001, i64::MIN] {
        let id = "1".to_owned();
        let adjust = AdjustStockRequest { id, delta };
        assert_eq!(broken(client.adjust_stock(adjust).await), ["id", "delta"]);
    }

    let reserve = ReserveRequest {
        order_id: String::new(),
        currency: "eur".to_owned(),
        lines: vec![],
    };
    assert_eq!(
        broken(client.reserve(reserve).await),
        ["order_id", "currency", "lines"]
    );
    let lines = [(id, 0), (id, -5), ("rope", 1_001), (id, i32::MAX)];
    assert_eq!(
        broken(
            client
                .reserve(reserve_request(Uuid::new_v4(), &lines))
                .await
        ),
        [
            "lines[0].quantity",
            "lines[1].quantity",
            "lines[1].product_id",
            "lines[2].quantity",
            "lines[2].product_id",
            "lines[3].quantity",
            "lines[3].product_id",
        ]
    );
    let lines = vec![(id, 1); 10_001];
    let fields = broken(
        client
            .reserve(reserve_request(Uuid::new_v4(), &lines))
            .await,
    );
    assert_eq!(fields[0], "lines");
    // As many as fit an answer's trailers are named; the answer itself must arrive.
    let lines = vec![("x", 0); 100];
    let fields = broken(
        client
            .reserve(reserve_request(Uuid::new_v4(), &lines))
            .await,
    );
    assert!(fields.len() > 50, "{}", fields.len());

    let bad = "x".to_owned();
    let order_id = bad.clone();
    assert_eq!(
        broken(client.release(ReleaseRequest { order_id }).await),
        ["order_id"]
    );
    let order_id = bad.clone();
    assert_eq!(
        broken(client.commit(CommitRequest { order_id }).await),
        ["order_id"]
    );
    let order_id = bad.clone();
    let get = client
        .get_reservation(GetReservationRequest { order_id })
        .await;
    assert_eq!(broken(get), ["order_id"]);
    let get = client
        .get_product(GetProductRequest { id: bad.clone() })
        .await;
    assert_eq!(broken(get), ["id"]);
    let ids = vec![id.to_owned(), bad.clone(), id.to_owned(), String::new()];
    let batch = client
        .batch_get_products(BatchGetProductsRequest { ids })
        .await;
    assert_eq!(broken(batch), ["ids[1]", "ids[3]"]);
    let ids = vec![id.to_owned(); 101];
    let batch = client
        .batch_get_products(BatchGetProductsRequest { ids })
        .await;
    assert_eq!(broken(batch), ["ids"]);
    let list = ListProductsRequest {
        filter: "x\0".repeat(51),
        page_size: 101,
        page_token: bad,
    };
    assert_eq!(
        broken(client.list_products(list).await),
        ["filter", "filter", "page_size", "page_token"]
    );
    let page_size = -1;
    let list = ListProductsRequest {
        page_size,
        ..ListProductsRequest::default()
    };
    assert_eq!(broken(client.list_products(list).await), ["page_size"]);

    let description = "x".repeat(rpc::MESSAGE_LIMIT);
    let huge = CreateProductRequest {
        description,
        ..new_product("ROPE-14", 1)
    };
    let status = client.create_product(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    let list = client.list_products(ListProductsRequest::default()).await;
    assert_eq!(list.unwrap().into_inner().products, [product]);
}

async fn values_at_their_limits_are_taken(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut client = app.client.clone();
    let longest = CreateProductRequest {
        sku: "0123456789ABCDEFGHIJ-KLMNOPQRST0".to_owned(),
        name: "ß".repeat(120),
        description: "🧭".repeat(2_000),
        price: Some(eur(100_000_000_000)),
        stock: 1_000_000_000,
    };
    let longest = client.create_product(longest).await.unwrap();
    let longest = longest.into_inner().product.unwrap();
    let shortest = CreateProductRequest {
        sku: "A1".to_owned(),
        name: "x".to_owned(),
        description: String::new(),
        price: Some(eur(0)),
        stock: 0,
    };
    client.create_product(shortest).await.unwrap();

    let id = longest.id.as_str();
    app.reserve(Uuid::new_v4(), &[(id, 1_000)]).await.unwrap();
    let mut ids = vec![longest.id.clone()];
    for i in 1..100 {
        ids.push(app.create(&format!("SKU-{i}"), 1).await.id);
    }
    let lines: Vec<_> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let reservation = app.reserve(Uuid::new_v4(), &lines).await.unwrap();
    let reserved: Vec<_> = reservation
        .lines
        .iter()
        .map(|line| &line.product_id)
        .collect();
    assert_eq!(reserved, ids.iter().collect::<Vec<_>>());
    let list = ListProductsRequest {
        filter: "ß".repeat(100),
        page_size: 100,
        page_token: String::new(),
    };
    let list = client.list_products(list).await.unwrap().into_inner();
    assert_eq!(list.products.len(), 1);
}

async fn refusals_carry_a_reason_that_programs_can_read(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut client = app.client.clone();
    let product = app.create("ROPE-12", 10).await;
    let id = product.id.as_str();
    let about = |id: &str| HashMap::from([("product_id".to_owned(), id.to_owned())]);

    let taken = client.create_product(new_product("ROPE-12", 1)).await;
    let (code, reason, _) = refused(taken);
    assert_eq!((code, reason.as_str()), (Code::AlreadyExists, "SKU_TAKEN"));

    let unknown = Uuid::now_v7().to_string();
    let get = GetProductRequest {
        id: unknown.clone(),
    };
    let expected = (
        Code::NotFound,
        "PRODUCT_NOT_FOUND".to_owned(),
        about(&unknown),
    );
    assert_eq!(refused(client.get_product(get).await), expected);
    let adjust = AdjustStockRequest {
        id: unknown.clone(),
        delta: 1,
    };
    assert_eq!(refused(client.adjust_stock(adjust).await), expected);
    let reserve = app.reserve(Uuid::new_v4(), &[(id, 1), (&unknown, 1)]).await;
    assert_eq!(refused(reserve), expected);

    let update = UpdateProductRequest {
        id: id.to_owned(),
        name: "Rope".to_owned(),
        description: String::new(),
        price: Some(eur(1)),
        expected_revision: 7,
    };
    let (code, reason, _) = refused(client.update_product(update).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::Aborted, "REVISION_MISMATCH")
    );

    let adjust = AdjustStockRequest {
        id: id.to_owned(),
        delta: -11,
    };
    let mut expected = about(id);
    expected.insert("requested".to_owned(), "11".to_owned());
    expected.insert("available".to_owned(), "10".to_owned());
    let expected = (
        Code::FailedPrecondition,
        "OUT_OF_STOCK".to_owned(),
        expected,
    );
    assert_eq!(refused(client.adjust_stock(adjust).await), expected);
    assert_eq!(
        refused(app.reserve(Uuid::new_v4(), &[(id, 11)]).await),
        expected
    );

    let dollars = ReserveRequest {
        currency: "USD".to_owned(),
        ..reserve_request(Uuid::new_v4(), &[(id, 1)])
    };
    let expected = (
        Code::FailedPrecondition,
        "CURRENCY_MISMATCH".to_owned(),
        about(id),
    );
    assert_eq!(refused(client.reserve(dollars).await), expected);

    let order_id = Uuid::new_v4();
    let text = order_id.to_string();
    let (get, commit) = (
        GetReservationRequest {
            order_id: text.clone(),
        },
        CommitRequest {
            order_id: text.clone(),
        },
    );
    let not_found = (
        Code::NotFound,
        "RESERVATION_NOT_FOUND".to_owned(),
        HashMap::new(),
    );
    assert_eq!(refused(client.get_reservation(get).await), not_found);
    assert_eq!(refused(client.commit(commit.clone()).await), not_found);
    app.reserve(order_id, &[(id, 1)]).await.unwrap();
    let precondition = |reason: &str| (Code::FailedPrecondition, reason.to_owned(), HashMap::new());
    let other = app.reserve(order_id, &[(id, 2)]).await;
    assert_eq!(refused(other), precondition("RESERVATION_MISMATCH"));
    client.commit(commit.clone()).await.unwrap();
    let release = client.release(ReleaseRequest { order_id: text }).await;
    assert_eq!(refused(release), precondition("RESERVATION_COMMITTED"));
    let order_id = Uuid::new_v4();
    let text = order_id.to_string();
    client
        .release(ReleaseRequest {
            order_id: text.clone(),
        })
        .await
        .unwrap();
    let late = app.reserve(order_id, &[(id, 1)]).await;
    assert_eq!(refused(late), precondition("RESERVATION_CLOSED"));
    let late = client.commit(CommitRequest { order_id: text }).await;
    assert_eq!(refused(late), precondition("RESERVATION_CLOSED"));
}

async fn listing_pages_by_token_with_the_same_filter_only(backend: Backend) {
    let app = TestApp::start(backend).await;
    let mut client = app.client.clone();
    for i in 0..30 {
        app.create(&format!("MUG-{i:02}"), 1).await;
    }
    app.create("ROPE-12", 1).await;

    let all = client.list_products(ListProductsRequest::default()).await;
    let all = all.unwrap().into_inner();
    assert_eq!(all.products.len(), 24, "the default page");
    let mut request = ListProductsRequest {
        filter: "mug".to_owned(),
        page_size: 12,
        page_token: String::new(),
    };
    let mut skus = Vec::new();
    loop {
        let page = client
            .list_products(request.clone())
            .await
            .unwrap()
            .into_inner();
        skus.extend(page.products.into_iter().map(|product| product.sku));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(
        skus,
        (0..30).map(|i| format!("MUG-{i:02}")).collect::<Vec<_>>()
    );

    let token = request.page_token.clone();
    request.filter = "MUG".to_owned();
    client
        .list_products(request.clone())
        .await
        .expect("case makes no other filter");
    request.filter = "rope".to_owned();
    assert_eq!(
        broken(client.list_products(request.clone()).await),
        ["page_token"]
    );
    request.filter = "mug".to_owned();
    let mut last = token.clone();
    let swapped = if last.pop() == Some('A') { 'B' } else { 'A' };
    for forged in [
        format!("{last}{swapped}"),
        format!("{token}A"),
        token[1..].to_owned(),
        format!("{token}\u{0}"),
        "🧭".to_owned(),
        "x".repeat(100_000),
    ] {
        request.page_token = forged;
        assert_eq!(
            broken(client.list_products(request.clone()).await),
            ["page_token"]
        );
    }
}

async fn a_batch_comes_in_the_order_asked_for(backend: Backend) {
    let app = TestApp::start(backend).await;
    let (rope, mug) = (app.create("ROPE-12", 1).await, app.create("MUG-1", 1).await);
    let unknown = Uuid::now_v7().to_string();
    let ids = vec![mug.id.clone(), unknown, rope.id.clone()];
    let batch = app
        .client
        .clone()
        .batch_get_products(BatchGetProductsRequest { ids })
        .await;
    assert_eq!(batch.unwrap().into_inner().products, [mug, rope]);
    let none = BatchGetProductsRequest { ids: vec![] };
    let none = app.client.clone().batch_get_products(none).await;
    assert!(none.unwrap().into_inner().products.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_know_the_service() {
    let app = TestApp::start(Backend::Sqlite).await;
    let service = proto::catalog::v1::catalog_service_server::SERVICE_NAME.to_owned();
    let mut health = HealthClient::new(app.channel.clone());
    let answer = health.check(HealthCheckRequest { service }).await.unwrap();
    let serving = tonic_health::ServingStatus::Serving.into();
    assert_eq!(answer.into_inner().status(), serving);
}
