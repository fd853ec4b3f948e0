//! Batches in a turn of the planner: freezing what a release is built from, judging, and giving up what waited too long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use muster_flow::batch::{
    self, Batch, BatchId, Before, Frozen, PackageSet, Revision, Source, judge, members,
};
use muster_flow::candidate::{Candidate, CandidateId, Life, Stage};
use muster_flow::publish;
use muster_flow::recipe::Recipe;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Known, Planner, Turn};
use crate::clock::Clock;
use crate::package_sets::PackageSets;
use crate::store::Plan;
use crate::upstream::Upstream;

/// How long a turn waits for package sets, all together. A large one is read on behind it, because the right to plan is
/// lent for seconds only.
const READING: Duration = Duration::from_secs(3);

/// How long a package set that was read may be taken for what its source has now.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

/// When a source that could not be read is read again.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// The package sets that are being read: for each change and source its own, since what was read for an older change may
/// be older than the newer one.
#[derive(Default)]
pub(super) struct Reads {
    running: BTreeMap<(String, Source), JoinHandle<Result<Read>>>,
    /// The sources that could not be read, since when and why.
    failed: BTreeMap<Source, (Timestamp, String)>,
    /// What candidates of this turn wait for.
    wanted: BTreeSet<(String, Source)>,
    /// Until when this turn waits.
    until: Option<Instant>,
}

/// A package set that was read.
struct Read {
    /// The SHA-256 that it is kept under.
    set: String,
    frozen: Frozen,
    /// When it had been read.
    at: Timestamp,
}

impl Reads {
    /// Forgets what no candidate of the turn before waited for.
    pub(super) fn begin_turn(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        self.until = None;
        self.running.retain(|key, handle| {
            let is_wanted = wanted.contains(key);
            if !is_wanted {
                handle.abort();
            }
            is_wanted
        });
        self.failed.retain(|source, _| wanted.iter().any(|(_, other)| other == source));
    }
}

/// What was judged last of a batch: its candidates, at their versions.
pub(super) type Judged = BTreeMap<BatchId, BTreeSet<(CandidateId, i64)>>;

impl Planner {
    /// Puts a candidate that is about to start, and all that the same change called for, into their batch; freezes it when
    /// this is the first of them.
    pub(super) async fn join_or_freeze(
        &self,
        plan: &Plan,
        candidate: &Candidate,
        recipes: &[Recipe],
        source: Source,
    ) -> Result<Turn> {
        let (change, stream) = (cause(candidate), &candidate.recipe.stream);
        let is_kin = |other: &&Candidate| {
            let recipe = recipes.iter().find(|recipe| recipe.name == other.recipe.name);
            other.life == Life::Waiting
                && other.batch.is_none()
                && other.purpose == candidate.purpose
                && cause(other) == change
                && recipe.is_some_and(|recipe| {
                    recipe.stream == *stream && batch::source(recipe).as_ref() == Some(&source)
                })
        };
        let open = self.open.values().map(|known| &known.candidate);
        let kin: Vec<CandidateId> = open.filter(is_kin).map(|other| other.id.clone()).collect();
        if let Some(id) = self.store.find_batch(change, stream, &source).await? {
            self.store.join_batch(plan, &id, &kin).await?;
            return Ok(Turn::Moved);
        }
        let wait = match self.read(change, &source).await {
            Ok(Some(read)) => {
                let batch = self.frozen(change, stream, source, read).await?;
                self.store.freeze(plan, &batch, &kin).await?;
                return Ok(Turn::Moved);
            }
            Ok(None) => "the package set of its batch is being read".to_owned(),
            Err(error) => format!("the package set of its batch cannot be frozen: {error:#}"),
        };
        self.store.set_note(&candidate.id, &wait).await?;
        Ok(Turn::Idle)
    }

    /// The package set that a source has for a change; nothing while it is still being read.
    async fn read(&self, change: &str, source: &Source) -> Result<Option<Read>> {
        let mut reads = self.reads.lock().await;
        let reads = &mut *reads;
        let (key, now) = ((change.to_owned(), source.clone()), self.clock.now());
        reads.wanted.insert(key.clone());
        if let Some((at, why)) = reads.failed.get(source).filter(|(at, _)| now < *at + AGAIN) {
            bail!("{why}; it is read again after {:.0}", *at + AGAIN);
        }
        let handle = reads.running.entry(key.clone()).or_insert_with(|| {
            let (upstream, sets) = (self.upstream.clone(), self.sets.clone());
            tokio::spawn(read_and_keep(upstream, sets, source.clone(), self.clock.clone()))
        });
        let until = *reads.until.get_or_insert_with(|| Instant::now() + READING);
        let Ok(read) = tokio::time::timeout_at(until, handle).await else { return Ok(None) };
        reads.running.remove(&key);
        match read.context("reading broke off").flatten() {
            // It lay here while nobody planned: the next turn reads it anew.
            Ok(read) if self.clock.now() > read.at + FRESH => Ok(None),
            Ok(read) => {
                reads.failed.remove(source);
                Ok(Some(read))
            }
            Err(error) => {
                let (at, why) = (self.clock.now(), format!("{error:#}"));
                let said = format!("{why}; it is read again after {:.0}", at + AGAIN);
                reads.failed.insert(source.clone(), (at, why));
                bail!(said)
            }
        }
    }

    async fn frozen(
        &self,
        change: &str,
        stream: &str,
        source: Source,
        Read { set, frozen, .. }: Read,
    ) -> Result<Batch> {
        let now = self.clock.now();
        let day = now.to_zoned(TimeZone::UTC).strftime("%Y%m%d").to_string();
        let policy = self.policies.get(stream).copied().unwrap_or_default();
        let before = self.before(stream, &source).await?;
        let members = before.as_ref().map(|(_, before)| members::between(before, &frozen.set));
        Ok(Batch {
            id: BatchId::new(stream, &day, self.store.frozen_on(stream, &day).await?),
            stream: stream.to_owned(),
            source,
            change: change.to_owned(),
            frozen: now,
            requires: policy.requires,
            until: now + SignedDuration::from_hours(24 * policy.days),
            before: before.map(|(before, _)| before),
            members: members.unwrap_or_default(),
            revisions: vec![Revision {
                number: 1,
                packages: frozen.set.0.len() as u64,
                frozen: set.clone(),
                repos: frozen.repos,
                set,
                at: now,
                who: "Muster".to_owned(),
                why: "it was frozen".to_owned(),
                ejected: BTreeSet::new(),
                absent: Vec::new(),
            }],
            verdict: None,
        })
    }

    /// The batch before, and what it was made of in the end.
    async fn before(&self, stream: &str, source: &Source) -> Result<Option<(Before, PackageSet)>> {
        let Some(id) = self.store.last_batch(stream, source).await? else { return Ok(None) };
        let batch = self.store.find_readable_batch(&id).await?;
        let Some(set) = batch.as_ref().and_then(|batch| batch.current()).map(|revision| revision.set.clone())
        else {
            return Ok(None);
        };
        match self.sets.read(&set) {
            Ok(frozen) => Ok(Some((Before { id, set }, frozen))),
            Err(error) => {
                tracing::warn!(batch = %id, "nothing can be compared with it: {error:#}");
                Ok(None)
            }
        }
    }

    /// Judges every batch about whose candidates there is a new fact, and those that nobody has judged as they are now.
    pub(super) async fn judge_batches(&mut self, plan: &Plan) -> Result<Turn> {
        self.read_finished().await?;
        let mut batches: BTreeMap<BatchId, Vec<&Known>> = BTreeMap::new();
        for known in self.open.values().chain(self.finished.values()) {
            if let Some(batch) = &known.candidate.batch {
                batches.entry(batch.id.clone()).or_default().push(known);
            }
        }
        let (mut judged, mut turn) = (Judged::new(), Turn::Idle);
        for (id, candidates) in batches {
            let of = |known: &&Known| (known.candidate.id.clone(), known.version);
            let seen: Vec<(CandidateId, i64)> = candidates.iter().map(of).collect();
            let versions: BTreeSet<_> = seen.iter().cloned().collect();
            if self.judged.get(&id) != Some(&versions)
                && let Some(batch) = self.store.find_readable_batch(&id).await?
            {
                let mut candidates: Vec<&Candidate> =
                    candidates.iter().map(|known| &known.candidate).collect();
                candidates.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
                let verdict = judge::judge(candidates, self.clock.now());
                if !batch.verdict.is_some_and(|former| former.says_the_same_as(&verdict))
                    && self.store.judged(plan, &id, &seen, &verdict).await?
                {
                    turn = Turn::Moved;
                }
            }
            // A batch that is over is here only while nobody has judged what it is made of now.
            if seen.iter().any(|(candidate, _)| self.open.contains_key(candidate)) {
                judged.insert(id, versions);
            }
        }
        self.judged = judged;
        Ok(turn)
    }

    /// Reads again the candidates that are over and whose batch is not.
    async fn read_finished(&mut self) -> Result<()> {
        let mut finished = BTreeMap::new();
        for (id, version) in self.store.finished_in_open_batches().await? {
            match self.finished.remove(&id) {
                Some(known) if known.version == version => {
                    finished.insert(id, known);
                }
                Some(_) | None => {
                    if let Some(candidate) = self.store.find_readable(&id).await? {
                        finished.insert(id, Known { version, candidate });
                    }
                }
            }
        }
        self.finished = finished;
        Ok(())
    }

    /// What becomes of a candidate that has its verdict and waits for its batch.
    pub(super) async fn wait_for_batch(
        &self,
        plan: &Plan,
        candidate: &Candidate,
        version: i64,
    ) -> Result<Turn> {
        let Some(batch) = &candidate.batch else { return Ok(Turn::Idle) };
        let releases = self.store.releases(&candidate.recipe.stream).await?;
        if let Some(newer) = publish::overtaken(candidate, &releases) {
            self.store.supersede(plan, &candidate.id, version, newer).await?;
            return Ok(Turn::Moved);
        }
        if self.clock.now() >= batch.until {
            let why = format!("the batch {} did not pass before {:.0}", batch.id, batch.until);
            self.store.give_up(plan, &candidate.id, version, &why).await?;
            return Ok(Turn::Moved);
        }
        let note = judge::wait(candidate).unwrap_or_default();
        self.store.set_note(&candidate.id, &note).await?;
        Ok(Turn::Idle)
    }
}

async fn read_and_keep(
    upstream: Arc<dyn Upstream>,
    sets: PackageSets,
    source: Source,
    clock: Clock,
) -> Result<Read> {
    let frozen = upstream.packages(&source).await?;
    let at = clock.now();
    let keep = move || -> Result<Read> { Ok(Read { set: sets.keep(&frozen.set)?, frozen, at }) };
    tokio::task::spawn_blocking(keep).await.context("keeping it broke off")?
}

/// Whether a candidate has its verdict and waits for its batch.
pub(super) fn is_kept(candidate: &Candidate, stage: &Stage) -> bool {
    *stage == Stage::Gating && candidate.verdict().is_some()
}

/// The change that called for a candidate first.
fn cause(candidate: &Candidate) -> &str {
    candidate.changes.first().map_or(candidate.id.0.as_str(), |cause| &cause.change)
}
