//! The time until which the current call's caller waits.
//!
//! The server sets it for each call, [`Channel`](crate::client::Channel) reads it and sends what
//! is left of it. So it shrinks from hop to hop, and all work for a call stops at the same moment.
//!
//! It belongs to the task: a task spawned from a handler has no deadline unless it opens a
//! [`scope`] of its own, which is what background work wants.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tonic::Status;

/// How long the caller is ready to wait. <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
const GRPC_TIMEOUT: &str = "grpc-timeout";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Runs `work` with a deadline. Within another scope, the earlier of the two deadlines counts.
///
/// This stops nothing by itself. It tells [`remaining`], and thereby all calls that `work` makes.
pub async fn scope<F: Future>(deadline: Instant, work: F) -> F::Output {
    let deadline = DEADLINE
        .try_with(|outer| deadline.min(*outer))
        .unwrap_or(deadline);
    DEADLINE.scope(deadline, work).await
}

/// The time left in the current [`scope`]: zero when the deadline is past, `None` outside of a scope.
pub fn remaining() -> Option<Duration> {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .ok()
}

/// What a call gets whose deadline passes.
pub(crate) fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before there was an answer")
}

/// The timeout that the headers ask for. A malformed one counts as none, as in other gRPC servers.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u32 = digits.parse().ok()?;
    let unit = match unit {
        "H" => Duration::from_secs(3600),
        "M" => Duration::from_secs(60),
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * amount)
}

/// Asks for an answer within `timeout`, rounded down to what the header's eight digits can say.
pub(crate) fn ask(headers: &mut HeaderMap, timeout: Duration) {
    const DIGITS: u128 = 99_999_999;
    let value = match (timeout.as_micros(), timeout.as_millis()) {
        (micros, _) if micros <= DIGITS => format!("{micros}u"),
        (_, millis) if millis <= DIGITS => format!("{millis}m"),
        (_, millis) => format!("{}S", (millis / 1000).min(DIGITS)),
    };
    let value = HeaderValue::try_from(value).expect("digits and a letter are a header value");
    headers.insert(GRPC_TIMEOUT, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_inner_scope_only_shortens() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(remaining(), None);
        scope(now + 100 * second, async {
            let later = scope(now + 900 * second, async { remaining() }).await;
            assert!(later.unwrap() <= 100 * second);
            let sooner = scope(now + 10 * second, async { remaining() }).await;
            assert!(sooner.unwrap() <= 10 * second);
            let past = scope(now - second, async { remaining() }).await;
            assert_eq!(past, Some(Duration::ZERO));
            assert!(remaining().unwrap() > 10 * second);
        })
        .await;
    }

    #[test]
    fn the_header_carries_any_timeout_in_eight_digits() {
        let mut headers = HeaderMap::new();
        for (timeout, sent) in [
            (Duration::ZERO, "0u"),
            (Duration::from_nanos(1_999), "1u"),
            (Duration::from_millis(99_999), "99999000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            ask(&mut headers, timeout);
            assert_eq!(headers[GRPC_TIMEOUT], sent);
            assert!(asked(&headers).unwrap() <= timeout);
        }
    }

    #[test]
    fn malformed_timeouts_count_as_none() {
        let mut headers = HeaderMap::new();
        for (sent, read) in [
            ("3H", Some(Duration::from_secs(10_800))),
            ("2M", Some(Duration::from_secs(120))),
            ("5n", Some(Duration::from_nanos(5))),
            ("", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("+5S", None),
            ("123456789S", None),
            ("5x", None),
        ] {
            headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(sent));
            assert_eq!(asked(&headers), read, "{sent:?}");
        }
        headers.insert(
            GRPC_TIMEOUT,
            HeaderValue::from_bytes("5\u{e9}".as_bytes()).unwrap(),
        );
        assert_eq!(asked(&headers), None);
    }
}
