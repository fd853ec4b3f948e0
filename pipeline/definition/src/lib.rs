//! Readers of the two kinds of definition an image is made from: kickstarts and treefiles.
//!
//! Knows the grammar of both, who includes whom, and how included files merge. Must not know databases,
//! networks or the service: text comes in through [`Source`], typed values and plain errors go out.

pub mod kickstart;
mod source;
pub mod treefile;

pub use source::{Directory, Files, Source, SourceError};
