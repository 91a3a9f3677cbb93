//! What happens around every request, from the outside in: it is observed, answered with security
//! headers, its problems are written out, its panics caught, and it is let in only while there is
//! room, from the shop's own pages, and until its deadline.

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tokio::time::{Instant, timeout_at};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, Span, field, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::app::Shared;
use crate::metrics::Active;
use crate::pages::{self, Visit};
use crate::problem::{Kind, MEDIA_TYPE, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The id by which a request is found in the log.
#[derive(Clone)]
pub struct RequestId(pub String);

/// Wraps all routes.
pub fn wrap(routes: Router<Shared>, shop: &Shared) -> Router {
    let state = || shop.clone();
    routes
        .layer(DefaultBodyLimit::max(shop.limits.body))
        .layer(from_fn_with_state(state(), keep_deadline))
        .layer(from_fn_with_state(state(), refuse_cross_site))
        .layer(from_fn_with_state(state(), shed_load))
        .layer(CatchPanicLayer::custom(|_| panicked()))
        .layer(from_fn_with_state(state(), present))
        .layer(from_fn_with_state(state(), secure))
        .layer(from_fn(observe))
        .with_state(state())
}

/// Gives the request its id and its span, and measures it.
async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let _active = Active::request();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let id = request_id(request.headers());
    let span = span(&request, method, &route, &id);
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = next.run(request).instrument(span.clone()).await;

    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let took = started.elapsed();
    tracing::info!(parent: &span, status = status.as_u16(), millis = took.as_millis(), "answered");
    crate::metrics::answered(method, &route, status, took);
    // Ids are visible ASCII, see `request_id`.
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Attributes follow OpenTelemetry's semantic conventions for HTTP servers.
fn span(request: &Request, method: &'static str, route: &str, id: &str) -> Span {
    let span = info_span!(
        "http",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        url.path = request.uri().path(),
        http.response.status_code = field::Empty,
        request_id = id,
    );
    // Fails when no tracer is installed, and then there is nothing to continue.
    let _ = span.set_parent(telemetry::propagation::parent_from(request.headers()));
    span
}

/// The caller's id where it is fit for logs, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let fit =
        |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    given
        .filter(fit)
        .map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned)
}

/// A label with few values, whatever clients send.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

const SECURITY_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

async fn secure(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().extend(SECURITY_HEADERS);
    if shop.secure {
        let one_year = HeaderValue::from_static("max-age=31536000");
        response
            .headers_mut()
            .insert(header::STRICT_TRANSPORT_SECURITY, one_year);
    }
    response
}

/// Writes a problem out: for programs as RFC 9457 JSON, for people as a page in words. A library's
/// bare error status becomes a problem too, so that no error leaves without one.
async fn present(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    let for_programs = request.uri().path().starts_with("/api/");
    let id = request.extensions().get::<RequestId>();
    let id = id.map(|RequestId(id)| id.clone()).unwrap_or_default();
    let visit = (!for_programs).then(|| Visit::of(request.headers(), &shop));

    let mut response = next.run(request).await;

    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if (status.is_client_error() || status.is_server_error()) && !is_page(&response) => {
            Problem::of_status(status)
        }
        None => return response,
    };
    let status = problem.kind.status();
    let written = match visit {
        None => ([(header::CONTENT_TYPE, MEDIA_TYPE)], Json(problem.body(id))).into_response(),
        Some(visit) => pages::in_words(&visit, &problem, id),
    };
    // Keeps what the status needs, such as `Allow` and `Retry-After`.
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(written.headers().clone());
    (status, headers, written.into_body()).into_response()
}

fn is_page(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// The panic hook has logged it, see [`telemetry`].
fn panicked() -> Response {
    Problem::from(Kind::Internal).into_response()
}

async fn shed_load(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    let Ok(_room) = shop.room.try_acquire() else {
        crate::metrics::shed();
        return Problem::from(Kind::Overloaded).into_response();
    };
    next.run(request).await
}

/// Refuses what a browser was made to send by another site: cookies alone do not prove that the
/// shop's own page sent a form. Programs send none of these headers and pass.
async fn refuse_cross_site(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    if request.method().is_safe() || is_own(headers, uri, shop.public_url.as_ref()) {
        return next.run(request).await;
    }
    Problem::from(Kind::CrossSite).into_response()
}

fn is_own(headers: &HeaderMap, uri: &Uri, public_url: Option<&Uri>) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    // Browsers leave Sec-Fetch-Site out on plain HTTP, but never the Origin of a post.
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(Uri::authority);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(Authority::as_str));
    let public = public_url.and_then(Uri::authority);
    origin.is_some_and(|origin| host == Some(origin.as_str()) || public == Some(origin))
}

/// Gives the request a deadline, which the calls to other services share.
async fn keep_deadline(State(shop): State<Shared>, request: Request, next: Next) -> Response {
    let deadline = Instant::now() + shop.limits.request_deadline;
    let answer = rpc::deadline::scope(deadline, next.run(request));
    timeout_at(deadline, answer)
        .await
        .unwrap_or_else(|_| Problem::from(Kind::DeadlineExceeded).into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::app::{Config, Shop};

    #[tokio::test]
    async fn a_panic_is_a_problem_without_its_text() {
        let config: Config = lifecycle::parse_from(["gateway"]).unwrap();
        let shop = Shared::new(Shop::new(&config, Default::default()));
        let fails = get(async || -> Response { panic!("the secret") });
        let routes = Router::new()
            .route("/api/fails", fails.clone())
            .route("/fails", fails);
        let app = wrap(routes, &shop);
        for (path, media_type, text) in [
            ("/api/fails", MEDIA_TYPE, "/problems/internal"),
            (
                "/fails",
                "text/html; charset=utf-8",
                "Something broke on our side",
            ),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(response.headers()[header::CONTENT_TYPE], media_type);
            let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(
                body.contains(text) && !body.contains("the secret"),
                "{body}"
            );
        }
    }
}
