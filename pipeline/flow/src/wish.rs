//! What people may wish for a candidate, when it is too late for it, and what follows from a wish.
//!
//! The reasons are for whoever wished.

use jiff::Timestamp;

use crate::candidate::{Candidate, Outcome, Stage, Steps};
use crate::gate::Waiver;
use crate::publish::{self, StreamRelease};
use crate::step::StepKey;

/// Whether a candidate may still be kept from being promoted; otherwise why not.
pub fn may_hold(candidate: &Candidate) -> Result<(), String> {
    if !candidate.purpose.is_published() {
        return Err(format!(
            "{} is {}: it is never promoted, so there is nothing to hold back",
            candidate.id,
            candidate.purpose.candidate()
        ));
    }
    match candidate.promotions().next() {
        None => Ok(()),
        Some(_) => Err(format!("{} has begun to move pointers; it is too late to hold it", candidate.id)),
    }
}

/// Whether a waiver may still be ended early; otherwise why not.
pub fn may_unwaive(waiver: &Waiver, now: Timestamp) -> Result<(), String> {
    let Waiver { test, recipe, expires, ended, .. } = waiver;
    match ended {
        Some(end) => {
            Err(format!("{} has ended this waiver of {test} of {recipe} already: {}", end.who, end.why))
        }
        None if now >= *expires => Err(format!("this waiver of {test} of {recipe} ran out on {expires:.0}")),
        None => Ok(()),
    }
}

/// Whether the gate speaks anew on a candidate because a waiver was ended; `waiver` is how it stands since.
pub fn is_judged_anew(candidate: &Candidate, waiver: &Waiver) -> bool {
    let mut after = candidate.clone();
    for known in after.decisions.waivers.iter_mut().filter(|known| known.id == waiver.id) {
        known.clone_from(waiver);
    }
    candidate.verdict().is_some() && after.verdict().is_none()
}

/// Whether a candidate may still be given up; otherwise why not.
pub fn may_cancel(candidate: &Candidate) -> Result<(), String> {
    let (id, stage) = (&candidate.id, candidate.stage_before_announcing());
    if stage.is_finished() {
        return Err(format!("{id} is over already: {}", stage.words()));
    }
    if candidate.promotions().next().is_some() {
        return Err(format!(
            "{id} is moving pointers and cannot be stopped half way; hold it before that, or release another"
        ));
    }
    Ok(())
}

/// The base keys of what is done again when a person asks to try `base` again; or why it cannot be. `releases` is what
/// the candidate's stream points at.
pub fn may_retry(
    candidate: &Candidate,
    base: &str,
    releases: &[StreamRelease],
) -> Result<Vec<String>, String> {
    let id = &candidate.id;
    if !keys(&candidate.steps).any(|key| key.base() == base) {
        return Err(format!("{id} has no step {base}"));
    }
    if !base.contains("/announce/") {
        if candidate.purpose.is_published()
            && let Some(newer) = publish::overtaken(candidate, releases)
        {
            let stream = &candidate.recipe.stream;
            return Err(format!("{stream} points at the newer {} already; release again", newer.version));
        }
        let stage = candidate.stage_before_announcing();
        if stage == Stage::Promoting && !base.contains("/promote/") {
            return Err(format!("{id} is moving pointers; only a promotion can be tried again now"));
        }
        if stage == Stage::Finished(Outcome::Published) {
            return Err(format!("{id} is published; make a new candidate"));
        }
    }
    Ok(retried(candidate, base))
}

/// The base keys that must be done again when a person asks to try `base` again: the step and what follows from it.
pub fn retried(candidate: &Candidate, base: &str) -> Vec<String> {
    let prefix = format!("{}/", candidate.id);
    let Some(purpose) = base.strip_prefix(&prefix) else { return Vec::new() };
    let mut bases = vec![base.to_owned()];
    for key in keys(&candidate.steps) {
        let Some(rest) = key.base().strip_prefix(&prefix) else { continue };
        if follows(rest, purpose) && !bases.iter().any(|b| b == key.base()) {
            bases.push(key.base().to_owned());
        }
    }
    bases
}

/// Whether the work `rest` is done again when `purpose` is. What is not done again is not told again either.
fn follows(rest: &str, purpose: &str) -> bool {
    let (rest, purpose): (Vec<&str>, Vec<&str>) = (rest.split('/').collect(), purpose.split('/').collect());
    match (&purpose[..], &rest[..]) {
        (["build", arch, ..], ["smoketest", of, ..] | ["announce", "build" | "smoketest", of, ..]) => {
            arch == of
        }
        (["smoketest", cell @ ..], ["announce", "smoketest", of @ ..]) => cell == of,
        (["build" | "smoketest", ..], ["announce", what, ..]) => !matches!(*what, "build" | "smoketest"),
        (["build", ..], ["upload" | "verify" | "promote", ..])
        | (["upload", ..], ["verify" | "promote", ..])
        | (["verify", ..], ["promote", ..])
        | (["upload" | "verify" | "promote", ..], ["announce", "image" | "stream" | "ended", ..]) => true,
        _ => false,
    }
}

fn keys(steps: &Steps) -> impl Iterator<Item = &StepKey> {
    let builds = steps.builds.iter().map(|step| &step.key);
    let smoketests = steps.smoketests.iter().map(|step| &step.key);
    let uploads = steps.uploads.iter().map(|step| &step.key);
    let verifications = steps.verifications.iter().map(|step| &step.key);
    let promotions = steps.promotions.iter().map(|step| &step.key);
    let announcements = steps.announcements.iter().map(|step| &step.key);
    builds.chain(smoketests).chain(uploads).chain(verifications).chain(promotions).chain(announcements)
}
