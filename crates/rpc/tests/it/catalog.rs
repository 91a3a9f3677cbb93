//! A catalog whose `GetProduct` is whatever a test wants, served for real.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::Duration,
};

use proto::catalog::v1::{
    self, GetProductRequest, GetProductResponse, Product,
    catalog_service_client::CatalogServiceClient,
    catalog_service_server::{CatalogService, CatalogServiceServer, SERVICE_NAME},
};
use rpc::{
    client::{self, Channel},
    server,
};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes, transport::Endpoint};

type Answer<T> = Result<Response<T>, Status>;

pub(crate) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The process's telemetry. Every server sets it up first, since metrics handles are cached.
pub(crate) static TELEMETRY: LazyLock<telemetry::Telemetry> = LazyLock::new(|| {
    let config = telemetry::Config {
        log_format: telemetry::LogFormat::Text,
        log_filter: "off".to_owned(),
        otlp_endpoint: None,
        trace_sample_ratio: 1.0,
    };
    telemetry::init(&config, "rpc-tests", "0", "0").unwrap()
});

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    draining: CancellationToken,
    task: JoinSet<Result<(), server::ServeError>>,
}

impl Server {
    pub(crate) async fn start<F, A>(get_product: F) -> Self
    where
        F: Fn(Request<GetProductRequest>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Product, Status>> + Send + 'static,
    {
        Self::start_with(server::Config::default(), LOCAL, get_product).await
    }

    pub(crate) async fn start_with<F, A>(
        config: server::Config,
        at: SocketAddr,
        get_product: F,
    ) -> Self
    where
        F: Fn(Request<GetProductRequest>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Product, Status>> + Send + 'static,
    {
        LazyLock::force(&TELEMETRY);
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let draining = CancellationToken::new();
        let service = CatalogServiceServer::new(Catalog(get_product))
            .max_decoding_message_size(rpc::MESSAGE_LIMIT)
            .max_encoding_message_size(rpc::MESSAGE_LIMIT);
        let mut task = JoinSet::new();
        let routes = Routes::new(service);
        task.spawn(server::serve(
            listener,
            routes,
            &[SERVICE_NAME],
            config,
            draining.clone(),
        ));
        Self {
            address,
            draining,
            task,
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel_with(&client::Config {
            attempt: PATIENCE,
            ..client::Config::default()
        })
    }

    pub(crate) fn channel_with(&self, config: &client::Config) -> Channel {
        let url = client::parse_url(&format!("http://{}", self.address)).unwrap();
        Channel::connect_lazy(url, config)
    }

    pub(crate) fn client(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel())
    }

    /// A client without any of this crate.
    pub(crate) fn plain_client(&self) -> CatalogServiceClient<tonic::transport::Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        CatalogServiceClient::new(endpoint.connect_lazy())
    }

    pub(crate) fn start_draining(&self) {
        self.draining.cancel();
    }

    /// Waits until everything in flight is finished.
    pub(crate) async fn drained(&mut self) {
        self.start_draining();
        timeout(PATIENCE, self.task.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

pub(crate) fn product(name: impl Into<String>) -> Product {
    Product {
        name: name.into(),
        ..Product::default()
    }
}

pub(crate) fn request(id: &str) -> GetProductRequest {
    GetProductRequest { id: id.to_owned() }
}

struct Catalog<F>(F);

#[tonic::async_trait]
impl<F, A> CatalogService for Catalog<F>
where
    F: Fn(Request<GetProductRequest>) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Product, Status>> + Send + 'static,
{
    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<GetProductResponse> {
        let product = (self.0)(request).await?;
        Ok(Response::new(GetProductResponse {
            product: Some(product),
        }))
    }

    async fn list_products(
        &self,
        _: Request<v1::ListProductsRequest>,
    ) -> Answer<v1::ListProductsResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn batch_get_products(
        &self,
        _: Request<v1::BatchGetProductsRequest>,
    ) -> Answer<v1::BatchGetProductsResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn create_product(
        &self,
        _: Request<v1::CreateProductRequest>,
    ) -> Answer<v1::CreateProductResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn update_product(
        &self,
        _: Request<v1::UpdateProductRequest>,
    ) -> Answer<v1::UpdateProductResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn adjust_stock(
        &self,
        _: Request<v1::AdjustStockRequest>,
    ) -> Answer<v1::AdjustStockResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn reserve(&self, _: Request<v1::ReserveRequest>) -> Answer<v1::ReserveResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn release(&self, _: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn commit(&self, _: Request<v1::CommitRequest>) -> Answer<v1::CommitResponse> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn get_reservation(
        &self,
        _: Request<v1::GetReservationRequest>,
    ) -> Answer<v1::GetReservationResponse> {
        Err(Status::unimplemented("not in this test"))
    }
}
