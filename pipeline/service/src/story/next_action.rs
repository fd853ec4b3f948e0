//! Where a candidate stands in one sentence, what happens next, who must act, and with which command.

use muster_flow::candidate::{Candidate, Life, Outcome, Purpose, Stage};
use muster_flow::gate::{Counts, Reason, Standing, Verdict};
use muster_flow::step::{Progress, Step, StepKey, Work};
use serde::Serialize;

use super::wait::{self, MUSTER, OPERATORS};
use super::{Facts, words};

/// Who must act when nothing is left to do.
const NOBODY: &str = "nobody";

/// What happens next, and who must act.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NextAction {
    /// What.
    pub what: String,
    /// Who.
    pub who: String,
    /// Commands that do it, ready to be copied; none when nobody needs to act.
    pub commands: Vec<String>,
}

fn nobody(what: &str) -> NextAction {
    NextAction { what: what.to_owned(), who: MUSTER.to_owned(), commands: Vec::new() }
}

/// Where a candidate stands and why, in one sentence.
pub fn headline(facts: &Facts<'_>) -> String {
    let candidate = facts.candidate;
    let waits = || {
        let waits = wait::of(facts);
        let more = if waits.len() > 1 { format!(" (and {} more)", waits.len() - 1) } else { String::new() };
        waits.first().map(|wait| format!("{}: {}{more}", wait.what, wait.why)).unwrap_or_default()
    };
    match candidate.stage() {
        Stage::Waiting => format!("It has not started: {}.", wait_reason(facts)),
        Stage::Building => format!("It is being built. {}.", waits()),
        Stage::Testing => format!("It is being booted and tested. {}.", waits()),
        Stage::Gating if candidate.verdict().is_some() => {
            format!("It passed its own gate, and is not published yet: it {}.", wait_reason(facts))
        }
        Stage::Gating => "Every smoketest is over, and the gate is about to speak.".to_owned(),
        Stage::Publishing => format!("It passed, and is being uploaded and read back. {}.", waits()),
        Stage::Promoting if !candidate.decisions.holds.is_empty() => {
            format!("It is ready, and held back: {}.", wait_reason(facts))
        }
        Stage::Promoting => format!("It is verified, and pointers are being moved. {}.", waits()),
        Stage::Announcing => format!("{} Messages about it are on their way.", ending(candidate)),
        Stage::Finished(_) => format!("{}{}", ending(candidate), who_did_it(facts)),
    }
}

/// What was found of a red candidate, as a sentence of its own.
fn who_did_it(facts: &Facts<'_>) -> String {
    let conclusion = facts.asked.and_then(|asked| asked.row.conclusion.as_ref());
    match (conclusion, facts.candidate.stage_before_announcing()) {
        (Some(conclusion), Stage::Finished(Outcome::Rejected)) => format!(" Why: {}.", conclusion.words()),
        (_, _) => String::new(),
    }
}

fn wait_reason(facts: &Facts<'_>) -> String {
    wait::of(facts).first().map(|wait| wait.why.clone()).unwrap_or_default()
}

/// How a candidate ended, in one sentence.
fn ending(candidate: &Candidate) -> String {
    let Stage::Finished(outcome) = candidate.stage_before_announcing() else {
        return String::new();
    };
    if let Purpose::Probe { of, .. } = &candidate.purpose {
        match outcome {
            Outcome::Passed => return format!("What is red in {of} is green here."),
            Outcome::Rejected => return format!("What is red in {of} is red here too."),
            Outcome::Published
            | Outcome::CannotTell
            | Outcome::BuildFailed(_)
            | Outcome::PublishFailed(_)
            | Outcome::Superseded
            | Outcome::Cancelled => {}
        }
    }
    match outcome {
        Outcome::Passed => "It passed. It was made to prove a change, so it is not published.".to_owned(),
        Outcome::Published => {
            format!("It is out: {} was moved to it.", candidate.recipe.stream)
        }
        Outcome::Rejected | Outcome::CannotTell => {
            let verdict = candidate.verdict();
            verdict.map(|verdict| said_no(verdict, &outcome)).unwrap_or_default()
        }
        Outcome::BuildFailed(reason) => {
            format!("It is not out: it could not be built. {}", short(candidate, &reason))
        }
        Outcome::PublishFailed(reason) => {
            format!("It passed, and is not out: it could not be published. {}", short(candidate, &reason))
        }
        Outcome::Superseded => match &candidate.life {
            Life::Superseded { by } => format!("It never started: {by} took its place and its changes."),
            Life::Waiting | Life::Started { .. } | Life::Cancelled { .. } => "It never started.".to_owned(),
        },
        Outcome::Cancelled => match &candidate.life {
            Life::Cancelled { who, why } => format!("It is not out: {who} stopped it. Why: {why}"),
            Life::Waiting | Life::Started { .. } | Life::Superseded { .. } => "It was stopped.".to_owned(),
        },
    }
}

fn said_no(verdict: &Verdict, outcome: &Outcome) -> String {
    let bad: Vec<&Reason> = against(verdict).collect();
    let worst = bad.first().map(|reason| reason_line(reason)).unwrap_or_default();
    let more = match bad.len() {
        0 | 1 => String::new(),
        several => format!(" (and {} more)", words::count(several - 1, "reason")),
    };
    if *outcome == Outcome::CannotTell {
        format!("It is not out, and we could not find out whether it is good: {worst}{more}.")
    } else {
        format!("It is not out, because it did not pass: {worst}{more}.")
    }
}

/// The reasons that speak against a candidate, the worst first.
fn against(verdict: &Verdict) -> impl Iterator<Item = &Reason> {
    verdict.reasons.iter().filter(|reason| reason.counts == Counts::Yes).filter(|reason| {
        match reason.standing {
            Standing::Failed
            | Standing::Missing
            | Standing::InfraError
            | Standing::Queued
            | Standing::Running => true,
            Standing::Waived | Standing::ExpectedFailure | Standing::Passed => false,
        }
    })
}

/// A reason in one line: `hostname failed in x86_64/bios-pc: the name is localhost`.
pub fn reason_line(reason: &Reason) -> String {
    let subject = reason.test.as_deref().unwrap_or("the boot");
    let standing = match reason.standing {
        Standing::Failed => "failed",
        Standing::Missing => "is missing",
        Standing::InfraError => "hit an infra error",
        Standing::Queued => "is queued",
        Standing::Running => "is running",
        Standing::Waived => "is waived",
        Standing::ExpectedFailure => "is an expected failure",
        Standing::Passed => "passed",
    };
    let line = format!("{subject} {standing} in {}", reason.cell);
    if reason.note.is_empty() { line } else { format!("{line}: {}", first_line(&reason.note)) }
}

/// The first line of a step's reason, with the step named as people name it.
fn short(candidate: &Candidate, reason: &str) -> String {
    let line = first_line(reason);
    match line.split_once(": ") {
        Some((key, rest)) => format!("{}: {rest}", wait::purpose(candidate, &StepKey(key.to_owned()))),
        None => line.to_owned(),
    }
}

fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

/// What happens next.
pub fn of(facts: &Facts<'_>) -> NextAction {
    let candidate = facts.candidate;
    if let Some(notice) = facts.service.notice().filter(|_| !candidate.stage().is_finished()) {
        return NextAction {
            what: notice,
            who: OPERATORS.to_owned(),
            commands: vec!["muster serve".to_owned()],
        };
    }
    match candidate.stage() {
        Stage::Waiting => nobody("It starts. Nobody needs to act."),
        Stage::Building => on_its_way(facts, "The boots follow as soon as it is built."),
        Stage::Testing => on_its_way(facts, "The gate speaks as soon as every boot is over."),
        Stage::Gating if candidate.verdict().is_some() => for_batch(facts),
        Stage::Gating => nobody("The gate speaks at the service's next look."),
        Stage::Publishing => on_its_way(facts, "Pointers are moved as soon as everything was read back."),
        Stage::Promoting => match candidate.decisions.holds.first() {
            Some(hold) => NextAction {
                what: format!("It is promoted when the hold ends: {}", hold.why),
                who: hold.who.clone(),
                commands: vec![format!("muster unhold {}", shell(&candidate.id.0))],
            },
            None => on_its_way(facts, "The stream's pointer moves last."),
        },
        Stage::Announcing => on_its_way(facts, "Nothing else is left to do."),
        Stage::Finished(outcome) => after(candidate, &outcome),
    }
}

/// What a candidate that passed by itself needs of its batch.
fn for_batch(facts: &Facts<'_>) -> NextAction {
    let candidate = facts.candidate;
    let wait = wait::of(facts).into_iter().next();
    let id = candidate.batch.as_ref().map(|batch| batch.id.0.clone()).unwrap_or_default();
    let ruling = candidate.batch.as_ref().and_then(|batch| batch.ruling);
    if let (None, Some(stuck)) = (ruling, wait::find_stuck(facts)) {
        return NextAction {
            what: format!("{} of its batch cannot start: mend its recipe, or cancel it.", stuck.id),
            who: OPERATORS.to_owned(),
            commands: vec![format!("muster show {}", shell(&stuck.id.0)), wait::cancel(stuck)],
        };
    }
    match wait.filter(|wait| wait.who != MUSTER) {
        Some(wait) => NextAction {
            what: "Its batch must pass first: eject what breaks the others, waive their tests, or try them again."
                .to_owned(),
            who: wait.who,
            commands: vec![format!("muster batch show {}", shell(&id))],
        },
        None => nobody("It is published once every candidate of its batch has passed. Nobody needs to act."),
    }
}

fn on_its_way(facts: &Facts<'_>, then: &str) -> NextAction {
    match wait::of(facts).into_iter().find(|wait| wait.who != MUSTER) {
        Some(stuck) => NextAction {
            what: format!(
                "{} does not get on: {}. It is tried again by itself; look at the place.",
                stuck.what, stuck.why
            ),
            who: stuck.who,
            commands: Vec::new(),
        },
        None => nobody(&format!("{then} Nobody needs to act.")),
    }
}

fn after(candidate: &Candidate, outcome: &Outcome) -> NextAction {
    let who = owner(candidate);
    if let Purpose::Probe { of, .. } = &candidate.purpose {
        return NextAction {
            what: format!("Nothing here: look at {of}, for which it was made."),
            who: NOBODY.to_owned(),
            commands: vec![format!("muster blame {}", shell(&of.0))],
        };
    }
    match outcome {
        Outcome::Passed => NextAction {
            what: "Nothing. A release follows by the calendar, or when somebody asks for one.".to_owned(),
            who: NOBODY.to_owned(),
            commands: vec![format!("muster release --recipe {}", shell(&candidate.recipe.name))],
        },
        Outcome::Published => NextAction {
            what: "Nothing. Get it, and see for yourself that it is what was tested.".to_owned(),
            who: NOBODY.to_owned(),
            commands: Vec::new(),
        },
        Outcome::Rejected => NextAction {
            what: "Mend the package, the definition or the smoketest: the change starts a new candidate. If it must go out \
                   as it is, waive the test."
                .to_owned(),
            who,
            commands: waivers(candidate),
        },
        Outcome::CannotTell => NextAction {
            what: "Look at the cloudlet, then try the boot again. The image is not at fault.".to_owned(),
            who: OPERATORS.to_owned(),
            commands: retries(candidate.smoketests()),
        },
        Outcome::BuildFailed(_) => NextAction {
            what: "Read the build's last words below. Mend the definition or the package; when the place was at fault, try \
                   again."
                .to_owned(),
            who,
            commands: retries(candidate.builds()),
        },
        Outcome::PublishFailed(_) => {
            let mut commands = retries(candidate.uploads());
            commands.extend(retries(candidate.verifications()));
            commands.extend(retries(candidate.promotions()));
            let what = "Look at the destination, then try again. The image passed and is kept.".to_owned();
            NextAction { what, who: OPERATORS.to_owned(), commands }
        }
        Outcome::Superseded => NextAction {
            what: "Nothing here: look at the candidate that took its place.".to_owned(),
            who: NOBODY.to_owned(),
            commands: match &candidate.life {
                Life::Superseded { by } => vec![format!("muster show {}", shell(&by.0))],
                Life::Waiting | Life::Started { .. } | Life::Cancelled { .. } => Vec::new(),
            },
        },
        Outcome::Cancelled => NextAction {
            what: "Nothing. Ask for a new candidate when one is wanted.".to_owned(),
            who: NOBODY.to_owned(),
            commands: vec![format!("muster trigger {} --reason '...'", shell(&candidate.recipe.name))],
        },
    }
}

/// The group that answers for the recipe.
pub fn owner(candidate: &Candidate) -> String {
    if candidate.recipe.owner.is_empty() {
        format!("whoever owns {} (its recipe does not say)", candidate.recipe.name)
    } else {
        candidate.recipe.owner.clone()
    }
}

fn waivers(candidate: &Candidate) -> Vec<String> {
    let Some(verdict) = candidate.verdict() else { return Vec::new() };
    let mut tests: Vec<&str> = against(verdict).filter_map(|reason| reason.test.as_deref()).collect();
    tests.dedup();
    let command = |test: &&str| {
        format!(
            "muster waive {} --recipe {} --candidate {} --reason '...' --until 7d",
            shell(test),
            shell(&candidate.recipe.name),
            shell(&candidate.id.0)
        )
    };
    tests.iter().take(3).map(command).collect()
}

fn retries<'a, W: Work>(steps: impl Iterator<Item = &'a Step<W>>) -> Vec<String> {
    let failed = steps.filter(|step| matches!(step.progress, Progress::Failed(_) | Progress::Cancelled));
    failed.map(|step| format!("muster retry {}", shell(step.key.base()))).collect()
}

/// A word as a shell takes it.
pub fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_from_outside_cannot_end_its_quotes() {
        assert_eq!(shell("cloud-base/43.20261121.0"), "cloud-base/43.20261121.0");
        assert_eq!(shell("a'; rm -rf /"), r"'a'\''; rm -rf /'");
        assert_eq!(shell(""), "''");
    }
}
