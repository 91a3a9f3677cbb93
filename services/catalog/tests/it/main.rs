//! The catalog's tests: the contract of its stores, its gRPC door, and its bad days, on both
//! databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contract;
mod grpc;
mod outage;
mod process;
mod readme;
mod seed;

use std::{net::SocketAddr, time::Duration};

use catalog::{
    app::{App, Config},
    store::MIGRATIONS,
};
use proto::catalog::v1::{
    self, CreateProductRequest, catalog_service_client::CatalogServiceClient,
};
use testkit::{Backend, TestDatabase};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

/// Makes a module of tests for each database out of functions that take a [`Backend`].
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(testkit::Backend::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(testkit::Backend::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both_databases;

/// The service on ports and a database of its own.
struct TestApp {
    client: CatalogServiceClient<Channel>,
    channel: Channel,
    admin: SocketAddr,
    database: TestDatabase,
    /// The service's own pool.
    pool: storage::Database,
    _running: JoinSet<()>,
}

impl TestApp {
    /// With its schema up to date, and ready.
    async fn start(backend: Backend) -> Self {
        let database = testkit::database(backend).await;
        migrate(&database).await;
        let app = Self::start_on(database).await;
        app.wait_until_ready().await;
        app
    }

    /// On a database as it is.
    async fn start_on(database: TestDatabase) -> Self {
        let args = [
            "catalog",
            "--listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
            "--drain-delay=0s",
            "--database-url",
            &database.url,
        ];
        let config: Config = lifecycle::parse_from(args).unwrap();
        let app = App::start(&config, String::new).await.unwrap();
        let admin = app.lifecycle.admin_addr();
        let url = format!("http://{}", app.addr);
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let pool = app.database.clone();
        let mut running = JoinSet::new();
        running.spawn(async { app.lifecycle.run_until_shutdown().await.unwrap() });
        Self {
            client: CatalogServiceClient::new(channel.clone()),
            channel,
            pool,
            admin,
            database,
            _running: running,
        }
    }

    /// Status and body of an admin page.
    async fn admin(&self, path: &str) -> reqwest::Result<(u16, String)> {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Waits until `/readyz` has this status and, somewhere, this text.
    async fn wait_for_readyz(&self, status: u16, text: &str) {
        testkit::eventually(Duration::from_secs(20), async || {
            let answer = self.admin("/readyz").await;
            match &answer {
                Ok((code, body)) if *code == status && body.contains(text) => Ok(()),
                _ => Err(answer),
            }
        })
        .await;
    }

    async fn wait_until_ready(&self) {
        self.wait_for_readyz(200, "").await;
    }

    /// Creates a product that costs 12.90 EUR.
    async fn create(&self, sku: &str, stock: i64) -> v1::Product {
        let request = new_product(sku, stock);
        let response = self.client.clone().create_product(request).await.unwrap();
        response.into_inner().product.unwrap()
    }

    async fn product(&self, id: &str) -> v1::Product {
        let request = v1::GetProductRequest { id: id.to_owned() };
        let response = self.client.clone().get_product(request).await.unwrap();
        response.into_inner().product.unwrap()
    }

    async fn reserve(
        &self,
        order_id: Uuid,
        lines: &[(&str, i32)],
    ) -> Result<v1::Reservation, Status> {
        let request = reserve_request(order_id, lines);
        let response = self.client.clone().reserve(request).await?;
        Ok(response.into_inner().reservation.unwrap())
    }
}

async fn migrate(database: &TestDatabase) {
    let pool = database.connect();
    pool.migrate(MIGRATIONS).await.unwrap();
    pool.close().await;
}

fn new_product(sku: &str, stock: i64) -> CreateProductRequest {
    CreateProductRequest {
        sku: sku.to_owned(),
        name: format!("Name of {sku}"),
        description: "A thing to test with.".to_owned(),
        price: Some(eur(1_290)),
        stock,
    }
}

fn eur(minor_units: i64) -> v1::Money {
    v1::Money {
        currency: "EUR".to_owned(),
        minor_units,
    }
}

fn reserve_request(order_id: Uuid, lines: &[(&str, i32)]) -> v1::ReserveRequest {
    let line = |(product_id, quantity): &(&str, i32)| v1::ReservationLine {
        product_id: (*product_id).to_owned(),
        quantity: *quantity,
    };
    v1::ReserveRequest {
        order_id: order_id.to_string(),
        currency: "EUR".to_owned(),
        lines: lines.iter().map(line).collect(),
    }
}
