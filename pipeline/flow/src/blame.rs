//! Which change made a candidate red: suspects, probes, and what can be concluded from them.
//!
//! An inquiry is derived from facts: the red candidate, the last good one of its recipe, and the probes made so far. It
//! knows nothing of how a probe is built or booted. A test that is red by chance must not mislead it: nobody is accused
//! on the word of one boot.

pub mod suspect;
pub mod probe;
mod search;
pub mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::build::Package;
use crate::candidate::{Candidate, CandidateId, Outcome, Stage};
use crate::gate::{Counts, Reason, Standing};
use crate::recipe::Builder;
use crate::smoketest::Colour;
use crate::step::StepKey;
use probe::Answer;
use suspect::Suspect;

/// One test that was red in one cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Symptom {
    /// The architecture.
    pub arch: String,
    /// The cell.
    pub cell: String,
    /// The test.
    pub test: String,
}

/// The search for what made one candidate red.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// The red one.
    pub red: &'a Candidate,
    /// The last one before it that was good.
    pub good: &'a Candidate,
    /// What was red, as it was when the inquiry began.
    pub symptoms: &'a [Symptom],
    /// The builds that were red, as it was when the inquiry began; none when that is not known.
    pub builds: &'a [StepKey],
    /// The probes that were made for it, in their order.
    pub probes: &'a [Candidate],
    /// How many probes of the red one were made before, for an inquiry into what it was then.
    pub earlier: u32,
    /// How many probes it may make.
    pub bound: u32,
}

/// What a probe boots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// The red image, once more as it is.
    Red,
    /// The last good image, once more as it is, with the tests of today.
    Good,
    /// The last good image built anew with these suspects, by their names, and none of the others.
    With(BTreeSet<String>),
}

/// What an inquiry needs next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// A probe is on its way.
    Wait,
    /// One more probe.
    Probe(Box<Probe>),
    /// Nothing: it is over.
    Over(Conclusion),
}

/// A probe that should be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The candidate that it is. What it boots may have been built already.
    pub candidate: Candidate,
    /// The packages that its build is held to; none when nothing has to be built.
    pub packages: Option<BTreeSet<Package>>,
}

/// How an inquiry ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Conclusion {
    /// These did it.
    Accused(Accusation),
    /// What an earlier inquiry had found is still there.
    Known {
        /// The candidate that it made red first.
        of: CandidateId,
        /// What was found of it.
        accusation: Accusation,
    },
    /// The same image was red at one time and green at another: nobody is accused.
    NotReproduced {
        /// How many boots were red.
        red: u32,
        /// How many were green.
        green: u32,
    },
    /// What was good is red as well now: it is none of the suspects, but something around the image.
    Elsewhere {
        /// What is red now and should not be.
        what: String,
    },
    /// It could not be found out.
    Inconclusive {
        /// Why.
        why: String,
        /// The suspects that are left, by their names.
        left: Vec<String>,
    },
}

/// Who did it, and what was seen of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accusation {
    /// The smallest set that was found.
    pub suspects: Vec<Suspect>,
    /// Why it is a set, if it is one.
    pub how: How,
    /// What was seen with them alone.
    pub alone: Sight,
    /// What was seen with everything but them.
    pub without: Sight,
}

/// Why an accusation names several suspects, or one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is one.
    One,
    /// Each alone is good: together they are not.
    Together,
    /// They cannot be built without each other.
    Inseparable,
}

/// What was seen of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sight {
    /// It is red.
    Red,
    /// It is green.
    Green,
    /// It could not be found out: why.
    Unknown(String),
}

/// The tests that made a candidate red; none when it is not red.
pub fn symptoms(candidate: &Candidate) -> Vec<Symptom> {
    if candidate.stage_before_announcing() != Stage::Finished(Outcome::Rejected) {
        return Vec::new();
    }
    let Some(verdict) = candidate.verdict() else { return Vec::new() };
    let of_standing = |standing: Standing| {
        let counts = |reason: &&Reason| reason.counts == Counts::Yes && reason.standing == standing;
        verdict.reasons.iter().filter(counts).filter_map(symptom).collect::<Vec<_>>()
    };
    let mut symptoms = of_standing(Standing::Failed);
    if symptoms.is_empty() {
        // A guest that never came up can leave nothing but tests that did not run.
        symptoms = of_standing(Standing::Missing);
    }
    symptoms.sort();
    symptoms
}

fn symptom(reason: &Reason) -> Option<Symptom> {
    let (arch, cell) = reason.cell.split_once('/')?;
    Some(Symptom { arch: arch.to_owned(), cell: cell.to_owned(), test: reason.test.clone()? })
}

/// The builds that a candidate is made of now.
pub fn builds(candidate: &Candidate) -> Vec<StepKey> {
    candidate.builds().map(|build| build.key.clone()).collect()
}

/// Whether a candidate was built again, or is being built again, since it was made of these builds. Where none are
/// remembered, nobody can tell.
pub fn is_built_again(candidate: &Candidate, before: &[StepKey]) -> bool {
    let now: BTreeSet<&StepKey> = candidate.builds().map(|build| &build.key).collect();
    !before.is_empty() && now != before.iter().collect()
}

/// Whether an older candidate is one to compare the red one with: it passed, and nothing of what is red now was other
/// than green there. What is new among the tests it need not have.
pub fn is_good(older: &Candidate, symptoms: &[Symptom]) -> bool {
    let passed = matches!(
        older.stage_before_announcing(),
        Stage::Publishing | Stage::Promoting | Stage::Finished(Outcome::Passed | Outcome::Published)
    );
    let is_green =
        |symptom: &Symptom| probe::result(older, symptom).is_none_or(|result| result.colour == Colour::Green);
    let has_arch = |symptom: &Symptom| {
        let outputs = older.builds().filter_map(|step| step.output());
        outputs.flat_map(|output| &output.artifacts).any(|artifact| artifact.arch == symptom.arch)
    };
    passed
        && !older.purpose.is_probe()
        && symptoms.iter().all(|symptom| has_arch(symptom) && is_green(symptom))
}

/// What an inquiry into a candidate that was compared with the same good one and had the same symptoms has found, when the
/// red one still has all of it: to search once more would find the same.
pub fn known(
    of: &CandidateId,
    conclusion: &Conclusion,
    good: &Candidate,
    red: &Candidate,
) -> Option<Conclusion> {
    let (of, accusation) = match conclusion {
        Conclusion::Accused(accusation) => (of, accusation),
        Conclusion::Known { of, accusation } => (of, accusation),
        Conclusion::NotReproduced { .. } | Conclusion::Elsewhere { .. } | Conclusion::Inconclusive { .. } => {
            return None;
        }
    };
    let suspects = suspect::of(good, red);
    let is_there = accusation.suspects.iter().all(|accused| suspects.contains(accused));
    is_there.then(|| Conclusion::Known { of: of.clone(), accusation: accusation.clone() })
}

/// What an inquiry needs next.
pub fn next(inquiry: &Inquiry<'_>, now: Timestamp) -> Next {
    if inquiry.probes.iter().any(|probe| !probe.stage().is_finished()) {
        return Next::Wait;
    }
    if is_built_again(inquiry.red, inquiry.builds) {
        // The image that was red is no longer the candidate's, and another one says nothing about it.
        let why = "it was built again meanwhile".to_owned();
        return Next::Over(Conclusion::Inconclusive { why, left: Vec::new() });
    }
    let case = Case::of(inquiry);
    match search::conclude(&case) {
        Ok(conclusion) => Next::Over(conclusion),
        Err(need) if inquiry.probes.len() >= inquiry.bound as usize => {
            let why = format!("{} probes were made, and no more may be", inquiry.probes.len());
            Next::Over(Conclusion::Inconclusive { why, left: need.left })
        }
        Err(need) => Next::Probe(Box::new(probe::make(inquiry, &case.suspects, &need.trial, now))),
    }
}

/// The suspects that are left, by their names, going by the probes that are over; none when those are enough.
pub fn left(inquiry: &Inquiry<'_>) -> Vec<String> {
    search::conclude(&Case::of(inquiry)).err().map(|need| need.left).unwrap_or_default()
}

/// What each probe has shown; `None` for one that is on its way.
pub fn shown(inquiry: &Inquiry<'_>) -> Vec<Option<Answer>> {
    let suspects = suspect::of(inquiry.good, inquiry.red);
    inquiry.probes.iter().map(|probe| probe::answer(inquiry, &suspects, probe)).collect()
}

/// What a search is made in: the suspects, and what the probes have shown.
struct Case {
    /// Those that can be put into an image, and left out.
    suspects: Vec<Suspect>,
    /// What has changed in the testing itself.
    testing: Option<Suspect>,
    answers: Vec<(Trial, Answer)>,
    /// Why nothing can be built with some of them only.
    obstacle: Option<String>,
}

/// Only a builder on this machine can be kept from taking a package.
fn obstacle(red: &Candidate, suspects: &[Suspect]) -> Option<String> {
    let builder = match red.recipe.builder {
        Builder::Local => return None,
        Builder::Koji => "Koji",
        Builder::Imagefactory => "ImageFactory",
    };
    let has_packages = suspects.iter().any(|suspect| !suspect.packages().is_empty());
    has_packages
        .then(|| format!("{builder} builds it, and cannot be kept from taking a package that is there"))
}

impl Conclusion {
    /// Those who did it; none when nobody is accused.
    pub fn accused(&self) -> &[Suspect] {
        match self {
            Conclusion::Accused(accusation) | Conclusion::Known { accusation, .. } => &accusation.suspects,
            Conclusion::NotReproduced { .. }
            | Conclusion::Elsewhere { .. }
            | Conclusion::Inconclusive { .. } => &[],
        }
    }
}

impl Case {
    fn of(inquiry: &Inquiry<'_>) -> Self {
        let suspects = suspect::of(inquiry.good, inquiry.red);
        let answer = |probe: &Candidate| {
            let trial = probe.purpose.trial()?.clone();
            Some((trial, probe::answer(inquiry, &suspects, probe)?))
        };
        let answers = inquiry.probes.iter().filter_map(answer).collect();
        let obstacle = obstacle(inquiry.red, &suspects);
        Case { testing: suspect::of_testing(inquiry), suspects, answers, obstacle }
    }
}
