//! The REST API under `/api/v1`: what its requests and answers have in common.

pub mod openapi;
pub mod orders;
pub mod products;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use uuid::Uuid;

use crate::domain::{self, MAX_SEARCH, Page, Violations};
use crate::problem::{Kind, Problem};

/// The `{id}` of a path.
pub struct Id(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.ok()
            .and_then(|Path(id)| Uuid::parse_str(&id).ok())
            .map(Self)
            .ok_or_else(|| Problem::rule(Kind::InvalidParameters, "id", "uuid", "must be a UUID"))
    }
}

/// A query string's parameters. Each is taken once; what is left in the end is unknown.
pub struct Params {
    pairs: Vec<(String, String)>,
    violations: Violations,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Params {
    fn parse(query: &str) -> Self {
        let mut violations = Violations::default();
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let [name, value] = [name, value].map(|text| text.replace('+', " "));
            let name = percent_decode_str(&name).decode_utf8_lossy().into_owned();
            match percent_decode_str(&value).decode_utf8() {
                Ok(value) => pairs.push((name, value.into_owned())),
                Err(_) => violations.add(name, "utf-8", "must be percent-encoded UTF-8"),
            }
        }
        Self { pairs, violations }
    }

    /// The parameter of this name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let is_it = |(key, _): &(String, String)| key == name;
        let (mut found, rest) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition::<Vec<_>, _>(is_it);
        self.pairs = rest;
        if found.len() > 1 {
            self.violations
                .add(name, "unique", "is given more than once");
        }
        found.pop().map(|(_, value)| value)
    }

    /// `q`: the text to search for.
    pub fn search(&mut self) -> String {
        let text = self.take("q").unwrap_or_default().trim().to_owned();
        if text.chars().count() > MAX_SEARCH {
            let message = format!("must not be longer than {MAX_SEARCH} characters");
            self.violations.add("q", "length", message);
        }
        if text.chars().any(char::is_control) {
            self.violations
                .add("q", "characters", "must not have control characters");
        }
        text
    }

    /// `page_size`; 0 where it is left to the service.
    pub fn page_size(&mut self) -> i32 {
        let Some(text) = self.take("page_size") else {
            return 0;
        };
        let size = text.parse().ok().filter(|size| (1..=100).contains(size));
        size.unwrap_or_else(|| {
            self.violations
                .add("page_size", "range", "must be 1 to 100");
            0
        })
    }

    /// `customer_id`, which must be there.
    pub fn customer_id(&mut self) -> String {
        let id = self.take("customer_id");
        match &id {
            None => self.violations.add("customer_id", "required", "is missing"),
            Some(id) if !domain::is_customer_id(id) => {
                self.violations
                    .add("customer_id", "format", CUSTOMER_ID_RULE);
            }
            Some(_) => {}
        }
        id.unwrap_or_default()
    }

    /// Refuses what broke a rule, whatever else the query string holds.
    ///
    /// # Errors
    /// `invalid-parameters` with every violation.
    pub fn check(self) -> Result<(), Problem> {
        if self.violations.0.is_empty() {
            return Ok(());
        }
        Err(Problem::broken(Kind::InvalidParameters, self.violations))
    }

    /// Refuses what broke a rule, and parameters that nobody took: they are most likely misspelt.
    ///
    /// # Errors
    /// `invalid-parameters` with every violation.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.violations
                .add(name, "known", "is not a parameter here");
        }
        self.check()
    }
}

const CUSTOMER_ID_RULE: &str = "must be 1 to 64 letters, digits, '-' and '_'";

/// What must be encoded in a query string: all but RFC 3986's unreserved characters.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

/// A `Link` header with the address of the list's next page, where there is one
/// ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288)). `filter` is what the list is of.
fn next_link<T>(
    path: &str,
    page: &Page<T>,
    filter: &[(&str, &str)],
    size: i32,
) -> Option<[(HeaderName, String); 1]> {
    let token = page.next_page_token.as_deref()?;
    let size = size.to_string();
    let query = filter
        .iter()
        .chain(&[("page_size", &*size), ("page_token", token)])
        .filter(|(name, value)| !value.is_empty() && (*name, *value) != ("page_size", "0"))
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)))
        .collect::<Vec<_>>()
        .join("&");
    Some([(header::LINK, format!("<{path}?{query}>; rel=\"next\""))])
}

/// A JSON body. Unknown fields are refused: a misspelt optional field would otherwise be ignored.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Kind::UnsupportedMediaType.into());
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            status if status == Kind::BodyTooLarge.status() => Kind::BodyTooLarge,
            _ => Kind::MalformedBody,
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let body = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| unreadable(&error.path().to_string(), error.inner()))?;
        json.end().map_err(|error| unreadable(".", &error))?;
        Ok(Self(body))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The problem for JSON that is not well formed, or is not of the right shape at `path`.
fn unreadable(path: &str, error: &serde_json::Error) -> Problem {
    if error.classify() != Category::Data {
        let (line, column) = (error.line(), error.column());
        let detail = format!("This is not JSON: reading stopped at line {line}, column {column}.");
        return Problem::from(Kind::MalformedBody).with_detail(detail);
    }
    // serde has no other way to tell these apart than its words.
    let text = error.to_string();
    let (rule, message) = match text.split('`').next().unwrap_or_default() {
        "missing field " => ("required", "is missing"),
        "unknown field " => ("known", "is not a field of this request"),
        "duplicate field " => ("unique", "is given more than once"),
        _ => ("type", "has a value of the wrong type"),
    };
    let name = text.split('`').nth(1).filter(|_| rule != "type");
    let parent = path.trim_matches('.');
    let field = match name {
        Some(name) if parent.is_empty() => name.to_owned(),
        Some(name) if parent == name || parent.ends_with(&format!(".{name}")) => parent.to_owned(),
        Some(name) => format!("{parent}.{name}"),
        None if parent.is_empty() => "body".to_owned(),
        None => parent.to_owned(),
    };
    Problem::rule(Kind::InvalidBody, &field, rule, message)
}
