//! What the boots of a candidate showed: one entry per smoketest step, one line per test.

use jiff::Timestamp;
use muster_flow::gate::{self, Counts, Reason, Standing};
use muster_flow::smoketest::{Colour, Smoketest, Weight};
use muster_flow::step::{Progress, Step};
use serde::Serialize;

use super::Facts;
use super::mark::{Fault, Mark};
use crate::cell;
use crate::store::StepRow;

/// One boot of one artifact in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boot {
    /// The step's key.
    pub step: String,
    /// The architecture.
    pub arch: String,
    /// The cell's name.
    pub cell: String,
    /// How often it was asked for, from 1.
    pub generation: u32,
    /// Whether a later generation took its place.
    pub replaced: bool,
    /// How the boot as a whole stands: the worst of its tests that count.
    pub mark: Mark,
    /// What is booted: its published name.
    pub artifact: String,
    /// How: firmware, machine, metadata, memory.
    pub how: String,
    /// Where it ran, such as `qemu (tcg)`; empty before it is over.
    pub place: String,
    /// Milliseconds from power-on to the first login; `None` before it is over.
    pub boot_ms: Option<u64>,
    /// How far it is, or why nothing could be found out.
    pub note: String,
    /// When it was begun; when it was recorded, before that.
    pub since: Option<Timestamp>,
    /// One line per test, in the order they run.
    pub tests: Vec<TestLine>,
    /// The folder with its reports; not for strangers.
    #[serde(skip)]
    pub folder: Option<String>,
}

/// How one test stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestLine {
    /// The test's name.
    pub name: String,
    /// What it shows when it is green.
    pub summary: String,
    /// How it stands.
    pub mark: Mark,
    /// Whether it counts for the gate.
    pub gating: bool,
    /// Why it stands so; empty when it passed.
    pub why: String,
    /// Milliseconds it took; `None` when it did not run.
    pub duration_ms: Option<u64>,
    /// What its script wrote.
    pub log: String,
}

impl Boot {
    /// How many of its tests stand as `mark`.
    pub fn count(&self, mark: Mark) -> usize {
        self.tests.iter().filter(|test| test.mark == mark).count()
    }
}

/// Every boot of a candidate, earlier generations last.
pub fn all(facts: &Facts<'_>) -> Vec<Boot> {
    let candidate = facts.candidate;
    // The gate's own words, so that a page never says other than the gate.
    let reasons = gate::judge(candidate, facts.now).reasons;
    let mut boots: Vec<Boot> = candidate
        .steps
        .smoketests
        .iter()
        .map(|step| {
            let replaced = !candidate.smoketests().any(|other| other.key == step.key);
            // The gate looks at the current generation only.
            let reasons = if replaced { &[] } else { reasons.as_slice() };
            Boot { replaced, ..boot(facts, step, reasons) }
        })
        .collect();
    boots.sort_by_key(|boot| boot.replaced);
    boots
}

fn boot(facts: &Facts<'_>, step: &Step<Smoketest>, reasons: &[Reason]) -> Boot {
    let request = &step.request;
    let cell = &request.cell;
    let name = format!("{}/{}", request.artifact.arch, cell.name);
    let reasons: Vec<&Reason> = reasons.iter().filter(|reason| reason.cell == name).collect();
    let row = facts.row(&step.key.0);
    let note = match &step.progress {
        Progress::Failed(why) => why.clone(),
        Progress::Cancelled => "nobody wanted it any more".to_owned(),
        Progress::Wanted | Progress::Running(_) => row.map(|row| row.note.clone()).unwrap_or_default(),
        Progress::Succeeded(_) => String::new(),
    };
    let output = step.output();
    let tests = tests(step, &reasons, facts.now);
    Boot {
        step: step.key.to_string(),
        arch: request.artifact.arch.clone(),
        cell: cell.name.clone(),
        generation: step.key.generation(),
        replaced: false,
        mark: whole(step, &tests),
        artifact: request.artifact.name.clone(),
        how: cell::words(&step.request.cell),
        place: output.map(|output| output.place.clone()).unwrap_or_default(),
        boot_ms: output.map(|output| output.boot_ms),
        note,
        since: row.map(StepRow::at_work_since),
        tests,
        folder: output.map(|output| output.folder.clone()),
    }
}

/// The worst of what counts; the step's own standing when there are no results.
fn whole(step: &Step<Smoketest>, tests: &[TestLine]) -> Mark {
    if step.output().is_none() {
        return Mark::of_step(step, Fault::Outside);
    }
    let counting = || tests.iter().filter(|test| test.gating).map(|test| test.mark);
    let order = [Mark::Failed, Mark::Missing, Mark::InfraError, Mark::Waived, Mark::ExpectedFailure];
    order.into_iter().find(|worst| counting().any(|mark| mark == *worst)).unwrap_or(Mark::Passed)
}

/// The tests that were asked for, then those that the gate requires and nobody asked for.
fn tests(step: &Step<Smoketest>, reasons: &[&Reason], now: Timestamp) -> Vec<TestLine> {
    let results = step.output().map(|output| output.results.as_slice()).unwrap_or_default();
    let reason_of = |name: &str| reasons.iter().find(|reason| reason.test.as_deref() == Some(name)).copied();
    let asked = step.request.tests.iter().map(|test| {
        let result = results.iter().find(|result| result.name == test.name);
        let reason = reason_of(&test.name);
        let fallback = match (result, &step.progress) {
            (Some(result), _) => {
                (Mark::of_standing(Standing::of(result, now)), result.colour.why().to_owned())
            }
            (None, Progress::Succeeded(_)) => (Mark::Missing, "it did not run".to_owned()),
            (None, _) => (Mark::of_step(step, Fault::Outside), String::new()),
        };
        let (mark, why) =
            reason.map_or(fallback, |reason| (Mark::of_standing(reason.standing), reason.note.clone()));
        TestLine {
            name: test.name.clone(),
            summary: test.summary.clone(),
            mark,
            gating: reason.map_or(test.weight == Weight::Gating, |reason| reason.counts == Counts::Yes),
            why,
            duration_ms: result
                .filter(|result| !matches!(result.colour, Colour::NotRun(_)))
                .map(|result| result.duration_ms),
            log: result.map(|result| result.log.clone()).unwrap_or_default(),
        }
    });
    let mut lines: Vec<TestLine> = asked.collect();
    for reason in reasons {
        let Some(name) = &reason.test else { continue };
        if !lines.iter().any(|line| line.name == *name) {
            lines.push(TestLine {
                name: name.clone(),
                summary: "required by the recipe's gate".to_owned(),
                mark: Mark::of_standing(reason.standing),
                gating: reason.counts == Counts::Yes,
                why: reason.note.clone(),
                duration_ms: None,
                log: String::new(),
            });
        }
    }
    lines
}
