//! The fulfilment service with its real databases and a model of the orders service.
#![allow(clippy::unwrap_used, reason = "an unexpected answer fails the test")]

mod orders;
mod readme;
mod store;
mod worker;

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
