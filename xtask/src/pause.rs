//! Waiting, for a program without other work to do meanwhile.

use std::time::{Duration, Instant};

/// Waits this long, also when something wakes the thread before.
pub(crate) fn pause(duration: Duration) {
    let until = Instant::now() + duration;
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
