//! A recipe on its way, for a purpose. Its stage is derived from facts and never stored.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::announce::Announce;
use crate::batch::InBatch;
use crate::blame::Trial;
use crate::build::Build;
use crate::gate::{self, Ruling, Verdict, Waiver};
use crate::publish::{Promote, Upload, Verify};
use crate::recipe::{Definition, Recipe};
use crate::smoketest::{Smoketest, Test};
use crate::step::{Progress, Step, StepKey, Work};
use crate::words;

/// A recipe on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub id: CandidateId,
    /// Its recipe, frozen when it started.
    pub recipe: Recipe,
    /// Its definition, frozen when it started; empty before.
    pub definition: Definition,
    /// Its smoketests, frozen when it started; empty before.
    pub tests: Vec<Test>,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was made.
    pub created: Timestamp,
    /// The changes that called for it, oldest first.
    pub changes: Vec<Cause>,
    /// Whether it waits, runs or was given up.
    pub life: Life,
    /// The batch whose packages it is built from; none of a scratch candidate.
    #[serde(default)]
    pub batch: Option<InBatch>,
    /// Its outside work, of every generation.
    pub steps: Steps,
    /// What was decided about it.
    pub decisions: Decisions,
}

/// Names a candidate: `cloud-base/43.20261121.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CandidateId(pub String);

impl CandidateId {
    /// The `number`th candidate of a recipe on one day, such as `20261121`.
    pub fn new(recipe: &str, version: &str, day: &str, number: u32) -> Self {
        CandidateId(format!("{recipe}/{version}.{day}.{number}"))
    }

    /// The part behind the recipe and the distribution's version: `20261121.0`.
    pub fn release(&self) -> &str {
        let full = self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, full)| full);
        let mut dots = full.rmatch_indices('.');
        dots.next();
        dots.next().map_or(full, |(at, _)| &full[at + 1..])
    }

    /// The version a release carries: `43.20261121.0`.
    pub fn version(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, full)| full)
    }

    /// The recipe's name.
    pub fn recipe(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(recipe, _)| recipe)
    }
}

impl fmt::Display for CandidateId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a candidate is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Purpose {
    /// To prove a change. It is never published.
    Scratch,
    /// A release by the calendar, or by a person's request.
    Release,
    /// A release now: who asked for it, and why.
    Emergency {
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// To find out what made another one red. It is never published, and whatever is not a probe goes first.
    Probe {
        /// The red one.
        of: CandidateId,
        /// What it boots.
        trial: Trial,
        /// The frozen package set that its build is held to, by its SHA-256 in hex.
        #[serde(default)]
        set: Option<String>,
    },
}

impl Purpose {
    /// Whether a passing candidate is published.
    pub fn is_published(&self) -> bool {
        match self {
            Purpose::Scratch | Purpose::Probe { .. } => false,
            Purpose::Release | Purpose::Emergency { .. } => true,
        }
    }

    /// One word for a person.
    pub fn word(&self) -> &'static str {
        match self {
            Purpose::Scratch => "scratch",
            Purpose::Release => "release",
            Purpose::Emergency { .. } => "emergency",
            Purpose::Probe { .. } => "probe",
        }
    }

    /// Whether it only serves to find out about another one.
    pub fn is_probe(&self) -> bool {
        self.trial().is_some()
    }

    /// What a probe boots.
    pub fn trial(&self) -> Option<&Trial> {
        match self {
            Purpose::Probe { trial, .. } => Some(trial),
            Purpose::Scratch | Purpose::Release | Purpose::Emergency { .. } => None,
        }
    }

    /// A candidate of this purpose, behind its article: `an emergency candidate`.
    pub fn candidate(&self) -> String {
        words::a(&format!("{} candidate", self.word()))
    }
}

/// A change that called for a candidate, and why it touches the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The change's id.
    pub change: String,
    /// When the change happened.
    pub at: Timestamp,
    /// What happened, in one line.
    pub summary: String,
    /// Why it touches this recipe, in one line.
    pub why: String,
}

/// Whether a candidate waits, runs or was given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Life {
    /// It may still take in more changes.
    Waiting,
    /// Recipe, definition and tests are frozen.
    Started {
        /// When.
        at: Timestamp,
    },
    /// A newer candidate took its place before it started.
    Superseded {
        /// The newer one.
        by: CandidateId,
    },
    /// A person stopped it.
    Cancelled {
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
}

/// The outside work of a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Builds.
    pub builds: Vec<Step<Build>>,
    /// Smoketests.
    pub smoketests: Vec<Step<Smoketest>>,
    /// Private uploads.
    pub uploads: Vec<Step<Upload>>,
    /// What was read back.
    pub verifications: Vec<Step<Verify>>,
    /// Moves of pointers.
    pub promotions: Vec<Step<Promote>>,
    /// Messages.
    pub announcements: Vec<Step<Announce>>,
}

/// What was decided about a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// What the gate said last.
    pub verdict: Option<Verdict>,
    /// Exceptions that people made and that may apply here.
    pub waivers: Vec<Waiver>,
    /// Reasons not to promote, by people.
    pub holds: Vec<Hold>,
    /// How often a person asked to try a step again, by the step's base key.
    pub retries: BTreeMap<String, u32>,
}

/// A person's wish that a candidate is not promoted for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// Where a candidate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has not started.
    Waiting,
    /// Something is being built.
    Building,
    /// Something is being booted.
    Testing,
    /// Every smoketest is over and the gate has not yet spoken, or that of its batch has not let it go.
    Gating,
    /// Uploading privately and reading back.
    Publishing,
    /// Moving pointers.
    Promoting,
    /// Only messages are left.
    Announcing,
    /// Nothing is left to do.
    Finished(Outcome),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It passed muster; a scratch candidate ends so.
    Passed,
    /// It is published.
    Published,
    /// The gate said no.
    Rejected,
    /// We could not find out whether it is good.
    CannotTell,
    /// It could not be built: the first reason.
    BuildFailed(String),
    /// It could not be published: the first reason.
    PublishFailed(String),
    /// A newer candidate took its place.
    Superseded,
    /// A person stopped it.
    Cancelled,
}

impl Outcome {
    /// A few words for a person.
    pub fn words(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Published => "published",
            Outcome::Rejected => "rejected",
            Outcome::CannotTell => "cannot tell",
            Outcome::BuildFailed(_) => "build failed",
            Outcome::PublishFailed(_) => "publishing failed",
            Outcome::Superseded => "superseded",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl Stage {
    /// A word or two for a person.
    pub fn words(&self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Building => "building",
            Stage::Testing => "testing",
            Stage::Gating => "gating",
            Stage::Publishing => "publishing",
            Stage::Promoting => "promoting",
            Stage::Announcing => "announcing",
            Stage::Finished(outcome) => outcome.words(),
        }
    }

    /// Whether nothing is left to do.
    pub fn is_finished(&self) -> bool {
        matches!(self, Stage::Finished(_))
    }
}

impl Candidate {
    /// The key of a step of this candidate, in the generation that people have asked for.
    pub fn key(&self, purpose: &str) -> StepKey {
        let base = format!("{}/{purpose}", self.id);
        let retries = self.decisions.retries.get(&base).copied().unwrap_or(0);
        StepKey::of_generation(&base, retries + 1)
    }

    /// The builds of the current generation.
    pub fn builds(&self) -> impl Iterator<Item = &Step<Build>> {
        self.current(&self.steps.builds)
    }

    /// The smoketests of the current generation.
    pub fn smoketests(&self) -> impl Iterator<Item = &Step<Smoketest>> {
        self.current(&self.steps.smoketests)
    }

    /// The uploads of the current generation.
    pub fn uploads(&self) -> impl Iterator<Item = &Step<Upload>> {
        self.current(&self.steps.uploads)
    }

    /// The verifications of the current generation.
    pub fn verifications(&self) -> impl Iterator<Item = &Step<Verify>> {
        self.current(&self.steps.verifications)
    }

    /// The promotions of the current generation.
    pub fn promotions(&self) -> impl Iterator<Item = &Step<Promote>> {
        self.current(&self.steps.promotions)
    }

    /// The announcements of the current generation.
    pub fn announcements(&self) -> impl Iterator<Item = &Step<Announce>> {
        self.current(&self.steps.announcements)
    }

    fn current<'a, W: Work>(&'a self, steps: &'a [Step<W>]) -> impl Iterator<Item = &'a Step<W>> {
        steps.iter().filter(|step| {
            let retries = self.decisions.retries.get(step.key.base()).copied().unwrap_or(0);
            step.key == StepKey::of_generation(step.key.base(), retries + 1)
        })
    }

    /// The verdict, unless a test was run again since it was given, or a waiver came or was ended that bears on it.
    pub fn verdict(&self) -> Option<&Verdict> {
        let is_same = |given: &[String], counts: fn(&str) -> bool| {
            let evidence = self.evidence();
            let evidence = evidence.iter().filter(|name| counts(name));
            given.iter().filter(|name| counts(name)).eq(evidence)
        };
        self.decisions.verdict.as_ref().filter(|verdict| match verdict.ruling {
            // An exception can only add to what passes, so it leaves a pass as it is.
            Ruling::Pass => {
                is_same(&verdict.evidence, |name| !gate::is_waiver(name)) && !self.is_undone(verdict)
            }
            // The end of one can only take from it.
            Ruling::Fail | Ruling::CannotTell => is_same(&verdict.evidence, |name| !gate::is_early_end(name)),
        })
    }

    /// Whether a pass came about by a waiver that was ended since, and nothing has followed from it that cannot be taken
    /// back: a scratch candidate is decided by its verdict, a release once it moves pointers.
    fn is_undone(&self, pass: &Verdict) -> bool {
        let is_on_its_way = matches!(self.life, Life::Started { .. }) && self.purpose.is_published();
        let is_decided = !is_on_its_way || !self.steps.promotions.is_empty();
        let is_news = |name: &String| gate::is_early_end(name) && !pass.evidence.contains(name);
        !is_decided && pass.rests_on_a_waiver() && self.evidence().iter().any(is_news)
    }

    /// Names of everything the gate looks at, so that a verdict can be seen to be out of date.
    pub fn evidence(&self) -> Vec<String> {
        let smoketests = self.smoketests().map(|step| step.key.to_string());
        let waivers = self.decisions.waivers.iter().filter(|waiver| waiver.may_cover(self));
        smoketests.chain(waivers.flat_map(Waiver::evidence)).collect()
    }

    /// Whether some work for it is not over, whatever its stage: what was begun is waited for.
    pub fn is_at_work(&self) -> bool {
        fn any<W: Work>(steps: &[Step<W>]) -> bool {
            steps.iter().any(|step| !step.is_over())
        }
        let steps = &self.steps;
        any(&steps.builds)
            || any(&steps.smoketests)
            || any(&steps.uploads)
            || any(&steps.verifications)
            || any(&steps.promotions)
            || any(&steps.announcements)
    }

    /// Where it stands, from the facts alone.
    pub fn stage(&self) -> Stage {
        let stage = self.stage_before_announcing();
        if crate::announce::is_everything_said(self, &stage) || !stage.is_finished() {
            return stage;
        }
        Stage::Announcing
    }

    /// Where it would stand if every message were out: `Finished` tells how it ends.
    pub fn stage_before_announcing(&self) -> Stage {
        match &self.life {
            Life::Waiting => return Stage::Waiting,
            Life::Superseded { .. } => return Stage::Finished(Outcome::Superseded),
            Life::Cancelled { .. } => return Stage::Finished(Outcome::Cancelled),
            Life::Started { .. } => {}
        }
        if let Some(reason) = first_failure(self.builds()) {
            return Stage::Finished(Outcome::BuildFailed(reason));
        }
        if lacks_any(crate::build::wanted(self).iter().map(|wanted| &wanted.key), self.builds()) {
            return Stage::Building;
        }
        let smoketests = crate::smoketest::wanted(self);
        if smoketests
            .iter()
            .any(|wanted| !self.smoketests().any(|step| step.key == wanted.key && step.is_over()))
        {
            return Stage::Testing;
        }
        match self.verdict().map(|verdict| verdict.ruling) {
            None => Stage::Gating,
            Some(Ruling::Fail) => Stage::Finished(Outcome::Rejected),
            Some(Ruling::CannotTell) => Stage::Finished(Outcome::CannotTell),
            Some(Ruling::Pass) if !self.purpose.is_published() => Stage::Finished(Outcome::Passed),
            Some(Ruling::Pass) if self.waits_for_batch() => Stage::Gating,
            Some(Ruling::Pass) => self.publishing_stage(),
        }
    }

    /// Whether its batch keeps it from being published. One that moves pointers is not stopped half way.
    fn waits_for_batch(&self) -> bool {
        let is_kept = self.batch.as_ref().is_some_and(|batch| !batch.lets_publish());
        is_kept && self.promotions().next().is_none()
    }

    fn publishing_stage(&self) -> Stage {
        let failure = first_failure(self.uploads())
            .or_else(|| first_failure(self.verifications()))
            .or_else(|| first_failure(self.promotions()));
        if let Some(reason) = failure {
            return Stage::Finished(Outcome::PublishFailed(reason));
        }
        let uploads = crate::publish::wanted_uploads(self);
        if lacks_any(uploads.iter().map(|wanted| &wanted.key), self.uploads()) {
            return Stage::Publishing;
        }
        let verifications = crate::publish::wanted_verifications(self);
        if lacks_any(verifications.iter().map(|wanted| &wanted.key), self.verifications()) {
            return Stage::Publishing;
        }
        if !crate::publish::is_promoted(self) {
            return Stage::Promoting;
        }
        Stage::Finished(Outcome::Published)
    }
}

/// The reason of the first step that failed or was cancelled.
fn first_failure<'a, W: Work>(steps: impl Iterator<Item = &'a Step<W>>) -> Option<String> {
    for step in steps {
        match &step.progress {
            Progress::Failed(reason) => return Some(format!("{}: {reason}", step.key)),
            Progress::Cancelled => return Some(format!("{}: it was cancelled", step.key)),
            Progress::Wanted | Progress::Running(_) | Progress::Succeeded(_) => {}
        }
    }
    None
}

/// Whether any wanted step is not yet there and done.
fn lacks_any<'a, 'b, W: Work>(
    mut wanted: impl Iterator<Item = &'b StepKey>,
    steps: impl Iterator<Item = &'a Step<W>>,
) -> bool {
    let done: Vec<&StepKey> = steps.filter(|step| step.output().is_some()).map(|step| &step.key).collect();
    wanted.any(|key| !done.contains(&key))
}

/// How long a scratch candidate waits for more changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// It starts when no change came for this long.
    pub quiet: SignedDuration,
    /// It starts at the latest this long after it was made.
    pub at_most: SignedDuration,
}

/// Whether a waiting candidate may start now; otherwise why not.
pub fn may_start(
    candidate: &Candidate,
    open: &[Candidate],
    patience: Patience,
    now: Timestamp,
) -> Result<(), String> {
    match candidate.purpose {
        Purpose::Release | Purpose::Emergency { .. } | Purpose::Probe { .. } => return Ok(()),
        Purpose::Scratch => {}
    }
    let running = open.iter().find(|other| {
        other.id != candidate.id
            && other.recipe.name == candidate.recipe.name
            && other.purpose == Purpose::Scratch
            && matches!(other.life, Life::Started { .. })
            // One that only has something to say yet keeps nobody from starting: the bus may be away for a day.
            && !other.stage_before_announcing().is_finished()
    });
    if let Some(other) = running {
        return Err(format!("{} is still on its way", other.id));
    }
    let last = candidate.changes.iter().map(|cause| cause.at).max().unwrap_or(candidate.created);
    let quiet_at = last.max(candidate.created) + patience.quiet;
    let latest = candidate.created + patience.at_most;
    let at = quiet_at.min(latest);
    if now >= at { Ok(()) } else { Err(format!("more changes may follow; it starts at {at:.0}")) }
}
