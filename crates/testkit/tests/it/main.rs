//! The crate through its public door.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod db;
mod proxy;
mod service;

use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
