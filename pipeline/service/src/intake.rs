//! From messages and sweeps to weighed changes. A message is only a hint: what it says is read again at its source.
//!
//! It knows which source answers for which recipe. It must not know the bus, nor the database: what was recorded before
//! is handed in, and what it returns is recorded by others. Everything here only reads.

mod look;
mod sweep;
mod legacy;
mod explain;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use muster_flow::batch::{self, PackageSet};
use muster_flow::change::{Change, Origin, What};
use muster_flow::recipe::{Builder, Recipe};
use muster_flow::relevance::{Knowledge, Touch};
use serde_json::Value;

use crate::adapters::definitions::{Definitions, Pushed};
use crate::adapters::koji::changes::Moved;
use crate::adapters::koji::client::Hub;
use crate::adapters::packages::{self, Index, PackageRepositories};
use crate::clock::Clock;
use crate::ledger::Positions;
use crate::upstream::{Digest, Weighed};
use legacy::Legacy;
use look::Look;
use muster_message::{Incoming, Parked};

pub use explain::Explanation;
pub use sweep::Swept;

type Weighing = Result<Vec<Touch>, String>;

/// The sources that answer for what messages say.
#[derive(Debug)]
pub struct Intake {
    /// Recipes and definitions.
    pub definitions: Definitions,
    packages: PackageRepositories,
    hub: Option<Hub>,
    clock: Clock,
    legacy: Legacy,
    /// What the last sweep read, until it is weighed.
    swept: Mutex<Option<Swept>>,
}

/// What answers for the packages of a recipe: that which its build reads them from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Truth {
    /// The tags of the Koji hub.
    Koji,
    /// Package repositories, by their addresses.
    Packages(Vec<String>),
    /// Nobody.
    Nobody,
}

impl Intake {
    /// Prepares to look; `state` is the service's folder, and the hub the one that is configured, if one is.
    pub fn new(definitions: Definitions, hub: Option<&str>, state: &Path, clock: Clock) -> Result<Self> {
        Ok(Intake {
            definitions,
            packages: PackageRepositories::new()?,
            hub: hub.map(Hub::new).transpose()?,
            clock,
            legacy: Legacy::read(&state.join("packages.json"))?,
            swept: Mutex::new(None),
        })
    }

    /// Weighs messages. Each is in one of the two lists of the answer.
    pub async fn digest(
        &self,
        messages: Vec<Incoming>,
        knowledge: &Knowledge,
        positions: &Positions,
    ) -> Result<Digest> {
        let messages: Vec<_> = messages.into_iter().map(|message| (read(&message), message)).collect();
        let mut look = Look::begin(self, knowledge, positions);
        let spoken_of: Vec<What> =
            messages.iter().filter_map(|(whats, _)| whats.as_ref().ok()).flatten().cloned().collect();
        look.ask_koji(&spoken_of).await;
        let mut digest = Digest::default();
        for (whats, message) in messages {
            match whats {
                Ok(whats) if whats.is_empty() => {
                    let touches = Err(format!("{} says nothing of packages or definitions", message.topic));
                    let weighed =
                        Weighed { message: Some(message.id), change: None, touches, happenings: Vec::new() };
                    digest.weighed.push(weighed);
                }
                Ok(whats) => {
                    for (number, what) in whats.into_iter().enumerate() {
                        let change = change(&message, number, what, &self.clock);
                        let mut weighed = look.confirm(change).await;
                        weighed.message = Some(message.id.clone());
                        digest.weighed.push(weighed);
                    }
                }
                Err(reason) => digest.parked.push(parked(message, reason, &self.clock)),
            }
        }
        digest.notes = look.notes();
        Ok(digest)
    }

    /// Every package that package repositories hold now.
    pub async fn held(&self, addresses: &BTreeSet<String>) -> Result<PackageSet> {
        let mut all = PackageSet::default();
        for address in addresses {
            all.0.extend(self.packages.packages(address).await?.0);
        }
        Ok(all)
    }

    fn truth(&self, recipe: &Recipe) -> Truth {
        let addresses = addresses(recipe);
        match (&self.hub, &recipe.builder) {
            (Some(_), Builder::Koji) => Truth::Koji,
            // What others build is read from package repositories: a build counts once it is there.
            _ if !addresses.is_empty() => Truth::Packages(addresses),
            (Some(_), Builder::Local | Builder::Imagefactory) => Truth::Koji,
            (None, Builder::Local | Builder::Koji | Builder::Imagefactory) => Truth::Nobody,
        }
    }

    /// The recipes that the hub answers for, by the tags that their packages come by.
    fn tags(&self, recipes: &[Recipe]) -> BTreeMap<String, BTreeSet<String>> {
        let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for recipe in recipes.iter().filter(|recipe| self.truth(recipe) == Truth::Koji) {
            for tag in &recipe.packages.tags {
                tags.entry(tag.clone()).or_default().insert(recipe.name.clone());
            }
        }
        tags
    }

    /// The package repositories that answer for recipes, with the recipes and their tag. One that belongs to no tag
    /// brings no changes.
    fn repositories(&self, recipes: &[Recipe]) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut repositories: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for recipe in recipes {
            let (Some(tag), Truth::Packages(addresses)) = (recipe.packages.tags.first(), self.truth(recipe))
            else {
                continue;
            };
            for address in addresses {
                repositories.entry((address, tag.clone())).or_default().insert(recipe.name.clone());
            }
        }
        repositories
    }

    /// The name of a tag as a source.
    fn tag_source(&self, tag: &str) -> String {
        format!("tag {tag} of {}", self.hub.as_ref().map_or("no hub", Hub::url))
    }
}

/// The name of a package repository as a source.
fn repository_source(baseurl: &str) -> String {
    format!("package repository {baseurl}")
}

/// What a message can say of a build that moved.
fn label(moved: Moved, nvr: &str) -> String {
    match moved {
        Moved::In => format!("in/{nvr}"),
        Moved::Out => format!("out/{nvr}"),
    }
}

/// What a message can say of a push.
fn push_label(repository: &str, commit: &str) -> String {
    format!("push/{repository}/{commit}")
}

/// Adds source packages to what is installed: Koji tags them, and images record what was built from them.
fn add_sources(knowledge: &mut Knowledge, indexes: &[Arc<Index>]) {
    let build_of = |nvr: &String| indexes.iter().find_map(|index| index.build_of(nvr)).map(str::to_owned);
    let source_of = |package: &String| indexes.iter().find_map(|index| index.sources.get(package)).cloned();
    let mut found = Vec::new();
    for (package, recipes) in &knowledge.installed {
        let Some(source) = source_of(package) else { continue };
        for (recipe, nvr) in recipes {
            found.push((source.clone(), recipe.clone(), nvr.as_ref().and_then(build_of)));
        }
    }
    for (source, recipe, build) in found {
        let recipes = knowledge.installed.entry(source).or_default();
        let known = recipes.entry(recipe).or_insert_with(|| build.clone());
        // Packages of several builds of one source are no certainty.
        if *known != build {
            *known = None;
        }
    }
}

/// What a message speaks of, or why nobody can tell.
fn read(message: &Incoming) -> Result<Vec<What>, String> {
    let body: Value =
        serde_json::from_str(&message.body).map_err(|error| format!("its body is not JSON: {error}"))?;
    muster_message::decode(&message.topic, &body).map_err(|error| error.to_string())
}

fn change(message: &Incoming, number: usize, what: What, clock: &Clock) -> Change {
    let id = match number {
        0 => message.id.clone(),
        more => format!("{}/{}", message.id, more + 1),
    };
    let origin = Origin::Message { topic: message.topic.clone() };
    Change { id, at: message.sent_at.unwrap_or_else(|| clock.now()), origin, what }
}

fn parked(message: Incoming, reason: String, clock: &Clock) -> Parked {
    let Incoming { id, topic, headers, body, .. } = message;
    Parked { id, topic, reason, headers, body: body.into_bytes(), received: clock.now() }
}

fn what_was_pushed(repository: &str, pushed: &Pushed) -> What {
    What::Pushed {
        repository: repository.to_owned(),
        branch: pushed.branch.clone(),
        commit: pushed.to.clone(),
        files: pushed.files.clone(),
    }
}

fn definition_repositories(recipes: &[Recipe]) -> BTreeSet<String> {
    recipes.iter().map(|recipe| recipe.definition.repository.clone()).collect()
}

/// The addresses of a recipe's repositories, for each architecture.
fn addresses(recipe: &Recipe) -> Vec<String> {
    batch::addresses(recipe).into_iter().collect()
}

/// The name of the package in a name, version and release joined by dashes.
fn package_of(nvr: &str) -> &str {
    packages::name_of(nvr).unwrap_or(nvr)
}

#[cfg(test)]
mod tests;
