//! A kickstart as read: commands in the order of their rank, sections, warnings, files.
//!
//! Knows what a kickstart holds before it is typed or written. Must not know how either is done.

use super::command::{Command, Occurrence};
use super::packages::PackageSet;
use super::{Script, Syntax, Warning};
use std::collections::BTreeMap;

/// Everything a kickstart and its includes say.
#[derive(Debug)]
pub(super) struct Document {
    /// The release it was read as.
    pub(super) syntax: Syntax,
    /// Every file, the root first.
    pub(super) files: Vec<String>,
    /// What should be changed.
    pub(super) warnings: Vec<Warning>,
    /// What the special comment `#platform=` says.
    pub(super) platform: String,
    /// The commands by rank and name, in the order in which they are written.
    pub(super) commands: BTreeMap<(u8, &'static str), (&'static Command, Vec<Occurrence>)>,
    /// What the `%packages` sections say.
    pub(super) packages: Option<PackageSet>,
    /// The scripts in order.
    pub(super) scripts: Vec<Script>,
    /// Sections that are kept and not understood: `%addon`, `%anaconda`.
    pub(super) kept: Vec<KeptSection>,
    /// The `%certificate` sections.
    pub(super) certificates: Vec<Certificate>,
}

/// A section that is kept as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptSection {
    /// The words of its header.
    pub(super) header: Vec<String>,
    /// Its lines.
    pub(super) body: String,
}

/// A certificate for the installer or the installed system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The name of its file.
    pub(super) filename: String,
    /// What kind it is.
    pub(super) kind: Option<String>,
    /// Where it goes.
    pub(super) dir: Option<String>,
    /// The certificate, without the newline at its end.
    pub(super) text: String,
}

impl Document {
    /// An empty document of a release.
    pub(super) fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            files: Vec::new(),
            warnings: Vec::new(),
            platform: String::new(),
            commands: BTreeMap::new(),
            packages: None,
            scripts: Vec::new(),
            kept: Vec::new(),
            certificates: Vec::new(),
        }
    }

    /// The lines of a command by its first name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Occurrence> {
        let named = self.commands.values().filter(move |(command, _)| command.name() == name);
        named.flat_map(|(_, occurrences)| occurrences)
    }

    /// The setting a command has made, if it stands there at all.
    pub(super) fn find<'a>(&'a self, name: &'a str) -> Option<&'a Occurrence> {
        self.all(name).next()
    }
}
