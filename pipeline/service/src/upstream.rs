//! The second seam: where changes are read again. A message is only a hint; what it says is asked for here.

use std::collections::BTreeSet;

use anyhow::Result;
use async_trait::async_trait;
use muster_flow::change::Change;
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::relevance::{Knowledge, Touch};
use muster_flow::smoketest::Test;

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

    /// What messages say, asked for again at the source and weighed.
    async fn digest(&self, messages: Vec<Incoming>, knowledge: &Knowledge) -> Result<Digest>;
}

/// What came of messages. Every message is in one of the two lists.
#[derive(Debug, Default)]
pub struct Digest {
    /// Messages that were understood.
    pub weighed: Vec<Weighed>,
    /// Messages that a person must look at.
    pub parked: Vec<Parked>,
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
}
