//! The record in Git: what each environment runs, who changed it, and how it is changed.

mod decide;
mod dora;
mod history;
mod intent;
mod policy;
mod record;
mod repository;
mod snapshot;
#[cfg(test)]
mod tests;
mod yaml;

pub(crate) use dora::{Dora, Failure};
pub(crate) use history::Entry;
pub(crate) use intent::{Done, Intent, Outcome, Release, ServiceOutcome, Took};
pub(crate) use record::{Hold, Record};
pub(crate) use repository::Repository;
pub(crate) use snapshot::Snapshot;

/// A registry, as far as the record needs to know one.
pub(crate) trait Digests {
    /// Whether the registry still has this digest in this repository (`registry/path`).
    fn exists(&self, repository: &str, digest: &str) -> anyhow::Result<bool>;
}

/// Whether a policy says something that can be kept. `name` is the file that an error names.
pub(crate) fn check_policy(name: &str, text: &str) -> anyhow::Result<()> {
    policy::Policy::read(&yaml::Yaml::parse(name, text)?).map(drop)
}

/// Whether a record can be read. `name` is the file that an error names.
pub(crate) fn check_record(name: &str, text: &str) -> anyhow::Result<()> {
    Record::read(&yaml::Yaml::parse(name, text)?).map(drop)
}
