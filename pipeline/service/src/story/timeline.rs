//! What happened to a candidate, in the order of the flow, from the change to the announcement.

use jiff::Timestamp;
use muster_flow::announce::Announcement;
use muster_flow::build::Link;
use muster_flow::candidate::{Candidate, Life};
use muster_flow::gate::Ruling;
use muster_flow::publish::PromoteRequest;
use muster_flow::step::{Progress, Step, StepKey, Work};
use serde::Serialize;

use super::mark::{Fault, Mark};
use super::wait::purpose;
use super::{Facts, built, next_action, words};
use crate::store::StepRow;

/// One part of the flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chapter {
    /// `change`, `build`, `smoketest`, `gate`, `publish` or `announce`.
    pub name: &'static str,
    /// How it stands as a whole.
    pub mark: Mark,
    /// What happened, oldest first.
    pub moments: Vec<Moment>,
}

/// One thing that happened, or is happening.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When it began.
    pub at: Option<Timestamp>,
    /// Seconds it took; `None` when it is not over or took none.
    pub took_s: Option<i64>,
    /// How it stands.
    pub mark: Mark,
    /// What, in one sentence.
    pub text: String,
    /// More about it: why, how far, the last words of a failure.
    pub note: String,
    /// The step it is about, by its key.
    pub step: Option<StepKey>,
    /// The change it is about, by its id.
    pub change: Option<String>,
    /// Where more about it can be seen.
    pub links: Vec<Link>,
}

impl Moment {
    fn event(at: Timestamp, text: String, note: String) -> Self {
        Moment {
            at: Some(at),
            took_s: None,
            mark: Mark::Done,
            text,
            note,
            step: None,
            change: None,
            links: Vec::new(),
        }
    }
}

/// The parts of the flow, in order.
pub fn chapters(facts: &Facts<'_>) -> Vec<Chapter> {
    let candidate = facts.candidate;
    let over = candidate.stage_before_announcing().is_finished();
    let chapter = |name, moments: Vec<Moment>| Chapter { name, mark: whole(&moments, over), moments };
    // More of these is recorded as the candidate goes on, so they are not done when all of it so far is.
    let open_ended = |name, moments| {
        let chapter = chapter(name, moments);
        let mark = if chapter.mark == Mark::Done && !over { Mark::Running } else { chapter.mark };
        Chapter { mark, ..chapter }
    };
    vec![
        chapter("change", changes(candidate)),
        chapter("build", builds(facts)),
        chapter("smoketest", smoketests(facts)),
        judged(chapter("gate", gate(candidate)), candidate, over),
        open_ended("publish", publications(facts)),
        open_ended("announce", announcements(facts)),
    ]
}

/// What is excepted before the gate has spoken says nothing of how it will speak.
fn judged(gate: Chapter, candidate: &Candidate, over: bool) -> Chapter {
    match candidate.verdict() {
        Some(_) => gate,
        None => Chapter { mark: whole(&[], over), ..gate },
    }
}

/// How a chapter stands: the worst of its moments, of each step only the last try.
fn whole(moments: &[Moment], over: bool) -> Mark {
    let is_last = |moment: &&Moment| match &moment.step {
        None => true,
        Some(key) => {
            let tries = moments.iter().filter_map(|other| other.step.as_ref());
            let tries = tries.filter(|other| other.base() == key.base());
            tries.map(StepKey::generation).max() == Some(key.generation())
        }
    };
    let marks: Vec<Mark> = moments.iter().filter(is_last).map(|moment| moment.mark).collect();
    let order = [
        Mark::Failed,
        Mark::Missing,
        Mark::InfraError,
        Mark::Held,
        Mark::Running,
        Mark::Queued,
        Mark::GivenUp,
        Mark::Waived,
        Mark::ExpectedFailure,
        Mark::Passed,
        Mark::Done,
    ];
    let worst = order.into_iter().find(|mark| marks.contains(mark));
    worst.unwrap_or(if over { Mark::Skipped } else { Mark::NotYet })
}

fn changes(candidate: &Candidate) -> Vec<Moment> {
    let mut moments: Vec<Moment> = candidate
        .changes
        .iter()
        .map(|cause| {
            let why = format!("Why it concerns this image: {}", cause.why);
            Moment {
                change: Some(cause.change.clone()),
                ..Moment::event(cause.at, cause.summary.clone(), why)
            }
        })
        .collect();
    let what = match candidate.purpose {
        muster_flow::candidate::Purpose::Scratch => {
            "to prove the change; it will not be published".to_owned()
        }
        muster_flow::candidate::Purpose::Release => format!("for release to {}", candidate.recipe.stream),
        muster_flow::candidate::Purpose::Emergency { ref who, ref why } => {
            format!("for release to {} at once: {who} asked for it. Why: {why}", candidate.recipe.stream)
        }
        muster_flow::candidate::Purpose::Probe { ref of, ref trial, .. } => {
            format!("to find out what made {of} red; it boots {}", trial.words())
        }
    };
    moments.push(Moment::event(
        candidate.created,
        format!("{} was made", candidate.id),
        format!("It was made {what}."),
    ));
    match &candidate.life {
        Life::Waiting => {}
        Life::Started { at } => moments.push(started(candidate, *at)),
        Life::Superseded { by } => moments.push(Moment {
            mark: Mark::GivenUp,
            at: None,
            ..Moment::event(
                candidate.created,
                format!("{by} took its place before it started"),
                String::new(),
            )
        }),
        Life::Cancelled { who, why } => moments.push(Moment {
            mark: Mark::GivenUp,
            at: None,
            ..Moment::event(candidate.created, format!("{who} stopped it"), format!("Why: {why}"))
        }),
    }
    moments
}

fn started(candidate: &Candidate, at: Timestamp) -> Moment {
    let definition = &candidate.definition;
    let at_commit = if definition.commit.is_empty() {
        String::new()
    } else {
        format!(" at commit {}", definition.commit.chars().take(12).collect::<String>())
    };
    let note = format!(
        "Frozen with it: {}{at_commit} ({}), {}.",
        definition.file,
        words::count(definition.texts.len(), "file"),
        words::count(candidate.tests.len(), "smoketest"),
    );
    Moment::event(at, "It started".to_owned(), note)
}

/// A moment per step of one kind, every generation of it.
fn moments<W: Work>(
    facts: &Facts<'_>,
    steps: &[Step<W>],
    fault: Fault,
    done: fn(&W::Output) -> (String, String),
) -> Vec<Moment> {
    let moment = |step: &Step<W>| {
        let row = facts.row(&step.key.0);
        let what = purpose(facts.candidate, &step.key);
        let row_note = || row.map(|row| row.note.clone()).unwrap_or_default();
        let (text, note) = match &step.progress {
            Progress::Wanted => (format!("{what}: recorded, not begun"), row_note()),
            Progress::Running(_) => (format!("{what}: runs"), row_note()),
            Progress::Succeeded(output) => {
                let (text, note) = done(output);
                (format!("{what}: {text}"), note)
            }
            Progress::Failed(why) => (format!("{what}: {}", failed(fault)), why.clone()),
            Progress::Cancelled => (format!("{what}: given up"), "Nobody wanted it any more.".to_owned()),
        };
        Moment {
            at: row.map(StepRow::at_work_since),
            took_s: row
                .filter(|_| step.is_over())
                .map(|row| (row.updated - row.at_work_since()).get_seconds()),
            mark: Mark::of_step(step, fault),
            text,
            note,
            links: Vec::new(),
            step: Some(step.key.clone()),
            change: None,
        }
    };
    steps.iter().map(moment).collect()
}

fn failed(fault: Fault) -> &'static str {
    match fault {
        Fault::Image => "could not be done",
        Fault::Outside => "could not be done, and not because of the image",
    }
}

fn builds(facts: &Facts<'_>) -> Vec<Moment> {
    let steps = &facts.candidate.steps.builds;
    let mut moments = moments(facts, steps, Fault::Image, |output| {
        let artifacts: Vec<String> = output
            .artifacts
            .iter()
            .map(|artifact| format!("{} ({})", artifact.name, words::size(artifact.size)))
            .collect();
        let record = output.koji.as_ref().map(built::lines).unwrap_or_default();
        let made = if artifacts.is_empty() { "nothing".to_owned() } else { words::list(&artifacts) };
        (
            format!("made {made}, with {}", words::count(output.packages.len(), "package")),
            record.into_iter().chain(output.warnings.iter().cloned()).collect::<Vec<_>>().join("\n"),
        )
    });
    for (moment, step) in moments.iter_mut().zip(steps) {
        moment.links =
            step.output().map_or_else(|| words::links(&moment.note), |output| output.links.clone());
    }
    moments
}

fn smoketests(facts: &Facts<'_>) -> Vec<Moment> {
    let boots = super::boot::all(facts);
    let steps = &facts.candidate.steps.smoketests;
    let mut moments = moments(facts, steps, Fault::Outside, |output| {
        (format!("booted in {} on {}", words::span_ms(output.boot_ms), output.place), String::new())
    });
    for moment in &mut moments {
        let Some(boot) =
            boots.iter().find(|boot| moment.step.as_ref().is_some_and(|step| step.0 == boot.step))
        else {
            continue;
        };
        moment.mark = boot.mark;
        if boot.boot_ms.is_some() {
            moment.note = tally(boot);
        }
    }
    moments
}

/// `12 passed, 1 failed (hostname)`.
fn tally(boot: &super::boot::Boot) -> String {
    let marks = [Mark::Failed, Mark::Missing, Mark::Waived, Mark::ExpectedFailure, Mark::Passed];
    let parts = marks.into_iter().filter(|mark| boot.count(*mark) > 0).map(|mark| {
        let tests: Vec<&str> =
            boot.tests.iter().filter(|test| test.mark == mark).map(|test| test.name.as_str()).collect();
        if mark == Mark::Passed {
            format!("{} passed", tests.len())
        } else {
            format!("{} {} ({})", tests.len(), mark.word(), tests.join(", "))
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn gate(candidate: &Candidate) -> Vec<Moment> {
    let mut moments = Vec::new();
    for waiver in &candidate.decisions.waivers {
        let scope = waiver.cell.as_deref().map(|cell| format!(" in {cell}")).unwrap_or_default();
        let what = format!("{} waived {}{scope}", waiver.author, waiver.test);
        let note = format!("Why: {}", waiver.reason);
        let text = format!("{what} until {}", words::time(waiver.expires));
        moments.push(match &waiver.ended {
            None => Moment {
                at: None,
                took_s: None,
                mark: Mark::Waived,
                text,
                note,
                step: None,
                change: None,
                links: Vec::new(),
            },
            Some(end) => {
                let ended = format!("{what}, and {} ended that early", end.who);
                Moment::event(end.at, ended, format!("{note}\nWhy it was ended: {}", end.why))
            }
        });
    }
    let Some(verdict) = candidate.verdict() else { return moments };
    let notable =
        verdict.reasons.iter().filter(|reason| reason.standing != muster_flow::gate::Standing::Passed);
    let lines: Vec<String> = notable
        .map(|reason| match reason.counts {
            muster_flow::gate::Counts::Yes => next_action::reason_line(reason),
            muster_flow::gate::Counts::No => format!("{} (only shown)", next_action::reason_line(reason)),
        })
        .collect();
    let mark = match verdict.ruling {
        Ruling::Pass => Mark::Passed,
        Ruling::Fail => Mark::Failed,
        Ruling::CannotTell => Mark::InfraError,
    };
    let text = format!("the gate says: {}", verdict.ruling.words());
    moments.push(Moment { mark, ..Moment::event(verdict.at, text, lines.join("\n")) });
    moments
}

fn publications(facts: &Facts<'_>) -> Vec<Moment> {
    let steps = &facts.candidate.steps;
    let mut all = moments(facts, &steps.uploads, Fault::Outside, |output| {
        let names: Vec<String> = output
            .uploaded
            .iter()
            .map(|uploaded| format!("{} ({})", uploaded.name, words::size(uploaded.size)))
            .collect();
        (format!("{} lies there, not yet public", words::list(&names)), String::new())
    });
    all.extend(moments(facts, &steps.verifications, Fault::Outside, |output| {
        ("read back as a stranger would".to_owned(), output.checked.join("\n"))
    }));
    let mut promotions = moments(facts, &steps.promotions, Fault::Outside, |output| {
        ("moved".to_owned(), output.pointers.join("\n"))
    });
    for (moment, step) in promotions.iter_mut().zip(&steps.promotions) {
        if step.output().is_some() {
            moment.text = match &step.request {
                PromoteRequest::Destination { upload, .. } => {
                    format!("it is public at {}", upload.destination.name)
                }
                PromoteRequest::Stream { stream, release } => {
                    format!("{stream} points at {}", release.version)
                }
            };
        }
    }
    all.extend(promotions);
    all.extend(facts.candidate.decisions.holds.iter().map(|hold| Moment {
        at: None,
        took_s: None,
        mark: Mark::Held,
        text: format!("{} holds it", hold.who),
        note: format!("Why: {}", hold.why),
        step: None,
        change: None,
        links: Vec::new(),
    }));
    all
}

fn announcements(facts: &Facts<'_>) -> Vec<Moment> {
    let steps = &facts.candidate.steps.announcements;
    let mut moments = moments(facts, steps, Fault::Outside, |output| {
        ("the bus has it".to_owned(), format!("Message {}.", output.message_id))
    });
    for (moment, step) in moments.iter_mut().zip(steps) {
        let about = match &step.request {
            Announcement::Build(body) => format!("the build for {}", body.arch),
            Announcement::Smoketest(body) => format!("the boot in {}/{}", body.arch, body.cell),
            Announcement::Verdict(body) => format!("the verdict ({})", body.ruling.words()),
            Announcement::Image(body) => format!("the images at {}", body.destination.name),
            Announcement::Stream(body) => format!("the move of {}", body.stream),
            Announcement::Candidate(body) => format!("how it ended ({})", body.outcome),
        };
        let rest = moment.text.rsplit_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        moment.text = format!("{} about {about}: {rest}", step.request.topic());
    }
    moments
}
