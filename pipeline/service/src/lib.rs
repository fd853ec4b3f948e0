//! How it happens: the engine, the store, and an adapter for each outside system.
//!
//! What should happen is said by `muster_flow`; nothing here decides.

pub mod port;
pub mod clock;
pub mod program;
pub mod job;
pub mod http;
pub mod config;
pub mod smoketests;
pub mod report;
pub mod adapters;
