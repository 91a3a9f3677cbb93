//! gRPC servers and clients that survive bad days: deadlines, load shedding, retries within a
//! budget, tracing and metrics. Services only write the handlers. Telemetry has to be installed
//! before: handles of metrics are cached.
//!
//! ```
//! use rpc::{client, server};
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = client::parse_url(&format!("http://{}", listener.local_addr()?))?;
//! let draining = tokio_util::sync::CancellationToken::new();
//! let routes = tonic::service::Routes::default(); // .add_service(CatalogServiceServer::new(..))
//! let server = server::serve(listener, routes, &["slipway.catalog.v1.CatalogService"],
//!     server::Config::default(), draining.clone());
//!
//! let caller = async {
//!     let channel = client::Channel::connect_lazy(url, &client::Config::default());
//!     let answer = HealthClient::new(channel)
//!         .check(HealthCheckRequest { service: "slipway.catalog.v1.CatalogService".into() })
//!         .await;
//!     draining.cancel(); // finishes what is in flight, then `serve` returns
//!     answer
//! };
//! let (served, answer) = tokio::join!(server, caller);
//! served?;
//! assert_eq!(answer?.into_inner().status(), tonic_health::ServingStatus::Serving.into());
//! # Ok(()) }
//! ```

use std::time::Duration;

mod body;
mod call;
pub mod client;
pub mod deadline;
pub mod error;
mod metrics;
pub mod page_token;
mod retry;
pub mod server;

/// The largest message in bytes, in either direction. A larger one fails with OUT_OF_RANGE.
///
/// Servers and clients both set it on the generated type, because tonic has no other place for it:
/// `max_decoding_message_size(rpc::MESSAGE_LIMIT).max_encoding_message_size(rpc::MESSAGE_LIMIT)`.
/// By default tonic decodes 4 MiB, and encodes without limit.
pub const MESSAGE_LIMIT: usize = 4 << 20;

/// Parses a duration of at least a millisecond.
fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        Ok(_) => Err("must be at least 1ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
