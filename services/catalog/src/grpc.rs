//! The gRPC handlers: parse, call, convert.

use std::{collections::HashMap, sync::Arc};

use proto::catalog::v1::{
    self, catalog_service_server::CatalogService, catalog_service_server::CatalogServiceServer,
};
use time::OffsetDateTime;
use tonic::{Request, Response, Status, service::Routes};
use uuid::Uuid;

use crate::{
    domain::{Money, Product, Refusal},
    error::Error,
    metrics::Metrics,
    reservation::{Reservation, ReservationState, ReservedLine, Settlement},
    store::Store,
    validation,
};

/// The service on `store`.
pub(crate) fn routes(store: Arc<dyn Store>) -> Routes {
    let handlers = Handlers {
        store,
        metrics: Metrics::new(),
    };
    Routes::new(
        CatalogServiceServer::new(handlers)
            .max_decoding_message_size(rpc::MESSAGE_LIMIT)
            .max_encoding_message_size(rpc::MESSAGE_LIMIT),
    )
}

struct Handlers {
    store: Arc<dyn Store>,
    metrics: Metrics,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CatalogService for Handlers {
    async fn list_products(
        &self,
        request: Request<v1::ListProductsRequest>,
    ) -> Answer<v1::ListProductsResponse> {
        let listing = validation::list_products(request.get_ref())?;
        let (products, next_page_token) = listing.page(self.store.list(&listing).await?);
        Ok(Response::new(v1::ListProductsResponse {
            products: products.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn get_product(
        &self,
        request: Request<v1::GetProductRequest>,
    ) -> Answer<v1::GetProductResponse> {
        let product_id = validation::id("id", &request.get_ref().id)?;
        let product = self.store.products(&[product_id]).await?.pop();
        let product = product.ok_or(Error::Refused(Refusal::ProductNotFound { product_id }))?;
        Ok(Response::new(v1::GetProductResponse {
            product: Some(product.into()),
        }))
    }

    async fn batch_get_products(
        &self,
        request: Request<v1::BatchGetProductsRequest>,
    ) -> Answer<v1::BatchGetProductsResponse> {
        let ids = validation::batch_get_products(request.get_ref())?;
        let products = self.store.products(&ids).await?;
        let by_id: HashMap<Uuid, Product> = products.into_iter().map(|p| (p.id, p)).collect();
        let products = ids.iter().filter_map(|id| by_id.get(id).cloned());
        Ok(Response::new(v1::BatchGetProductsResponse {
            products: products.map(Into::into).collect(),
        }))
    }

    async fn create_product(
        &self,
        request: Request<v1::CreateProductRequest>,
    ) -> Answer<v1::CreateProductResponse> {
        let new = validation::create_product(request.into_inner())?;
        let product = Product::new(Uuid::now_v7(), new, now());
        self.store.create(&product).await?;
        Ok(Response::new(v1::CreateProductResponse {
            product: Some(product.into()),
        }))
    }

    async fn update_product(
        &self,
        request: Request<v1::UpdateProductRequest>,
    ) -> Answer<v1::UpdateProductResponse> {
        let (id, details, expected) = validation::update_product(request.into_inner())?;
        let update =
            Box::new(move |product: &mut Product| product.update(details, expected, now()));
        let product = self.store.change(id, update).await?;
        Ok(Response::new(v1::UpdateProductResponse {
            product: Some(product.into()),
        }))
    }

    async fn adjust_stock(
        &self,
        request: Request<v1::AdjustStockRequest>,
    ) -> Answer<v1::AdjustStockResponse> {
        let (id, delta) = validation::adjust_stock(request.get_ref())?;
        let adjust = Box::new(move |product: &mut Product| product.adjust_stock(delta, now()));
        let product = self.store.change(id, adjust).await?;
        Ok(Response::new(v1::AdjustStockResponse {
            product: Some(product.into()),
        }))
    }

    async fn reserve(&self, request: Request<v1::ReserveRequest>) -> Answer<v1::ReserveResponse> {
        let new = validation::reserve(request.get_ref())?;
        let answer = self.store.reserve(&new, now()).await;
        self.metrics.answered(&answer);
        Ok(Response::new(v1::ReserveResponse {
            reservation: Some(answer?.into()),
        }))
    }

    async fn release(&self, request: Request<v1::ReleaseRequest>) -> Answer<v1::ReleaseResponse> {
        let order_id = validation::id("order_id", &request.get_ref().order_id)?;
        let answer = self
            .store
            .settle(order_id, Settlement::Release, now())
            .await;
        self.metrics.answered(&answer);
        Ok(Response::new(v1::ReleaseResponse {
            reservation: Some(answer?.into()),
        }))
    }

    async fn commit(&self, request: Request<v1::CommitRequest>) -> Answer<v1::CommitResponse> {
        let order_id = validation::id("order_id", &request.get_ref().order_id)?;
        let answer = self.store.settle(order_id, Settlement::Commit, now()).await;
        self.metrics.answered(&answer);
        Ok(Response::new(v1::CommitResponse {
            reservation: Some(answer?.into()),
        }))
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Answer<v1::GetReservationResponse> {
        let order_id = validation::id("order_id", &request.get_ref().order_id)?;
        let reservation = self.store.reservation(order_id).await?;
        let reservation =
            reservation.ok_or(Error::Refused(Refusal::ReservationNotFound { order_id }))?;
        Ok(Response::new(v1::GetReservationResponse {
            reservation: Some(reservation.into()),
        }))
    }
}

/// In microseconds, the finest that the databases keep, so that an answer is the same whether it
/// comes from the write or from a later read.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().truncate_to_microsecond()
}

impl From<Product> for v1::Product {
    fn from(product: Product) -> Self {
        Self {
            id: product.id.to_string(),
            sku: product.sku.as_str().to_owned(),
            name: product.details.name,
            description: product.details.description,
            price: Some(product.details.price.into()),
            available: product.stock.available,
            reserved: product.stock.reserved,
            shipped: product.stock.shipped,
            revision: product.revision,
            created_at: Some(timestamp(product.created_at)),
            updated_at: Some(timestamp(product.updated_at)),
        }
    }
}

impl From<Money> for v1::Money {
    fn from(money: Money) -> Self {
        Self {
            currency: money.currency.as_str().to_owned(),
            minor_units: money.minor_units,
        }
    }
}

impl From<Reservation> for v1::Reservation {
    fn from(reservation: Reservation) -> Self {
        let state = match reservation.state {
            ReservationState::Held => v1::ReservationState::Held,
            ReservationState::Released => v1::ReservationState::Released,
            ReservationState::Committed => v1::ReservationState::Committed,
        };
        Self {
            order_id: reservation.order_id.to_string(),
            state: state.into(),
            lines: reservation.lines.into_iter().map(Into::into).collect(),
            created_at: Some(timestamp(reservation.created_at)),
            updated_at: Some(timestamp(reservation.updated_at)),
        }
    }
}

impl From<ReservedLine> for v1::ReservedLine {
    fn from(line: ReservedLine) -> Self {
        Self {
            product_id: line.product_id.to_string(),
            quantity: line.quantity,
            sku: line.sku.as_str().to_owned(),
            name: line.name,
            unit_price: Some(line.unit_price.into()),
        }
    }
}

fn timestamp(time: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond() as i32,
    }
}
