//! The pause before something is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);

/// After `attempts` tries: doubles from one second to `longest`. Its half is left to chance, so that
/// what failed together doesn't come back together.
pub(crate) fn pause(attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let pause = (FIRST * 2_u32.pow(doublings)).min(longest);
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        for (attempts, bound) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (5, 16),
            (6, 30),
            (u32::MAX, 30),
        ] {
            let (bound, pause) = (
                Duration::from_secs(bound),
                pause(attempts, Duration::from_secs(30)),
            );
            assert!(
                bound / 2 <= pause && pause <= bound,
                "{attempts}: {pause:?}"
            );
        }
    }
}
