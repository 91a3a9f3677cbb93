//! For tests only: databases, spawned services, a proxy between them, browsers.
//!
//! ```
//! use std::time::Duration;
//! use testkit::Backend;
//!
//! # #[tokio::main]
//! # async fn main() {
//! // Its own database, dropped with the value; PostgreSQL ones on a server that all tests of the process share.
//! let database = testkit::database(Backend::Sqlite).await;
//! let pool = database.connect();
//!
//! // A test waits for a condition with a deadline, never for a time.
//! testkit::eventually(Duration::from_secs(5), async || pool.ping().await).await;
//! # }
//! ```

mod db;
mod postgres;
mod watcher;

pub mod browser;
pub mod proxy;
pub mod service;

pub use db::{Backend, TestDatabase, database};

use std::{fmt::Debug, time::Duration};

/// Calls `check` until it returns `Ok`, for at most `within`.
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use std::time::Duration;
///
/// let mut polls = 0;
/// let answer = testkit::eventually(Duration::from_secs(5), async || {
///     polls += 1;
///     if polls < 3 { Err("not yet") } else { Ok(polls) }
/// })
/// .await;
/// assert_eq!(answer, 3);
/// # }
/// ```
///
/// # Panics
/// When the time is up, with the last error.
pub async fn eventually<T, E: Debug>(
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let mut last = None;
    let polling = async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(within, polling).await {
        Ok(value) => value,
        Err(_) => panic!("not within {within:?}; at last: {last:?}"),
    }
}

/// Runs `work` on a thread with a runtime of its own: what is shared outlives the test, and its runtime, that happened to
/// need it first; and `Drop` cannot await.
pub(crate) fn on_own_runtime<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).expect("the work does not panic")
}
