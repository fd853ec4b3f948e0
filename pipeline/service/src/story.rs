//! What a person is told about a candidate: how it stands, why, what happens next and who must act, in plain words.
//!
//! It turns facts into sentences, once, for pages, commands and JSON alike. It must not know HTML, terminals or SQL,
//! and it decides nothing: every rule it explains is asked of `muster_flow`.

pub mod teller;
pub mod words;
pub mod mark;
pub mod next_action;
pub mod service;
pub mod packages;
pub mod batch;
pub mod source;
pub mod since;
pub mod wait;
pub mod timeline;
pub mod built;
pub mod boot;
pub mod blame;
pub mod image;

use jiff::Timestamp;
use muster_flow::batch::BatchId;
use muster_flow::candidate::{Candidate, Patience, Purpose, Stage};
use muster_flow::gate::{Verdict, Waiver};
use serde::Serialize;

use crate::store::{Milestones, StepRow};
use blame::{Asked, Blame};
use boot::Boot;
use built::Built;
use image::{Image, Trust};
use mark::Mark;
use next_action::NextAction;
use service::Service;
use timeline::Chapter;
use wait::Wait;

/// Everything a story is told from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The candidate.
    pub candidate: &'a Candidate,
    /// How many changes called for it: a mass rebuild brings more of them than are read.
    pub changes: usize,
    /// Its step rows.
    pub rows: &'a [StepRow],
    /// What the service said last about why it does not get on; empty when it said nothing.
    pub note: &'a str,
    /// Every open candidate, itself among them.
    pub open: &'a [Candidate],
    /// The inquiry into what made it red, if there is one.
    pub asked: Option<&'a Asked>,
    /// Whether the service is at work.
    pub service: Service,
    /// How long a scratch candidate waits for more changes.
    pub patience: Patience,
    /// What strangers check with.
    pub trust: &'a Trust,
    /// Whether its stream points at it.
    pub is_current: bool,
    /// When it came to where it is.
    pub milestones: &'a Milestones,
    /// The time now.
    pub now: Timestamp,
}

impl Facts<'_> {
    /// The row of a step, by its key.
    fn row(&self, key: &str) -> Option<&StepRow> {
        self.rows.iter().find(|row| row.key.0 == key)
    }
}

/// One line about a candidate, for lists.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Brief {
    /// Its id, such as `cloud-base/43.20261121.0`.
    pub candidate: String,
    /// Its recipe.
    pub recipe: String,
    /// Its version.
    pub version: String,
    /// `scratch`, `release`, `emergency` or `probe`.
    pub purpose: &'static str,
    /// The stream its releases go to.
    pub stream: String,
    /// Where it stands, in a word or two; how it ended, once it has.
    pub stage: &'static str,
    /// The same as a mark.
    pub mark: Mark,
    /// Whether nothing is left to do.
    pub finished: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Seconds since it was made, whatever it did since.
    pub age_s: i64,
    /// Since when it stands where it does; when it ended, once it has. `None` when nobody noted that down.
    pub since: Option<Timestamp>,
    /// Seconds since then.
    pub since_s: Option<i64>,
    /// Where it stands and why, in one sentence.
    pub headline: String,
    /// Why it was made, in one line.
    pub why: String,
    /// How many changes called for it.
    pub changes: usize,
}

impl Brief {
    /// The word that stands beside its mark: where it stands, unless a person holds it.
    pub fn word(&self) -> &'static str {
        if self.mark == Mark::Held { self.mark.word() } else { self.stage }
    }

    /// For how long it stands where it does, or how long ago it ended: `for 3 min`, `2 h ago`.
    pub fn so_long(&self) -> Option<String> {
        let span = words::span(self.since_s?);
        Some(if self.finished { format!("{span} ago") } else { format!("for {span}") })
    }

    /// The same, and how long ago it was made: `for 3 min; made 2 h ago`.
    pub fn ages(&self) -> String {
        let made = format!("made {} ago", words::span(self.age_s));
        self.so_long().map_or(made.clone(), |so_long| format!("{so_long}; {made}"))
    }
}

/// All there is to tell about a candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// The one line about it.
    #[serde(flatten)]
    pub brief: Brief,
    /// The recipe's line for people who choose an image.
    pub summary: String,
    /// The batch that it is built from, if it is.
    pub batch: Option<BatchId>,
    /// Who answers for the recipe; empty when the recipe does not say.
    pub owner: String,
    /// What it is for, with who and why of an emergency.
    pub intent: Purpose,
    /// Whether the service is at work, without which nothing goes on.
    pub service: Service,
    /// What happens next, and who must act.
    pub next: NextAction,
    /// What it waits for.
    pub waits: Vec<Wait>,
    /// What happened, in the order of the flow: change, build, smoketest, gate, publish, announce.
    pub chapters: Vec<Chapter>,
    /// What its builds left on record.
    pub builds: Vec<Built>,
    /// What its boots showed.
    pub boots: Vec<Boot>,
    /// What the gate says; `None` while it has not spoken on what is known now.
    pub verdict: Option<Verdict>,
    /// What made it red, if that is looked for.
    pub blame: Option<Blame>,
    /// What was read back from its destinations.
    pub images: Vec<Image>,
    /// Exceptions that people made.
    pub waivers: Vec<Waiver>,
}

/// Tells the one line about a candidate.
pub fn brief(facts: &Facts<'_>) -> Brief {
    let candidate = facts.candidate;
    let stage = candidate.stage();
    let since = since::of(facts);
    let seconds = |at: Timestamp| (facts.now - at).get_seconds().max(0);
    Brief {
        candidate: candidate.id.to_string(),
        recipe: candidate.recipe.name.clone(),
        version: candidate.id.version().to_owned(),
        purpose: candidate.purpose.word(),
        stream: candidate.recipe.stream.clone(),
        stage: stage.words(),
        mark: Mark::of_stage(candidate),
        finished: stage.is_finished(),
        created: candidate.created,
        age_s: seconds(candidate.created),
        since,
        since_s: since.map(seconds),
        headline: next_action::headline(facts),
        why: why(facts),
        changes: facts.changes,
    }
}

/// Tells all about a candidate.
pub fn tell(facts: &Facts<'_>) -> Story {
    let candidate = facts.candidate;
    Story {
        brief: brief(facts),
        summary: candidate.recipe.summary.clone(),
        batch: candidate.batch.as_ref().map(|batch| batch.id.clone()),
        owner: candidate.recipe.owner.clone(),
        intent: candidate.purpose.clone(),
        service: facts.service,
        next: next_action::of(facts),
        waits: wait::of(facts),
        chapters: timeline::chapters(facts),
        builds: built::of_candidate(candidate),
        boots: boot::all(facts),
        verdict: candidate.verdict().cloned(),
        blame: facts.asked.map(|asked| blame::tell(candidate, asked)),
        images: image::of_candidate(candidate, facts.trust, facts.is_current),
        waivers: candidate.decisions.waivers.clone(),
    }
}

/// Why a candidate was made, in one line: its last change, and how many more there are.
fn why(facts: &Facts<'_>) -> String {
    let Some(last) = facts.candidate.changes.last() else { return "no change is recorded".to_owned() };
    match facts.changes.saturating_sub(1) {
        0 => last.summary.clone(),
        1 => format!("{}, and 1 more change", last.summary),
        more => format!("{}, and {more} more changes", last.summary),
    }
}

/// The words that the list of candidates can be narrowed by, in the order of the flow.
pub const STAGES: [&str; 15] = [
    "waiting",
    "building",
    "testing",
    "gating",
    "publishing",
    "promoting",
    "announcing",
    "passed",
    "published",
    "rejected",
    "cannot tell",
    "build failed",
    "publishing failed",
    "superseded",
    "cancelled",
];

/// Whether a stage means that the candidate is on its way.
pub fn is_open(stage: &Stage) -> bool {
    !stage.is_finished()
}
