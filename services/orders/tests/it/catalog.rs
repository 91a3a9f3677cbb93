//! A small model of the catalog that does what catalog.proto says of reservations, and goes wrong
//! when it is told to.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use proto::catalog::v1::{
    self as pb,
    catalog_service_server::{CatalogService, CatalogServiceServer, SERVICE_NAME},
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::{Code, Request, Response, Status, service::Routes};
use uuid::Uuid;

/// A catalog on a port of its own. Stops when dropped.
pub(crate) struct FakeCatalog {
    pub(crate) addr: SocketAddr,
    model: Model,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Model {
    state: Arc<Mutex<State>>,
    /// What was begun goes on when the caller has gone, as in a service that is only slow.
    effects: TaskTracker,
}

#[derive(Default)]
struct State {
    products: BTreeMap<Uuid, Product>,
    reservations: HashMap<Uuid, pb::Reservation>,
    /// How many of the next calls fail before they have an effect, and after.
    refused: u32,
    lost: u32,
    /// Reservations that wait for their gate before they have an effect.
    held: Vec<watch::Receiver<bool>>,
    arrived: u32,
}

struct Product {
    price: i64,
    currency: String,
    added: i64,
    available: i64,
    reserved: i64,
    shipped: i64,
}

/// The gate that held reservations wait for.
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn open(self) {
        self.0.send_replace(true);
    }
}

/// For faults that last until they are ended.
pub(crate) const FOREVER: u32 = u32::MAX;

impl FakeCatalog {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let model = Model {
            state: Arc::default(),
            effects: TaskTracker::new(),
        };
        let routes = Routes::new(CatalogServiceServer::new(model.clone()));
        let stop = CancellationToken::new();
        let config = rpc::server::Config::default();
        let server = rpc::server::serve(listener, routes, &[SERVICE_NAME], config, stop.clone());
        model.effects.spawn(server);
        Self {
            addr,
            model,
            _stop: stop.drop_guard(),
        }
    }

    /// A product that costs `price` euro cents.
    pub(crate) fn add(&self, price: i64, pieces: i64) -> Uuid {
        self.add_in("EUR", price, pieces)
    }

    pub(crate) fn add_in(&self, currency: &str, price: i64, pieces: i64) -> Uuid {
        let id = Uuid::now_v7();
        let product = Product {
            price,
            currency: currency.into(),
            added: pieces,
            available: pieces,
            reserved: 0,
            shipped: 0,
        };
        self.state().products.insert(id, product);
        id
    }

    pub(crate) fn restock(&self, product: Uuid, pieces: i64) {
        let mut state = self.state();
        let product = state.products.get_mut(&product).unwrap();
        product.added += pieces;
        product.available += pieces;
    }

    /// Available, reserved and shipped pieces. Checks that none came or went.
    pub(crate) fn stock(&self, product: Uuid) -> (i64, i64, i64) {
        let state = self.state();
        let stock = &state.products[&product];
        assert_eq!(
            stock.added,
            stock.available + stock.reserved + stock.shipped
        );
        let held = state
            .reservations
            .values()
            .filter(|held| held.state() == pb::ReservationState::Held);
        let held = held
            .flat_map(|held| &held.lines)
            .filter(|line| line.product_id == product.to_string());
        assert_eq!(
            stock.reserved,
            held.map(|line| i64::from(line.quantity)).sum::<i64>()
        );
        (stock.available, stock.reserved, stock.shipped)
    }

    /// The next `calls` answer UNAVAILABLE and have no effect.
    pub(crate) fn refuse(&self, calls: u32) {
        self.state().refused = calls;
    }

    /// The next `calls` have their effect and answer UNAVAILABLE.
    pub(crate) fn lose_answers(&self, calls: u32) {
        self.state().lost = calls;
    }

    /// The next `reservations` have their effect only when the gate opens, whether somebody still
    /// waits for the answer or not.
    pub(crate) fn hold(&self, reservations: usize) -> Gate {
        let (gate, held) = watch::channel(false);
        self.state().held = vec![held; reservations];
        Gate(gate)
    }

    /// Waits until `count` reservations have arrived since the start.
    pub(crate) async fn arrived(&self, count: u32) {
        testkit::eventually(Duration::from_secs(10), async || {
            let arrived = self.state().arrived;
            if arrived >= count {
                Ok(())
            } else {
                Err(arrived)
            }
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.model.state.lock().unwrap()
    }
}

fn refuse(code: Code, reason: &str, metadata: &[(&'static str, String)]) -> Status {
    let message = format!("the catalog says {reason}");
    rpc::error::reason(code, "catalog.slipway", reason, message, metadata.to_vec())
}

fn precondition(reason: &str) -> Status {
    refuse(Code::FailedPrecondition, reason, &[])
}

impl State {
    fn reserve(&mut self, request: &pb::ReserveRequest) -> Result<pb::Reservation, Status> {
        let order_id: Uuid = request.order_id.parse().unwrap();
        if let Some(reservation) = self.reservations.get(&order_id) {
            if reservation.state() == pb::ReservationState::Released {
                return Err(precondition("RESERVATION_CLOSED"));
            }
            let same = reservation.lines.len() == request.lines.len()
                && reservation
                    .lines
                    .iter()
                    .zip(&request.lines)
                    .all(|(held, asked)| {
                        (&held.product_id, held.quantity) == (&asked.product_id, asked.quantity)
                    });
            return if same {
                Ok(reservation.clone())
            } else {
                Err(precondition("RESERVATION_MISMATCH"))
            };
        }
        let mut lines = Vec::new();
        for line in &request.lines {
            let metadata = [("product_id", line.product_id.clone())];
            let Some(product) = self.products.get(&line.product_id.parse().unwrap()) else {
                return Err(refuse(Code::NotFound, "PRODUCT_NOT_FOUND", &metadata));
            };
            if product.currency != request.currency {
                return Err(refuse(
                    Code::FailedPrecondition,
                    "CURRENCY_MISMATCH",
                    &metadata,
                ));
            }
            if product.available < line.quantity.into() {
                return Err(refuse(Code::FailedPrecondition, "OUT_OF_STOCK", &metadata));
            }
            lines.push(pb::ReservedLine {
                product_id: line.product_id.clone(),
                quantity: line.quantity,
                sku: "SKU-1".into(),
                name: "Tea \"Earl\" ☕".into(),
                unit_price: Some(pb::Money {
                    currency: product.currency.clone(),
                    minor_units: product.price,
                }),
            });
        }
        let mut reservation = pb::Reservation {
            order_id: request.order_id.clone(),
            lines,
            ..Default::default()
        };
        self.settle(&mut reservation, pb::ReservationState::Held);
        // A real catalog may answer in any order.
        let mut answer = reservation.clone();
        answer.lines.reverse();
        self.reservations.insert(order_id, reservation);
        Ok(answer)
    }

    fn release(&mut self, order_id: &str) -> Result<pb::Reservation, Status> {
        let tombstone = || pb::Reservation {
            order_id: order_id.into(),
            ..Default::default()
        };
        let id = order_id.parse().unwrap();
        let mut reservation = self.reservations.remove(&id).unwrap_or_else(tombstone);
        let result = match reservation.state() {
            pb::ReservationState::Committed => Err(precondition("RESERVATION_COMMITTED")),
            _ => {
                self.settle(&mut reservation, pb::ReservationState::Released);
                Ok(reservation.clone())
            }
        };
        self.reservations.insert(id, reservation);
        result
    }

    fn commit(&mut self, order_id: &str) -> Result<pb::Reservation, Status> {
        let id = order_id.parse().unwrap();
        let Some(mut reservation) = self.reservations.remove(&id) else {
            return Err(refuse(Code::NotFound, "RESERVATION_NOT_FOUND", &[]));
        };
        let result = match reservation.state() {
            pb::ReservationState::Released => Err(precondition("RESERVATION_CLOSED")),
            _ => {
                self.settle(&mut reservation, pb::ReservationState::Committed);
                Ok(reservation.clone())
            }
        };
        self.reservations.insert(id, reservation);
        result
    }

    /// Moves the reservation's pieces to where `to` has them.
    fn settle(&mut self, reservation: &mut pb::Reservation, to: pb::ReservationState) {
        let from = reservation.state();
        for line in &reservation.lines {
            let product = self
                .products
                .get_mut(&line.product_id.parse().unwrap())
                .unwrap();
            let quantity = i64::from(line.quantity);
            *product.pieces(from) -= quantity;
            *product.pieces(to) += quantity;
        }
        reservation.set_state(to);
    }
}

impl Product {
    fn pieces(&mut self, state: pb::ReservationState) -> &mut i64 {
        match state {
            pb::ReservationState::Held => &mut self.reserved,
            pb::ReservationState::Committed => &mut self.shipped,
            pb::ReservationState::Released | pb::ReservationState::Unspecified => {
                &mut self.available
            }
        }
    }
}

impl Model {
    /// A call: fails before the effect, has it (perhaps later), fails after it; as the faults say.
    async fn call<T: Send + 'static>(
        &self,
        gate: Option<watch::Receiver<bool>>,
        effect: impl FnOnce(&mut State) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let state = self.state.clone();
        if take(&mut state.lock().unwrap().refused) {
            return Err(Status::unavailable("down"));
        }
        let work = self.effects.spawn(async move {
            if let Some(mut gate) = gate {
                // The test has ended when this fails.
                let _ = gate.wait_for(|open| *open).await;
            }
            let mut state = state.lock().unwrap();
            let answer = effect(&mut state);
            if take(&mut state.lost) {
                Err(Status::unavailable("lost"))
            } else {
                answer
            }
        });
        work.await.unwrap()
    }
}

fn take(left: &mut u32) -> bool {
    let taken = *left > 0;
    if taken && *left < FOREVER {
        *left -= 1;
    }
    taken
}

#[tonic::async_trait]
impl CatalogService for Model {
    async fn reserve(
        &self,
        request: Request<pb::ReserveRequest>,
    ) -> Result<Response<pb::ReserveResponse>, Status> {
        let request = request.into_inner();
        let gate = {
            let mut state = self.state.lock().unwrap();
            state.arrived += 1;
            state.held.pop()
        };
        let reservation = Some(
            self.call(gate, move |state| state.reserve(&request))
                .await?,
        );
        Ok(Response::new(pb::ReserveResponse { reservation }))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let id = request.into_inner().order_id;
        let reservation = Some(self.call(None, move |state| state.release(&id)).await?);
        Ok(Response::new(pb::ReleaseResponse { reservation }))
    }

    async fn commit(
        &self,
        request: Request<pb::CommitRequest>,
    ) -> Result<Response<pb::CommitResponse>, Status> {
        let id = request.into_inner().order_id;
        let reservation = Some(self.call(None, move |state| state.commit(&id)).await?);
        Ok(Response::new(pb::CommitResponse { reservation }))
    }

    // The rest is for others than orders.

    async fn list_products(
        &self,
        _: Request<pb::ListProductsRequest>,
    ) -> Result<Response<pb::ListProductsResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn get_product(
        &self,
        _: Request<pb::GetProductRequest>,
    ) -> Result<Response<pb::GetProductResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn batch_get_products(
        &self,
        _: Request<pb::BatchGetProductsRequest>,
    ) -> Result<Response<pb::BatchGetProductsResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn create_product(
        &self,
        _: Request<pb::CreateProductRequest>,
    ) -> Result<Response<pb::CreateProductResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn update_product(
        &self,
        _: Request<pb::UpdateProductRequest>,
    ) -> Result<Response<pb::UpdateProductResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn adjust_stock(
        &self,
        _: Request<pb::AdjustStockRequest>,
    ) -> Result<Response<pb::AdjustStockResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }

    async fn get_reservation(
        &self,
        _: Request<pb::GetReservationRequest>,
    ) -> Result<Response<pb::GetReservationResponse>, Status> {
        Err(Status::unimplemented("not modelled"))
    }
}
