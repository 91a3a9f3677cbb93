//! Calls to the catalog and the order service: each is asked, and its answer is turned into the
//! gateway's own types or into a [`Problem`].

use std::collections::HashMap;

use http::Uri;
use proto::catalog::v1 as catalog;
use proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use proto::orders::v1 as orders;
use proto::orders::v1::orders_service_client::OrdersServiceClient;
use rpc::client::{self, Channel, Retry};
use rpc::error::{ErrorReason, violations};
use time::OffsetDateTime;
use tonic::{Code, Response, Status};
use uuid::Uuid;

use crate::domain::{
    Money, NewLine, NewOrder, Order, OrderLine, OrderState, Page, Product, Rejection, Violations,
};
use crate::problem::{Kind, Problem};

/// The services behind the gateway. Either may start later, or go away and come back.
#[derive(Clone, Debug)]
pub struct Backends {
    catalog: Peer<CatalogServiceClient<Channel>>,
    orders: Peer<OrdersServiceClient<Channel>>,
}

#[derive(Clone, Debug)]
struct Peer<C> {
    client: C,
    retry: Retry,
    name: &'static str,
    unavailable: Kind,
}

/// Calls `peer.method` with retries, for every call that the gateway makes is idempotent.
macro_rules! ask {
    ($peer:expr, $method:ident, $request:expr) => {{
        let (peer, request) = (&$peer, $request);
        let attempt = async || peer.client.clone().$method(request.clone()).await;
        let answer = peer.retry.call(attempt).await;
        answer
            .map(Response::into_inner)
            .map_err(|status| refused(peer.name, peer.unavailable, &status))
    }};
}

/// An order, and whether its key had been used for it before.
#[derive(Debug)]
pub struct Placed {
    /// As it is now.
    pub order: Order,
    /// Whether this was not the first time.
    pub replayed: bool,
}

impl Backends {
    /// Connects when first asked.
    #[must_use]
    pub fn connect_lazy(catalog: Uri, orders: Uri, config: &client::Config) -> Self {
        let channel = |url| Channel::connect_lazy(url, config);
        Self {
            catalog: Peer {
                client: CatalogServiceClient::new(channel(catalog))
                    .max_decoding_message_size(rpc::MESSAGE_LIMIT)
                    .max_encoding_message_size(rpc::MESSAGE_LIMIT),
                retry: Retry::new("catalog", config),
                name: "catalog",
                unavailable: Kind::CatalogUnavailable,
            },
            orders: Peer {
                client: OrdersServiceClient::new(channel(orders))
                    .max_decoding_message_size(rpc::MESSAGE_LIMIT)
                    .max_encoding_message_size(rpc::MESSAGE_LIMIT),
                retry: Retry::new("orders", config),
                name: "orders",
                unavailable: Kind::OrdersUnavailable,
            },
        }
    }

    /// One page of the products that contain `search`. A `size` of 0 leaves it to the catalog.
    ///
    /// # Errors
    /// `invalid-parameters` for a page token that is not the catalog's; `catalog-unavailable`.
    pub async fn products(
        &self,
        search: &str,
        size: i32,
        token: &str,
    ) -> Result<Page<Product>, Problem> {
        let request = catalog::ListProductsRequest {
            filter: search.to_owned(),
            page_size: size,
            page_token: token.to_owned(),
        };
        let page = ask!(self.catalog, list_products, request)?;
        Ok(Page {
            items: all(page.products, product)?,
            next_page_token: present(page.next_page_token),
        })
    }

    /// One product.
    ///
    /// # Errors
    /// `product-not-found`, `catalog-unavailable`.
    pub async fn product(&self, id: Uuid) -> Result<Product, Problem> {
        let request = catalog::GetProductRequest { id: id.to_string() };
        let answer = ask!(self.catalog, get_product, request)?;
        product(answer.product.ok_or_else(|| nonsense("no product"))?)
    }

    /// Those of the products, at most a hundred, that exist.
    ///
    /// # Errors
    /// `catalog-unavailable`.
    pub async fn products_by_id(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Product>, Problem> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = ids.iter().map(Uuid::to_string).collect();
        let request = catalog::BatchGetProductsRequest { ids };
        let answer = ask!(self.catalog, batch_get_products, request)?;
        let products = all(answer.products, product)?;
        Ok(products.into_iter().map(|one| (one.id, one)).collect())
    }

    /// Places an order under its customer and `key`.
    ///
    /// # Errors
    /// `idempotency-key-reused`, `orders-unavailable`.
    pub async fn place(&self, key: &str, new: &NewOrder) -> Result<Placed, Problem> {
        let line = |line: &NewLine| orders::NewOrderLine {
            product_id: line.product_id.to_string(),
            quantity: line.quantity.try_into().unwrap_or(i32::MAX),
        };
        let request = orders::PlaceOrderRequest {
            customer_id: new.customer_id.clone(),
            idempotency_key: key.to_owned(),
            currency: new.currency.clone(),
            lines: new.lines.iter().map(line).collect(),
        };
        let answer = ask!(self.orders, place_order, request)?;
        Ok(Placed {
            order: order(answer.order)?,
            replayed: answer.replayed,
        })
    }

    /// One order.
    ///
    /// # Errors
    /// `order-not-found`, `orders-unavailable`.
    pub async fn order(&self, id: Uuid) -> Result<Order, Problem> {
        let request = orders::GetOrderRequest { id: id.to_string() };
        order(ask!(self.orders, get_order, request)?.order)
    }

    /// One page of a customer's orders, newest first. A `size` of 0 leaves it to the order service.
    ///
    /// # Errors
    /// `invalid-parameters` for a page token that is not the order service's; `orders-unavailable`.
    pub async fn orders_of(
        &self,
        customer: &str,
        size: i32,
        token: &str,
    ) -> Result<Page<Order>, Problem> {
        let request = orders::ListOrdersRequest {
            customer_id: customer.to_owned(),
            page_size: size,
            page_token: token.to_owned(),
        };
        let page = ask!(self.orders, list_orders, request)?;
        Ok(Page {
            items: all(page.orders, |one| order(Some(one)))?,
            next_page_token: present(page.next_page_token),
        })
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// `order-not-found`, `order-not-cancellable`, `orders-unavailable`.
    pub async fn cancel(&self, id: Uuid) -> Result<Order, Problem> {
        let request = orders::CancelOrderRequest { id: id.to_string() };
        order(ask!(self.orders, cancel_order, request)?.order)
    }
}

/// What a service's status means to the gateway's client. Failures are logged here: their text stays inside.
fn refused(service: &'static str, unavailable: Kind, status: &Status) -> Problem {
    let reason = ErrorReason::of(status).map(|why| why.reason);
    let kind = match (status.code(), reason.as_deref()) {
        (_, Some("PRODUCT_NOT_FOUND")) => Kind::ProductNotFound,
        (_, Some("ORDER_NOT_FOUND")) => Kind::OrderNotFound,
        (_, Some("IDEMPOTENCY_KEY_REUSED")) => Kind::IdempotencyKeyReused,
        (_, Some("ORDER_NOT_CANCELLABLE")) => Kind::OrderNotCancellable,
        (Code::InvalidArgument, _) => return invalid(status),
        (
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled,
            _,
        ) => {
            let (code, message) = (status.code(), status.message());
            tracing::warn!(service, ?code, message, "a service does not answer");
            unavailable
        }
        (code, _) => {
            let message = status.message();
            tracing::error!(service, ?code, message, "a service failed");
            Kind::Internal
        }
    };
    kind.into()
}

/// Field rules that only the service itself can check, such as those of page tokens.
fn invalid(status: &Status) -> Problem {
    let mut found = Violations::default();
    for violation in violations(status) {
        let field = match violation.field.as_str() {
            "filter" => "q".to_owned(),
            _ => violation.field,
        };
        found.add(field, "valid", violation.rule);
    }
    Problem::broken(Kind::InvalidParameters, found)
}

/// An answer that breaks the contract: the service's fault, which nobody outside needs to understand.
fn nonsense(what: &str) -> Problem {
    tracing::error!(what, "a service's answer breaks the contract");
    Kind::Internal.into()
}

fn all<T, U>(items: Vec<T>, convert: impl Fn(T) -> Result<U, Problem>) -> Result<Vec<U>, Problem> {
    items.into_iter().map(convert).collect()
}

fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// With a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(char::to_uppercase);
    let sentence: String = first.into_iter().flatten().chain(rest).collect();
    let stop = if sentence.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    sentence + stop
}

fn uuid(id: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(id).map_err(|_| nonsense("an id that is not a UUID"))
}

fn moment(time: Option<prost_types::Timestamp>) -> Result<OffsetDateTime, Problem> {
    let time = time.ok_or_else(|| nonsense("no time"))?;
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| nonsense("an impossible time"))
}

fn product(product: catalog::Product) -> Result<Product, Problem> {
    let price = product.price.ok_or_else(|| nonsense("no price"))?;
    Ok(Product {
        id: uuid(&product.id)?,
        sku: product.sku,
        name: product.name,
        description: product.description,
        price: Money {
            currency: price.currency,
            minor_units: price.minor_units,
        },
        available: product.available,
        revision: product.revision,
        updated_at: moment(product.updated_at)?,
    })
}

fn order(found: Option<orders::Order>) -> Result<Order, Problem> {
    let order = found.ok_or_else(|| nonsense("no order"))?;
    let state = match order.state() {
        orders::OrderState::Pending => OrderState::Pending,
        orders::OrderState::Confirmed => OrderState::Confirmed,
        orders::OrderState::Rejected => OrderState::Rejected,
        orders::OrderState::Cancelled => OrderState::Cancelled,
        orders::OrderState::Shipped => OrderState::Shipped,
        orders::OrderState::Unspecified => return Err(nonsense("an order without a state")),
    };
    Ok(Order {
        id: uuid(&order.id)?,
        customer_id: order.customer_id,
        state,
        lines: all(order.lines, order_line)?,
        currency: order.currency,
        total: order.total.map(money),
        rejection: order.rejection.map(|why| Rejection {
            reason: why.reason,
            product_id: Uuid::parse_str(&why.product_id).ok(),
            message: sentence(&why.message),
        }),
        tracking_code: present(order.tracking_code),
        placed_at: moment(order.placed_at)?,
        updated_at: moment(order.updated_at)?,
    })
}

fn order_line(line: orders::OrderLine) -> Result<OrderLine, Problem> {
    Ok(OrderLine {
        product_id: uuid(&line.product_id)?,
        quantity: u32::try_from(line.quantity).map_err(|_| nonsense("a negative quantity"))?,
        sku: present(line.sku),
        name: present(line.name),
        unit_price: line.unit_price.map(money),
    })
}

fn money(money: orders::Money) -> Money {
    Money {
        currency: money.currency,
        minor_units: money.minor_units,
    }
}
