//! One look at the sources for a batch of messages: each is asked once, and a message is followed as far as they agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_flow::change::{Change, What};
use muster_flow::relevance::{self, Knowledge, Touch};

use super::{Intake, Truth, Weighing, add_sources, label, push_label, repository_source, what_was_pushed};
use crate::adapters::definitions::Pushed;
use crate::adapters::koji::changes::{self, Moved, OVERLAP, Place, Tagging};
use crate::adapters::packages::Index;
use crate::ledger::{Happening, Kind, Note, Positions};
use crate::upstream::Weighed;

/// One look, for a batch of messages.
pub(super) struct Look<'a> {
    intake: &'a Intake,
    knowledge: &'a Knowledge,
    positions: &'a Positions,
    /// What is known, with the images of source packages added; made when it is needed first.
    by_source: Option<Knowledge>,
    indexes: BTreeMap<String, Result<Arc<Index>, String>>,
    histories: BTreeMap<Place, Result<Vec<Tagging>, String>>,
    pushed: Option<Result<Option<Pushed>, String>>,
    notes: Vec<Note>,
}

/// What a source says to a message.
enum Answer {
    /// It happened.
    Yes(Happening),
    /// It did not, so far.
    No(String),
    /// It cannot be asked now.
    Away(String),
}

/// What came of asking for one build.
#[derive(Default)]
struct Findings {
    kept: Vec<Touch>,
    against: Vec<String>,
    happenings: BTreeMap<String, Happening>,
}

impl<'a> Look<'a> {
    pub(super) fn begin(intake: &'a Intake, knowledge: &'a Knowledge, positions: &'a Positions) -> Self {
        Look {
            intake,
            knowledge,
            positions,
            by_source: None,
            indexes: BTreeMap::new(),
            histories: BTreeMap::new(),
            pushed: None,
            notes: Vec::new(),
        }
    }

    /// Asks the hub about every build that some messages speak of and that touches a recipe it answers for, in one go.
    pub(super) async fn ask_koji(&mut self, whats: &[What]) {
        let Some(hub) = &self.intake.hub else { return };
        let tags = self.intake.tags(&self.knowledge.recipes);
        for what in whats {
            if let What::PackageTagged { tag, .. } | What::PackageUntagged { tag, .. } = what
                && tags.contains_key(tag)
            {
                self.with_sources_of(tag).await;
            }
        }
        let histories = changes::histories(hub, &self.places(whats)).await;
        self.histories = histories
            .into_iter()
            .map(|(place, known)| (place, known.map_err(|error| error.to_string())))
            .collect();
    }

    fn places(&self, whats: &[What]) -> Vec<Place> {
        let tags = self.intake.tags(&self.knowledge.recipes);
        let places: BTreeSet<Place> = whats
            .iter()
            .filter_map(|what| match what {
                What::PackageTagged { tag, nvr, .. } | What::PackageUntagged { tag, nvr, .. }
                    if tags.contains_key(tag) && relevance::weigh(what, None, self.knowledge()).is_ok() =>
                {
                    Some((tag.clone(), nvr.clone()))
                }
                What::PackageTagged { .. }
                | What::PackageUntagged { .. }
                | What::PackageBuilt { .. }
                | What::RepositoryRegenerated { .. }
                | What::Pushed { .. }
                | What::ComposeFinished { .. }
                | What::WindowOpened { .. }
                | What::Requested { .. } => None,
            })
            .collect();
        places.into_iter().collect()
    }

    /// Reads a change again at its source, and weighs what is found there.
    pub(super) async fn confirm(&mut self, mut change: Change) -> Weighed {
        let (touches, happenings) = match &change.what {
            What::PackageTagged { tag, nvr, .. } => {
                let (tag, nvr) = (tag.clone(), nvr.clone());
                self.confirm_tagging(&change, (&tag, &nvr), Moved::In).await
            }
            What::PackageUntagged { tag, nvr, .. } => {
                let (tag, nvr) = (tag.clone(), nvr.clone());
                self.confirm_tagging(&change, (&tag, &nvr), Moved::Out).await
            }
            What::Pushed { .. } => self.confirm_push(&mut change).await,
            What::PackageBuilt { .. }
            | What::RepositoryRegenerated { .. }
            | What::ComposeFinished { .. }
            | What::WindowOpened { .. }
            | What::Requested { .. } => (relevance::weigh(&change.what, None, self.knowledge()), Vec::new()),
        };
        Weighed { message: None, change: Some(change), touches, happenings }
    }

    /// What is to be remembered of the sources that were looked at.
    pub(super) fn notes(self) -> Vec<Note> {
        let mut notes = Vec::new();
        for (baseurl, index) in &self.indexes {
            // A repository that is seen for the first time begins with everything known.
            if let Ok(index) = index
                && !self.positions.contains_key(&repository_source(baseurl))
            {
                notes.extend(self.intake.beginning(baseurl, index));
            }
        }
        notes.extend(self.notes);
        notes
    }

    /// What is known, with source packages where they were asked for.
    pub(super) fn knowledge(&self) -> &Knowledge {
        self.by_source.as_ref().unwrap_or(self.knowledge)
    }

    async fn confirm_tagging(
        &mut self,
        change: &Change,
        (tag, nvr): (&str, &str),
        moved: Moved,
    ) -> (Weighing, Vec<Happening>) {
        self.with_sources_of(tag).await;
        let touches = match relevance::weigh(&change.what, None, self.knowledge()) {
            Ok(touches) => touches,
            Err(reason) => {
                // It counts as said all the same, should a sweep come upon it.
                self.said(&self.sources_of(tag), &label(moved, nvr));
                return (Err(reason), Vec::new());
            }
        };
        let mut findings = Findings::default();
        for touch in touches {
            let recipe = self.knowledge.recipes.iter().find(|recipe| recipe.name == touch.recipe);
            match recipe.map_or(Truth::Nobody, |recipe| self.intake.truth(recipe)) {
                Truth::Koji => {
                    let source = self.intake.tag_source(tag);
                    let answer = self.at_koji(tag, nvr, moved);
                    self.follow(&mut findings, touch, vec![(source, answer)], &label(moved, nvr));
                }
                Truth::Packages(addresses) => {
                    let answers = self.at_repositories(&addresses, (tag, nvr), moved, change).await;
                    self.follow(&mut findings, touch, answers, &label(moved, nvr));
                }
                Truth::Nobody => {
                    let why = format!("{}; its recipe names nothing to confirm it at", touch.why);
                    findings.kept.push(Touch { why, ..touch });
                }
            }
        }
        let happenings = findings.happenings.into_values().collect();
        if findings.kept.is_empty() {
            findings.against.dedup();
            return (Err(findings.against.join("; ")), happenings);
        }
        (Ok(findings.kept), happenings)
    }

    /// Follows a message as far as the sources that answer for a recipe agree.
    fn follow(
        &mut self,
        findings: &mut Findings,
        mut touch: Touch,
        answers: Vec<(String, Answer)>,
        label: &str,
    ) {
        let mut refusal = None;
        let mut is_kept = false;
        for (source, answer) in answers {
            match answer {
                Answer::Yes(happening) => {
                    let known = findings.happenings.entry(source).or_insert(happening);
                    known.recipes.insert(touch.recipe.clone());
                    is_kept = true;
                }
                Answer::No(why) => {
                    self.said(&[source], label);
                    refusal = Some(why);
                }
                // Nobody knows yet where it began: a later look could not tell what came since.
                Answer::Away(why) if !self.positions.contains_key(&source) => {
                    if !is_kept {
                        touch.why.push_str("; not confirmed: ");
                        touch.why.push_str(&why);
                    }
                    is_kept = true;
                }
                Answer::Away(why) => {
                    self.said(&[source], label);
                    refusal = Some(format!("{why}; the sweep takes it up as soon as that can be asked"));
                }
            }
        }
        if is_kept {
            findings.kept.push(touch);
        } else {
            findings.against.extend(refusal);
        }
    }

    fn at_koji(&self, tag: &str, nvr: &str, moved: Moved) -> Answer {
        let source = self.intake.tag_source(tag);
        let history = match self.histories.get(&(tag.to_owned(), nvr.to_owned())) {
            Some(Ok(history)) => history,
            Some(Err(reason)) => return Answer::Away(reason.clone()),
            None => return Answer::Away(format!("Koji was not asked about {nvr}")),
        };
        let mut taggings: Vec<&Tagging> = history.iter().filter(|tagging| tagging.what == moved).collect();
        taggings.sort_by_key(|tagging| std::cmp::Reverse(tagging.event));
        let Some(newest) = taggings.first().copied() else {
            let verb = if moved == Moved::In { "tagged into" } else { "untagged from" };
            return Answer::No(format!("Koji does not know that {nvr} was {verb} {tag}"));
        };
        let known = self.positions.get(&source);
        let settled = known.and_then(|known| Some(known.position.parse::<i64>().ok()? - OVERLAP));
        let since = known.and_then(|known| known.since.parse::<i64>().ok());
        taggings.retain(|tagging| {
            tagging.event == newest.event || settled.is_some_and(|settled| tagging.event > settled)
        });
        Answer::Yes(Happening {
            source,
            names: taggings.iter().map(|tagging| event_name(tagging)).collect(),
            label: label(moved, nvr),
            at: newest.at.unwrap_or_else(|| self.intake.clock.now()),
            recipes: BTreeSet::new(),
            is_past: settled.is_some_and(|settled| newest.event <= settled)
                && since.is_none_or(|since| newest.event > since),
        })
    }

    /// What each of some package repositories says of a build.
    async fn at_repositories(
        &mut self,
        addresses: &[String],
        (tag, nvr): (&str, &str),
        moved: Moved,
        change: &Change,
    ) -> Vec<(String, Answer)> {
        let mut answers = Vec::new();
        for baseurl in addresses {
            let source = repository_source(baseurl);
            let index = match self.index(baseurl).await {
                Ok(index) => index,
                Err(reason) => {
                    answers.push((source, Answer::Away(reason)));
                    continue;
                }
            };
            let build = index.build_of(nvr).map(str::to_owned);
            let (answer, note) = match (moved, build) {
                (Moved::In, Some(build)) => {
                    let note = Note::Came { source: source.clone(), build: build.clone() };
                    let label = label(moved, &build);
                    let names = (build_name(&label, tag), label);
                    (Answer::Yes(happening(&source, names, change)), Some(note))
                }
                (Moved::In, None) => {
                    let why = format!(
                        "{nvr} is not in {baseurl} yet; the sweep takes it up as soon as it is there"
                    );
                    // Should it come or come back, that is news.
                    (Answer::No(why), Some(Note::Left { source: source.clone(), build: nvr.to_owned() }))
                }
                (Moved::Out, None) => {
                    let note = Note::Left { source: source.clone(), build: nvr.to_owned() };
                    let label = label(moved, nvr);
                    let names = (build_name(&label, tag), label);
                    (Answer::Yes(happening(&source, names, change)), Some(note))
                }
                (Moved::Out, Some(_)) => {
                    let why =
                        format!("{nvr} is in {baseurl} still; the sweep takes it up as soon as it is gone");
                    (Answer::No(why), None)
                }
            };
            self.notes.extend(note);
            answers.push((source, answer));
        }
        answers
    }

    async fn index(&mut self, baseurl: &str) -> Result<Arc<Index>, String> {
        if let Some(known) = self.indexes.get(baseurl) {
            return known.clone();
        }
        let index = self.intake.packages.index(baseurl).await.map_err(|error| format!("{error:#}"));
        self.indexes.insert(baseurl.to_owned(), index.clone());
        index
    }

    /// Adds source packages to what is installed, when the tag is one that recipes take packages from.
    async fn with_sources_of(&mut self, tag: &str) {
        let mut tags = self.knowledge.recipes.iter().flat_map(|recipe| &recipe.packages.tags);
        if self.by_source.is_some() || !tags.any(|known| known == tag) {
            return;
        }
        let mut knowledge = self.knowledge.clone();
        let mut indexes = Vec::new();
        for (baseurl, _) in self.intake.repositories(&self.knowledge.recipes).into_keys() {
            // One that is away was there before, most likely.
            let index = match self.index(&baseurl).await {
                Ok(index) => Some(index),
                Err(_) => self.intake.packages.last(&baseurl).await,
            };
            indexes.extend(index);
        }
        add_sources(&mut knowledge, &indexes);
        self.by_source = Some(knowledge);
    }

    /// The sources at which a sweep would find what happens in a tag.
    fn sources_of(&self, tag: &str) -> Vec<String> {
        let recipes = &self.knowledge.recipes;
        let repositories = self.intake.repositories(recipes).into_keys();
        let mut sources: Vec<String> = repositories
            .filter(|(_, of)| of == tag)
            .map(|(baseurl, _)| repository_source(&baseurl))
            .collect();
        if self.intake.tags(recipes).contains_key(tag) {
            sources.push(self.intake.tag_source(tag));
        }
        sources
    }

    fn said(&mut self, sources: &[String], label: &str) {
        let said =
            sources.iter().map(|source| Note::Said { source: source.clone(), label: label.to_owned() });
        for note in said {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    async fn confirm_push(&mut self, change: &mut Change) -> (Weighing, Vec<Happening>) {
        let said = relevance::weigh(&change.what, None, self.knowledge);
        let What::Pushed { repository, branch, commit, .. } = change.what.clone() else {
            return (said, Vec::new());
        };
        let ours: BTreeSet<String> = self
            .knowledge
            .recipes
            .iter()
            .filter(|recipe| {
                let definition = &recipe.definition;
                definition.repository == repository
                    && (definition.branch.is_empty() || definition.branch == branch)
            })
            .map(|recipe| recipe.name.clone())
            .collect();
        if ours.is_empty() {
            return (said, Vec::new());
        }
        if !self.intake.definitions.has_history() {
            // The files lie in a plain folder: there is nothing to ask.
            let note = "; not confirmed: definitions lie in a plain folder";
            return (said.map(|touches| annotated(touches, note)), Vec::new());
        }
        let source = self.intake.definitions.name();
        let label = push_label(&repository, &commit);
        match self.pushed().await {
            Ok(pushed) if pushed.branch != branch => {
                let why = format!("definitions are read from branch {}, not {branch}", pushed.branch);
                (Err(why), Vec::new())
            }
            Ok(pushed) if pushed.from == pushed.to => {
                self.said(&[source], &label);
                (Err(format!("{repository} {branch} has nothing that was not weighed before")), Vec::new())
            }
            Ok(pushed) => {
                change.what = what_was_pushed(&repository, &pushed);
                self.notes.push(position_of_definitions(&source, &pushed));
                let names = (push_name(&repository, &pushed), push_label(&repository, &pushed.to));
                let mut happening = happening(&source, names, change);
                happening.recipes = ours;
                (relevance::weigh(&change.what, None, self.knowledge), vec![happening])
            }
            Err(reason) => {
                self.said(&[source], &label);
                (Err(format!("{reason}; the sweep takes it up as soon as that can be asked")), Vec::new())
            }
        }
    }

    /// What was pushed since what is recorded.
    async fn pushed(&mut self) -> Result<Pushed, String> {
        if self.pushed.is_none() {
            let definitions = &self.intake.definitions;
            let known = self.positions.get(&definitions.name()).map(|known| known.position.as_str());
            let pushed = match definitions.look().await {
                Ok(()) => definitions.pushed_since(known).await,
                Err(error) => Err(error),
            };
            self.pushed = Some(pushed.map_err(|error| format!("{error:#}")));
        }
        match &self.pushed {
            Some(Ok(Some(pushed))) => Ok(pushed.clone()),
            Some(Err(reason)) => Err(reason.clone()),
            Some(Ok(None)) | None => Err("definitions lie in a plain folder".to_owned()),
        }
    }
}

fn happening(source: &str, (name, label): (String, String), change: &Change) -> Happening {
    Happening {
        source: source.to_owned(),
        names: vec![name],
        label,
        at: change.at,
        recipes: BTreeSet::new(),
        is_past: false,
    }
}

/// The name of what happened in a tag: the same for ever, whoever tells of it.
pub(super) fn event_name(tagging: &Tagging) -> String {
    format!("{}/{}", tagging.event, label(tagging.what, &tagging.nvr()))
}

/// The name of what happened in a package repository. Recipes that read it may take its packages by different tags.
pub(super) fn build_name(label: &str, tag: &str) -> String {
    format!("{label} by {tag}")
}

/// The name of a push. A branch may go the same way again, at another time.
pub(super) fn push_name(repository: &str, pushed: &Pushed) -> String {
    format!("{repository}/{}..{} at {}", pushed.from, pushed.to, pushed.looked.as_millisecond())
}

pub(super) fn position_of_definitions(source: &str, pushed: &Pushed) -> Note {
    Note::Position {
        source: source.to_owned(),
        kind: Kind::Git,
        position: pushed.to.clone(),
        since: pushed.from.clone(),
        at: None,
    }
}

fn annotated(mut touches: Vec<Touch>, note: &str) -> Vec<Touch> {
    for touch in &mut touches {
        touch.why.push_str(note);
    }
    touches
}
