//! Trying again, within bounds.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

use crate::{hint::fail, pause::pause};

/// Why an attempt came to nothing.
pub(super) enum Failed {
    /// Another attempt may do better, after the time that the other side asks for.
    Passing {
        reason: String,
        after: Option<Duration>,
    },
    Final(anyhow::Error),
}

impl Failed {
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing {
            reason: reason.into(),
            after: None,
        }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}

/// How often something is tried, and how long a silence or a wait may last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) attempts: u32,
    /// About the wait before the second attempt; it doubles from one to the next.
    pub(super) first: Duration,
    /// The longest wait, also when the other side asks for more.
    pub(super) longest: Duration,
    /// How long a connection may stand still.
    pub(super) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(300),
            longest: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        }
    }
}

impl Patience {
    /// Tries until it works, fails for good, or has been tried often enough.
    pub(super) fn persist<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Failed>,
    ) -> anyhow::Result<T> {
        let mut attempts = 0;
        loop {
            let (reason, after) = match attempt() {
                Ok(done) => return Ok(done),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Passing { reason, after }) => (reason, after),
            };
            attempts += 1;
            if attempts >= self.attempts {
                return fail(
                    format!("{reason}, in {attempts} attempts"),
                    "run it again later: what is done already is found and kept",
                );
            }
            match after {
                Some(after) if after > self.longest => {
                    return fail(
                        format!("{reason}, and asks to wait for {} s", after.as_secs()),
                        "run it again then: what is done already is found and kept",
                    );
                }
                // Those who were told the same time come one by one.
                Some(after) => pause(after + self.first.mul_f64(fastrand::f64())),
                None => pause(self.backoff(attempts)),
            }
        }
    }

    fn backoff(&self, attempts: u32) -> Duration {
        let window = self.first * 2_u32.saturating_pow(attempts);
        window.min(self.longest).mul_f64(fastrand::f64())
    }
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new()
        .parse_timestamp(value.trim())
        .ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let after = |value| retry_after(value, now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            after("Sat, 31 Jan 2026 12:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(after("Sat, 31 Jan 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        let patience = Patience::default();
        for attempts in 1..100 {
            assert!(patience.backoff(attempts) <= patience.longest);
        }
    }

    #[test]
    fn a_wait_too_long_is_told_and_not_waited_for() {
        let mut attempts = 0;
        let error = Patience::default()
            .persist::<()>(|| {
                attempts += 1;
                Err(Failed::Passing {
                    reason: "registry.example is busy".to_owned(),
                    after: Some(Duration::from_secs(3600)),
                })
            })
            .unwrap_err();
        assert!(format!("{error:#}").contains("asks to wait for 3600 s"));
        assert_eq!(attempts, 1);
    }
}
