//! From messages and sweeps to weighed changes. A message is only a hint: what it says is read again at its source.
//!
//! It knows which source answers for which change. It must not know the bus, nor the database; what it returns is
//! recorded by others. Everything here only reads, save the note of what has been seen already.

mod ledger;
mod explain;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use muster_flow::change::{Change, Origin, What};
use muster_flow::recipe::Recipe;
use muster_flow::relevance::{self, Knowledge, Touch};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::adapters::definitions::{Definitions, Pushed};
use crate::adapters::packages::{self, Index, PackageRepositories};
use crate::clock::Clock;
use crate::upstream::{Digest, Weighed};
use ledger::Ledger;
use muster_message::{Incoming, Parked};

pub use explain::Explanation;

type Weighing = Result<Vec<Touch>, String>;

/// The sources that answer for what messages say.
#[derive(Debug)]
pub struct Intake {
    /// Recipes and definitions.
    pub definitions: Definitions,
    packages: PackageRepositories,
    clock: Clock,
    ledger: Mutex<Ledger>,
    /// A push that was weighed, with the messages that spoke of it: dealt with, once they are read.
    unsettled: Mutex<Option<Unsettled>>,
}

#[derive(Debug)]
struct Unsettled {
    commit: String,
    messages: BTreeSet<String>,
}

/// What a look at the sources found that no message had said.
#[derive(Debug, Default)]
pub struct Swept {
    /// The changes, to be recorded.
    pub changes: Vec<Change>,
    /// Each package repository as it was seen, and the builds in it that `changes` tell of.
    seen: BTreeMap<String, (Arc<Index>, HashSet<String>)>,
    commit: Option<String>,
}

impl Intake {
    /// Prepares to look; `state` is the service's folder.
    pub fn new(definitions: Definitions, state: &Path, clock: Clock) -> Result<Self> {
        Ok(Intake {
            definitions,
            packages: PackageRepositories::new()?,
            clock,
            ledger: Mutex::new(Ledger::read(&state.join("packages.json"))?),
            unsettled: Mutex::new(None),
        })
    }

    /// Weighs messages. Each is in one of the two lists of the answer.
    pub async fn digest(&self, messages: Vec<Incoming>, knowledge: &Knowledge) -> Result<Digest> {
        self.settle_pushes(&messages).await?;
        let mut look = self.begin_look(knowledge);
        let mut digest = Digest::default();
        for message in messages {
            match read(&message) {
                Ok(whats) if whats.is_empty() => {
                    let touches = Err(format!("{} says nothing of packages or definitions", message.topic));
                    digest.weighed.push(Weighed { message: Some(message.id), change: None, touches });
                }
                Ok(whats) => {
                    for (number, what) in whats.into_iter().enumerate() {
                        let change = change(&message, number, what, &self.clock);
                        let (change, touches) = look.confirm(change).await;
                        let id = Some(message.id.clone());
                        digest.weighed.push(Weighed { message: id, change: Some(change), touches });
                    }
                }
                Err(reason) => digest.parked.push(parked(message, reason, &self.clock)),
            }
        }
        self.end_look(look).await;
        Ok(digest)
    }

    /// Looks at every source for what the bus did not say. Call `settle` once the changes are recorded.
    pub async fn sweep(&self, knowledge: &Knowledge) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut look = self.begin_look(knowledge);
        look.with_sources().await;
        for (baseurl, tag) in repositories(&knowledge.recipes) {
            let index = match look.index(&baseurl).await {
                Ok(index) => index,
                Err(reason) => {
                    tracing::warn!("cannot sweep: {reason}");
                    continue;
                }
            };
            let news = self.ledger.lock().await.news(&baseurl, &index, &tag);
            let source = format!("package repository {baseurl}");
            let (index, found) = swept.seen.entry(baseurl).or_insert((index, HashSet::new()));
            for what in news {
                if relevance::weigh(&what, None, look.knowledge()).is_ok() {
                    if let What::PackageTagged { nvr, .. } = &what {
                        found.insert(nvr.clone());
                    }
                    swept.changes.push(self.found(&source, &index.revision, what));
                }
            }
        }
        let pushed = self.pushed_unsaid().await.unwrap_or_else(|error| {
            tracing::warn!("cannot sweep: {error:#}");
            None
        });
        if let Some(pushed) = pushed {
            let commit = pushed.to.clone();
            for repository in definition_repositories(&knowledge.recipes) {
                let what = what_was_pushed(&repository, &pushed);
                if relevance::weigh(&what, None, look.knowledge()).is_ok() {
                    swept.changes.push(self.found(&format!("repository {repository}"), &commit, what));
                }
            }
            swept.commit = Some(commit);
        }
        Ok(swept)
    }

    /// Remembers that what a sweep found is recorded, so that it is not found again.
    pub async fn settle(&self, swept: Swept) -> Result<()> {
        let mut ledger = self.ledger.lock().await;
        for (baseurl, (index, found)) in swept.seen {
            ledger.settle(&baseurl, &index, found);
        }
        ledger.write()?;
        if let Some(commit) = swept.commit {
            self.definitions.settle(&commit).await?;
        }
        Ok(())
    }

    fn found(&self, source: &str, revision: &str, what: What) -> Change {
        let name = match &what {
            What::PackageTagged { nvr, tag, .. } => format!("/{tag}+{nvr}"),
            What::PackageUntagged { nvr, tag, .. } => format!("/{tag}-{nvr}"),
            What::PackageBuilt { .. }
            | What::RepositoryRegenerated { .. }
            | What::Pushed { .. }
            | What::ComposeFinished { .. }
            | What::WindowOpened { .. }
            | What::Requested { .. } => String::new(),
        };
        let short: String = revision.chars().take(16).collect();
        Change {
            id: format!("sweep/{source}/{short}{name}"),
            at: self.clock.now(),
            origin: Origin::Sweep { source: source.to_owned() },
            what,
        }
    }

    /// What was pushed and no weighed message spoke of.
    async fn pushed_unsaid(&self) -> Result<Option<Pushed>> {
        let said = self.unsettled.lock().await.as_ref().map(|unsettled| unsettled.commit.clone());
        let pushed = self.definitions.look().await?;
        Ok(pushed.filter(|pushed| Some(&pushed.to) != said.as_ref()))
    }

    /// A push is dealt with once none of the messages that spoke of it is unread any more.
    async fn settle_pushes(&self, unread: &[Incoming]) -> Result<()> {
        let mut unsettled = self.unsettled.lock().await;
        if let Some(waiting) = unsettled.as_ref()
            && !unread.iter().any(|message| waiting.messages.contains(&message.id))
        {
            self.definitions.settle(&waiting.commit).await?;
            *unsettled = None;
        }
        Ok(())
    }

    fn begin_look<'a>(&'a self, knowledge: &'a Knowledge) -> Look<'a> {
        Look {
            intake: self,
            knowledge,
            by_source: None,
            indexes: BTreeMap::new(),
            pushed: None,
            pushers: BTreeSet::new(),
            there: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Notes what messages spoke of, so that the sweep does not find it again.
    async fn end_look(&self, look: Look<'_>) {
        let mut ledger = self.ledger.lock().await;
        for (baseurl, build) in &look.there {
            ledger.said(baseurl, build);
        }
        for (baseurl, build) in &look.gone {
            ledger.said_gone(baseurl, build);
        }
        // Now, and not with the next sweep: a service that starts anew would find by itself what messages said before.
        if let Err(error) = ledger.write() {
            tracing::warn!("cannot note what messages spoke of; a sweep may tell it again: {error:#}");
        }
        if let Some(Ok(Some(pushed))) = look.pushed
            && !look.pushers.is_empty()
        {
            *self.unsettled.lock().await = Some(Unsettled { commit: pushed.to, messages: look.pushers });
        }
    }
}

/// One look at the sources, for a batch of messages: each source is asked once.
struct Look<'a> {
    intake: &'a Intake,
    knowledge: &'a Knowledge,
    /// What is known, with the images of source packages added; made when it is needed first.
    by_source: Option<Knowledge>,
    indexes: BTreeMap<String, Result<Arc<Index>, String>>,
    pushed: Option<Result<Option<Pushed>, String>>,
    /// The messages whose push was found at its source.
    pushers: BTreeSet<String>,
    /// Builds that were found where a message said, and those that were not: repository and build.
    there: Vec<(String, String)>,
    gone: Vec<(String, String)>,
}

impl Look<'_> {
    fn knowledge(&self) -> &Knowledge {
        self.by_source.as_ref().unwrap_or(self.knowledge)
    }

    /// Reads a change again at its source, and weighs what is found there.
    async fn confirm(&mut self, mut change: Change) -> (Change, Weighing) {
        let touches = match &mut change.what {
            What::PackageTagged { tag, nvr, .. } => {
                let (tag, nvr) = (tag.clone(), nvr.clone());
                self.with_sources_of(&tag).await;
                let weighing = relevance::weigh(&change.what, None, self.knowledge());
                self.keep_where(weighing, &nvr, Presence::There).await
            }
            What::PackageUntagged { tag, nvr, .. } => {
                let (tag, nvr) = (tag.clone(), nvr.clone());
                self.with_sources_of(&tag).await;
                let weighing = relevance::weigh(&change.what, None, self.knowledge());
                self.keep_where(weighing, &nvr, Presence::Gone).await
            }
            What::Pushed { .. } => self.confirm_push(&mut change).await,
            What::PackageBuilt { .. }
            | What::RepositoryRegenerated { .. }
            | What::ComposeFinished { .. }
            | What::WindowOpened { .. }
            | What::Requested { .. } => relevance::weigh(&change.what, None, self.knowledge()),
        };
        (change, touches)
    }

    /// Keeps the touches of recipes whose repositories agree with the message.
    async fn keep_where(&mut self, weighing: Weighing, nvr: &str, expected: Presence) -> Weighing {
        let mut kept = Vec::new();
        let mut against = Vec::new();
        for mut touch in weighing? {
            match self.presence(&touch.recipe, nvr).await {
                Ok(Some((Presence::Swept, repository))) if expected == Presence::There => {
                    against.push(format!("{nvr} was found in {repository} by a sweep before the message came, and was weighed then"));
                }
                Ok(Some((presence, _))) if presence == expected => kept.push(touch),
                Ok(Some((_, repository))) => against.push(expected.contradiction(nvr, &repository)),
                Ok(None) => {
                    touch.why.push_str("; its recipe names no package repository to confirm it at");
                    kept.push(touch);
                }
                Err(reason) => {
                    // A source that is away is no reason to lose what was said.
                    touch.why.push_str("; not confirmed: ");
                    touch.why.push_str(&reason);
                    kept.push(touch);
                }
            }
        }
        if kept.is_empty() {
            against.dedup();
            return Err(against.join("; "));
        }
        Ok(kept)
    }

    /// Whether a build is in one of a recipe's repositories, and in which it is or should be.
    async fn presence(&mut self, recipe: &str, nvr: &str) -> Result<Option<(Presence, String)>, String> {
        let found = self.knowledge.recipes.iter().find(|known| known.name == recipe);
        let addresses: Vec<String> = found.map(addresses).unwrap_or_default();
        for baseurl in &addresses {
            if let Some(build) = self.index(baseurl).await?.build_of(nvr) {
                let build = build.to_owned();
                let was_swept = self.intake.ledger.lock().await.was_swept(baseurl, &build);
                self.there.push((baseurl.clone(), build));
                let presence = if was_swept { Presence::Swept } else { Presence::There };
                return Ok(Some((presence, baseurl.clone())));
            }
        }
        self.gone.extend(addresses.iter().map(|baseurl| (baseurl.clone(), nvr.to_owned())));
        Ok(addresses.into_iter().next().map(|baseurl| (Presence::Gone, baseurl)))
    }

    async fn index(&mut self, baseurl: &str) -> Result<Arc<Index>, String> {
        if let Some(known) = self.indexes.get(baseurl) {
            return known.clone();
        }
        let index = self.intake.packages.index(baseurl).await.map_err(|error| format!("{error:#}"));
        if let Ok(index) = &index {
            self.intake.ledger.lock().await.begin(baseurl, index);
        }
        self.indexes.insert(baseurl.to_owned(), index.clone());
        index
    }

    /// As `with_sources`, when the tag is one that recipes take packages from.
    async fn with_sources_of(&mut self, tag: &str) {
        let mut tags = self.knowledge.recipes.iter().flat_map(|recipe| &recipe.packages.tags);
        if tags.any(|known| known == tag) {
            self.with_sources().await;
        }
    }

    /// Koji tags source packages, and images record what was built from them: adds the one to the other.
    async fn with_sources(&mut self) {
        if self.by_source.is_some() {
            return;
        }
        let mut knowledge = self.knowledge.clone();
        for (baseurl, _) in repositories(&self.knowledge.recipes) {
            let Ok(index) = self.index(&baseurl).await else { continue };
            for (package, recipes) in &self.knowledge.installed {
                if let Some(source) = index.sources.get(package) {
                    knowledge.installed.entry(source.clone()).or_default().extend(recipes.iter().cloned());
                }
            }
        }
        self.by_source = Some(knowledge);
    }

    async fn confirm_push(&mut self, change: &mut Change) -> Weighing {
        let said = relevance::weigh(&change.what, None, self.knowledge);
        let What::Pushed { repository, branch, .. } = change.what.clone() else { return said };
        let is_ours = self.knowledge.recipes.iter().any(|recipe| {
            let definition = &recipe.definition;
            definition.repository == repository
                && (definition.branch.is_empty() || definition.branch == branch)
        });
        if !is_ours {
            return said;
        }
        if !self.intake.definitions.has_history() {
            // The files lie in a plain folder: there is nothing to ask.
            return said
                .map(|touches| annotated(touches, "; not confirmed: definitions lie in a plain folder"));
        }
        if self.pushed.is_none() {
            let look = self.intake.definitions.look().await.map_err(|error| format!("{error:#}"));
            self.pushed = Some(look);
        }
        match self.pushed.as_ref() {
            Some(Ok(Some(pushed))) if pushed.branch == branch => {
                change.what = what_was_pushed(&repository, pushed);
                self.pushers.insert(change.id.clone());
                relevance::weigh(&change.what, None, self.knowledge)
            }
            Some(Ok(Some(pushed))) => {
                Err(format!("definitions are read from branch {}, not {branch}", pushed.branch))
            }
            Some(Ok(None)) | None => {
                Err(format!("{repository} {branch} has nothing that was not weighed before"))
            }
            Some(Err(reason)) => {
                let note = format!("; not confirmed: {reason}");
                said.map(|touches| annotated(touches, &note))
            }
        }
    }
}

/// Whether a build is in a repository.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    /// It is there, and a sweep told of it before any message did.
    Swept,
    Gone,
}

impl Presence {
    /// Why a message that expects this is not followed now.
    fn contradiction(self, nvr: &str, repository: &str) -> String {
        match self {
            Presence::There | Presence::Swept => {
                format!("{nvr} is not in {repository} yet; the sweep takes it up as soon as it is there")
            }
            Presence::Gone => {
                format!("{nvr} is in {repository} still; the sweep takes it up as soon as it is gone")
            }
        }
    }
}

fn annotated(mut touches: Vec<Touch>, note: &str) -> Vec<Touch> {
    for touch in &mut touches {
        touch.why.push_str(note);
    }
    touches
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

/// Every package repository with the tags that its packages come by; one that belongs to no tag brings no changes.
fn repositories(recipes: &[Recipe]) -> BTreeSet<(String, String)> {
    let with_tag = recipes.iter().filter_map(|recipe| Some((recipe, recipe.packages.tags.first()?)));
    with_tag
        .flat_map(|(recipe, tag)| addresses(recipe).into_iter().map(|address| (address, tag.clone())))
        .collect()
}

/// The addresses of a recipe's repositories, for each architecture.
fn addresses(recipe: &Recipe) -> Vec<String> {
    let mut addresses = BTreeSet::new();
    for repository in &recipe.packages.repositories {
        for arch in &recipe.arches {
            addresses.insert(
                repository.baseurl.replace("$basearch", arch).replace("$releasever", &recipe.version),
            );
        }
    }
    addresses.into_iter().collect()
}

/// The name of the package in a name, version and release joined by dashes.
fn package_of(nvr: &str) -> &str {
    packages::name_of(nvr).unwrap_or(nvr)
}

#[cfg(test)]
mod tests;
