//! Small models of the catalog and the order service, served over gRPC: they keep products, stock and
//! orders in memory and follow the contracts in `crates/proto`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use proto::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use proto::catalog::v1::{self as catalog, Product};
use proto::orders::v1::orders_service_server::{OrdersService, OrdersServiceServer};
use proto::orders::v1::{self as orders, Order, OrderState};
use rpc::error::{Violations, reason};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

type Answer<T> = Result<Response<T>, Status>;

/// What both services know, and how they behave.
#[derive(Default)]
pub(crate) struct World {
    shelves: Mutex<BTreeMap<String, Product>>,
    orders: Mutex<Vec<Placed>>,
    /// The catalog answers UNAVAILABLE.
    pub(crate) catalog_down: AtomicBool,
    /// The order service answers UNAVAILABLE.
    pub(crate) orders_down: AtomicBool,
    /// The order service gets no clear answer from the catalog: orders stay pending.
    pub(crate) saga_stuck: AtomicBool,
    /// Somebody else takes everything at the last moment.
    pub(crate) sold_out_meanwhile: AtomicBool,
    /// How long each call takes.
    pub(crate) millis: AtomicU64,
    /// The trace context of the last call.
    pub(crate) traceparent: Mutex<String>,
}

struct Placed {
    request: orders::PlaceOrderRequest,
    order: Order,
}

pub(crate) fn set(flag: &AtomicBool, to: bool) {
    flag.store(to, Ordering::Relaxed);
}

impl World {
    /// Opens both services on ports of their own, until `stop`.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> [String; 2] {
        let catalog = Routes::new(CatalogServiceServer::new(Catalog(self.clone())));
        let orders = Routes::new(OrdersServiceServer::new(Orders(self.clone())));
        let mut urls = Vec::new();
        for routes in [catalog, orders] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            urls.push(format!("http://{}", listener.local_addr().unwrap()));
            let config = rpc::server::Config::default();
            tasks.spawn(rpc::server::serve(
                listener,
                routes,
                &[],
                config,
                stop.clone(),
            ));
        }
        urls.try_into().unwrap()
    }

    /// A product in euros; its id.
    pub(crate) fn stock(&self, sku: &str, name: &str, cents: i64, pieces: i64) -> Uuid {
        self.stock_in("EUR", sku, name, cents, pieces)
    }

    pub(crate) fn stock_in(
        &self,
        currency: &str,
        sku: &str,
        name: &str,
        minor: i64,
        pieces: i64,
    ) -> Uuid {
        let id = Uuid::now_v7();
        let product = Product {
            id: id.to_string(),
            sku: sku.to_owned(),
            name: name.to_owned(),
            description: format!("{name}, well made."),
            price: Some(catalog::Money {
                currency: currency.to_owned(),
                minor_units: minor,
            }),
            available: pieces,
            reserved: 0,
            shipped: 0,
            revision: 1,
            created_at: now(),
            updated_at: now(),
        };
        self.shelves().insert(product.id.clone(), product);
        id
    }

    pub(crate) fn available(&self, id: Uuid) -> i64 {
        self.shelves()[&id.to_string()].available
    }

    pub(crate) fn take(&self, id: Uuid, pieces: i64) {
        let mut shelves = self.shelves();
        let product = shelves.get_mut(&id.to_string()).unwrap();
        product.available -= pieces;
        product.revision += 1;
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.shelves().remove(&id.to_string());
    }

    pub(crate) fn orders(&self) -> Vec<Order> {
        self.placed()
            .iter()
            .map(|placed| placed.order.clone())
            .collect()
    }

    /// The recovery loop finishes every pending order.
    pub(crate) fn settle(&self) {
        let mut placed = self.placed();
        for one in placed
            .iter_mut()
            .filter(|one| one.order.state() == OrderState::Pending)
        {
            self.reserve(&one.request, &mut one.order);
        }
    }

    /// Fulfilment ships every confirmed order.
    pub(crate) fn ship(&self) {
        for one in self
            .placed()
            .iter_mut()
            .filter(|one| one.order.state() == OrderState::Confirmed)
        {
            one.order.set_state(OrderState::Shipped);
            one.order.tracking_code = "SLIP-1".to_owned();
            one.order.updated_at = now();
        }
    }

    fn shelves(&self) -> MutexGuard<'_, BTreeMap<String, Product>> {
        self.shelves.lock().unwrap()
    }

    fn placed(&self) -> MutexGuard<'_, Vec<Placed>> {
        self.orders.lock().unwrap()
    }

    /// Takes all lines or none from the shelves, and says so in the order.
    fn reserve(&self, request: &orders::PlaceOrderRequest, order: &mut Order) {
        let mut shelves = self.shelves();
        if self.sold_out_meanwhile.load(Ordering::Relaxed) {
            shelves
                .values_mut()
                .for_each(|product| product.available = 0);
        }
        let mut sum = 0;
        for line in &request.lines {
            let product = shelves.get(&line.product_id);
            let price = product
                .and_then(|product| product.price.clone())
                .unwrap_or_default();
            sum += price.minor_units * i64::from(line.quantity);
            let why = match product {
                None => (
                    "PRODUCT_NOT_FOUND",
                    "One of the products is no longer sold.".to_owned(),
                ),
                Some(_) if price.currency != request.currency => (
                    "CURRENCY_MISMATCH",
                    "One of the products is sold in another currency.".to_owned(),
                ),
                Some(product) if product.available < i64::from(line.quantity) => {
                    let (left, name) = (product.available, &product.name);
                    (
                        "OUT_OF_STOCK",
                        format!(
                            "not enough of \"{name}\": {} asked for, {left} available",
                            line.quantity
                        ),
                    )
                }
                Some(_) => continue,
            };
            order.set_state(OrderState::Rejected);
            order.rejection = Some(orders::Rejection {
                reason: why.0.to_owned(),
                product_id: line.product_id.clone(),
                message: why.1,
            });
            return;
        }
        for line in &mut order.lines {
            let product = shelves.get_mut(&line.product_id).unwrap();
            product.available -= i64::from(line.quantity);
            product.revision += 1;
            line.sku.clone_from(&product.sku);
            line.name.clone_from(&product.name);
            let minor_units = product.price.as_ref().unwrap().minor_units;
            line.unit_price = Some(money(&request.currency, minor_units));
        }
        order.total = Some(money(&request.currency, sum));
        order.set_state(OrderState::Confirmed);
        order.updated_at = now();
    }

    async fn arrive<T>(&self, down: &AtomicBool, request: Request<T>) -> Result<T, Status> {
        tokio::time::sleep(Duration::from_millis(self.millis.load(Ordering::Relaxed))).await;
        if let Some(traceparent) = request.metadata().get("traceparent") {
            traceparent
                .to_str()
                .unwrap()
                .clone_into(&mut self.traceparent.lock().unwrap());
        }
        if down.load(Ordering::Relaxed) {
            return Err(Status::unavailable("10.0.0.7:5432 refused the connection"));
        }
        Ok(request.into_inner())
    }
}

fn money(currency: &str, minor_units: i64) -> orders::Money {
    orders::Money {
        currency: currency.to_owned(),
        minor_units,
    }
}

fn now() -> Option<prost_types::Timestamp> {
    Some(std::time::SystemTime::now().into())
}

/// One page of `all`: the token says where it starts and for which list.
fn page<T>(
    all: Vec<T>,
    list: &str,
    size: i32,
    default: usize,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let start = match token.split_once('|') {
        _ if token.is_empty() => Some(0),
        Some((at, of)) if of == list => at.parse::<usize>().ok(),
        _ => None,
    };
    let mut violations = Violations::default();
    violations.check(
        start.is_some(),
        "page_token",
        "a next_page_token of the same list",
    );
    violations.into_result()?;
    let (start, total) = (start.unwrap_or_default(), all.len());
    let size = if size == 0 {
        default
    } else {
        usize::try_from(size).unwrap()
    };
    let items: Vec<T> = all.into_iter().skip(start).take(size).collect();
    let end = start + items.len();
    let next = if end < total {
        format!("{end}|{list}")
    } else {
        String::new()
    };
    Ok((items, next))
}

struct Catalog(Arc<World>);

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn list_products(
        &self,
        request: Request<catalog::ListProductsRequest>,
    ) -> Answer<catalog::ListProductsResponse> {
        let request = self.0.arrive(&self.0.catalog_down, request).await?;
        let filter = request.filter.to_lowercase();
        let fits = |product: &Product| {
            [&product.name, &product.description, &product.sku]
                .iter()
                .any(|text| text.to_lowercase().contains(&filter))
        };
        let mut found: Vec<Product> = self
            .0
            .shelves()
            .values()
            .filter(|one| fits(one))
            .cloned()
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let (products, next_page_token) =
            page(found, &filter, request.page_size, 24, &request.page_token)?;
        Ok(Response::new(catalog::ListProductsResponse {
            products,
            next_page_token,
        }))
    }

    async fn get_product(
        &self,
        request: Request<catalog::GetProductRequest>,
    ) -> Answer<catalog::GetProductResponse> {
        let request = self.0.arrive(&self.0.catalog_down, request).await?;
        let product = self.0.shelves().get(&request.id).cloned();
        let unknown = || {
            reason(
                Code::NotFound,
                "catalog.slipway",
                "PRODUCT_NOT_FOUND",
                "no such product",
                [],
            )
        };
        Ok(Response::new(catalog::GetProductResponse {
            product: Some(product.ok_or_else(unknown)?),
        }))
    }

    async fn batch_get_products(
        &self,
        request: Request<catalog::BatchGetProductsRequest>,
    ) -> Answer<catalog::BatchGetProductsResponse> {
        let request = self.0.arrive(&self.0.catalog_down, request).await?;
        assert!(
            (1..=100).contains(&request.ids.len()),
            "the contract takes 1 to 100 ids"
        );
        let shelves = self.0.shelves();
        let products = request
            .ids
            .iter()
            .filter_map(|id| shelves.get(id))
            .cloned()
            .collect();
        Ok(Response::new(catalog::BatchGetProductsResponse {
            products,
        }))
    }

    async fn create_product(
        &self,
        _: Request<catalog::CreateProductRequest>,
    ) -> Answer<catalog::CreateProductResponse> {
        unreachable!("not for the edge")
    }

    async fn update_product(
        &self,
        _: Request<catalog::UpdateProductRequest>,
    ) -> Answer<catalog::UpdateProductResponse> {
        unreachable!("not for the edge")
    }

    async fn adjust_stock(
        &self,
        _: Request<catalog::AdjustStockRequest>,
    ) -> Answer<catalog::AdjustStockResponse> {
        unreachable!("not for the edge")
    }

    async fn reserve(
        &self,
        _: Request<catalog::ReserveRequest>,
    ) -> Answer<catalog::ReserveResponse> {
        unreachable!("not for the edge")
    }

    async fn release(
        &self,
        _: Request<catalog::ReleaseRequest>,
    ) -> Answer<catalog::ReleaseResponse> {
        unreachable!("not for the edge")
    }

    async fn commit(&self, _: Request<catalog::CommitRequest>) -> Answer<catalog::CommitResponse> {
        unreachable!("not for the edge")
    }

    async fn get_reservation(
        &self,
        _: Request<catalog::GetReservationRequest>,
    ) -> Answer<catalog::GetReservationResponse> {
        unreachable!("not for the edge")
    }
}

struct Orders(Arc<World>);

impl Orders {
    fn not_found() -> Status {
        reason(
            Code::NotFound,
            "orders.slipway",
            "ORDER_NOT_FOUND",
            "no such order",
            [],
        )
    }
}

#[tonic::async_trait]
impl OrdersService for Orders {
    async fn place_order(
        &self,
        request: Request<orders::PlaceOrderRequest>,
    ) -> Answer<orders::PlaceOrderResponse> {
        let request = self.0.arrive(&self.0.orders_down, request).await?;
        let mut placed = self.0.placed();
        let same_key = |one: &&Placed| {
            one.request.customer_id == request.customer_id
                && one.request.idempotency_key == request.idempotency_key
        };
        if let Some(before) = placed.iter().find(same_key) {
            if before.request != request {
                let text = "the key belongs to another order";
                return Err(reason(
                    Code::FailedPrecondition,
                    "orders.slipway",
                    "IDEMPOTENCY_KEY_REUSED",
                    text,
                    [],
                ));
            }
            let order = Some(before.order.clone());
            return Ok(Response::new(orders::PlaceOrderResponse {
                order,
                replayed: true,
            }));
        }
        let line = |line: &orders::NewOrderLine| orders::OrderLine {
            product_id: line.product_id.clone(),
            quantity: line.quantity,
            ..Default::default()
        };
        let mut order = Order {
            id: Uuid::new_v4().to_string(),
            customer_id: request.customer_id.clone(),
            state: OrderState::Pending.into(),
            lines: request.lines.iter().map(line).collect(),
            currency: request.currency.clone(),
            placed_at: now(),
            updated_at: now(),
            ..Default::default()
        };
        let answers = !self.0.catalog_down.load(Ordering::Relaxed)
            && !self.0.saga_stuck.load(Ordering::Relaxed);
        if answers {
            self.0.reserve(&request, &mut order);
        }
        placed.push(Placed {
            request,
            order: order.clone(),
        });
        Ok(Response::new(orders::PlaceOrderResponse {
            order: Some(order),
            replayed: false,
        }))
    }

    async fn get_order(
        &self,
        request: Request<orders::GetOrderRequest>,
    ) -> Answer<orders::GetOrderResponse> {
        let request = self.0.arrive(&self.0.orders_down, request).await?;
        let found = self
            .0
            .orders()
            .into_iter()
            .find(|order| order.id == request.id);
        Ok(Response::new(orders::GetOrderResponse {
            order: Some(found.ok_or_else(Self::not_found)?),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<orders::ListOrdersRequest>,
    ) -> Answer<orders::ListOrdersResponse> {
        let request = self.0.arrive(&self.0.orders_down, request).await?;
        let customer = request.customer_id;
        let mut own: Vec<Order> = self
            .0
            .orders()
            .into_iter()
            .filter(|order| order.customer_id == customer)
            .collect();
        own.reverse();
        let (orders, next_page_token) =
            page(own, &customer, request.page_size, 20, &request.page_token)?;
        Ok(Response::new(orders::ListOrdersResponse {
            orders,
            next_page_token,
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<orders::CancelOrderRequest>,
    ) -> Answer<orders::CancelOrderResponse> {
        let request = self.0.arrive(&self.0.orders_down, request).await?;
        let mut placed = self.0.placed();
        let one = placed
            .iter_mut()
            .find(|one| one.order.id == request.id)
            .ok_or_else(Self::not_found)?;
        match one.order.state() {
            OrderState::Rejected | OrderState::Shipped => {
                let text = "the order is at its end";
                return Err(reason(
                    Code::FailedPrecondition,
                    "orders.slipway",
                    "ORDER_NOT_CANCELLABLE",
                    text,
                    [],
                ));
            }
            OrderState::Confirmed => {
                for line in &one.order.lines {
                    self.0
                        .take(line.product_id.parse().unwrap(), i64::from(-line.quantity));
                }
            }
            _ => {}
        }
        one.order.set_state(OrderState::Cancelled);
        Ok(Response::new(orders::CancelOrderResponse {
            order: Some(one.order.clone()),
        }))
    }

    async fn mark_shipped(
        &self,
        _: Request<orders::MarkShippedRequest>,
    ) -> Answer<orders::MarkShippedResponse> {
        unreachable!("not for the edge")
    }

    async fn lease_events(
        &self,
        _: Request<orders::LeaseEventsRequest>,
    ) -> Answer<orders::LeaseEventsResponse> {
        unreachable!("not for the edge")
    }

    async fn acknowledge_event(
        &self,
        _: Request<orders::AcknowledgeEventRequest>,
    ) -> Answer<orders::AcknowledgeEventResponse> {
        unreachable!("not for the edge")
    }

    async fn reject_event(
        &self,
        _: Request<orders::RejectEventRequest>,
    ) -> Answer<orders::RejectEventResponse> {
        unreachable!("not for the edge")
    }

    async fn extend_lease(
        &self,
        _: Request<orders::ExtendLeaseRequest>,
    ) -> Answer<orders::ExtendLeaseResponse> {
        unreachable!("not for the edge")
    }

    async fn list_dead_letters(
        &self,
        _: Request<orders::ListDeadLettersRequest>,
    ) -> Answer<orders::ListDeadLettersResponse> {
        unreachable!("not for the edge")
    }
}
