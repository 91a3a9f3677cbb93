//! A small model of the orders service that does what orders.proto says of events and shipped
//! orders, and goes wrong when it is told to.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use proto::orders::v1::{
    self as pb, OrderState,
    orders_service_server::{OrdersService, OrdersServiceServer, SERVICE_NAME},
};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::{Code, Request, Response, Status, service::Routes};
use uuid::Uuid;

/// How long a rejected event rests.
const PAUSE: Duration = Duration::from_millis(50);

/// An orders service on a port of its own. Stops when dropped.
pub(crate) struct FakeOrders {
    pub(crate) addr: SocketAddr,
    model: Model,
    _tasks: TaskTracker,
    _stop: DropGuard,
}

#[derive(Clone, Default)]
struct Model(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    orders: HashMap<String, (OrderState, String)>,
    events: BTreeMap<String, Waiting>,
    dead: Vec<(String, String)>,
    most_attempts: i32,
    /// How many of the next calls of MarkShipped are refused before they have an effect, and lose
    /// their answer after it.
    refused: u32,
    lost: u32,
}

struct Waiting {
    payload: Option<pb::event::Payload>,
    due_at: Instant,
    lease_token: String,
    attempt: i32,
}

impl FakeOrders {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let model = Model::default();
        let routes = Routes::new(OrdersServiceServer::new(model.clone()));
        let stop = CancellationToken::new();
        let config = rpc::server::Config::default();
        let tasks = TaskTracker::new();
        tasks.spawn(rpc::server::serve(
            listener,
            routes,
            &[SERVICE_NAME],
            config,
            stop.clone(),
        ));
        Self {
            addr,
            model,
            _tasks: tasks,
            _stop: stop.drop_guard(),
        }
    }

    /// A confirmed order and its event; returns the order's id.
    pub(crate) fn confirm(&self) -> Uuid {
        let order = Uuid::new_v4();
        self.set(order, OrderState::Confirmed);
        self.event(Some(pb::event::Payload::OrderConfirmed(
            pb::OrderConfirmed {
                order_id: order.to_string(),
            },
        )));
        order
    }

    pub(crate) fn set(&self, order: Uuid, state: OrderState) {
        let entry = (state, String::new());
        self.state().orders.insert(order.to_string(), entry);
    }

    pub(crate) fn event(&self, payload: Option<pb::event::Payload>) {
        let waiting = Waiting {
            payload,
            due_at: Instant::now(),
            lease_token: String::new(),
            attempt: 0,
        };
        self.state()
            .events
            .insert(Uuid::now_v7().to_string(), waiting);
    }

    /// The next `times` calls of MarkShipped are refused as UNAVAILABLE.
    pub(crate) fn refuse(&self, times: u32) {
        self.state().refused = times;
    }

    /// The next `times` calls of MarkShipped have their effect and lose their answer.
    pub(crate) fn lose(&self, times: u32) {
        self.state().lost = times;
    }

    /// The order's state and tracking code.
    pub(crate) fn order(&self, id: Uuid) -> (OrderState, String) {
        self.state().orders[&id.to_string()].clone()
    }

    /// How many events nobody has acknowledged yet.
    pub(crate) fn waiting(&self) -> usize {
        self.state().events.len()
    }

    /// How many events are leased at the moment.
    pub(crate) fn leased(&self) -> usize {
        let now = Instant::now();
        let held = |event: &&Waiting| !event.lease_token.is_empty() && event.due_at > now;
        self.state().events.values().filter(held).count()
    }

    /// How often the event that was leased most was leased.
    pub(crate) fn most_attempts(&self) -> i32 {
        self.state().most_attempts
    }

    /// The reasons in the dead letters.
    pub(crate) fn dead(&self) -> Vec<String> {
        self.state()
            .dead
            .iter()
            .map(|(_, reason)| reason.clone())
            .collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.model.0.lock().unwrap()
    }
}

impl Model {
    fn held<T>(
        &self,
        id: &str,
        token: &str,
        then: impl FnOnce(&mut State) -> T,
    ) -> Result<Response<T>, Status> {
        let mut state = self.0.lock().unwrap();
        if state
            .events
            .get(id)
            .is_none_or(|event| event.lease_token != token)
        {
            return Err(refusal(Code::FailedPrecondition, "LEASE_LOST"));
        }
        Ok(Response::new(then(&mut state)))
    }
}

fn refusal(code: Code, reason: &str) -> Status {
    rpc::error::reason(code, "orders.slipway", reason, reason, [])
}

fn not_modelled<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("fulfilment has no business with it"))
}

#[tonic::async_trait]
impl OrdersService for Model {
    async fn lease_events(
        &self,
        request: Request<pb::LeaseEventsRequest>,
    ) -> Result<Response<pb::LeaseEventsResponse>, Status> {
        let request = request.into_inner();
        let lease = Duration::try_from(request.lease.unwrap()).unwrap();
        let now = Instant::now();
        let mut state = self.0.lock().unwrap();
        let State {
            events,
            most_attempts,
            ..
        } = &mut *state;
        let due = events.iter_mut().filter(|(_, event)| event.due_at <= now);
        let events = due.take(request.limit as usize).map(|(id, event)| {
            event.due_at = now + lease;
            event.attempt += 1;
            *most_attempts = event.attempt.max(*most_attempts);
            event.lease_token = Uuid::new_v4().to_string();
            pb::Event {
                id: id.clone(),
                attempt: event.attempt,
                lease_token: event.lease_token.clone(),
                payload: event.payload.clone(),
                ..pb::Event::default()
            }
        });
        let events = events.collect();
        Ok(Response::new(pb::LeaseEventsResponse { events }))
    }

    async fn acknowledge_event(
        &self,
        request: Request<pb::AcknowledgeEventRequest>,
    ) -> Result<Response<pb::AcknowledgeEventResponse>, Status> {
        let request = request.into_inner();
        self.held(&request.event_id, &request.lease_token, |state| {
            state.events.remove(&request.event_id);
            pb::AcknowledgeEventResponse {}
        })
    }

    async fn reject_event(
        &self,
        request: Request<pb::RejectEventRequest>,
    ) -> Result<Response<pb::RejectEventResponse>, Status> {
        let request = request.into_inner();
        let id = request.event_id.clone();
        self.held(&request.event_id, &request.lease_token, |state| {
            if request.poison {
                state.events.remove(&id);
                state.dead.push((id, request.reason));
            } else if let Some(event) = state.events.get_mut(&id) {
                event.due_at = Instant::now() + PAUSE;
                event.lease_token.clear();
            }
            pb::RejectEventResponse {}
        })
    }

    async fn extend_lease(
        &self,
        request: Request<pb::ExtendLeaseRequest>,
    ) -> Result<Response<pb::ExtendLeaseResponse>, Status> {
        let request = request.into_inner();
        self.held(&request.event_id, &request.lease_token, |state| {
            let lease = Duration::try_from(request.lease.unwrap()).unwrap();
            if let Some(event) = state.events.get_mut(&request.event_id) {
                event.due_at = Instant::now() + lease;
            }
            pb::ExtendLeaseResponse::default()
        })
    }

    async fn mark_shipped(
        &self,
        request: Request<pb::MarkShippedRequest>,
    ) -> Result<Response<pb::MarkShippedResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.0.lock().unwrap();
        if state.refused > 0 {
            state.refused -= 1;
            return Err(Status::unavailable("refused by the test"));
        }
        let Some(order) = state.orders.get_mut(&request.id) else {
            return Err(refusal(Code::NotFound, "ORDER_NOT_FOUND"));
        };
        match order.0 {
            OrderState::Confirmed => *order = (OrderState::Shipped, request.tracking_code),
            OrderState::Shipped => {}
            _ => return Err(refusal(Code::FailedPrecondition, "ORDER_NOT_SHIPPABLE")),
        }
        if state.lost > 0 {
            state.lost -= 1;
            return Err(Status::unavailable("lost by the test"));
        }
        Ok(Response::new(pb::MarkShippedResponse::default()))
    }

    async fn place_order(
        &self,
        _: Request<pb::PlaceOrderRequest>,
    ) -> Result<Response<pb::PlaceOrderResponse>, Status> {
        not_modelled()
    }

    async fn get_order(
        &self,
        _: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, Status> {
        not_modelled()
    }

    async fn list_orders(
        &self,
        _: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        not_modelled()
    }

    async fn cancel_order(
        &self,
        _: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        not_modelled()
    }

    async fn list_dead_letters(
        &self,
        _: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        not_modelled()
    }
}
