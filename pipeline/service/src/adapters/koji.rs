//! Koji: images built by a hub's builders.
//!
//! This adapter knows Koji's hub, its tasks and their files. It must not know candidates, gates, clouds or the database,
//! and it tries nothing twice: what has to wait is said, and the engine waits.

pub mod xml;
pub mod error;
pub mod settings;
mod login;
pub mod client;
pub mod session;

pub use self::settings::Settings;
