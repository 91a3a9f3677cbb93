//! `release` as a program: a small workspace, a real Git remote, a real registry.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cut_off;
mod day;
mod proxy;
#[path = "../fixture/registry.rs"]
mod registry;
#[path = "../affected/repo.rs"]
#[allow(dead_code, reason = "the tests of the keys use the rest")]
mod repo;
mod shop;
mod together;
#[path = "../gitops/world.rs"]
#[allow(dead_code, reason = "the tests of the record use the rest")]
mod world;
