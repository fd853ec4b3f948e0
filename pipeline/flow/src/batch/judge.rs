//! The gate of a batch: from the verdicts of its candidates to its own, with reasons. And what ejecting a member means
//! for them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Batch, Revision};
use crate::build::{BuildRequest, Package};
use crate::candidate::{Candidate, Life, Outcome, Stage};
use crate::gate::{Counts, Ruling, Standing};

/// What the gate of a batch says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Yes, no, or cannot tell; `None` while nothing is against it and some candidate is on its way.
    pub ruling: Option<Ruling>,
    /// One reason for each candidate.
    pub reasons: Vec<Reason>,
    /// When it was given.
    pub at: Timestamp,
}

/// How one candidate stands in its batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The candidate's id.
    pub candidate: String,
    /// What it shows; `None` while it is on its way, and when it does not count.
    pub ruling: Option<Ruling>,
    /// Whether it counts.
    pub counts: Counts,
    /// One line more.
    pub note: String,
}

impl Judgement {
    /// A few words for a person.
    pub fn words(&self) -> &'static str {
        words(self.ruling)
    }

    /// What keeps the batch from passing, in one line; empty when it passes.
    pub fn against(&self) -> String {
        let counted = self.reasons.iter().filter(|reason| reason.counts == Counts::Yes);
        let mut against =
            counted.filter(|reason| reason.ruling != Some(Ruling::Pass) && reason.ruling == self.ruling);
        let Some(first) = against.next() else { return String::new() };
        match (first.ruling, against.count()) {
            (Some(ruling), _) => format!("{} is ruled {}: {}", first.candidate, ruling.words(), first.note),
            (None, 0) => format!("{} is on its way: {}", first.candidate, first.note),
            (None, more) => format!("{} and {more} more are on their way", first.candidate),
        }
    }

    /// Whether another one says the same, whenever.
    pub fn says_the_same_as(&self, other: &Judgement) -> bool {
        self.ruling == other.ruling && self.reasons == other.reasons
    }
}

/// How a batch stands, in a word or two for a person.
pub fn words(ruling: Option<Ruling>) -> &'static str {
    match ruling {
        None => "on its way",
        Some(Ruling::Pass) => "passed",
        Some(Ruling::Fail) => "failed",
        Some(Ruling::CannotTell) => "cannot tell",
    }
}

/// Judges a batch by all its candidates.
pub fn judge<'a>(candidates: impl IntoIterator<Item = &'a Candidate>, now: Timestamp) -> Judgement {
    let reasons: Vec<Reason> = candidates.into_iter().map(reason).collect();
    let counted: Vec<Option<Ruling>> =
        reasons.iter().filter(|reason| reason.counts == Counts::Yes).map(|reason| reason.ruling).collect();
    let has = |ruling| counted.contains(&ruling);
    let ruling = if has(Some(Ruling::Fail)) {
        Some(Ruling::Fail)
    } else if counted.is_empty() || has(None) {
        None
    } else if has(Some(Ruling::CannotTell)) {
        Some(Ruling::CannotTell)
    } else {
        Some(Ruling::Pass)
    };
    Judgement { ruling, reasons, at: now }
}

fn reason(candidate: &Candidate) -> Reason {
    let stage = candidate.stage_before_announcing();
    let (ruling, counts, note) = match &stage {
        Stage::Waiting | Stage::Building | Stage::Testing => {
            (None, Counts::Yes, format!("it is {}", stage.words()))
        }
        Stage::Gating => {
            let ruling = candidate.verdict().map(|verdict| verdict.ruling);
            let words = ruling.map_or("the gate has not spoken", |_| "it passed its own gate");
            (ruling, Counts::Yes, words.to_owned())
        }
        Stage::Publishing
        | Stage::Promoting
        | Stage::Announcing
        | Stage::Finished(Outcome::Passed | Outcome::Published | Outcome::PublishFailed(_)) => {
            (Some(Ruling::Pass), Counts::Yes, "it passed its own gate".to_owned())
        }
        Stage::Finished(Outcome::Rejected) => (Some(Ruling::Fail), Counts::Yes, worst(candidate)),
        Stage::Finished(Outcome::BuildFailed(why)) => {
            (Some(Ruling::Fail), Counts::Yes, format!("it could not be built: {}", first_line(why)))
        }
        Stage::Finished(Outcome::CannotTell) => (Some(Ruling::CannotTell), Counts::Yes, worst(candidate)),
        Stage::Finished(Outcome::Superseded | Outcome::Cancelled) => {
            (None, Counts::No, format!("it was {}, and is not asked", stage.words()))
        }
    };
    Reason { candidate: candidate.id.to_string(), ruling, counts, note }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The first of the reasons why a verdict is no pass.
fn worst(candidate: &Candidate) -> String {
    let Some(verdict) = candidate.verdict() else { return String::new() };
    let against = [Standing::Failed, Standing::Missing, Standing::InfraError];
    let worst = verdict
        .reasons
        .iter()
        .find(|reason| reason.counts == Counts::Yes && against.contains(&reason.standing));
    worst.map_or_else(String::new, |reason| {
        let test = reason.test.as_deref().unwrap_or("boot");
        format!("{} {test} {}: {}", reason.cell, reason.standing.words(), reason.note)
    })
}

/// Why a candidate that passed its own gate is not published yet: what its batch waits for. Nothing when it is let go.
pub fn wait(candidate: &Candidate) -> Option<String> {
    let batch = candidate.batch.as_ref().filter(|batch| !batch.lets_publish())?;
    let why = if batch.against.is_empty() { "it is about to be judged" } else { &batch.against };
    Some(format!("waits for {}: {why}", batch.id))
}

/// Whether what a batch is made of may still be changed; otherwise why not.
pub fn may_change<'a>(
    batch: &Batch,
    candidates: impl IntoIterator<Item = &'a Candidate>,
) -> Result<(), String> {
    let moved = candidates.into_iter().find(|candidate| candidate.promotions().next().is_some());
    match moved {
        None => Ok(()),
        Some(moved) => Err(format!(
            "{} moves pointers or has moved them: what {} is made of cannot be changed any more; release again",
            moved.id, batch.id
        )),
    }
}

/// Whether a candidate must be built again when `taken` leave its batch: it has one of them, or nobody can tell yet.
pub fn is_touched(candidate: &Candidate, taken: &BTreeSet<Package>) -> bool {
    is_built_again(candidate)
        && candidate.builds().any(|build| match build.output() {
            Some(output) => output.packages.iter().any(|package| taken.contains(package)),
            None => true,
        })
}

/// Whether building a candidate again is of any use: it has begun, and was not given up.
pub fn is_built_again(candidate: &Candidate) -> bool {
    matches!(candidate.life, Life::Started { .. })
}

/// The base keys of everything that is done again when a candidate is built again.
pub fn rebuilt(candidate: &Candidate) -> BTreeSet<String> {
    let bases = candidate.steps.builds.iter().map(|build| build.key.base());
    bases.flat_map(|base| crate::wish::retried(candidate, base)).collect()
}

/// Whether all that was built for a candidate was built from just this, and could be built.
pub fn is_built_from(candidate: &Candidate, revision: &Revision) -> bool {
    let mut builds = candidate.builds().peekable();
    let is_of = |request: &BuildRequest| match &request.koji {
        Some(image) => image.held == revision.repos,
        None => request.allowed.set.as_ref() == Some(&revision.set),
    };
    builds.peek().is_some() && builds.all(|build| build.output().is_some() && is_of(&build.request))
}
