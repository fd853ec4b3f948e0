//! What a candidate waits for: each wait with its reason, its owner and its deadline.

use jiff::Timestamp;
use muster_flow::announce::Announce;
use muster_flow::batch::judge;
use muster_flow::candidate::{self, Candidate, CandidateId, Stage};
use muster_flow::publish;
use muster_flow::step::{Progress, Step, StepKey, Work};
use serde::Serialize;

use super::service::ONCE_STARTED;
use super::{Facts, next_action, since, words};

/// Who looks after the service and the places it works in.
pub const OPERATORS: &str = "the operators of this service";

/// Who acts when nobody needs to.
pub const MUSTER: &str = "Muster, by itself";

/// One thing that a candidate waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// The candidate.
    pub candidate: String,
    /// What is waited for, such as `build x86_64`.
    pub what: String,
    /// Why it is not done yet.
    pub why: String,
    /// Who must act, or watch.
    pub who: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// When it is given up; `None` when it may last as long as it likes.
    pub until: Option<Timestamp>,
}

/// Everything that a candidate waits for now.
pub fn of(facts: &Facts<'_>) -> Vec<Wait> {
    let candidate = facts.candidate;
    let mut waits: Vec<Wait> = Vec::new();
    match candidate.stage() {
        Stage::Finished(_) => return waits,
        Stage::Waiting => waits.push(before_the_start(facts)),
        Stage::Promoting => waits.extend(before_promotion(facts)),
        Stage::Gating => waits.extend(before_publishing(facts)),
        Stage::Building | Stage::Testing | Stage::Publishing | Stage::Announcing => {}
    }
    let steps = &candidate.steps;
    waits.extend(of_steps(facts, &steps.builds));
    waits.extend(of_steps(facts, &steps.smoketests));
    waits.extend(of_steps(facts, &steps.uploads));
    waits.extend(of_steps(facts, &steps.verifications));
    waits.extend(of_steps(facts, &steps.promotions));
    waits.extend(of_steps(facts, &steps.announcements));
    if waits.is_empty() {
        waits.push(Wait {
            what: candidate.stage().words().to_owned(),
            why: "what comes next is recorded at the service's next look; if this stays, the service is not running"
                .to_owned(),
            since: since::of(facts),
            ..wait(candidate, MUSTER)
        });
    }
    if !facts.service.runs {
        for wait in waits.iter_mut().filter(|wait| wait.who == MUSTER) {
            ONCE_STARTED.clone_into(&mut wait.who);
        }
    }
    waits
}

/// A candidate that goes no further because it cannot be read.
pub fn of_unreadable(id: &CandidateId, reason: &str) -> Wait {
    Wait {
        what: "to be read".to_owned(),
        why: format!("this Muster cannot read it, perhaps because a newer one wrote it: {reason}"),
        ..blank(id, OPERATORS)
    }
}

fn wait(candidate: &Candidate, who: &str) -> Wait {
    blank(&candidate.id, who)
}

fn blank(id: &CandidateId, who: &str) -> Wait {
    Wait {
        candidate: id.to_string(),
        what: String::new(),
        why: String::new(),
        who: who.to_owned(),
        since: None,
        until: None,
    }
}

fn before_the_start(facts: &Facts<'_>) -> Wait {
    let Facts { candidate, open, patience, now, note, .. } = *facts;
    let (why, who) = match candidate::may_start(candidate, open, patience, now) {
        Err(why) => (why, MUSTER.to_owned()),
        Ok(()) if note.is_empty() => {
            ("it is due, and starts at the service's next look".to_owned(), MUSTER.to_owned())
        }
        // The rules let it start, and still the service could not start it.
        Ok(()) => (note.to_owned(), next_action::owner(candidate)),
    };
    let what = "its start".to_owned();
    Wait { what, why, since: Some(candidate.created), ..wait(candidate, &who) }
}

/// Its batch, which has not passed its gate.
fn before_publishing(facts: &Facts<'_>) -> Option<Wait> {
    let candidate = facts.candidate;
    let batch = candidate.batch.as_ref()?;
    let verdict = candidate.verdict()?;
    let why = judge::wait(candidate)?;
    let (why, who) = match (batch.ruling, find_stuck(facts)) {
        (Some(_), _) => (why, next_action::owner(candidate)),
        (None, Some(stuck)) => {
            let (id, shown) = (&stuck.id, next_action::shell(&stuck.id.0));
            let why = format!(
                "waits for {}: {id} cannot start, and `muster show {shown}` says why; `{}` lets the others go",
                batch.id,
                cancel(stuck)
            );
            (why, OPERATORS.to_owned())
        }
        (None, None) => (why, MUSTER.to_owned()),
    };
    let (since, until) = (Some(verdict.at), Some(batch.until));
    Some(Wait { what: "its batch".to_owned(), why, since, until, ..wait(candidate, &who) })
}

/// The candidate that has not started while another of its batch is through its gate. All of a batch start together, so
/// it cannot: its recipe or its definition is gone or cannot be read.
pub fn find_stuck<'a>(facts: &Facts<'a>) -> Option<&'a Candidate> {
    let id = &facts.candidate.batch.as_ref()?.id;
    let is_of = |other: &&Candidate| other.batch.as_ref().is_some_and(|batch| batch.id == *id);
    facts.open.iter().filter(is_of).find(|other| other.stage() == Stage::Waiting)
}

/// The command that stops a candidate.
pub fn cancel(candidate: &Candidate) -> String {
    format!("muster cancel {} --reason '...'", next_action::shell(&candidate.id.0))
}

fn before_promotion(facts: &Facts<'_>) -> Option<Wait> {
    let candidate = facts.candidate;
    let said = || Some(facts.note.to_owned()).filter(|note| !note.is_empty());
    let why = publish::may_promote(candidate, facts.open).err().or_else(said)?;
    let who = candidate.decisions.holds.first().map_or(MUSTER, |hold| &hold.who);
    let what = format!("its turn to move the pointers of {}", candidate.recipe.stream);
    Some(Wait { what, why, since: since::of(facts), ..wait(candidate, who) })
}

fn of_steps<W: Work>(facts: &Facts<'_>, steps: &[Step<W>]) -> Vec<Wait> {
    let pending = steps.iter().filter(|step| !step.is_over());
    pending.map(|step| of_step(facts, step)).collect()
}

fn of_step<W: Work>(facts: &Facts<'_>, step: &Step<W>) -> Wait {
    let row = facts.row(&step.key.0);
    let note = row.map(|row| row.note.trim()).filter(|note| !note.is_empty());
    let tries = row.map_or(0, |row| row.attempt);
    let is_begun = matches!(step.progress, Progress::Running(_));
    let what = purpose(facts.candidate, &step.key);
    let (why, who) = match (&step.progress, row) {
        (Progress::Wanted, Some(row)) if tries > 0 && note.is_some() => {
            let again = if row.due > facts.now {
                format!("tried again in {}", words::span((row.due - facts.now).get_seconds()))
            } else {
                "tried again at once".to_owned()
            };
            let times =
                words::count(usize::try_from(tries).unwrap_or_default(), "try").replace("trys", "tries");
            (format!("{} after {times}; {again}", note.unwrap_or_default()), OPERATORS)
        }
        (Progress::Wanted, _) => ("it is recorded, and waits for a free place".to_owned(), MUSTER),
        (Progress::Running(_), _) if tries > 0 => {
            (format!("it runs, but cannot be looked at: {}", note.unwrap_or_default()), OPERATORS)
        }
        (Progress::Running(_), _) => (note.unwrap_or("it runs").to_owned(), MUSTER),
        (Progress::Succeeded(_) | Progress::Failed(_) | Progress::Cancelled, _) => (String::new(), MUSTER),
    };
    Wait {
        what,
        why,
        since: row.map(|row| if is_begun { row.at_work_since() } else { row.created }),
        // A message is never given up, and the time in the queue does not count.
        until: row.filter(|_| W::NAME != Announce::NAME && (is_begun || tries > 0)).map(|row| row.deadline),
        ..wait(facts.candidate, who)
    }
}

/// A step's key without its candidate, as words: `build x86_64`, `smoketest x86_64 bios-pc, try 2`.
pub fn purpose(candidate: &Candidate, key: &StepKey) -> String {
    let base = key.base();
    let words = base.strip_prefix(&format!("{}/", candidate.id)).unwrap_or(base).replace('/', " ");
    match key.generation() {
        1 => words,
        generation => format!("{words}, try {generation}"),
    }
}
