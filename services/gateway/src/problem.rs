//! Everything that the gateway refuses or fails at: one enum, one table, one form on the wire
//! ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use uuid::Uuid;

use crate::domain::{Violation, Violations};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";
/// When to come back after a 503, in seconds.
pub(crate) const RETRY_AFTER: (HeaderName, &str) = (header::RETRY_AFTER, "2");

macro_rules! kinds {
    ($($kind:ident $status:ident $slug:literal $title:literal $about:literal)*) => {
        /// What kind of problem it is. Its name in addresses is stable: clients branch on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $title] $kind),* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),* }
            }

            /// The last segment of the problem's `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug),* }
            }

            /// The problem in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }

            /// What it means and what to do.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$kind => $about),* }
            }
        }
    };
}

kinds! {
    InvalidParameters BAD_REQUEST "invalid-parameters" "A parameter is not valid"
        "A path segment, a query parameter or a header breaks a rule. `errors` names each of them."
    MalformedBody BAD_REQUEST "malformed-body" "The body cannot be read"
        "The request's body is not well-formed. The detail says where reading stopped."
    CrossSite FORBIDDEN "cross-site-request" "Sent from another site"
        "A browser sent this request from a page of another site. Only the shop's own pages may change anything."
    NotFound NOT_FOUND "not-found" "Nothing is here"
        "No resource has this address."
    ProductNotFound NOT_FOUND "product-not-found" "No such product"
        "The catalog has no product with this id."
    OrderNotFound NOT_FOUND "order-not-found" "No such order"
        "There is no order with this id."
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "This method does not work here"
        "The resource exists but does not take this method. The `Allow` header names those that it takes."
    OutOfStock CONFLICT "out-of-stock" "Not enough is left"
        "At least one product has fewer pieces left than were ordered. Nothing was reserved. Order less of it, with a new Idempotency-Key."
    OrderNotCancellable CONFLICT "order-not-cancellable" "It is too late to cancel"
        "Only an order that is pending or confirmed can be cancelled."
    BodyTooLarge PAYLOAD_TOO_LARGE "body-too-large" "The body is too large"
        "The request's body is larger than the gateway reads."
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body has another media type"
        "The body must be sent with `Content-Type: application/json`."
    InvalidBody UNPROCESSABLE_ENTITY "invalid-body" "The body breaks a rule"
        "The body can be read, but some of its fields are missing, unknown or break a rule. `errors` names each of them."
    IdempotencyKeyReused UNPROCESSABLE_ENTITY "idempotency-key-reused" "The Idempotency-Key belongs to another order"
        "This customer has used the key for an order with other content. Send a new order with a new key."
    Internal INTERNAL_SERVER_ERROR "internal" "Something broke on our side"
        "The gateway or a service behind it has a defect. The log knows more under the request's id."
    Overloaded SERVICE_UNAVAILABLE "overloaded" "Too much at once"
        "The gateway has as many requests as it can serve. Try again after the time in `Retry-After`."
    CatalogUnavailable SERVICE_UNAVAILABLE "catalog-unavailable" "The catalog does not answer"
        "Products, prices and stock cannot be read at the moment. Try again after the time in `Retry-After`."
    OrdersUnavailable SERVICE_UNAVAILABLE "orders-unavailable" "The order service does not answer"
        "Orders cannot be placed or read at the moment. Try again after the time in `Retry-After`, an order with the same Idempotency-Key: it is placed once."
    DeadlineExceeded GATEWAY_TIMEOUT "deadline-exceeded" "It took too long"
        "The request was not answered within its deadline and was given up. An order may be sent again with the same Idempotency-Key: it is placed once."
}

/// A problem, on its way to the client. As a response it has a status but no body yet:
/// [`crate::middleware::present`] writes it as JSON or as a page in words.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What kind it is.
    pub kind: Kind,
    /// What happened in this case, in a sentence; the kind's own text where nothing more is known.
    pub detail: Option<String>,
    /// The broken rules.
    pub errors: Vec<Violation>,
    /// The address of what it is about, such as the order that was rejected.
    pub instance: Option<String>,
    /// The product that it is about.
    pub product_id: Option<Uuid>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            errors: Vec::new(),
            instance: None,
            product_id: None,
        }
    }
}

impl Problem {
    /// A problem of `kind` with every broken rule.
    #[must_use]
    pub fn broken(kind: Kind, violations: Violations) -> Self {
        Self {
            errors: violations.0,
            ..kind.into()
        }
    }

    /// A problem of `kind` with one broken rule.
    #[must_use]
    pub fn rule(kind: Kind, field: &str, rule: &str, message: impl Into<String>) -> Self {
        let mut violations = Violations::default();
        violations.add(field, rule, message);
        Self::broken(kind, violations)
    }

    /// Says what happened.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The problem for a bare status that a library answered with.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
            _ if status.is_client_error() => Kind::InvalidParameters,
            _ => Kind::Internal,
        }
        .into()
    }

    /// The problem as JSON.
    #[must_use]
    pub fn body(self, request_id: String) -> ProblemBody {
        ProblemBody {
            r#type: format!("/problems/{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self
                .detail
                .unwrap_or_else(|| detail(self.kind, &self.errors)),
            instance: self.instance,
            product_id: self.product_id,
            request_id,
            errors: self.errors,
        }
    }
}

/// Says the first broken rules, for people who read no further.
fn detail(kind: Kind, errors: &[Violation]) -> String {
    let told = errors.iter().take(3);
    let mut told: Vec<String> = told
        .map(|one| format!("{}: {}", one.field, one.message))
        .collect();
    if errors.len() > told.len() {
        told.push(format!("and {} more", errors.len() - told.len()));
    }
    match told.is_empty() {
        true => kind.about().to_owned(),
        false => told.join("; "),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let retry = (status == StatusCode::SERVICE_UNAVAILABLE).then_some([RETRY_AFTER]);
        let mut response = (status, retry, ()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// RFC 9457 problem details.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The kind's stable address; it explains itself there.
    #[schema(example = "/problems/out-of-stock")]
    r#type: String,
    /// The kind in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened in this case.
    detail: String,
    /// The address of what it is about, such as the order that was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The product that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<Uuid>,
    /// The request's id, as in the `x-request-id` header and in the log.
    request_id: String,
    /// Every rule that the request breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Violation>,
}

/// Documents `kinds`, and those that any operation can answer with, by status.
#[must_use]
pub fn documented(kinds: &[Kind]) -> BTreeMap<String, RefOr<Documented>> {
    let always = [Kind::Internal, Kind::Overloaded, Kind::DeadlineExceeded];
    let mut texts = BTreeMap::<String, String>::new();
    for kind in kinds.iter().chain(&always) {
        let text = texts.entry(kind.status().as_str().to_owned()).or_default();
        let _ = writeln!(text, "- `/problems/{}`: {}", kind.slug(), kind.about());
    }
    let schema = Ref::from_schema_name("Problem");
    texts
        .into_iter()
        .map(|(status, text)| {
            let content = ContentBuilder::new().schema(Some(schema.clone())).build();
            let response = ResponseBuilder::new()
                .description(text)
                .content(MEDIA_TYPE, content);
            (status, RefOr::T(response.build()))
        })
        .collect()
}

/// Names a type that documents the problems of an operation: `problems!(GetProblems: NotFound)`.
macro_rules! problems {
    ($name:ident: $($kind:ident),*) => {
        struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::problem::documented(&[$($crate::problem::Kind::$kind),*])
            }
        }
    };
}
pub(crate) use problems;

/// `GET /problems`: every kind.
pub async fn index() -> String {
    Kind::ALL.iter().map(|kind| explain(*kind)).collect()
}

/// `GET /problems/{slug}`: what a problem's `type` means.
///
/// # Errors
/// `not-found`.
pub async fn page(Path(slug): Path<String>) -> Result<String, Problem> {
    let kind = Kind::ALL.iter().find(|kind| kind.slug() == slug);
    Ok(explain(*kind.ok_or(Kind::NotFound)?))
}

fn explain(kind: Kind) -> String {
    let (slug, status) = (kind.slug(), kind.status().as_u16());
    format!(
        "/problems/{slug} ({status}): {}.\n{}\n\n",
        kind.title(),
        kind.about()
    )
}
