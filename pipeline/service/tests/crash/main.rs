//! The service dies between any two actions, and still every candidate comes to the right end with each thing done
//! once. On both databases.
#![expect(clippy::unwrap_used, reason = "a test")]

mod service;
mod story;
mod death;
mod processes;
mod faults;
mod people;
mod blame;
