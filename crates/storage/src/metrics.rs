//! Every metric of this crate.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use metrics::{Histogram, Unit};

pub(crate) const OPERATION_DURATION: &str = "db_operation_duration_seconds";
pub(crate) const POOL_CONNECTIONS: &str = "db_pool_connections";
pub(crate) const POOL_IDLE: &str = "db_pool_idle";

/// Names, units and descriptions, told to the recorder when the first pool opens.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        OPERATION_DURATION,
        Unit::Seconds,
        "Time of one store operation, waiting for a connection included, by operation"
    );
    metrics::describe_gauge!(POOL_CONNECTIONS, Unit::Count, "Open connections, by pool");
    metrics::describe_gauge!(
        POOL_IDLE,
        Unit::Count,
        "Open connections that nobody uses, by pool"
    );
}

/// The operation's histogram, looked up in the recorder once per process.
pub(crate) fn operation_duration(operation: &'static str) -> Histogram {
    static HANDLES: LazyLock<RwLock<HashMap<&'static str, Histogram>>> =
        LazyLock::new(RwLock::default);

    if let Some(histogram) = HANDLES
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(operation)
    {
        return histogram.clone();
    }
    let histogram = metrics::histogram!(OPERATION_DURATION, "operation" => operation);
    HANDLES
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(operation, histogram.clone());
    histogram
}

/// Called by `watch`, once per beat.
pub(crate) fn record_pool<DB: sqlx::Database>(name: &'static str, pool: &sqlx::Pool<DB>) {
    metrics::gauge!(POOL_CONNECTIONS, "pool" => name).set(pool.size());
    metrics::gauge!(POOL_IDLE, "pool" => name).set(pool.num_idle() as f64);
}
