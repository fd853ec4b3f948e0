//! Since when a candidate stands where it does. Its age is another thing: it may have waited for days.

use jiff::Timestamp;
use muster_flow::build::Build;
use muster_flow::candidate::{Life, Stage};
use muster_flow::publish::{Promote, Upload, Verify};
use muster_flow::smoketest::Smoketest;
use muster_flow::step::Work;

use super::Facts;

/// Since when; `None` when nobody noted it down.
pub fn of(facts: &Facts<'_>) -> Option<Timestamp> {
    let candidate = facts.candidate;
    let verdict = || candidate.verdict().map(|verdict| verdict.at);
    match candidate.stage() {
        Stage::Waiting => Some(candidate.created),
        // What is tried again began later than the candidate.
        Stage::Building => open(facts, Build::NAME).or_else(|| started(facts)),
        Stage::Testing => open(facts, Smoketest::NAME).or_else(|| end(facts, Build::NAME)),
        Stage::Gating => end(facts, Smoketest::NAME),
        Stage::Publishing => verdict().max(open(facts, Upload::NAME)),
        Stage::Promoting => end(facts, Verify::NAME).max(open(facts, Promote::NAME)),
        Stage::Announcing => {
            let ends = [Build::NAME, Promote::NAME].map(|kind| end(facts, kind));
            ends.into_iter().chain([verdict()]).flatten().max()
        }
        Stage::Finished(_) => facts.milestones.finished,
    }
}

fn started(facts: &Facts<'_>) -> Option<Timestamp> {
    match facts.candidate.life {
        Life::Started { at } => Some(at),
        Life::Waiting | Life::Superseded { .. } | Life::Cancelled { .. } => None,
    }
}

/// When the first step of a kind was recorded that is not over.
fn open(facts: &Facts<'_>, kind: &str) -> Option<Timestamp> {
    let is_open = |state: &str| ["wanted", "running", "ending"].contains(&state);
    let rows = facts.rows.iter().filter(|row| row.kind == kind && row.candidate == facts.candidate.id.0);
    rows.filter(|row| is_open(&row.state)).map(|row| row.created).min()
}

/// When the last step of a kind came to its end.
fn end(facts: &Facts<'_>, kind: &str) -> Option<Timestamp> {
    facts.milestones.ends.get(kind).copied()
}
