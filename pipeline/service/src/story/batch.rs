//! What a person is told about a batch.

use anyhow::Result;
use jiff::Timestamp;
use muster_flow::batch::judge::{self, Judgement};
use muster_flow::batch::{Batch, BatchId, Requires, Revision};
use muster_flow::candidate::Candidate;
use muster_flow::difference::Difference;
use muster_flow::gate::{Counts, Ruling};
use serde::Serialize;

use crate::store::Store;

/// One line about a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchBrief {
    /// Its name.
    pub batch: BatchId,
    /// The stream that its releases go to.
    pub stream: String,
    /// How it stands, in a word or two.
    pub state: &'static str,
    /// When it was frozen first.
    pub frozen: Timestamp,
    /// Its newest revision.
    pub revision: u32,
    /// How many candidates are built from it.
    pub candidates: usize,
    /// How many source packages differ from the batch before.
    pub members: usize,
}

/// All there is to tell about a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchStory {
    /// The one line about it.
    #[serde(flatten)]
    pub brief: BatchBrief,
    /// How it stands and why, in one sentence.
    pub headline: String,
    /// Where its packages come from.
    pub source: String,
    /// How many packages it has now.
    pub packages: u64,
    /// The SHA-256 in hex of its package set now.
    pub set: String,
    /// What still waits for it then is given up.
    pub until: Timestamp,
    /// What its members are compared with.
    pub compared: String,
    /// What differs from the batch before.
    pub members: Vec<MemberTold>,
    /// What it was made of, the newest last.
    pub revisions: Vec<Revision>,
    /// What its gate says now; `None` while candidates are on their way.
    pub ruling: Option<Ruling>,
    /// How each of its candidates stands.
    pub reasons: Vec<ReasonTold>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberTold {
    /// The name of the source package.
    pub source: String,
    /// Whether it is ejected.
    pub ejected: bool,
    /// Its packages, one line each.
    pub packages: Vec<String>,
    /// The same for programs.
    pub differences: Vec<Difference>,
}

/// How one candidate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonTold {
    /// The candidate's id.
    pub candidate: String,
    /// What it shows.
    pub ruling: Option<Ruling>,
    /// Whether it counts.
    pub counts: Counts,
    /// One line more.
    pub note: String,
}

impl ReasonTold {
    /// How it stands, in a few words.
    pub fn words(&self) -> String {
        let ruling = match (self.counts, self.ruling) {
            (Counts::No, _) => "does not count",
            (Counts::Yes, ruling) => judge::words(ruling),
        };
        if self.note.is_empty() { ruling.to_owned() } else { format!("{ruling}: {}", self.note) }
    }
}

/// The newest batches.
pub async fn all(store: &Store, limit: u32) -> Result<Vec<BatchBrief>> {
    let mut briefs = Vec::new();
    for batch in store.batches(limit).await? {
        let candidates = store.of_batch(&batch.id).await?.len();
        briefs.push(brief(&batch, candidates, batch.verdict.as_ref().and_then(|verdict| verdict.ruling)));
    }
    Ok(briefs)
}

/// All about one batch, judged by what is known at `now`; nothing when there is none.
pub async fn tell(store: &Store, id: &BatchId, now: Timestamp) -> Result<Option<BatchStory>> {
    let Some(batch) = store.batch(id).await? else { return Ok(None) };
    let mut candidates: Vec<Candidate> = Vec::new();
    for (candidate, _) in store.of_batch(id).await? {
        candidates.extend(store.find_readable(&candidate).await?);
    }
    let verdict = judge::judge(&candidates, now);
    Ok(Some(story(&batch, &candidates, &verdict)))
}

fn brief(batch: &Batch, candidates: usize, ruling: Option<Ruling>) -> BatchBrief {
    BatchBrief {
        batch: batch.id.clone(),
        stream: batch.stream.clone(),
        state: judge::words(ruling),
        frozen: batch.frozen,
        revision: batch.current().map_or(0, |revision| revision.number),
        candidates,
        members: batch.members.len(),
    }
}

fn story(batch: &Batch, candidates: &[Candidate], verdict: &Judgement) -> BatchStory {
    let current = batch.current();
    let is_ejected = |source: &String| current.is_some_and(|revision| revision.ejected.contains(source));
    let members = batch.members.iter().map(|member| MemberTold {
        source: member.source.clone(),
        ejected: is_ejected(&member.source),
        packages: member.packages.iter().map(line).collect(),
        differences: member.packages.clone(),
    });
    let reasons = verdict.reasons.iter().map(|reason| ReasonTold {
        candidate: reason.candidate.clone(),
        ruling: reason.ruling,
        counts: reason.counts,
        note: reason.note.clone(),
    });
    BatchStory {
        brief: brief(batch, candidates.len(), verdict.ruling),
        headline: headline(batch, verdict),
        source: batch.source.to_string(),
        packages: current.map_or(0, |revision| revision.packages),
        set: current.map(|revision| revision.set.clone()).unwrap_or_default(),
        until: batch.until,
        compared: match &batch.before {
            Some(before) => format!("what differs from {}", before.id),
            None => "none: it is the first batch from its source".to_owned(),
        },
        members: members.collect(),
        revisions: batch.revisions.clone(),
        ruling: verdict.ruling,
        reasons: reasons.collect(),
    }
}

fn headline(batch: &Batch, verdict: &Judgement) -> String {
    let own = match batch.requires {
        Requires::All => "",
        Requires::Own => "; each candidate is published by its own verdict",
    };
    let until = batch.until;
    match verdict.ruling {
        None => format!("its gate waits for candidates that are on their way, until {until:.0}{own}"),
        Some(Ruling::Pass) => format!("every candidate passed its gate{own}"),
        Some(Ruling::Fail) => {
            format!(
                "a candidate did not pass: eject what breaks it, waive, or try again before {until:.0}{own}"
            )
        }
        Some(Ruling::CannotTell) => {
            format!("of a candidate nobody can tell whether it is good: try again before {until:.0}{own}")
        }
    }
}

/// `hello upgraded 1-1.x86_64 -> 2-1.x86_64`.
fn line(difference: &Difference) -> String {
    let change = match (&difference.old, &difference.new) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (old, new) => old.as_ref().or(new.as_ref()).cloned().unwrap_or_default(),
    };
    format!("{} {} {change}", difference.name, difference.what.word())
}
