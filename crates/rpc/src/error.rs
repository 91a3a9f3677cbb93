//! Errors that carry [google.rpc's details](https://google.aip.dev/193), so that a caller can
//! tell them apart without reading their text.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Details travel in HTTP/2 trailers, of which hyper takes 16 KiB and other implementations
/// 8 KiB; base64 adds a third. Past the limit the whole answer would be lost.
const DETAILS_LIMIT: usize = 4 << 10;

/// Collects every broken field rule of a request, so that its sender learns of all at once.
///
/// ```
/// let (quantity, currency) = (0, "euro");
/// let mut violations = rpc::error::Violations::default();
/// violations.check((1..=1000).contains(&quantity), "lines[0].quantity", "1 to 1,000");
/// violations.check(currency.len() == 3, "currency", "three capital letters (ISO 4217)");
///
/// let status = violations.into_result().unwrap_err();
/// assert_eq!(status.code(), tonic::Code::InvalidArgument);
/// assert_eq!(rpc::error::violations(&status)[1].field, "currency");
/// ```
#[derive(Debug, Default)]
pub struct Violations {
    named: Vec<Violation>,
    size: usize,
    unnamed: usize,
}

/// A field and the rule that its value breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path to the field, for example `lines[3].quantity`.
    pub field: String,
    /// What the field takes.
    pub rule: String,
}

impl Violations {
    /// Notes a violation unless `holds`. `field` and `rule` must not quote what the sender wrote.
    ///
    /// Some 4 KiB of violations are named; of further ones only the number is told.
    pub fn check(&mut self, holds: bool, field: impl Into<String>, rule: impl Into<String>) {
        if holds {
            return;
        }
        let violation = Violation {
            field: field.into(),
            rule: rule.into(),
        };
        let size = violation.field.len() + violation.rule.len();
        if self.size + size > DETAILS_LIMIT {
            self.unnamed += 1;
        } else {
            self.size += size;
            self.named.push(violation);
        }
    }

    /// Whether no rule is broken.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.unnamed == 0
    }

    /// INVALID_ARGUMENT with all violations in `google.rpc.BadRequest`.
    pub fn into_status(self) -> Status {
        let message = match (self.named.len(), self.unnamed) {
            (1, 0) => "the request breaks a rule".to_owned(),
            (named, 0) => format!("the request breaks {named} rules"),
            (named, more) => format!("the request breaks {named} rules and {more} more"),
        };
        let fields: Vec<_> = self
            .named
            .into_iter()
            .map(|violation| FieldViolation::new(violation.field, violation.rule))
            .collect();
        let details = ErrorDetails::with_bad_request(fields);
        Status::with_error_details(Code::InvalidArgument, message, details)
    }

    /// `Ok` when no rule is broken.
    ///
    /// # Errors
    /// The status of [`into_status`](Self::into_status).
    pub fn into_result(self) -> Result<(), Status> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into_status())
        }
    }
}

/// The violations that a status names; none when it carries no `google.rpc.BadRequest`.
pub fn violations(status: &Status) -> Vec<Violation> {
    let fields = status
        .get_details_bad_request()
        .map(|details| details.field_violations);
    fields
        .into_iter()
        .flatten()
        .map(|field| Violation {
            field: field.field,
            rule: field.description,
        })
        .collect()
}

/// Why a call failed, in words that programs compare: `google.rpc.ErrorInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReason {
    /// Whose reason it is, for example `catalog.slipway`.
    pub domain: String,
    /// For example `OUT_OF_STOCK`.
    pub reason: String,
    /// For example `product_id` and its value.
    pub metadata: HashMap<String, String>,
}

impl ErrorReason {
    /// The reason that a status carries.
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        Some(Self {
            domain: info.domain,
            reason: info.reason,
            metadata: info.metadata,
        })
    }
}

/// A status with an [`ErrorReason`]. `message` is a sentence for people.
///
/// ```
/// use rpc::error::{ErrorReason, reason};
///
/// let status = reason(tonic::Code::FailedPrecondition, "catalog.slipway", "OUT_OF_STOCK",
///     "there are fewer pieces than asked for", [("available", 2.to_string())]);
/// let reason = ErrorReason::of(&status).unwrap();
/// assert_eq!((reason.reason.as_str(), reason.metadata["available"].as_str()), ("OUT_OF_STOCK", "2"));
/// ```
pub fn reason<'a>(
    code: Code,
    domain: &str,
    reason: &str,
    message: impl Into<String>,
    metadata: impl IntoIterator<Item = (&'a str, String)>,
) -> Status {
    let metadata: HashMap<_, _> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let details = ErrorDetails::with_error_info(reason, domain, metadata);
    Status::with_error_details(code, message, details)
}
