//! Argo CD: what its applications are at, and why one does not get further.

mod access;
mod application;
mod reason;
mod wait;

pub(crate) use access::Access;
pub(crate) use application::Application;
pub(crate) use wait::{Wanted, name, runs, unwell, wait};
