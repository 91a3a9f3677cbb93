//! Readiness latches: a service is ready when all of them are open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One condition of readiness, such as "the database answers". It starts closed.
#[derive(Clone, Debug)]
pub struct Latch {
    name: &'static str,
    latches: Latches,
}

impl Latch {
    /// The condition holds.
    pub fn open(&self) {
        self.set(None);
    }

    /// The condition does not hold, with a reason that `/readyz` shows to operators.
    pub fn close(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Closes with a reason, or opens without one.
    pub fn set(&self, closed: Option<String>) {
        let before = self.latches.lock().insert(self.name, closed.clone());
        match closed {
            _ if before.as_ref() == Some(&closed) => {}
            None => tracing::info!(latch = self.name, "latch opened"),
            Some(reason) => tracing::warn!(latch = self.name, reason, "latch closed"),
        }
    }
}

/// All latches of a service: the reason why each is closed, or `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latches(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl Latches {
    pub(crate) fn latch(&self, name: &'static str) -> Latch {
        self.lock()
            .entry(name)
            .or_insert_with(|| Some("not yet".to_owned()));
        Latch {
            name,
            latches: self.clone(),
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.lock().values().all(Option::is_none)
    }

    /// Each latch with `open` or `closed: <reason>`.
    pub(crate) fn states(&self) -> BTreeMap<&'static str, String> {
        let state = |reason: &Option<String>| {
            reason
                .as_ref()
                .map_or("open".to_owned(), |reason| format!("closed: {reason}"))
        };
        self.lock()
            .iter()
            .map(|(name, reason)| (*name, state(reason)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
