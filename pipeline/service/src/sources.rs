//! The upstream of production: recipes and definitions from their repository, packages from theirs.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use async_trait::async_trait;
use muster_flow::batch::{Frozen, Source};
use muster_flow::recipe::{Definition, Recipe};
use muster_flow::relevance::Knowledge;
use muster_flow::smoketest::Test;

use crate::adapters::definitions::Definitions;
use crate::adapters::koji;
use crate::clock::Clock;
use crate::config::{PackageSources, Settings};
use crate::intake::{Intake, Swept};
use crate::ledger::Positions;
use crate::smoketests;
use crate::upstream::{Digest, Ledger, Upstream};
use muster_message::Incoming;

/// Recipes, definitions and packages, read where they are made.
#[derive(Debug)]
pub struct Sources {
    /// What weighs messages, and sweeps.
    pub intake: Intake,
    packages: PackageSources,
    koji: Option<koji::Settings>,
}

impl Sources {
    /// The sources that the configuration names.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self> {
        let state = &settings.service.state;
        let definitions = Definitions::new(settings.definitions.clone(), state, clock.clone())?;
        let hub = settings.koji.as_ref().map(|koji| koji.hub.as_str());
        let intake = Intake::new(definitions, hub, state, clock)?;
        Ok(Sources { intake, packages: settings.packages.clone(), koji: settings.koji.clone() })
    }

    /// Every recipe that can be read, and why others cannot.
    pub async fn each_recipe(&self) -> (Vec<Recipe>, Vec<anyhow::Error>) {
        let (recipes, unreadable) = self.intake.definitions.each_recipe().await;
        (recipes.into_iter().map(|recipe| self.packages.complete(recipe)).collect(), unreadable)
    }
}

#[async_trait]
impl Upstream for Sources {
    async fn recipes(&self) -> Result<Vec<Recipe>> {
        let recipes = self.intake.definitions.recipes().await?;
        Ok(recipes.into_iter().map(|recipe| self.packages.complete(recipe)).collect())
    }

    async fn files(&self, recipe: &Recipe) -> Result<BTreeSet<String>> {
        self.intake.definitions.files(recipe).await
    }

    async fn freeze(&self, recipe: &Recipe) -> Result<(Definition, Vec<Test>)> {
        let definition = self.intake.definitions.freeze(recipe).await?;
        let folder = self.intake.definitions.smoketests().await?;
        let mut tests = smoketests::read(&folder).context("cannot read the smoketests")?;
        let wanted = &recipe.smoketests.tests;
        if let Some(missing) = wanted.iter().find(|name| !tests.iter().any(|test| &test.name == *name)) {
            anyhow::bail!(
                "{} asks for the smoketest {missing}, which is not in {}",
                recipe.name,
                folder.display()
            );
        }
        tests.retain(|test| wanted.is_empty() || wanted.contains(&test.name));
        Ok((definition, tests))
    }

    async fn packages(&self, source: &Source) -> Result<Frozen> {
        match source {
            Source::Repositories(addresses) => {
                Ok(Frozen { set: self.intake.held(addresses).await?, repos: Vec::new() })
            }
            Source::Koji { repositories, version } => {
                let koji = self.koji.as_ref().context("the configuration has no section [koji]")?;
                koji::freeze(koji, repositories, version).await
            }
        }
    }

    async fn digest(
        &self,
        messages: Vec<Incoming>,
        knowledge: &Knowledge,
        positions: &Positions,
    ) -> Result<Digest> {
        self.intake.digest(messages, knowledge, positions).await
    }

    fn take_swept(&self) -> Option<Swept> {
        self.intake.take_swept()
    }

    async fn news(&self, swept: &Swept, knowledge: &Knowledge, ledger: &Ledger) -> Result<Digest> {
        self.intake.news(swept, knowledge, ledger).await
    }
}
