//! Real clients against real servers on port 0.

#![allow(clippy::unwrap_used, reason = "tests")]

mod catalog;
mod deadlines;
mod failures;
mod observing;
mod retries;
mod serving;
