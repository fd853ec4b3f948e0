//! Kickstarts: read with their includes, checked against the syntax of one release, typed, or flattened.
//!
//! Knows the command lines and sections of a kickstart and what each release accepts. Must not know how an
//! image is built from them.

mod command;
mod commands;
mod document;
mod fault;
mod flat;
mod model;
mod options;
mod packages;
mod reader;
mod row;
mod section;
mod syntax;
mod typed;
mod values;
mod words;

pub use fault::{ReadError, Warning};
pub use model::*;
pub use syntax::{Syntax, UnknownSyntax};

use crate::Source;

/// Reads the kickstart `path` and everything it includes as the release `syntax` understands it.
pub fn read(path: &str, source: &dyn Source, syntax: Syntax) -> Result<Kickstart, ReadError> {
    Ok(typed::typed(reader::read(path, source, syntax)?))
}

/// One kickstart with nothing left to include, written as its release would write it.
pub fn flatten(path: &str, source: &dyn Source, syntax: Syntax) -> Result<Flat, ReadError> {
    let document = reader::read(path, source, syntax)?;
    Ok(Flat { text: flat::written(&document), warnings: document.warnings, files: document.files })
}

/// The result of [`flatten`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flat {
    /// The whole kickstart as one text.
    pub text: String,
    /// What a person should change, though it does no harm yet.
    pub warnings: Vec<Warning>,
    /// Every file that was read, the root first.
    pub files: Vec<String>,
}
