//! One file or folder per outside system. Each implements `Port` for the work that is done there.

pub mod builders;
pub mod definitions;
pub mod destination;
pub mod download;
mod elsewhere;
pub mod fedora_messaging;
pub mod fetches;
pub mod imagefactory;
pub mod koji;
pub mod local;
pub mod mirror;
pub mod ostree_repo;
pub mod packages;
pub mod qemu;
pub mod registry;
pub mod signer;
pub mod stream;
