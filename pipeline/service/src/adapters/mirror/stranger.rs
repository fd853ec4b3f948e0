//! Reads a mirror as a stranger does: over HTTP, with no knowledge but the address.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::writing::Sum;
use crate::text::hex;

/// Small files are not larger than this; a server that sends more is not believed.
const SMALL: usize = 16 << 20;

/// The hash and size of what lies at an address, in one pass and without keeping it.
pub async fn sum(http: &reqwest::Client, url: &str) -> Result<Sum> {
    let mut response = open(http, url).await?;
    let mut hasher = Sha256::new();
    let mut size = 0;
    while let Some(piece) = response.chunk().await.with_context(|| format!("cannot read {url}"))? {
        hasher.update(&piece);
        size += piece.len() as u64;
    }
    Ok(Sum { sha256: hex(&hasher.finalize()), size })
}

/// A small file.
pub async fn fetch(http: &reqwest::Client, url: &str) -> Result<Vec<u8>> {
    let mut response = open(http, url).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.with_context(|| format!("cannot read {url}"))? {
        bytes.extend_from_slice(&piece);
        ensure!(bytes.len() <= SMALL, "{url} is larger than such a file can be");
    }
    Ok(bytes)
}

async fn open(http: &reqwest::Client, url: &str) -> Result<reqwest::Response> {
    let response = http.get(url).send().await.with_context(|| format!("cannot read {url}"))?;
    ensure!(response.status().is_success(), "{url} answers {}", response.status());
    Ok(response)
}
