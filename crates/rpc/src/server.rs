//! The server side: everything around the handlers.

use std::{any::Any, time::Duration};

use axum::{
    body::Body,
    error_handling::HandleErrorLayer,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::ServingStatus;
use tonic_reflection::server::{
    Builder,
    v1::{ServerReflection, ServerReflectionServer},
};
use tower::{
    BoxError, ServiceBuilder, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer,
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{
    body::Ended,
    call::{self, Call},
    deadline, duration, metrics,
};

/// tonic times the `grpc-timeout` header too and answers CANCELLED. We are that much earlier, so
/// that the answer is DEADLINE_EXCEEDED, and has a chance to reach the caller before it gives up.
const HEAD_START: Duration = Duration::from_millis(2);

/// How a gRPC server protects itself. Flatten it into the service's own settings.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
#[group(skip)] // every crate calls its settings Config, and clap wants distinct groups
pub struct Config {
    /// The longest that a call may take; callers can ask for less.
    #[arg(long, env, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub request_deadline: Duration,
    /// How many calls may be under way; more are refused at once.
    #[arg(long, env, value_name = "CALLS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrent: u32,
    /// How long a connection may live; then its client makes a new one, and finds new replicas.
    #[arg(long, env, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub connection_age: Duration,
    /// How long a connection may be silent before it is probed.
    #[arg(long, env, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub keepalive_interval: Duration,
    /// How long a probed connection may take to answer before it is closed.
    #[arg(long, env, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub keepalive_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            request_deadline: Duration::from_secs(5),
            max_concurrent: 512,
            connection_age: Duration::from_secs(300),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

/// Why the server stopped.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server failed: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves `routes` until `draining`; then accepts nothing more, and returns when all that is in
/// flight is finished. `service_names` are those that health checks and reflection tell of.
///
/// Around each handler: a span that continues the caller's trace, a duration metric, the call's
/// [deadline], INTERNAL for a panic, and RESOURCE_EXHAUSTED when more calls than
/// allowed are under way. When the deadline passes or the caller goes away, the handler's future
/// is dropped. Health and reflection calls are outside of all this, and so are never refused.
///
/// # Errors
/// When a connection can't be set up at all; a connection that breaks is no error.
pub async fn serve(
    listener: TcpListener,
    routes: Routes,
    service_names: &'static [&'static str],
    config: Config,
    draining: CancellationToken,
) -> Result<(), ServeError> {
    call::prepare();
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in service_names {
        health
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    let guarded = routes.into_axum_router().layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(config.request_deadline, observe))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(HandleErrorLayer::new(shed))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(
                config.max_concurrent as usize,
            )),
    );
    let streams = CancellationToken::new();
    let unguarded = Routes::from(axum::Router::new())
        .add_service(health_service)
        .add_service(reflection(service_names))
        .into_axum_router()
        .layer(from_fn_with_state(streams.clone(), end_streams));

    let stop = async move {
        draining.cancelled().await;
        for name in service_names.iter().chain(&[""]) {
            health
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        streams.cancel();
    };
    Server::builder()
        // More streams than calls, so that one client's call too many is refused and doesn't wait.
        .max_concurrent_streams(config.max_concurrent.saturating_mul(2))
        // Without `max_connection_age_grace`, with which tonic 0.14 cuts calls off instead of
        // letting them finish. The calls' deadline bounds the grace.
        .max_connection_age(config.connection_age)
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout))
        .serve_with_incoming_shutdown(
            Routes::from(guarded.merge(unguarded)).prepare(),
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop,
        )
        .await?;
    Ok(())
}

fn reflection(service_names: &[&str]) -> ServerReflectionServer<impl ServerReflection + use<>> {
    service_names
        .iter()
        .fold(Builder::configure(), |builder, name| {
            builder.with_service_name(*name)
        })
        .with_service_name("grpc.health.v1.Health")
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Lets clients print the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors come from the build")
}

/// Runs a call: traced, timed, and dropped at its deadline.
async fn observe(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let call = Call::arrived(request.uri().path(), request.headers());
    let timeout = deadline::asked(request.headers()).map_or(limit, |asked| asked.min(limit));
    let deadline = Instant::now() + timeout.saturating_sub(HEAD_START);
    let work = deadline::scope(deadline, next.run(request)).instrument(call.span());
    let response = timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| deadline::exceeded().into_http());
    call.answered(response, deadline).map(Body::new)
}

async fn shed(_overloaded: BoxError) -> Response {
    metrics::shed();
    Status::resource_exhausted(
        "the server has as many calls under way as it takes; try again later",
    )
    .into_http()
}

/// The process's panic hook has logged it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Status::internal("the service has a fault").into_http()
}

/// Ends streams that would otherwise keep a draining server from stopping.
async fn end_streams(
    State(ended): State<CancellationToken>,
    request: Request,
    next: Next,
) -> Response {
    let end = async move {
        ended.cancelled().await;
        Status::unavailable("the server is shutting down")
    };
    next.run(request)
        .await
        .map(|body| Body::new(Ended::new(body, end)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[command(flatten)]
        rpc: Config,
        #[command(flatten)]
        calls: crate::client::Config,
    }

    #[test]
    fn what_nobody_sets_is_the_default() {
        let settings = Settings::try_parse_from(["service"]).unwrap();
        assert_eq!(settings.rpc, Config::default());
        assert_eq!(settings.calls, crate::client::Config::default());
    }

    #[test]
    fn settings_that_would_refuse_every_call_are_wrong() {
        for flag in [
            "--request-deadline=0s",
            "--request-deadline=5",
            "--max-concurrent=0",
            "--connection-age=0ms",
        ] {
            let error = Settings::try_parse_from(["service", flag]).unwrap_err();
            assert_eq!(
                error.kind(),
                clap::error::ErrorKind::ValueValidation,
                "{flag}"
            );
        }
    }
}
