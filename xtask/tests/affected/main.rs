//! `affected` and `why` as programs, on small workspaces with real git and cargo.
#![allow(clippy::unwrap_used, reason = "tests")]

mod exact;
mod places;
mod rebuilds;
#[path = "../fixture/registry.rs"]
mod registry;
mod repo;
mod why;
mod xtask;
