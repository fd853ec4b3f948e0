//! What can be wrong with a kickstart, said so that a person can mend it.

use std::fmt;

/// Why a kickstart cannot be used: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// The file, as its source resolved it.
    pub file: String,
    /// The line, counted from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead; empty when nothing better than `what` can be said.
    pub instead: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(f, &self.file, self.line, &self.what)?;
        if self.instead.is_empty() { Ok(()) } else { write!(f, "; {}", self.instead) }
    }
}

impl std::error::Error for ReadError {}

/// Something that still works and should be changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// The file, as its source resolved it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What to change.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(f, &self.file, self.line, &self.what)
    }
}

fn say(f: &mut fmt::Formatter<'_>, file: &str, line: usize, what: &str) -> fmt::Result {
    if line == 0 { write!(f, "{file}: {what}") } else { write!(f, "{file}:{line}: {what}") }
}

/// What is wrong with a line, before anybody has said which line it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) what: String,
    /// What to write instead.
    pub(super) instead: String,
}

impl Fault {
    /// A fault with a way out of it.
    pub(super) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { what: what.into(), instead: instead.into() }
    }

    /// The fault on a line.
    pub(super) fn at(self, file: &str, line: usize) -> ReadError {
        ReadError { file: file.to_owned(), line, what: self.what, instead: self.instead }
    }
}
