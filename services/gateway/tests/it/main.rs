//! The gateway through its public door, with models of the services behind it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod bad_input;
mod drain;
mod events;
mod harness;
mod limits;
mod openapi;
mod orders_api;
mod pages;
mod products_api;
mod settings;
mod world;
