//! Recipes and definitions that stand in a test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use async_trait::async_trait;
use muster::message::Incoming;
use muster::upstream::{Digest, Upstream, Weighed};
use muster_flow::change::{Change, Origin, What};
use muster_flow::gate::Policy;
use muster_flow::recipe::{
    Builder, Cell, Definition, DefinitionFile, Destination, DestinationKind, Firmware, Form, Machine, Matrix,
    Metadata, Packages, Product, Recipe,
};
use muster_flow::relevance::{self, Knowledge};
use muster_flow::smoketest::{Before, Test, Weight};

/// Recipes that stand in a test. A message's topic is `tag`, and its body a package's name in JSON.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The recipes.
    pub recipes: Vec<Recipe>,
    /// Set while nothing can be read: a recipe is broken, or the repository is away.
    pub broken: Arc<AtomicBool>,
}

impl Standing {
    /// Recipes that can be read.
    pub fn of(recipes: Vec<Recipe>) -> Self {
        Standing { recipes, broken: Arc::default() }
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
        Ok((definition, vec![test("boots")]))
    }

    async fn digest(&self, messages: Vec<Incoming>, knowledge: &Knowledge) -> Result<Digest> {
        let weighed = messages.into_iter().map(|message| {
            let package = message.body.trim_matches('"').to_owned();
            let what = What::PackageTagged { nvr: format!("{package}-1-1"), package, tag: "f43".to_owned() };
            let change = Change {
                id: message.id.clone(),
                at: message.sent_at.unwrap_or_default(),
                origin: Origin::Message { topic: message.topic },
                what,
            };
            let touches = relevance::weigh(&change.what, None, knowledge);
            Weighed { message: Some(message.id), change: Some(change), touches }
        });
        Ok(Digest { weighed: weighed.collect(), parked: Vec::new() })
    }
}

/// A gating test.
pub fn test(name: &str) -> Test {
    Test {
        applies: muster_flow::smoketest::Applies::Always,
        name: name.to_owned(),
        summary: format!("{name} is well"),
        weight: Weight::Gating,
        forms: vec![Form::Qcow2, Form::Oci],
        time_limit_s: 1,
        order: 0,
        before: Before::Nothing,
        script: "true".to_owned(),
        expected_failure: None,
    }
}

/// A small recipe: one build, two cells, two destinations.
pub fn recipe(name: &str) -> Recipe {
    let cell = |name: &str, firmware| Cell {
        name: name.to_owned(),
        artifact: Form::Qcow2,
        firmware,
        machine: Machine::Q35,
        metadata: Metadata::NoCloud,
        memory_mib: 512,
        disk_mib: 0,
    };
    let destination = |destination: &str, takes| Destination {
        name: destination.to_owned(),
        kind: DestinationKind::Mirror,
        takes,
        path: name.to_owned(),
    };
    Recipe {
        name: name.to_owned(),
        image: "Lab".to_owned(),
        summary: "An image of the lab".to_owned(),
        owner: "lab".to_owned(),
        definition: DefinitionFile {
            file: format!("{name}.ks"),
            repository: "kickstarts".to_owned(),
            branch: String::new(),
        },
        product: Product::Disk,
        builder: Builder::Local,
        version: "43".to_owned(),
        arches: vec!["x86_64".to_owned()],
        packages: Packages { tags: vec!["f43".to_owned()], ..Packages::default() },
        smoketests: Matrix {
            cells: vec![cell("bios", Firmware::Bios), cell("uefi", Firmware::Uefi)],
            ..Matrix::default()
        },
        gate: Policy::default(),
        stream: "stable".to_owned(),
        destinations: vec![destination("mirror", Form::Qcow2), destination("archive", Form::Raw)],
    }
}

/// An exception for the test `boots` in every cell of every candidate of a recipe.
pub fn waiver(recipe: &str, expires: jiff::Timestamp) -> muster_flow::gate::Waiver {
    muster_flow::gate::Waiver {
        id: "w1".to_owned(),
        recipe: recipe.to_owned(),
        candidate: None,
        test: "boots".to_owned(),
        cell: None,
        reason: "the lab has no power".to_owned(),
        author: "ada".to_owned(),
        expires,
    }
}
