//! The shop's HTTP edge: the REST API under `/api/v1` and the pages.
//!
//! Requests come in through [`middleware`], are parsed by [`api`] or [`pages`], answered by the
//! services behind [`backends`], and what goes wrong leaves as a [`problem`].

pub mod api;
pub mod app;
pub mod assets;
pub mod backends;
pub mod domain;
pub mod etag;
pub mod metrics;
pub mod middleware;
pub mod pages;
pub mod placement;
pub mod problem;
