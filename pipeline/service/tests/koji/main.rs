//! Koji, over real HTTP, with the lab's hub on the other side.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ground;
mod calls;
mod builds;
mod looks;
mod records;
mod kinds;
mod composed;
mod faults;
mod files;
mod checks;
mod shapes;
mod sweeps;
mod site;
mod news;
mod story;
