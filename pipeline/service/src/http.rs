//! The one way to make an HTTP client: with time limits, and TLS by ring.

use std::time::Duration;

use anyhow::{Context, Result};

/// How long a connection may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long a server may be silent in the middle of an answer.
const READ_LIMIT: Duration = Duration::from_mins(1);

/// A client with time limits. The whole of an answer may take as long as it flows.
pub fn client() -> Result<reqwest::Client> {
    builder().build().context("cannot make an HTTP client")
}

/// The same, for those who must change something about it.
pub fn builder() -> reqwest::ClientBuilder {
    // It fails only when a provider is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(READ_LIMIT)
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
}
