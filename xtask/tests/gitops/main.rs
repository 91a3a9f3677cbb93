//! promote, rollback, resume, status and dora as programs, against real git remotes and a real
//! registry.

mod argocd;
mod commands;
mod credentials;
mod faults;
mod places;
mod policy;
#[path = "../fixture/registry.rs"]
mod registry;
mod world;
