//! What should happen to a candidate, and why: pure functions over facts.
//!
//! This crate knows the words of the trade (change, recipe, candidate, step, verdict, publication) and the rules
//! between them. It must not know the network, a database, a program or the time of day: the time is an argument.
//! Nothing here can fail.

pub mod announce;
pub mod batch;
pub mod build;
pub mod calendar;
pub mod candidate;
pub mod change;
pub mod difference;
pub mod gate;
pub mod next;
pub mod publish;
pub mod recipe;
pub mod koji;
pub mod relevance;
pub mod smoketest;
pub mod step;
pub mod wish;
pub mod blame;
pub mod words;
