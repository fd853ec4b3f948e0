//! The gate: from the results of smoketests, a policy and people's waivers to a verdict with its reasons.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::candidate::Candidate;
use crate::recipe::Form;
use crate::smoketest::{Colour, Smoketest, TestResult, Weight};
use crate::step::{Progress, Step};

/// What must hold before a candidate is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Tests that must be there and green in every cell, whatever weight they have themselves.
    #[serde(default)]
    pub required: Vec<String>,
    /// Tests whose red results are only shown, whatever weight they have themselves.
    #[serde(default)]
    pub informative: Vec<String>,
    /// Cells whose results are only shown.
    #[serde(default)]
    pub informative_cells: Vec<String>,
}

/// A person's exception: limited in what it covers and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// Unique.
    pub id: String,
    /// The recipe it covers.
    pub recipe: String,
    /// The one candidate it covers, or every one of the recipe.
    pub candidate: Option<String>,
    /// The test it covers.
    pub test: String,
    /// The one cell it covers, or all.
    pub cell: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
    /// It holds before this time.
    pub expires: Timestamp,
    /// Who ended it before that, if anybody did.
    #[serde(default)]
    pub ended: Option<EarlyEnd>,
}

/// The end that a person made to a waiver before it ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyEnd {
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

/// How a waiver is told from a step among the evidence of a verdict.
const WAIVER: &str = "waiver ";

/// How the early end of a waiver is told from the waiver.
const ENDED: &str = " ended";

/// Whether a piece of evidence is a waiver, or the early end of one.
pub fn is_waiver(evidence: &str) -> bool {
    evidence.starts_with(WAIVER)
}

/// Whether a piece of evidence is the early end of a waiver.
pub fn is_early_end(evidence: &str) -> bool {
    is_waiver(evidence) && evidence.ends_with(ENDED)
}

impl Waiver {
    /// Its name among the evidence of a verdict.
    pub fn name(&self) -> String {
        format!("{WAIVER}{}", self.id)
    }

    /// What it adds to the evidence of a verdict: its name, and once more when it was ended early.
    pub fn evidence(&self) -> impl Iterator<Item = String> {
        let end = self.ended.as_ref().map(|_| format!("{}{ENDED}", self.name()));
        [Some(self.name()), end].into_iter().flatten()
    }

    /// Whether it still excepts anything.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires
    }

    /// Whether it is about this candidate, whatever test and cell it covers.
    pub fn may_cover(&self, candidate: &Candidate) -> bool {
        self.recipe == candidate.recipe.name && self.candidate.as_ref().is_none_or(|id| id == &candidate.id.0)
    }

    /// Whether it bears on a candidate that is over. One that came later and does not name the candidate does not.
    pub fn bears_on_what_is_over(&self, verdict: Option<&Verdict>) -> bool {
        self.candidate.is_some() || verdict.is_some_and(|verdict| verdict.evidence.contains(&self.name()))
    }
}

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Yes, no, or cannot tell.
    pub ruling: Ruling,
    /// One reason per thing looked at, the worst first.
    pub reasons: Vec<Reason>,
    /// When it was given.
    pub at: Timestamp,
    /// What it was given on; see `Candidate::evidence`.
    pub evidence: Vec<String>,
}

impl Verdict {
    /// Whether it would be another without people's exceptions.
    pub fn rests_on_a_waiver(&self) -> bool {
        let is_waived = |reason: &Reason| reason.standing == Standing::Waived && reason.counts == Counts::Yes;
        self.reasons.iter().any(is_waived)
    }
}

/// Yes, no, or cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ruling {
    /// It passes muster.
    Pass,
    /// It does not.
    Fail,
    /// The cloud, not the image, is in doubt.
    CannotTell,
}

impl Ruling {
    /// A word or two for a person.
    pub fn words(self) -> &'static str {
        match self {
            Ruling::Pass => "pass",
            Ruling::Fail => "fail",
            Ruling::CannotTell => "cannot tell",
        }
    }
}

/// Why, for one thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The cell, with its architecture: `x86_64/bios-pc`.
    pub cell: String,
    /// The test, or nothing when it is about the whole boot.
    pub test: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Whether it counts.
    pub counts: Counts,
    /// One line more, if there is any.
    pub note: String,
}

/// Whether a standing counts for the ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// It does.
    Yes,
    /// It is only shown.
    No,
}

/// How one test in one cell stands. No two of these are ever shown as the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The image is at fault.
    Failed,
    /// It is required, and did not run.
    Missing,
    /// We could not find out.
    InfraError,
    /// Recorded, and not begun.
    Queued,
    /// Begun, and not over.
    Running,
    /// Red, and a person's waiver covers it.
    Waived,
    /// Red, and known to be, with a ticket.
    ExpectedFailure,
    /// Green.
    Passed,
}

impl Standing {
    /// How a result stands by itself, without regard to people's exceptions.
    pub fn of(result: &TestResult, now: Timestamp) -> Self {
        match (&result.colour, &result.expected_failure) {
            (Colour::Green, _) => Standing::Passed,
            (Colour::NotRun(_), _) => Standing::Missing,
            (Colour::Red(_), Some(known)) if now < known.until => Standing::ExpectedFailure,
            (Colour::Red(_), _) => Standing::Failed,
        }
    }

    /// A word or two for a person.
    pub fn words(self) -> &'static str {
        match self {
            Standing::Failed => "failed",
            Standing::Missing => "missing",
            Standing::InfraError => "infra error",
            Standing::Queued => "queued",
            Standing::Running => "running",
            Standing::Waived => "waived",
            Standing::ExpectedFailure => "expected failure",
            Standing::Passed => "passed",
        }
    }
}

/// Judges a candidate by what is known at `now`.
pub fn judge(candidate: &Candidate, now: Timestamp) -> Verdict {
    let mut reasons: Vec<Reason> = Vec::new();
    for step in candidate.smoketests() {
        judge_boot(candidate, step, now, &mut reasons);
    }
    if reasons.is_empty() {
        reasons.push(Reason {
            cell: "every cell".to_owned(),
            test: None,
            standing: Standing::Missing,
            counts: Counts::Yes,
            note: "nothing was booted, so nothing is known".to_owned(),
        });
    }
    reasons.extend(not_built(candidate));
    reasons.sort_by(|a, b| (a.standing, &a.cell).cmp(&(b.standing, &b.cell)));
    Verdict { ruling: rule(&reasons), reasons, at: now, evidence: candidate.evidence() }
}

/// The cells and destinations for which the builds left nothing: what nobody booted, or could not publish, is missing.
fn not_built(candidate: &Candidate) -> Vec<Reason> {
    let policy = &candidate.recipe.gate;
    let missing = |cell: String, counts, form: Form| Reason {
        cell,
        test: None,
        standing: Standing::Missing,
        counts,
        note: format!("no build left an image of the form {}", form.extension()),
    };
    let mut reasons = Vec::new();
    for build in candidate.builds() {
        let Some(output) = build.output() else { continue };
        let lacks = |form: Form| !output.artifacts.iter().any(|artifact| artifact.form == form);
        let arch = &build.request.arch;
        for cell in candidate.recipe.smoketests.cells.iter().filter(|cell| lacks(cell.artifact)) {
            let counts = if policy.informative_cells.contains(&cell.name) { Counts::No } else { Counts::Yes };
            reasons.push(missing(format!("{arch}/{}", cell.name), counts, cell.artifact));
        }
        for destination in candidate.recipe.destinations.iter().filter(|place| lacks(place.takes)) {
            let place = format!("{arch}/destination {}", destination.name);
            reasons.push(missing(place, Counts::Yes, destination.takes));
        }
    }
    reasons
}

/// The ruling that follows from the reasons: a red test outweighs a doubt, a doubt outweighs everything green.
pub fn rule(reasons: &[Reason]) -> Ruling {
    let has = |standings: &[Standing]| {
        reasons.iter().any(|reason| reason.counts == Counts::Yes && standings.contains(&reason.standing))
    };
    if has(&[Standing::Failed, Standing::Missing]) {
        Ruling::Fail
    } else if has(&[Standing::InfraError, Standing::Queued, Standing::Running]) {
        Ruling::CannotTell
    } else {
        Ruling::Pass
    }
}

fn judge_boot(candidate: &Candidate, step: &Step<Smoketest>, now: Timestamp, reasons: &mut Vec<Reason>) {
    let policy = &candidate.recipe.gate;
    let cell_name = &step.request.cell.name;
    let cell = format!("{}/{cell_name}", step.request.artifact.arch);
    let counts = if policy.informative_cells.contains(cell_name) { Counts::No } else { Counts::Yes };
    let whole = |standing, note: &str| Reason {
        cell: cell.clone(),
        test: None,
        standing,
        counts,
        note: note.to_owned(),
    };
    let results = match &step.progress {
        Progress::Wanted => return reasons.push(whole(Standing::Queued, "the boot has not begun")),
        Progress::Running(_) => return reasons.push(whole(Standing::Running, "the boot is not over")),
        Progress::Failed(reason) => return reasons.push(whole(Standing::InfraError, reason)),
        Progress::Cancelled => return reasons.push(whole(Standing::InfraError, "the boot was cancelled")),
        Progress::Succeeded(output) => &output.results,
    };
    for test in &step.request.tests {
        let result = results.iter().find(|result| result.name == test.name);
        let (standing, note) = standing(candidate, cell_name, &test.name, result, now);
        let informative = policy.informative.contains(&test.name)
            || (test.weight == Weight::Informative && !policy.required.contains(&test.name));
        let counts = if informative { Counts::No } else { counts };
        reasons.push(Reason { cell: cell.clone(), test: Some(test.name.clone()), standing, counts, note });
    }
    for name in &policy.required {
        if !step.request.tests.iter().any(|test| &test.name == name) {
            let (standing, note) = standing(candidate, cell_name, name, None, now);
            reasons.push(Reason { cell: cell.clone(), test: Some(name.clone()), standing, counts, note });
        }
    }
}

fn standing(
    candidate: &Candidate,
    cell: &str,
    test: &str,
    result: Option<&TestResult>,
    now: Timestamp,
) -> (Standing, String) {
    let waiver = find_waiver(candidate, cell, test, now);
    let Some(result) = result else {
        return waived_or(waiver, Standing::Missing, "it did not run");
    };
    let why = result.colour.why();
    match (Standing::of(result, now), &result.expected_failure) {
        (Standing::Passed, _) => (Standing::Passed, String::new()),
        (Standing::ExpectedFailure, Some(known)) => {
            (Standing::ExpectedFailure, format!("{why}; known as {} until {:.0}", known.tracker, known.until))
        }
        (Standing::Failed, Some(known)) => {
            let why = format!("{why}; the expected failure {} ran out on {:.0}", known.tracker, known.until);
            waived_or(waiver, Standing::Failed, &why)
        }
        (standing, _) => waived_or(waiver, standing, why),
    }
}

/// The waiver that covers a test in a cell of a candidate now.
fn find_waiver<'a>(candidate: &'a Candidate, cell: &str, test: &str, now: Timestamp) -> Option<&'a Waiver> {
    candidate.decisions.waivers.iter().find(|waiver| {
        waiver.may_cover(candidate)
            && waiver.test == test
            && waiver.cell.as_ref().is_none_or(|name| name == cell)
            && waiver.is_in_force(now)
    })
}

fn waived_or(waiver: Option<&Waiver>, standing: Standing, why: &str) -> (Standing, String) {
    match waiver {
        Some(waiver) => (
            Standing::Waived,
            format!("{why}; waived by {} until {:.0}: {}", waiver.author, waiver.expires, waiver.reason),
        ),
        None => (standing, why.to_owned()),
    }
}
