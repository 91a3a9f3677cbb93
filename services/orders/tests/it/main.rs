//! The orders service through its public doors, on both databases.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod api;
mod catalog;
mod events;
mod faults;
mod process;
mod readme;
mod shop;
mod store;

/// Makes a test of each named function for each database; they are called `sqlite::...` and `postgres::...`.
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(testkit::Backend::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(testkit::Backend::Postgres).await;
            })*
        }
    };
}
use on_both_databases;
