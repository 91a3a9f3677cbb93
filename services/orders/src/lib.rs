//! Orders: places them, and sees each to its end together with the catalog's stock. See README.md.

pub mod app;
mod backoff;
mod cancellation;
mod catalog;
pub mod domain;
mod error;
mod grpc;
mod listing;
mod metrics;
mod outbox;
mod placement;
mod recovery;
mod saga;
mod shipping;
pub mod store;
mod validation;

use time::OffsetDateTime;

/// Where the time comes from: whole microseconds in UTC, as both databases keep them.
pub(crate) type Clock = fn() -> OffsetDateTime;
