//! The whole system as real processes: the journey through it, and what it makes of crashes and bad days.

mod bad_days;
mod crash;
mod drain;
mod journey;
mod link;
mod system;
