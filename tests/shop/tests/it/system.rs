//! The four services on databases of their own.

use std::time::Duration;

use proto::{
    catalog::v1::catalog_service_client::CatalogServiceClient,
    orders::v1::orders_service_client::OrdersServiceClient,
};
use shop::Shop;
use testkit::{Backend, TestDatabase, service, service::Service};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

/// Names and values of environment variables.
pub(crate) type Settings<'a> = &'a [(&'a str, &'a str)];

/// One database for each service that keeps something.
pub(crate) struct Databases {
    pub(crate) catalog: TestDatabase,
    pub(crate) orders: TestDatabase,
    pub(crate) fulfilment: TestDatabase,
}

impl Databases {
    /// Without tables.
    pub(crate) async fn empty(backend: Backend) -> Self {
        Self {
            catalog: testkit::database(backend).await,
            orders: testkit::database(backend).await,
            fulfilment: testkit::database(backend).await,
        }
    }

    /// Makes the tables, and puts the demo catalogue in.
    pub(crate) async fn migrate(&self) {
        for (name, command, database) in [
            ("catalog", "migrate", &self.catalog),
            ("catalog", "seed", &self.catalog),
            ("orders", "migrate", &self.orders),
            ("fulfilment", "migrate", &self.fulfilment),
        ] {
            let settings = [("DATABASE_URL", &*database.url)];
            let output = service::run(name, &[command], &settings).await;
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name} {command}: {errors}");
        }
    }

    pub(crate) fn catalog(&self, settings: Settings<'_>) -> Service {
        Service::spawn(
            "catalog",
            &with(settings, &[("DATABASE_URL", &self.catalog.url)]),
        )
    }

    pub(crate) fn orders(&self, catalog_url: &str, settings: Settings<'_>) -> Service {
        let own = [
            ("DATABASE_URL", &*self.orders.url),
            ("CATALOG_URL", catalog_url),
        ];
        Service::spawn("orders", &with(settings, &own))
    }

    pub(crate) fn fulfilment(&self, orders_url: &str, settings: Settings<'_>) -> Service {
        let own = [
            ("DATABASE_URL", &*self.fulfilment.url),
            ("ORDERS_URL", orders_url),
        ];
        Service::spawn("fulfilment", &with(settings, &own))
    }
}

pub(crate) fn gateway(catalog_url: &str, orders_url: &str, settings: Settings<'_>) -> Service {
    let own = [("CATALOG_URL", catalog_url), ("ORDERS_URL", orders_url)];
    Service::spawn("gateway", &with(settings, &own))
}

fn with<'a>(settings: Settings<'a>, own: Settings<'a>) -> Vec<(&'a str, &'a str)> {
    [own, settings].concat()
}

/// A running shop. The services end before their databases do: fields are dropped in this order.
pub(crate) struct System {
    pub(crate) _gateway: Service,
    pub(crate) fulfilment: Service,
    pub(crate) orders: Service,
    pub(crate) catalog: Service,
    pub(crate) databases: Databases,
    pub(crate) shop: Shop,
}

impl System {
    /// All four, ready, with the demo catalogue. Each gets all `settings`, and reads its own.
    pub(crate) async fn start(backend: Backend, settings: Settings<'_>) -> Self {
        let databases = Databases::empty(backend).await;
        databases.migrate().await;
        let mut catalog = databases.catalog(settings);
        let mut orders = databases.orders(&catalog.url(), settings);
        let mut fulfilment = databases.fulfilment(&orders.url(), settings);
        let mut gateway = gateway(&catalog.url(), &orders.url(), settings);
        tokio::join!(
            catalog.ready(),
            orders.ready(),
            fulfilment.ready(),
            gateway.ready()
        );
        Self {
            shop: Shop::new(gateway.url()),
            _gateway: gateway,
            fulfilment,
            orders,
            catalog,
            databases,
        }
    }
}

fn channel(service: &Service) -> Channel {
    let endpoint = Endpoint::from_shared(service.url()).expect("a URL");
    endpoint.connect_lazy()
}

/// Past the gateway.
pub(crate) fn catalog_client(service: &Service) -> CatalogServiceClient<Channel> {
    CatalogServiceClient::new(channel(service))
}

/// Past the gateway.
pub(crate) fn orders_client(service: &Service) -> OrdersServiceClient<Channel> {
    OrdersServiceClient::new(channel(service))
}

/// What a query for one number says.
pub(crate) async fn count(database: &storage::Database, sql: &'static str) -> i64 {
    let counted = match database {
        storage::Database::Postgres(postgres) => {
            sqlx::query_scalar(sql).fetch_one(&postgres.pool).await
        }
        storage::Database::Sqlite(sqlite) => sqlx::query_scalar(sql).fetch_one(&sqlite.read).await,
    };
    counted.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Waits until every event has been dealt with.
pub(crate) async fn no_events_left(orders: &storage::Database) {
    testkit::eventually(Duration::from_secs(60), async || {
        match count(orders, "SELECT count(*) FROM outbox").await {
            0 => Ok(()),
            left => Err(format!("{left} events")),
        }
    })
    .await;
}

/// The tracking codes of the order's parcels that have left.
pub(crate) async fn parcels(fulfilment: &storage::Database, order: Uuid) -> Vec<String> {
    const SQL: &str =
        "SELECT tracking_code FROM shipments WHERE order_id = $1 AND state = 'shipped'";
    let query = match fulfilment {
        storage::Database::Postgres(postgres) => {
            sqlx::query_scalar(SQL)
                .bind(order)
                .fetch_all(&postgres.pool)
                .await
        }
        storage::Database::Sqlite(sqlite) => {
            sqlx::query_scalar(SQL)
                .bind(order)
                .fetch_all(&sqlite.read)
                .await
        }
    };
    query.expect("fulfilment's table")
}
