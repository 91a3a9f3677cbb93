//! Ships confirmed orders: leases their events, packs each parcel once, and says when it has left.

pub mod app;
pub mod domain;
mod metrics;
mod orders;
mod shipping;
pub mod store;
mod worker;
