//! Turns facts into intents, by the rules of `muster_flow`, and records them. One process plans at a time.
//!
//! It knows the store, the rules and the upstream it reads from. It must not know a port: what is recorded here is
//! done by the engine.

mod batches;
mod inquiries;
pub(crate) mod untold;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use muster_flow::batch;
use muster_flow::candidate::{self, Candidate, CandidateId, Cause, Life, Patience, Purpose, Stage};
use muster_flow::change::{Change, Origin, What};
use muster_flow::next;
use muster_flow::publish;
use muster_flow::recipe::Definition;
use muster_flow::relevance::{self, Admission, Knowledge, Touch};

use crate::blame;
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::config;
use crate::package_sets::PackageSets;
use crate::store::{Admitted, Plan, Recording, Store};
use crate::upstream::{Digest, Ledger, Upstream, Weighed};

/// How many messages are digested in one transaction.
const BATCH: u32 = 500;

/// Turns facts into intents.
pub struct Planner {
    store: Store,
    upstream: Arc<dyn Upstream>,
    clock: Clock,
    calendar: Calendar,
    patience: Patience,
    deadline: SignedDuration,
    blame: blame::Settings,
    open: BTreeMap<CandidateId, Known>,
    /// Candidates that are over and whose batch is not.
    finished: BTreeMap<CandidateId, Known>,
    sets: PackageSets,
    /// What must hold for the batches of a stream.
    policies: BTreeMap<String, batch::Policy>,
    reads: tokio::sync::Mutex<batches::Reads>,
    judged: batches::Judged,
}

/// An open candidate as it was read at a version.
struct Known {
    version: i64,
    candidate: Candidate,
}

/// Whether there may be more to do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was found to do, or another process plans.
    Idle,
    /// Something was recorded.
    Moved,
}

impl Planner {
    /// A planner over a store and an upstream.
    pub fn new(
        store: Store,
        upstream: Arc<dyn Upstream>,
        clock: Clock,
        settings: &config::Settings,
    ) -> Result<Self> {
        let engine = &settings.engine;
        Ok(Planner {
            store,
            upstream,
            clock,
            calendar: Calendar::new(&settings.streams)?,
            patience: Patience {
                quiet: SignedDuration::from_secs(engine.quiet_s),
                at_most: SignedDuration::from_secs(engine.at_most_s),
            },
            deadline: SignedDuration::from_hours(engine.deadline_hours),
            blame: settings.blame.clone(),
            open: BTreeMap::new(),
            finished: BTreeMap::new(),
            sets: PackageSets::below(&settings.service.state),
            policies: settings.streams.iter().map(|(name, stream)| (name.clone(), stream.batch)).collect(),
            reads: tokio::sync::Mutex::default(),
            judged: batches::Judged::new(),
        })
    }

    /// Looks once at everything, and records what follows.
    pub async fn turn(&mut self) -> Result<Turn> {
        let Some(plan) = self.store.plan().await? else { return Ok(Turn::Idle) };
        self.reads.get_mut().begin_turn();
        for change in self.calendar.due(self.clock.now()) {
            self.store.ask(&change).await?;
        }
        // What is on its way goes on, although what is new cannot be read for now: a recipe may be broken, or away.
        let digested = self.digest(&plan).await.unwrap_or_else(|error| put_off(&error));
        let swept = self.weigh_sweep(&plan).await.unwrap_or_else(|error| put_off(&error));
        let weighed = self.weigh_changes(&plan).await.unwrap_or_else(|error| put_off(&error));
        self.read_open().await?;
        let mut moved = digested > 0 || swept > 0 || weighed > 0;
        if self.judge_batches(&plan).await? == Turn::Moved {
            self.read_open().await?;
            moved = true;
        }
        let ids: Vec<CandidateId> = self.open.keys().cloned().collect();
        for id in ids {
            // A burst of messages is digested as a whole before anything starts because of it.
            let may_start = digested < BATCH as usize;
            moved |= self.advance(&plan, &id, may_start).await? == Turn::Moved;
        }
        moved |= self.move_inquiries(&plan).await? > 0;
        Ok(if moved { Turn::Moved } else { Turn::Idle })
    }

    /// Digests the oldest messages; returns how many.
    async fn digest(&mut self, plan: &Plan) -> Result<usize> {
        let messages = self.store.unread(BATCH).await?;
        if messages.is_empty() {
            return Ok(0);
        }
        let count = messages.len();
        let knowledge = knowledge(&self.store, &*self.upstream).await?;
        let positions = self.store.positions().await?;
        let digest = self.upstream.digest(messages, &knowledge, &positions).await;
        let digest = digest.context("cannot digest messages")?;
        self.store.park(&digest.parked).await?;
        self.record(plan, digest, &knowledge).await?;
        Ok(count)
    }

    /// Weighs what the last sweep read; returns how many changes it found. What is not recorded here is found by the
    /// next one.
    async fn weigh_sweep(&mut self, plan: &Plan) -> Result<usize> {
        let Some(swept) = self.upstream.take_swept() else { return Ok(0) };
        if swept.fence != plan.fence() {
            // Another process planned in between, and may know more than was read before.
            return Ok(0);
        }
        let knowledge = knowledge(&self.store, &*self.upstream).await?;
        let mut ledger = Ledger { positions: self.store.positions().await?, held: BTreeMap::new() };
        for source in &swept.changed {
            ledger.held.insert(source.clone(), self.store.held(source).await?);
        }
        let digest = self.upstream.news(&swept, &knowledge, &ledger).await.context("cannot weigh a sweep")?;
        let found = self.record(plan, digest, &knowledge).await?;
        if found > 0 {
            tracing::warn!(changes = found, "a sweep found changes that no message had brought");
        }
        Ok(found)
    }

    /// Weighs the changes that people, sweeps and the calendar brought; returns how many.
    async fn weigh_changes(&mut self, plan: &Plan) -> Result<usize> {
        let changes = self.store.unweighed(BATCH).await?;
        if changes.is_empty() {
            return Ok(0);
        }
        let knowledge = knowledge(&self.store, &*self.upstream).await?;
        let weighed: Vec<Weighed> = changes
            .into_iter()
            .map(|change| {
                let person = match &change.origin {
                    Origin::Person { name } => Some(name.as_str()),
                    Origin::Message { .. } | Origin::Sweep { .. } | Origin::Calendar => None,
                };
                let touches = relevance::weigh(&change.what, person, &knowledge);
                Weighed { message: None, change: Some(change), touches, happenings: Vec::new() }
            })
            .collect();
        self.record(plan, Digest { weighed, ..Digest::default() }, &knowledge).await
    }

    /// Leaves what nobody told of before, admits every touch, and records it all. Returns how many changes there are.
    async fn record(&mut self, plan: &Plan, digest: Digest, knowledge: &Knowledge) -> Result<usize> {
        let happenings = digest.weighed.iter().flat_map(|weighed| &weighed.happenings);
        let told = self.store.told(happenings).await?;
        let (weighed, heard) = untold::untold(digest.weighed, told);
        self.read_open().await?;
        let mut open: Vec<Candidate> = self.open.values().map(|known| known.candidate.clone()).collect();
        let mut admitted = Vec::new();
        for one in &weighed {
            let (Some(change), Ok(touches)) = (&one.change, &one.touches) else { continue };
            for touch in touches {
                let admission = self.admit(change, touch, &mut open, knowledge).await?;
                admitted.push(admission);
            }
        }
        let recording =
            Recording { weighed: &weighed, admitted: &admitted, heard: &heard, notes: &digest.notes };
        self.store.weighed(plan, recording).await?;
        Ok(weighed.iter().filter(|weighed| weighed.change.is_some()).count())
    }

    async fn admit(
        &self,
        change: &Change,
        touch: &Touch,
        open: &mut Vec<Candidate>,
        knowledge: &Knowledge,
    ) -> Result<Admitted> {
        let now = self.clock.now();
        let cause = Cause {
            change: change.id.clone(),
            at: change.at.min(now),
            summary: change.summary(),
            why: touch.why.clone(),
        };
        let supersedes = match relevance::admit(touch, &change.what, open) {
            Admission::Joins(waiting) => {
                return Ok(Admitted::Joined { candidate: waiting.id.clone(), cause });
            }
            Admission::Starts { supersedes } => supersedes.map(|old| old.id.clone()),
        };
        let recipe = knowledge.recipes.iter().find(|recipe| recipe.name == touch.recipe);
        let recipe = recipe.with_context(|| format!("there is no recipe {}", touch.recipe))?.clone();
        let day = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
        let recorded = self.store.made_on(&recipe.name, &recipe.version, &day).await?;
        let prefix = format!("{}/{}.{day}.", recipe.name, recipe.version);
        let highest =
            open.iter().filter_map(|other| other.id.0.strip_prefix(&prefix)?.parse::<u32>().ok()).max();
        let number = recorded.max(highest.map_or(0, |highest| highest + 1));
        let candidate = Candidate {
            id: CandidateId::new(&recipe.name, &recipe.version, &day, number),
            definition: Definition { file: recipe.definition.file.clone(), ..Definition::default() },
            recipe,
            tests: Vec::new(),
            purpose: touch.purpose.clone(),
            created: now,
            changes: vec![cause],
            life: Life::Waiting,
            batch: None,
            steps: candidate::Steps::default(),
            decisions: candidate::Decisions::default(),
        };
        open.retain(|other| Some(&other.id) != supersedes.as_ref());
        open.push(candidate.clone());
        Ok(Admitted::Made { candidate: Box::new(candidate), supersedes })
    }

    /// Reads again the open candidates about which there is a new fact.
    async fn read_open(&mut self) -> Result<()> {
        let versions = self.store.open_versions().await?;
        let mut open = BTreeMap::new();
        for (id, version) in versions {
            match self.open.remove(&id) {
                Some(known) if known.version == version => {
                    open.insert(id, known);
                }
                Some(_) | None => {
                    // The version was read first: a fact that comes in between is seen in the next turn.
                    if let Some(candidate) = self.store.find_readable(&id).await? {
                        open.insert(id, Known { version, candidate });
                    }
                }
            }
        }
        self.open = open;
        Ok(())
    }

    /// Records what should be done next for one candidate.
    async fn advance(&mut self, plan: &Plan, id: &CandidateId, may_start: bool) -> Result<Turn> {
        let Some(known) = self.open.get(id) else { return Ok(Turn::Idle) };
        let (candidate, version) = (&known.candidate, known.version);
        let stage = candidate.stage();
        match &stage {
            Stage::Waiting => return self.start(plan, candidate, may_start).await,
            // What was begun for it is waited for, so that nothing of it moves unseen.
            Stage::Finished(_) if candidate.is_at_work() => return Ok(Turn::Idle),
            Stage::Finished(outcome) => {
                // First, so that it is not forgotten by whoever dies in between.
                self.inquire(candidate).await?;
                self.store.finish(plan, id, version, outcome.words()).await?;
                return Ok(Turn::Moved);
            }
            Stage::Building
            | Stage::Testing
            | Stage::Gating
            | Stage::Publishing
            | Stage::Promoting
            | Stage::Announcing => {}
        }
        if batches::is_kept(candidate, &stage) {
            // What its messages have to say is said meanwhile.
            let waits = self.wait_for_batch(plan, candidate, version).await?;
            if waits == Turn::Moved {
                return Ok(Turn::Moved);
            }
        }
        let now = self.clock.now();
        let others: Vec<Candidate> = match stage {
            // Only promotion depends on the others.
            Stage::Promoting => self.open.values().map(|known| known.candidate.clone()).collect(),
            Stage::Waiting
            | Stage::Building
            | Stage::Testing
            | Stage::Gating
            | Stage::Publishing
            | Stage::Announcing
            | Stage::Finished(_) => Vec::new(),
        };
        if stage == Stage::Publishing && candidate.batch.is_some() {
            self.store.set_note(id, "").await?;
        }
        if stage == Stage::Promoting {
            let releases = self.store.releases(&candidate.recipe.stream).await?;
            if let Some(newer) = publish::overtaken(candidate, &releases) {
                self.store.supersede(plan, id, version, newer).await?;
                return Ok(Turn::Moved);
            }
            // The rules know nothing of one that cannot be read, and two must not move the same pointers at once.
            if let Some(other) = self.store.find_unreadable_promotion(&candidate.recipe.stream).await? {
                let why = format!("{other} moves pointers of this stream, and cannot be read");
                self.store.set_note(id, &why).await?;
                return Ok(Turn::Idle);
            }
            let note = publish::may_promote(candidate, &others).err();
            self.store.set_note(id, &note.unwrap_or_default()).await?;
        }
        let intents = next::next(candidate, &others, now);
        if intents.is_empty() {
            return Ok(Turn::Idle);
        }
        if !self.store.intend(plan, (id, version), &intents, now + self.deadline).await? {
            return Ok(Turn::Moved);
        }
        // What was just recorded counts for the next candidate of this turn.
        if let (Some(fresh), Some(known)) = (self.store.candidate(id).await?, self.open.get_mut(id)) {
            known.candidate = fresh;
            known.version = version - 1;
        }
        Ok(Turn::Moved)
    }

    /// Starts a waiting candidate if it may start.
    async fn start(&self, plan: &Plan, candidate: &Candidate, may_start: bool) -> Result<Turn> {
        let open: Vec<Candidate> = self.open.values().map(|known| known.candidate.clone()).collect();
        let verdict = candidate::may_start(candidate, &open, self.patience, self.clock.now());
        let wait = match verdict {
            Err(why) => Some(why),
            Ok(()) if !may_start && candidate.purpose == Purpose::Scratch => {
                Some("messages are still being digested".to_owned())
            }
            Ok(()) => None,
        };
        if let Some(why) = wait {
            self.store.set_note(&candidate.id, &why).await?;
            return Ok(Turn::Idle);
        }
        let recipes = match self.upstream.recipes().await {
            Ok(recipes) => recipes,
            Err(error) => {
                let why = format!("the recipes cannot be read: {error:#}");
                self.store.set_note(&candidate.id, &why).await?;
                return Ok(Turn::Idle);
            }
        };
        let recipe = recipes.iter().find(|recipe| recipe.name == candidate.recipe.name).cloned();
        let Some(recipe) = recipe else {
            let why = format!("there is no recipe {} any more; cancel it", candidate.recipe.name);
            self.store.set_note(&candidate.id, &why).await?;
            return Ok(Turn::Idle);
        };
        if candidate.purpose.is_published()
            && candidate.batch.is_none()
            && let Some(source) = batch::source(&recipe)
        {
            return self.join_or_freeze(plan, candidate, &recipes, source).await;
        }
        match self.upstream.freeze(&recipe).await {
            Ok((definition, tests)) => {
                self.store.start(plan, candidate, (recipe, definition, tests)).await?;
                Ok(Turn::Moved)
            }
            Err(error) => {
                let why = format!("its definition cannot be read: {error:#}");
                self.store.set_note(&candidate.id, &why).await?;
                tracing::warn!(candidate.id = %candidate.id, "{why}");
                Ok(Turn::Idle)
            }
        }
    }
}

/// Says that changes wait until they can be weighed; they stay where they are.
fn put_off(error: &anyhow::Error) -> usize {
    tracing::error!("changes wait, because they cannot be weighed: {error:#}");
    0
}

/// What is known of the recipes now.
pub async fn knowledge(store: &Store, upstream: &dyn Upstream) -> Result<Knowledge> {
    let recipes = upstream.recipes().await.context("cannot read the recipes")?;
    let installed = store.installed().await?;
    let (recorded, in_the_making) = (store.recorded_arches().await?, store.in_the_making().await?);
    let mut knowledge = Knowledge { recipes, installed, ..Knowledge::default() };
    for recipe in &knowledge.recipes {
        if !knowledge.installed.values().any(|recipes| recipes.contains_key(&recipe.name)) {
            knowledge.unbuilt.insert(recipe.name.clone());
        }
        let recorded = recorded.get(&recipe.name);
        let has_all = recipe.arches.iter().all(|arch| recorded.is_some_and(|arches| arches.contains(arch)));
        if has_all && !in_the_making.contains(&recipe.name) {
            knowledge.settled.insert(recipe.name.clone());
        }
        match upstream.files(recipe).await {
            Ok(files) => {
                knowledge.files.insert(recipe.name.clone(), files);
            }
            // A definition that cannot be read now touches nothing but itself; its build will say why.
            Err(error) => {
                tracing::warn!(recipe.name = %recipe.name, "cannot read what it includes: {error:#}");
            }
        }
    }
    Ok(knowledge)
}

/// A change that a person asks for.
pub fn request(what: What, person: &str, now: Timestamp) -> Change {
    Change {
        id: format!("request/{}", uuid::Uuid::new_v4()),
        at: now,
        origin: Origin::Person { name: person.to_owned() },
        what,
    }
}
