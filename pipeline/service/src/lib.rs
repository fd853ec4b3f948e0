//! How it happens: the engine, the store, and an adapter for each outside system.
//!
//! What should happen is said by `muster_flow`; nothing here decides.

pub mod port;
pub mod clock;
pub mod text;
pub mod digest;
pub mod cell;
pub mod program;
pub mod job;
pub mod http;
pub mod package_sets;
pub mod config;
pub mod store;
pub mod ledger;
pub mod intake;
pub mod upstream;
pub mod batches;
pub mod calendar;
pub mod blame;
pub mod planner;
pub mod engine;
pub mod reaper;
pub mod sources;
pub mod check;
pub mod sweep;
pub mod smoketests;
pub mod report;
pub mod adapters;
pub mod story;
pub mod web;
pub mod serve;
pub mod cli;

/// A value as the JSON that rows and handles carry.
pub fn encode<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    use anyhow::Context;
    serde_json::to_string(value).context("cannot encode a fact")
}

/// A value from the JSON that rows and handles carry.
pub fn decode<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    use anyhow::Context;
    serde_json::from_str(text)
        .with_context(|| format!("cannot decode a fact of type {}", std::any::type_name::<T>()))
}
