//! SIGINT and SIGTERM as events that the running command can wait for.

use std::sync::mpsc::SyncSender;

use anyhow::Context;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Sends `event()` for each SIGINT or SIGTERM from now on. The process no longer ends by them.
pub(crate) fn forward<E: Send + 'static>(
    to: SyncSender<E>,
    event: impl Fn() -> E + Send + 'static,
) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for Ctrl-C")?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if to.send(event()).is_err() {
                return;
            }
        }
    });
    Ok(())
}
