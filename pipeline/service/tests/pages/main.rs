//! Pages and their JSON twins, over real HTTP and the real store, with a made-up candidate in each stage.
#![expect(clippy::unwrap_used, reason = "a test")]

mod site;
mod stages;
mod lists;
mod candidate;
mod changes;
mod batches;
mod sources;
mod strangers;
mod mirror;
mod health;
mod picture;
#[path = "../tale/mod.rs"]
mod tale;
