//! Probes: candidates that are made to find out about another one, and what each of them shows.
//!
//! A probe boots what it has to and no more: the red cells, with the tests up to the last red one, so that the boot goes
//! as it went.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::suspect::{self, DEFINITION, RECIPE, Suspect};
use super::{Inquiry, Probe, Symptom, Trial};
use crate::build::{self, BuildOutput, Package};
use crate::candidate::{Candidate, CandidateId, Cause, Decisions, Life, Outcome, Purpose, Stage, Steps};
use crate::difference::{self, Difference, What};
use crate::gate::Policy;
use crate::recipe::{Builder, Cell, Matrix, Recipe};
use crate::smoketest::{Colour, Smoketest, Test, TestResult};
use crate::step::{Progress, Step};

/// What one probe shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was red is red.
    Red,
    /// What was red is green.
    Green,
    /// It could not be built, or not as it was asked for: why.
    NotBuilt(String),
    /// Its boots say nothing about what was red: why.
    NotTold(String),
    /// A person stopped it: who and why.
    Stopped(String),
}

/// The probe that tries something.
pub(super) fn make(inquiry: &Inquiry<'_>, suspects: &[Suspect], trial: &Trial, now: Timestamp) -> Probe {
    let red = inquiry.red;
    let side = |name: &str| if has(trial, name) { red } else { inquiry.good };
    let number = inquiry.earlier as usize + inquiry.probes.len() + 1;
    let mut candidate = Candidate {
        id: CandidateId(format!("{}_probe{number}", red.id)),
        recipe: recipe(inquiry, &side(RECIPE).recipe),
        definition: side(DEFINITION).definition.clone(),
        tests: tests(inquiry),
        created: now,
        changes: vec![Cause {
            change: format!("blame/{}", red.id),
            at: now,
            summary: format!("{} is red", red.id),
            why: format!("it boots {}", trial.words()),
        }],
        life: Life::Started { at: now },
        batch: None,
        steps: Steps::default(),
        decisions: Decisions::default(),
        purpose: Purpose::Probe { of: red.id.clone(), trial: trial.clone(), set: None },
    };
    candidate.steps.builds = built(inquiry, trial, &candidate);
    // The others take what is there, and would refuse to be held to anything.
    let is_held = candidate.steps.builds.is_empty() && candidate.recipe.builder == Builder::Local;
    let packages = if is_held { packages(inquiry, suspects, trial) } else { None };
    Probe { candidate, packages }
}

fn has(trial: &Trial, name: &str) -> bool {
    match trial {
        Trial::Red => true,
        Trial::Good => false,
        Trial::With(names) => names.contains(name),
    }
}

/// The recipe of one side, booted as the red one was where that was red, and never published.
fn recipe(inquiry: &Inquiry<'_>, side: &Recipe) -> Recipe {
    let red = &inquiry.red.recipe;
    let required: BTreeSet<&String> = inquiry.symptoms.iter().map(|symptom| &symptom.test).collect();
    let is_red = |arch: &&String| inquiry.symptoms.iter().any(|symptom| symptom.arch == **arch);
    Recipe {
        arches: side.arches.iter().filter(is_red).cloned().collect(),
        smoketests: Matrix {
            cells: cells(inquiry),
            tests: red.smoketests.tests.clone(),
            budgets: red.smoketests.budgets.clone(),
        },
        gate: Policy { required: required.into_iter().cloned().collect(), ..Policy::default() },
        stream: red.stream.clone(),
        destinations: Vec::new(),
        ..side.clone()
    }
}

/// The cells in which something is red.
pub(super) fn cells(inquiry: &Inquiry<'_>) -> Vec<Cell> {
    let is_red = |cell: &&Cell| inquiry.symptoms.iter().any(|symptom| symptom.cell == cell.name);
    inquiry.red.recipe.smoketests.cells.iter().filter(is_red).cloned().collect()
}

/// The tests up to the last red one: what runs before it may be what breaks it.
pub(super) fn tests(inquiry: &Inquiry<'_>) -> Vec<Test> {
    fn place(test: &Test) -> (u32, &str) {
        (test.order, &test.name)
    }
    let tests = &inquiry.red.tests;
    let is_red = |test: &&Test| inquiry.symptoms.iter().any(|symptom| symptom.test == test.name);
    let last = tests.iter().filter(is_red).map(place).max();
    tests.iter().filter(|test| last.is_none_or(|last| place(test) <= last)).cloned().collect()
}

/// What was built already and is only booted again: the red image, the good one, or that of an earlier probe.
fn built(inquiry: &Inquiry<'_>, trial: &Trial, candidate: &Candidate) -> Vec<Step<build::Build>> {
    let source = match trial {
        Trial::Red => Some(inquiry.red),
        Trial::Good => Some(inquiry.good),
        Trial::With(_) => inquiry.probes.iter().find(|probe| probe.purpose.trial() == Some(trial)),
    };
    let Some(source) = source else { return Vec::new() };
    let step = |wanted: crate::step::Wanted<build::Build>| {
        let arches: Vec<&str> = wanted.request.arch.split('+').collect();
        let is_it = |step: &&Step<build::Build>| {
            let of_step: Vec<&str> = step.request.arch.split('+').collect();
            arches.iter().all(|arch| of_step.contains(arch))
        };
        let output = source.builds().find(is_it)?.output()?;
        let artifacts = output.artifacts.iter().filter(|artifact| arches.contains(&artifact.arch.as_str()));
        let output = BuildOutput { artifacts: artifacts.cloned().collect(), ..output.clone() };
        Some(Step { key: wanted.key, request: wanted.request, progress: Progress::Succeeded(output) })
    };
    build::wanted(candidate).into_iter().map(step).collect::<Option<_>>().unwrap_or_default()
}

/// The packages that an image with some of the suspects may have: of each that changed its version, one; and all that
/// came or went, since what needs them decides whether they are there. `None` when it is not known what was installed.
fn packages(inquiry: &Inquiry<'_>, suspects: &[Suspect], trial: &Trial) -> Option<BTreeSet<Package>> {
    let (old, new) = (difference::packages(inquiry.good), difference::packages(inquiry.red));
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let mut packages: BTreeSet<Package> = old.iter().copied().cloned().collect();
    for difference in difference::between(&old, &new) {
        let suspect = suspects.iter().find(|suspect| suspect.packages().contains(&difference));
        let is_new = match suspect {
            Some(suspect) => has(trial, &suspect.name),
            // It follows from something else.
            None => difference.what == What::Added,
        };
        if is_new {
            packages.retain(|package| !is_side(package, &difference, difference.old.as_ref()));
            let come = new.iter().filter(|package| is_side(package, &difference, difference.new.as_ref()));
            packages.extend(come.copied().cloned());
        }
    }
    Some(packages)
}

fn is_side(package: &Package, difference: &Difference, evra: Option<&String>) -> bool {
    package.name == difference.name && evra == Some(&package.evra())
}

/// What a probe shows; `None` while it is on its way.
pub(super) fn answer(inquiry: &Inquiry<'_>, suspects: &[Suspect], probe: &Candidate) -> Option<Answer> {
    match probe.stage() {
        Stage::Finished(Outcome::Cancelled) => return Some(Answer::Stopped(why_stopped(probe))),
        Stage::Finished(Outcome::BuildFailed(reason)) => return Some(Answer::NotBuilt(reason)),
        Stage::Finished(_) => {}
        Stage::Waiting
        | Stage::Building
        | Stage::Testing
        | Stage::Gating
        | Stage::Publishing
        | Stage::Promoting
        | Stage::Announcing => return None,
    }
    if let Some(strange) = strange_package(inquiry, suspects, probe) {
        return Some(Answer::NotBuilt(strange));
    }
    let sights = inquiry.symptoms.iter().map(|symptom| sight(inquiry, probe, symptom));
    // Red outweighs what could not be told, and that outweighs green.
    let weight = |answer: &Answer| match answer {
        Answer::Red => 2,
        Answer::NotTold(_) | Answer::NotBuilt(_) | Answer::Stopped(_) => 1,
        Answer::Green => 0,
    };
    sights.max_by_key(weight)
}

fn why_stopped(probe: &Candidate) -> String {
    match &probe.life {
        Life::Cancelled { who, why } => format!("{who} cancelled {}: {why}", probe.id),
        Life::Waiting | Life::Started { .. } | Life::Superseded { .. } => format!("{} ended", probe.id),
    }
}

/// A builder that takes other packages than it may shows nothing of those it should have taken.
fn strange_package(inquiry: &Inquiry<'_>, suspects: &[Suspect], probe: &Candidate) -> Option<String> {
    let trial = probe.purpose.trial()?;
    let Trial::With(_) = trial else { return None };
    let allowed = packages(inquiry, suspects, trial)?;
    let installed = difference::packages(probe);
    if installed.is_empty() {
        return Some("its builder cannot tell which packages are on it".to_owned());
    }
    let strange = installed.into_iter().find(|package| !allowed.contains(*package))?;
    Some(format!("{}-{} is on it and should not be", strange.name, suspect::without_arch(&strange.evra())))
}

fn sight(inquiry: &Inquiry<'_>, probe: &Candidate, symptom: &Symptom) -> Answer {
    let Symptom { arch, cell, test } = symptom;
    let Some(found) = result(probe, symptom) else {
        return Answer::NotTold(format!("{test} was not run in {arch}/{cell}"));
    };
    let did_not_run = |result: &TestResult| matches!(result.colour, Colour::NotRun(_));
    match &found.colour {
        Colour::Green => Answer::Green,
        Colour::Red(_) => Answer::Red,
        // Where the red one did not come to it either, that is what is looked for.
        Colour::NotRun(_) if result(inquiry.red, symptom).is_none_or(did_not_run) => Answer::Red,
        Colour::NotRun(why) => Answer::NotTold(format!("{test} did not run in {arch}/{cell}: {why}")),
    }
}

/// What came of one test in one cell of a candidate.
pub(super) fn result<'a>(candidate: &'a Candidate, symptom: &Symptom) -> Option<&'a TestResult> {
    let is_it = |step: &&Step<Smoketest>| {
        step.request.artifact.arch == symptom.arch && step.request.cell.name == symptom.cell
    };
    let output = candidate.smoketests().find(is_it)?.output()?;
    output.results.iter().find(|result| result.name == symptom.test)
}
