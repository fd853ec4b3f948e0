//! What people may change of a batch: eject a member, take it back, freeze anew. Each makes a new revision.
//!
//! It knows the store, the kept package sets and what there is upstream. It decides nothing: the rules are those of
//! `muster_flow::batch`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use muster_flow::batch::members::{self, Member};
use muster_flow::batch::{Batch, BatchId, Frozen, PackageSet, Revision, Source, judge};
use muster_flow::build::Package;
use muster_flow::candidate::{Candidate, CandidateId};
use serde::Serialize;

use crate::package_sets::PackageSets;
use crate::store::{Revised, Store};
use crate::upstream::Upstream;

/// What a person wants of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// That a member is as it was in the batch before.
    Eject(&'a str),
    /// That an ejected member is back.
    Restore(&'a str),
    /// That it is frozen again, as its source is now.
    Refreeze,
}

/// Who wants it, why, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wisher {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// The batch.
    pub batch: BatchId,
    /// Its new revision.
    pub revision: Revision,
    /// The candidates that are built again.
    pub rebuilt: Vec<CandidateId>,
    /// Those that stand, because nothing that left is on them.
    pub stand: Vec<CandidateId>,
}

/// Where sets are kept and read.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The facts.
    pub store: &'a Store,
    /// The kept package sets.
    pub sets: &'a PackageSets,
    /// Where packages come from.
    pub upstream: &'a dyn Upstream,
}

/// A batch, or that there is none by that name.
pub async fn known(store: &Store, id: &BatchId) -> Result<Batch> {
    store
        .batch(id)
        .await?
        .ok_or_else(|| anyhow!("there is no batch {id}; `muster batch list` names those there are"))
}

/// Changes what a batch is made of, or says why that cannot be.
pub async fn change(ground: Ground<'_>, id: &BatchId, wish: Wish<'_>, wisher: &Wisher) -> Result<Changed> {
    let batch = known(ground.store, id).await?;
    if let Some(current) = batch.current() {
        // What cannot be done is said before the network is asked.
        ejected(&batch, current, wish)?;
    }
    // That takes minutes, in which the candidates go on.
    let Frozen { set: there, repos } = ground.upstream.packages(&batch.source).await?;
    let batch = known(ground.store, id).await?;
    // The versions first, so that no fact comes in between unseen.
    let seen = ground.store.of_batch(id).await?;
    let candidates = read(ground.store, &seen).await?;
    judge::may_change(&batch, &candidates).map_err(anyhow::Error::msg)?;
    let current = batch.current().with_context(|| format!("{id} was never frozen"))?;
    let ejected = ejected(&batch, current, wish)?;
    let (frozen, repos) = match wish {
        Wish::Refreeze => (there.clone(), repos),
        Wish::Eject(_) | Wish::Restore(_) => (ground.sets.read(&current.frozen)?, current.repos.clone()),
    };
    let before = match &batch.before {
        Some(before) => ground.sets.read(&before.set)?,
        None => PackageSet::default(),
    };
    let left = members::without(&frozen, &before, &there, &ejected);
    let revision = Revision {
        number: current.number + 1,
        set: ground.sets.keep(&left.set)?,
        packages: left.set.0.len() as u64,
        frozen: ground.sets.keep(&frozen)?,
        repos,
        at: wisher.at,
        who: wisher.who.clone(),
        why: reason(wish, &wisher.why),
        ejected,
        absent: left.absent,
    };
    let taken = taken(ground.sets, &batch, &left.set)?;
    let is_rebuilt = |candidate: &Candidate| match wish {
        Wish::Eject(_) => judge::is_touched(candidate, &taken),
        // Nobody can tell what a candidate would have taken of what is new to it.
        Wish::Restore(_) | Wish::Refreeze => judge::is_built_again(candidate),
    };
    let (again, stand): (Vec<&Candidate>, Vec<&Candidate>) = candidates
        .iter()
        .partition(|candidate| is_rebuilt(candidate) && !judge::is_built_from(candidate, &revision));
    let stand = stand.iter().map(|candidate| candidate.id.clone()).collect();
    let bases = |candidate: &&Candidate| (candidate.id.clone(), judge::rebuilt(candidate));
    let members = members_of(wish, &batch, &before, &frozen);
    let revised = Revised { revision, seen, rebuilt: again.iter().map(bases).collect(), members };
    ground.store.revise(id, &revised).await?;
    let rebuilt = again.iter().map(|candidate| candidate.id.clone()).collect();
    Ok(Changed { batch: batch.id, revision: revised.revision, rebuilt, stand })
}

/// Whether a member may be ejected from a batch with these candidates; otherwise why not.
pub fn may_eject(batch: &Batch, candidates: &[Candidate], name: &str) -> Result<()> {
    judge::may_change(batch, candidates).map_err(anyhow::Error::msg)?;
    let current = batch.current().with_context(|| format!("{} was never frozen", batch.id))?;
    ejected(batch, current, Wish::Eject(name)).map(|_| ())
}

/// Has a batch judged again. Gives how many of its candidates are looked at again for that.
pub async fn evaluate(store: &Store, id: &BatchId, who: &str) -> Result<u64> {
    let batch = known(store, id).await?;
    let candidates = read(store, &store.of_batch(id).await?).await?;
    // What is out is over: to open it again would tell of its end twice.
    judge::may_change(&batch, &candidates).map_err(anyhow::Error::msg)?;
    store.judge_again(id, who).await
}

async fn read(store: &Store, seen: &[(CandidateId, i64)]) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for (id, _) in seen {
        let candidate = store.candidate(id).await?;
        candidates.push(candidate.with_context(|| format!("the candidate {id} is gone"))?);
    }
    Ok(candidates)
}

/// The source packages that are ejected once the wish is done.
fn ejected(batch: &Batch, current: &Revision, wish: Wish<'_>) -> Result<BTreeSet<String>> {
    let mut ejected = current.ejected.clone();
    let id = &batch.id;
    if let (Source::Koji { .. }, Wish::Eject(name) | Wish::Restore(name)) = (&batch.source, wish) {
        bail!(
            "Koji takes every package of its repositories, so {name} cannot be kept out of {id}. Have it untagged \
             (koji untag-build TAG BUILD), wait until Koji has made the tag's repository anew, and say \
             `muster batch refreeze {id}`"
        );
    }
    match wish {
        Wish::Refreeze => {}
        Wish::Eject(_) if batch.before.is_none() => {
            bail!(
                "{id} is the first batch from its source: there is no batch before whose package could be put in place"
            );
        }
        Wish::Eject(name) => {
            let member = batch.find_member(name).with_context(|| {
                format!("{name} is no member of {id}: it is as it was in the batch before")
            })?;
            if !ejected.insert(member.source.clone()) {
                bail!("{} is ejected from {id} already", member.source);
            }
        }
        Wish::Restore(name) => {
            let source = batch.find_member(name).map_or(name, |member| member.source.as_str());
            if !ejected.remove(source) {
                bail!("{source} is not ejected from {id}");
            }
        }
    }
    Ok(ejected)
}

fn reason(wish: Wish<'_>, why: &str) -> String {
    match wish {
        Wish::Eject(name) => format!("{name} is ejected: {why}"),
        Wish::Restore(name) => format!("{name} is back: {why}"),
        Wish::Refreeze => format!("it was frozen again: {why}"),
    }
}

/// What was in any revision that a candidate may have been built from, and is not in it now.
fn taken(sets: &PackageSets, batch: &Batch, now: &PackageSet) -> Result<BTreeSet<Package>> {
    let mut taken = BTreeSet::new();
    let names: BTreeSet<&String> = batch.revisions.iter().map(|revision| &revision.set).collect();
    for name in names {
        taken.extend(sets.read(name)?.0.into_keys().filter(|package| !now.has(package)));
    }
    Ok(taken)
}

/// The members that a batch has once it was frozen again.
fn members_of(
    wish: Wish<'_>,
    batch: &Batch,
    before: &PackageSet,
    frozen: &PackageSet,
) -> Option<Vec<Member>> {
    (wish == Wish::Refreeze && batch.before.is_some()).then(|| members::between(before, frozen))
}
