//! The local builder, really building from a small distribution.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made; root builds.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ground;
mod disk;
mod container;
mod ostree;
mod rpm_ostree;
mod refusals;
mod packages;
mod frozen;
mod machine;
