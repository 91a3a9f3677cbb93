//! The admin port's routes: probes, metrics, version.

use crate::latch::Latches;
use axum::http::{StatusCode, header};
use axum::{Json, Router, routing::get};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Clone, Serialize)]
pub(crate) struct Version {
    pub(crate) service: &'static str,
    pub(crate) version: String,
    pub(crate) revision: String,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    latches: BTreeMap<&'static str, String>,
}

pub(crate) fn router(
    version: Version,
    latches: Latches,
    metrics: impl Fn() -> String + Send + Sync + 'static,
) -> Router {
    let metrics = std::sync::Arc::new(metrics);
    // `/livez` looks at nothing: a restart does not repair a database.
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async move || readyz(&latches)))
        .route(
            "/metrics",
            get(async move || {
                (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
                    metrics(),
                )
            }),
        )
        .route("/version", get(async move || Json(version)))
}

fn readyz(latches: &Latches) -> (StatusCode, Json<Readiness>) {
    let readiness = Readiness {
        ready: latches.ready(),
        latches: latches.states(),
    };
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
