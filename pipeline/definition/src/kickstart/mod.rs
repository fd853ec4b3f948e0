//! Kickstarts: read with their includes, checked against the syntax of one release, typed, or flattened.
//!
//! Knows the command lines and sections of a kickstart and what each release accepts. Must not know how an
//! image is built from them.

mod fault;
mod model;
mod syntax;

pub use fault::{ReadError, Warning};
pub use model::*;
pub use syntax::{Syntax, UnknownSyntax};

use crate::Source;

/// Reads the kickstart `path` and everything it includes as the release `syntax` understands it.
pub fn read(path: &str, source: &dyn Source, syntax: Syntax) -> Result<Kickstart, ReadError> {
    let _ = (source, syntax);
    Err(ReadError { file: path.to_owned(), line: 0, what: "not read yet".to_owned(), instead: String::new() })
}

/// One kickstart with nothing left to include, written as its release would write it.
pub fn flatten(path: &str, source: &dyn Source, syntax: Syntax) -> Result<Flat, ReadError> {
    let _ = (source, syntax);
    Err(ReadError { file: path.to_owned(), line: 0, what: "not read yet".to_owned(), instead: String::new() })
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
