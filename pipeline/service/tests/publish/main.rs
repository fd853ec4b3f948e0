//! Publishing, with the real other side: gpg, sha256sum, curl-like readers, docker-registry, skopeo, ostree.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ground;
mod mirror;
mod ostree;
mod registry;
mod signing;
mod streams;
mod commands;
mod tokens;
mod crash;
