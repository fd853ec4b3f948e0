//! Recipes and definitions that stand in a test.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use muster::ledger::Positions;
use muster::upstream::{Digest, Upstream, Weighed};
use muster_flow::batch::{Frozen, PackageSet, Source};
use muster_flow::change::{Change, Origin, What};
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::relevance::{self, Knowledge};
use muster_flow::smoketest::Test;
use muster_message::Incoming;

/// Recipes that stand in a test. A message's topic is `tag`, and its body a package's name in JSON.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The recipes.
    pub recipes: Vec<Recipe>,
    /// What the package repositories hold.
    pub packages: Arc<Mutex<PackageSet>>,
    /// Set while nothing can be read: a recipe is broken, or the repository is away.
    pub broken: Arc<AtomicBool>,
    /// Set while the package repositories are away.
    pub away: Arc<AtomicBool>,
    /// Set while reading the package repositories takes longer than anybody waits.
    pub slow: Arc<AtomicBool>,
    /// How often the package repositories were read.
    pub reads: Arc<AtomicUsize>,
}

impl Standing {
    /// Recipes that can be read.
    pub fn of(recipes: Vec<Recipe>) -> Self {
        Standing {
            recipes,
            packages: Arc::default(),
            broken: Arc::default(),
            away: Arc::default(),
            slow: Arc::default(),
            reads: Arc::default(),
        }
    }
}

#[async_trait]
impl Upstream for Standing {
    async fn recipes(&self) -> Result<Vec<Recipe>> {
        anyhow::ensure!(!self.broken.load(Ordering::Relaxed), "a recipe is broken");
        Ok(self.recipes.clone())
    }

    async fn files(&self, recipe: &Recipe) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::from([recipe.definition.file.clone()]))
    }

    async fn freeze(&self, recipe: &Recipe) -> Result<(Definition, Vec<Test>)> {
        let file = recipe.definition.file.clone();
        let definition =
            Definition { texts: [(file.clone(), String::new())].into(), file, commit: String::new() };
        Ok((definition, vec![muster_specimen::test("boots")]))
    }

    async fn packages(&self, _: &Source) -> Result<Frozen> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        anyhow::ensure!(!self.away.load(Ordering::Relaxed), "the repository is away");
        let set = self.packages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        while self.slow.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(Frozen { set, repos: Vec::new() })
    }

    async fn digest(&self, messages: Vec<Incoming>, knowledge: &Knowledge, _: &Positions) -> Result<Digest> {
        let weighed = messages.into_iter().map(|message| {
            let package = message.body.trim_matches('"').to_owned();
            // Another build than the one that the pretended images are made of.
            let what = What::PackageTagged { nvr: format!("{package}-2-1"), package, tag: "f43".to_owned() };
            let change = Change {
                id: message.id.clone(),
                at: message.sent_at.unwrap_or_default(),
                origin: Origin::Message { topic: message.topic },
                what,
            };
            let touches = relevance::weigh(&change.what, None, knowledge);
            Weighed { message: Some(message.id), change: Some(change), touches, happenings: Vec::new() }
        });
        Ok(Digest { weighed: weighed.collect(), ..Digest::default() })
    }
}
