//! The words for what is known of the sources of changes, and for who told of what.
//!
//! Plain values: intake says them, and the store keeps them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tag of a Koji hub; its position is an event.
    Koji,
    /// A package repository; its position is the hash of its `repomd.xml`.
    Packages,
    /// A branch of definitions; its position is a commit.
    Git,
}

/// Up to where a source is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Everything up to here is recorded.
    pub position: String,
    /// What happened up to here happened before our time.
    pub since: String,
}

/// Sources by name, as far as they were looked at.
pub type Positions = BTreeMap<String, Known>;

/// What a package repository is known to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its builds, by name, version and release.
    pub builds: HashSet<String>,
    /// Those that messages told of since the last sweep.
    pub lately: BTreeSet<String>,
}

/// Something that happened at a source, named so that a message and a sweep name it alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The source's name.
    pub source: String,
    /// What it is: the first of these that nobody has told of. A message does not say which of several times it means.
    pub names: Vec<String>,
    /// As much of the name as a message can say.
    pub label: String,
    /// When it happened, as far as the source says.
    pub at: Timestamp,
    /// The recipes that the source answers for.
    pub recipes: BTreeSet<String>,
    /// Whether it is so long ago that it was told of although nothing is known of that any more.
    pub is_past: bool,
}

/// What is known of something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether a message spoke of it.
    pub by_bus: bool,
    /// Whether a change told of it; not so of what was there before our time.
    pub by_change: bool,
}

/// What is known of happenings, by source and name.
pub type AllTold = BTreeMap<(String, String), Told>;

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A message.
    Bus,
    /// A sweep.
    Sweep,
}

/// Somebody told of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The source's name.
    pub source: String,
    /// What happened there.
    pub name: String,
    /// As much of the name as a message can say.
    pub label: String,
    /// When it happened.
    pub at: Timestamp,
    /// Who told.
    pub voice: Voice,
    /// The change that tells of it; empty when another did before.
    pub change: String,
}

/// What else is to be remembered of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Everything up to a position is recorded.
    Position {
        /// The source's name.
        source: String,
        /// What it is.
        kind: Kind,
        /// The position.
        position: String,
        /// What happened up to here happened before our time; kept from the first time on.
        since: String,
        /// When the position was reached there, if it says so.
        at: Option<Timestamp>,
    },
    /// A sweep was answered.
    Swept(String),
    /// A sweep was not answered, or not well: the source stays where it was.
    Fault {
        /// The source's name.
        source: String,
        /// What it is.
        kind: Kind,
        /// Why.
        reason: String,
    },
    /// It was there before our time.
    Before {
        /// The source's name.
        source: String,
        /// What happened.
        name: String,
        /// As much of the name as a message can say.
        label: String,
        /// When it happened.
        at: Timestamp,
    },
    /// A message spoke of it, and it could not be found there yet or touched nothing.
    Said {
        /// The source's name.
        source: String,
        /// What was spoken of.
        label: String,
    },
    /// A package repository holds these builds and no others.
    Holds {
        /// The source's name.
        source: String,
        /// The builds.
        builds: Vec<String>,
    },
    /// A build came into a package repository.
    Came {
        /// The source's name.
        source: String,
        /// The build.
        build: String,
    },
    /// A build went out of a package repository.
    Left {
        /// The source's name.
        source: String,
        /// The build.
        build: String,
    },
}
