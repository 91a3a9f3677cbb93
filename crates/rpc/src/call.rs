//! One call as it is observed: its span and its duration, on either side.

use std::{collections::HashMap, convert::Infallible, sync::LazyLock, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Body;
use http_body_util::BodyExt;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status, codegen::StdError};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::{
    body::Ended,
    metrics::{self, Durations},
};

/// A method of the contracts.
struct Method {
    /// `package.Service/Method`.
    path: String,
    service: &'static str,
    name: &'static str,
    server: Durations,
    client: Durations,
}

/// All methods by their HTTP path. Only these become labels and span names: a caller can ask for
/// any path, and each new one would cost memory here and in everything that stores telemetry.
static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET)
        .expect("proto's build script encoded the descriptors");
    let mut methods = HashMap::new();
    for file in files.file {
        for service in &file.service {
            let full_name = format!("{}.{}", file.package(), service.name());
            let full_name: &'static str = full_name.leak();
            for method in &service.method {
                let method = Method::new(full_name, method.name().to_owned().leak());
                methods.insert(format!("/{}", method.path), method);
            }
        }
    }
    methods
});

/// Describes the metrics and reads the contracts, so that no call waits for that.
pub(crate) fn prepare() {
    metrics::describe();
    LazyLock::force(&METHODS);
}

static UNKNOWN: LazyLock<Method> = LazyLock::new(|| Method::new("unknown", "unknown"));

impl Method {
    fn new(service: &'static str, name: &'static str) -> Self {
        Self {
            path: format!("{service}/{name}"),
            service,
            name,
            server: Durations::new(metrics::SERVER_DURATION, service, name),
            client: Durations::new(metrics::CLIENT_DURATION, service, name),
        }
    }

    fn at(path: &str) -> &'static Self {
        METHODS.get(path).unwrap_or(&UNKNOWN)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Server,
    Client,
}

/// A call under way. When it is dropped it is over: with the code that was seen, else CANCELLED,
/// because then the caller has gone.
pub(crate) struct Call {
    side: Side,
    method: &'static Method,
    span: Span,
    started: Instant,
    code: Option<Code>,
}

impl Call {
    /// A call that arrived; its span continues the caller's trace.
    pub(crate) fn arrived(path: &str, headers: &HeaderMap) -> Self {
        let call = Self::new(Side::Server, path);
        // Fails when no tracer is installed, and then there is nothing to continue.
        let _ = call
            .span
            .set_parent(telemetry::propagation::parent_from(headers));
        call
    }

    /// A call about to be sent; the headers get its trace context.
    pub(crate) fn sent(path: &str, headers: &mut HeaderMap) -> Self {
        let call = Self::new(Side::Client, path);
        telemetry::propagation::inject(&call.span, headers);
        call
    }

    fn new(side: Side, path: &str) -> Self {
        let method = Method::at(path);
        // https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
        let span = tracing::info_span!(
            "rpc",
            otel.name = method.path,
            otel.kind = if side == Side::Server {
                "server"
            } else {
                "client"
            },
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = method.service,
            rpc.method = method.name,
            rpc.grpc.status_code = Empty,
        );
        Self {
            side,
            method,
            span,
            started: Instant::now(),
            code: None,
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes the code with which the call ended.
    pub(crate) fn ended(&mut self, code: Code) {
        self.code = Some(code);
    }

    /// Follows an answer to its end, which is the `deadline` at the latest.
    pub(crate) fn answered<B>(
        mut self,
        response: Response<B>,
        deadline: tokio::time::Instant,
    ) -> Response<impl Body<Data = Bytes, Error = Infallible>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<StdError>,
    {
        self.saw(response.headers());
        let end = async move {
            tokio::time::sleep_until(deadline).await;
            crate::deadline::exceeded()
        };
        response.map(|body| {
            Ended::new(body, end).map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.saw(trailers);
                }
                frame
            })
        })
    }

    /// Notes the code if these headers or trailers carry one.
    fn saw(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.ended(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        let durations = match self.side {
            Side::Server => &self.method.server,
            Side::Client => &self.method.client,
        };
        durations.record(code, self.started.elapsed());
        self.span.record("rpc.grpc.status_code", code as i32);
        if is_failure(self.side, code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// A server has failed only where the fault is its own; to a client, all but OK is a failure.
fn is_failure(side: Side, code: Code) -> bool {
    match side {
        Side::Client => code != Code::Ok,
        Side::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_of_the_contracts_are_named() {
        let reserve = Method::at("/slipway.catalog.v1.CatalogService/Reserve");
        assert_eq!(reserve.path, "slipway.catalog.v1.CatalogService/Reserve");
        assert_eq!(reserve.service, "slipway.catalog.v1.CatalogService");
        for path in ["", "/", "/slipway.catalog.v1.CatalogService/Steal", "/x/y"] {
            assert_eq!(Method::at(path).path, "unknown/unknown");
        }
    }
}
