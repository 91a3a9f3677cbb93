//! The catalog service: products, prices, stock, and the reservations that orders hold on stock.
//!
//! A call goes `grpc` (parse, call, convert) -> [`validation`] -> [`store`], whose write
//! transactions ask [`domain`] and [`reservation`] what a change means and keep the answer. There
//! is no layer of use cases between the two: it would only forward.

pub mod app;
pub mod domain;
pub mod error;
mod grpc;
pub mod listing;
mod metrics;
pub mod reservation;
pub mod seed;
pub mod store;
mod validation;
