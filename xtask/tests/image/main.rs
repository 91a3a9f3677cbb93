//! `image` as a program, on small workspaces with real git, cargo and container engines.
#![allow(clippy::unwrap_used, reason = "tests")]

mod archive;
mod container;
mod contents;
mod pushed;
#[path = "../fixture/registry.rs"]
#[allow(dead_code, reason = "the tests of the registry use the rest")]
mod registry;
#[path = "../affected/repo.rs"]
#[allow(dead_code, reason = "the tests of the keys use the rest")]
mod repo;
mod reproducible;
mod run;
