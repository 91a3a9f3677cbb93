//! One file per command.

pub(crate) mod affected;
pub(crate) mod changelog;
pub(crate) mod chart;
pub(crate) mod dora;
pub(crate) mod e2e;
pub(crate) mod image;
pub(crate) mod promote;
pub(crate) mod rebuild;
pub(crate) mod record;
pub(crate) mod release;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod up;
pub(crate) mod why;
