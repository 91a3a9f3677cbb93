//! One running orders service with its database and its catalog, as every test uses it.

use std::{fmt::Debug, net::SocketAddr, sync::Arc, time::Duration};

use orders::{
    app::{App, Config},
    store::{self, MIGRATIONS, Store},
};
use proto::orders::v1::{self as pb, OrderState, orders_service_client::OrdersServiceClient};
use rpc::{client::Channel, error::ErrorReason};
use testkit::{Backend, TestDatabase};
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::catalog::FakeCatalog;

pub(crate) type Client = OrdersServiceClient<Channel>;

pub(crate) struct Shop {
    pub(crate) client: Client,
    pub(crate) catalog: FakeCatalog,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) database: TestDatabase,
    _app: App,
}

impl Shop {
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::with(backend, &[]).await
    }

    /// With further settings.
    pub(crate) async fn with(backend: Backend, settings: &[&str]) -> Self {
        let database = testkit::database(backend).await;
        let connection = database.connect();
        connection.migrate(MIGRATIONS).await.unwrap();
        let catalog = FakeCatalog::start().await;
        let (app, client) = serve(&database, &catalog, settings).await;
        Self {
            client,
            catalog,
            store: store::open(&connection),
            database,
            _app: app,
        }
    }

    /// Another replica on the same database.
    pub(crate) async fn replica(&self) -> (App, Client) {
        serve(&self.database, &self.catalog, &[]).await
    }

    /// Places an order of Ada's.
    pub(crate) async fn place(&self, key: &str, lines: &[(Uuid, i32)]) -> pb::Order {
        let answer = self.client.clone().place_order(placement(key, lines)).await;
        answer.unwrap().into_inner().order.unwrap()
    }

    pub(crate) async fn order(&self, id: &str) -> pb::Order {
        let request = pb::GetOrderRequest { id: id.into() };
        let answer = self.client.clone().get_order(request).await;
        answer.unwrap().into_inner().order.unwrap()
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<pb::Order, Status> {
        let request = pb::CancelOrderRequest { id: id.into() };
        let answer = self.client.clone().cancel_order(request).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    pub(crate) async fn ship(&self, id: &str, tracking_code: &str) -> Result<pb::Order, Status> {
        let request = pb::MarkShippedRequest {
            id: id.into(),
            tracking_code: tracking_code.into(),
        };
        let answer = self.client.clone().mark_shipped(request).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    pub(crate) async fn lease(&self, limit: i32, seconds: i64) -> Vec<pb::Event> {
        let lease = Some(prost_types::Duration { seconds, nanos: 0 });
        let request = pb::LeaseEventsRequest { limit, lease };
        let answer = self.client.clone().lease_events(request).await;
        answer.unwrap().into_inner().events
    }

    pub(crate) async fn dead_letters(&self) -> Vec<pb::DeadLetter> {
        let request = pb::ListDeadLettersRequest { limit: 0 };
        let answer = self.client.clone().list_dead_letters(request).await;
        answer.unwrap().into_inner().dead_letters
    }

    pub(crate) async fn becomes(&self, id: &str, state: OrderState) -> pb::Order {
        testkit::eventually(PATIENCE, async || {
            let order = self.order(id).await;
            if order.state() == state {
                Ok(order)
            } else {
                Err(order.state())
            }
        })
        .await
    }

    /// Waits until the catalog has heard of all that happened.
    pub(crate) async fn stock_becomes(&self, product: Uuid, stock: (i64, i64, i64)) {
        testkit::eventually(PATIENCE, async || {
            let found = self.catalog.stock(product);
            if found == stock { Ok(()) } else { Err(found) }
        })
        .await;
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn serve(
    database: &TestDatabase,
    catalog: &FakeCatalog,
    settings: &[&str],
) -> (App, Client) {
    let catalog_url = format!("http://{}", catalog.addr);
    let own = [
        ["--database-url", &database.url],
        ["--catalog-url", &catalog_url],
        ["--listen", "127.0.0.1:0"],
        ["--admin-listen", "127.0.0.1:0"],
        ["--recovery-interval", "50ms"],
        ["--recovery-grace", "100ms"],
        ["--pool-max", "4"],
        ["--acquire-timeout", "20s"],
    ];
    let args = ["orders"]
        .into_iter()
        .chain(own.iter().flatten().copied())
        .chain(settings.iter().copied());
    let config: Config = lifecycle::parse_from(args).unwrap();
    let app = App::start(&config, String::new).await.unwrap();
    let client = client_of(app.addr);
    (app, client)
}

pub(crate) fn client_of(orders: SocketAddr) -> Client {
    let url = rpc::client::parse_url(&format!("http://{orders}")).unwrap();
    // Patient, as a busy machine is no failure.
    let config = rpc::client::Config {
        attempt: Duration::from_secs(30),
        ..Default::default()
    };
    OrdersServiceClient::new(Channel::connect_lazy(url, &config))
}

/// What Ada's browser sends.
pub(crate) fn placement(key: &str, lines: &[(Uuid, i32)]) -> pb::PlaceOrderRequest {
    let lines = lines.iter().map(|(product_id, quantity)| pb::NewOrderLine {
        product_id: product_id.to_string(),
        quantity: *quantity,
    });
    pb::PlaceOrderRequest {
        customer_id: "ada".into(),
        idempotency_key: key.into(),
        currency: "EUR".into(),
        lines: lines.collect(),
    }
}

/// The code and reason of a refusal.
#[track_caller]
pub(crate) fn refusal<T: Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    let reason = ErrorReason::of(&status).unwrap_or_else(|| panic!("no reason: {status}"));
    assert_eq!(reason.domain, "orders.slipway");
    (status.code(), reason.reason)
}

/// The fields that a refusal names.
#[track_caller]
pub(crate) fn violations<T: Debug>(answer: Result<Response<T>, Status>) -> Vec<String> {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let violations = rpc::error::violations(&status);
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}
