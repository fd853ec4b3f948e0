//! The second seam: where changes are read again. A message is only a hint; what it says is asked for here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::batch::{Frozen, Source};
use muster_flow::change::Change;
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::relevance::{Knowledge, Touch};
use muster_flow::smoketest::Test;

use crate::intake::Swept;
use crate::ledger::{Happening, Held, Note, Positions};
use muster_message::{Incoming, Parked};

/// The sources of recipes, definitions and packages. Everything here only reads.
#[async_trait]
pub trait Upstream: Send + Sync {
    /// Every recipe, as it is now.
    async fn recipes(&self) -> Result<Vec<Recipe>>;

    /// The files that a recipe's definition includes, itself among them.
    async fn files(&self, recipe: &Recipe) -> Result<BTreeSet<String>>;

    /// A recipe's definition with all it includes, and its smoketests, as they are now.
    async fn freeze(&self, recipe: &Recipe) -> Result<(Definition, Vec<Test>)>;

    /// Every package that there is at a source now.
    async fn packages(&self, source: &Source) -> Result<Frozen>;

    /// What messages say, asked for again at the source and weighed; `positions` is up to where the sources are known.
    async fn digest(
        &self,
        messages: Vec<Incoming>,
        knowledge: &Knowledge,
        positions: &Positions,
    ) -> Result<Digest>;

    /// What the last sweep read, once.
    fn take_swept(&self) -> Option<Swept> {
        None
    }

    /// What of a sweep is not recorded, weighed.
    async fn news(&self, _swept: &Swept, _knowledge: &Knowledge, _ledger: &Ledger) -> Result<Digest> {
        Ok(Digest::default())
    }
}

/// What is recorded of the sources.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Up to where each is known.
    pub positions: Positions,
    /// What the package repositories hold that have changed.
    pub held: BTreeMap<String, Held>,
}

/// What came of messages, or of a sweep. Every message is in one of the two lists.
#[derive(Debug, Default)]
pub struct Digest {
    /// What was understood.
    pub weighed: Vec<Weighed>,
    /// Messages that a person must look at.
    pub parked: Vec<Parked>,
    /// What is to be remembered of the sources.
    pub notes: Vec<Note>,
}

/// A change with what it was weighed to do.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// The message in the inbox that it came by, if it came by one.
    pub message: Option<String>,
    /// The change; a message may bring none.
    pub change: Option<Change>,
    /// The recipes it touches, or why there are none.
    pub touches: Result<Vec<Touch>, String>,
    /// What happened at the sources that it was read again at.
    pub happenings: Vec<Happening>,
}
