//! A sweep: what every source says, read without anybody having to wait for it; and what of that is news, once it is
//! known what was recorded before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use anyhow::Result;
use muster_flow::change::{Change, Origin, What};
use muster_flow::recipe::Recipe;
use muster_flow::relevance::{self, Knowledge};

use super::look::{build_name, event_name, position_of_definitions, push_name};
use super::{
    Intake, add_sources, definition_repositories, label, package_of, push_label, repository_source,
    what_was_pushed,
};
use crate::adapters::koji::changes::{self, Changes, Moved, OVERLAP, Tagging};
use crate::adapters::packages::Index;
use crate::ledger::{Happening, Held, Kind, Known, Note, Positions};
use crate::upstream::{Digest, Ledger, Weighed};

/// What a sweep read. What messages bring in the meantime does no harm: it is weighed by what is recorded then.
#[derive(Debug)]
pub struct Swept {
    /// The lease that it was read under: who has lost that records nothing of it.
    pub fence: i64,
    /// The package repositories whose content has changed since what was recorded when it was read.
    pub changed: BTreeSet<String>,
    koji: Option<Result<Changes, String>>,
    repositories: BTreeMap<String, Result<(), String>>,
    definitions: Option<Result<(), String>>,
}

impl Swept {
    /// Why sources could not be read.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        match &self.koji {
            Some(Ok(changes)) => {
                faults.extend(changes.tags.values().filter_map(|tag| Some(tag.as_ref().err()?.to_string())));
            }
            Some(Err(reason)) => faults.push(reason.clone()),
            None => {}
        }
        let others = self.repositories.values().chain(&self.definitions);
        faults.extend(others.filter_map(|read| read.as_ref().err().cloned()));
        faults
    }
}

impl Intake {
    /// Asks every source. What it says is kept until it is weighed, or until the next sweep. Returns why some could not be
    /// read.
    pub async fn sweep(&self, recipes: &[Recipe], positions: &Positions, fence: i64) -> Vec<String> {
        let mut swept = Swept {
            fence,
            changed: BTreeSet::new(),
            koji: self.sweep_koji(recipes, positions).await,
            repositories: BTreeMap::new(),
            definitions: None,
        };
        let addresses: BTreeSet<String> =
            self.repositories(recipes).into_keys().map(|(address, _)| address).collect();
        for baseurl in addresses {
            let read = self.packages.index(&baseurl).await.map_err(|error| format!("{error:#}"));
            let source = repository_source(&baseurl);
            if let Ok(index) = &read
                && positions.get(&source).is_some_and(|known| known.position != index.revision)
            {
                swept.changed.insert(source);
            }
            swept.repositories.insert(baseurl, read.map(drop));
        }
        if self.definitions.has_history() {
            let looked = self.definitions.look().await;
            swept.definitions = Some(looked.map_err(|error| format!("{error:#}")));
        }
        let faults = swept.faults();
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = Some(swept);
        faults
    }

    /// What the last sweep read, if it was not weighed yet.
    pub fn take_swept(&self) -> Option<Swept> {
        self.swept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn sweep_koji(&self, recipes: &[Recipe], positions: &Positions) -> Option<Result<Changes, String>> {
        let hub = self.hub.as_ref()?;
        let event = |tag: &String| positions.get(&self.tag_source(tag))?.position.parse::<i64>().ok();
        let tags: BTreeMap<String, Option<i64>> =
            self.tags(recipes).into_keys().map(|tag| (tag.clone(), event(&tag))).collect();
        if tags.is_empty() {
            return None;
        }
        Some(changes::changes_since(hub, &tags).await.map_err(|error| error.to_string()))
    }

    /// What of a sweep nobody has recorded, with up to where the sources are known by that.
    pub async fn news(&self, swept: &Swept, knowledge: &Knowledge, ledger: &Ledger) -> Result<Digest> {
        let mut digest = Digest::default();
        let mut indexes = BTreeMap::new();
        let mut by_source = knowledge.clone();
        for baseurl in swept.repositories.keys() {
            if let Some(index) = self.packages.last(baseurl).await {
                indexes.insert(baseurl.clone(), index);
            }
        }
        add_sources(&mut by_source, &indexes.values().cloned().collect::<Vec<_>>());
        let mut news = News { intake: self, knowledge: &by_source, digest: &mut digest };
        match &swept.koji {
            Some(Ok(changes)) => news.of_koji(changes, &ledger.positions),
            Some(Err(reason)) => {
                for tag in self.tags(&knowledge.recipes).into_keys() {
                    news.fault(self.tag_source(&tag), Kind::Koji, reason);
                }
            }
            None => {}
        }
        for (baseurl, read) in &swept.repositories {
            match (read, indexes.get(baseurl)) {
                (Ok(()), Some(index)) => news.of_repository(baseurl, index, ledger),
                (Err(reason), _) => news.fault(repository_source(baseurl), Kind::Packages, reason),
                (Ok(()), None) => {}
            }
        }
        match &swept.definitions {
            Some(Ok(())) => news.of_definitions(&ledger.positions).await?,
            Some(Err(reason)) => news.fault(self.definitions.name(), Kind::Git, reason),
            None => {}
        }
        Ok(digest)
    }

    /// What is known of a package repository that is seen for the first time: everything in it, or what an earlier
    /// version knew.
    pub(super) fn beginning(&self, baseurl: &str, index: &Index) -> Vec<Note> {
        let source = repository_source(baseurl);
        let (revision, builds) = match self.legacy.seen(baseurl) {
            Some(seen) => (seen.revision.clone(), seen.builds.iter().cloned().collect()),
            None => (index.revision.clone(), index.builds.iter().cloned().collect()),
        };
        vec![
            Note::Position {
                source: source.clone(),
                kind: Kind::Packages,
                position: revision.clone(),
                since: revision,
                at: None,
            },
            Note::Holds { source, builds },
        ]
    }
}

/// Gathers what is news.
struct News<'a> {
    intake: &'a Intake,
    knowledge: &'a Knowledge,
    digest: &'a mut Digest,
}

impl News<'_> {
    fn fault(&mut self, source: String, kind: Kind, reason: &str) {
        self.digest.notes.push(Note::Fault { source, kind, reason: reason.to_owned() });
    }

    fn of_koji(&mut self, changes: &Changes, positions: &Positions) {
        let recipes = self.intake.tags(&self.knowledge.recipes);
        for (tag, taggings) in &changes.tags {
            let source = self.intake.tag_source(tag);
            let known = positions.get(&source);
            let position = known.and_then(|known| known.position.parse::<i64>().ok());
            let taggings = match taggings {
                Ok(taggings) => taggings,
                Err(error) => {
                    self.fault(source, Kind::Koji, &error.to_string());
                    continue;
                }
            };
            if let Some(position) = position.filter(|position| *position > changes.event) {
                let event = changes.event;
                let reason =
                    format!("its last event is {event}, and {position} was seen before: is it another hub?");
                self.fault(source, Kind::Koji, &reason);
                continue;
            }
            match known.zip(position) {
                Some((known, position)) => {
                    let since = known.since.parse().unwrap_or(i64::MIN);
                    let after = since.max(position - OVERLAP);
                    let of_tag = recipes.get(tag).cloned().unwrap_or_default();
                    for tagging in taggings.iter().filter(|tagging| tagging.event > after) {
                        self.tagging(tag, tagging, &source, &of_tag);
                    }
                }
                // What is seen with the first look happened before our time, though only now it is known that it did.
                None => self.digest.notes.extend(taggings.iter().map(|tagging| Note::Before {
                    source: source.clone(),
                    name: event_name(tagging),
                    label: label(tagging.what, &tagging.nvr()),
                    at: tagging.at.unwrap_or_else(|| self.intake.clock.now()),
                })),
            }
            self.digest.notes.push(Note::Position {
                source: source.clone(),
                kind: Kind::Koji,
                position: changes.event.to_string(),
                since: (changes.event - OVERLAP).to_string(),
                at: changes.at,
            });
            self.digest.notes.push(Note::Swept(source));
        }
    }

    fn tagging(&mut self, tag: &str, tagging: &Tagging, source: &str, recipes: &BTreeSet<String>) {
        let what = moved(tagging.what, &tagging.name, &tagging.nvr(), tag);
        let happening = Happening {
            source: source.to_owned(),
            names: vec![event_name(tagging)],
            label: label(tagging.what, &tagging.nvr()),
            at: tagging.at.unwrap_or_else(|| self.intake.clock.now()),
            recipes: recipes.clone(),
            is_past: false,
        };
        self.tell(what, happening, "");
    }

    fn of_repository(&mut self, baseurl: &str, index: &Index, ledger: &Ledger) {
        let source = repository_source(baseurl);
        let mut known = ledger.positions.get(&source).cloned();
        let mut held = ledger.held.get(&source).cloned();
        if known.is_none() {
            self.digest.notes.extend(self.intake.beginning(baseurl, index));
            if let Some(seen) = self.intake.legacy.seen(baseurl) {
                known = Some(Known { position: seen.revision.clone(), since: seen.revision.clone() });
                held = Some(Held { builds: seen.builds.clone(), lately: BTreeSet::new() });
            }
        }
        if let (Some(known), Some(held)) = (known, held)
            && known.position != index.revision
        {
            for (of, recipes) in self.intake.repositories(&self.knowledge.recipes) {
                let (address, tag) = of;
                if address == baseurl {
                    self.difference(&source, &tag, index, (&held, &recipes));
                }
            }
            self.digest.notes.push(Note::Position {
                source: source.clone(),
                kind: Kind::Packages,
                position: index.revision.clone(),
                since: index.revision.clone(),
                at: None,
            });
        }
        self.digest.notes.push(Note::Swept(source));
    }

    /// What a repository holds that it was not known to hold, and what it no longer holds.
    fn difference(
        &mut self,
        source: &str,
        tag: &str,
        index: &Index,
        (held, recipes): (&Held, &BTreeSet<String>),
    ) {
        let come: BTreeSet<&String> = index.builds.difference(&held.builds).collect();
        let gone: BTreeSet<&String> = held.builds.difference(&index.builds).collect();
        let lately = held.lately.iter().filter(|build| index.builds.contains(*build));
        let renewed: BTreeSet<&str> =
            come.iter().copied().chain(lately).map(|build| package_of(build)).collect();
        let of_build = |what: Moved, build: &str| {
            (
                moved(what, package_of(build), build, tag),
                Happening {
                    source: source.to_owned(),
                    names: vec![build_name(&label(what, build), tag)],
                    label: label(what, build),
                    at: self.intake.clock.now(),
                    recipes: recipes.clone(),
                    is_past: false,
                },
            )
        };
        let mut told = Vec::new();
        let mut notes = Vec::new();
        for build in come {
            notes.push(Note::Came { source: source.to_owned(), build: build.clone() });
            told.push(of_build(Moved::In, build));
        }
        for build in gone {
            notes.push(Note::Left { source: source.to_owned(), build: build.clone() });
            // A build that made room for another of the same package is not news of its own.
            if !renewed.contains(package_of(build)) {
                told.push(of_build(Moved::Out, build));
            }
        }
        self.digest.notes.extend(notes);
        let short: String = index.revision.chars().take(16).collect();
        for (what, happening) in told {
            self.tell(what, happening, &format!(" at {short}"));
        }
    }

    async fn of_definitions(&mut self, positions: &Positions) -> Result<()> {
        let source = self.intake.definitions.name();
        let known = positions.get(&source).map(|known| known.position.as_str());
        let Some(pushed) = self.intake.definitions.pushed_since(known).await? else { return Ok(()) };
        if pushed.from != pushed.to {
            for repository in definition_repositories(&self.knowledge.recipes) {
                let recipes = self.knowledge.recipes.iter();
                let recipes = recipes.filter(|recipe| recipe.definition.repository == repository);
                let happening = Happening {
                    source: source.clone(),
                    names: vec![push_name(&repository, &pushed)],
                    label: push_label(&repository, &pushed.to),
                    at: self.intake.clock.now(),
                    recipes: recipes.map(|recipe| recipe.name.clone()).collect(),
                    is_past: false,
                };
                self.tell(what_was_pushed(&repository, &pushed), happening, "");
            }
        }
        self.digest.notes.push(position_of_definitions(&source, &pushed));
        self.digest.notes.push(Note::Swept(source));
        Ok(())
    }

    /// Weighs what a sweep found, for the recipes that the source answers for. `when` tells it from the same at another
    /// time, where the name does not.
    fn tell(&mut self, what: What, happening: Happening, when: &str) {
        let touches = relevance::weigh(&what, None, self.knowledge).and_then(|mut touches| {
            touches.retain(|touch| happening.recipes.contains(&touch.recipe));
            if touches.is_empty() { Err("it is of no recipe".to_owned()) } else { Ok(touches) }
        });
        let name = happening.names.first().map_or("", String::as_str);
        let change = Change {
            id: format!("sweep/{}/{name}{when}", happening.source),
            at: happening.at,
            origin: Origin::Sweep { source: happening.source.clone() },
            what,
        };
        self.digest.weighed.push(Weighed {
            message: None,
            change: Some(change),
            touches,
            happenings: vec![happening],
        });
    }
}

fn moved(what: Moved, package: &str, nvr: &str, tag: &str) -> What {
    let (package, nvr, tag) = (package.to_owned(), nvr.to_owned(), tag.to_owned());
    match what {
        Moved::In => What::PackageTagged { package, nvr, tag },
        Moved::Out => What::PackageUntagged { package, nvr, tag },
    }
}
