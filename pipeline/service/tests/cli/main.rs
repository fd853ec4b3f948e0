//! The command line as people and programs use it: the real program over a real store.
#![expect(clippy::unwrap_used, reason = "a test")]

mod desk;
mod shows;
mod watches;
mod requests;
mod waivers;
mod acts;
mod parked;
mod errors;
mod definitions;
#[path = "../tale/mod.rs"]
mod tale;
