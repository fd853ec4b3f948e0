//! `muster watch`: what happens, live: journal lines as they come, and how far running work has got.

mod screen;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use muster_flow::candidate::{CandidateId, Outcome, Stage};
use serde::Serialize;

use super::call::{Call, Direction, Ending, Failure, Format, moment};
use super::{find, output};
use crate::store::{JournalLine, StepRow, Store};
use crate::story::service::Service;
use screen::Screen;

/// How often it looks: often enough to feel live, seldom enough to cost nothing.
const PACE: Duration = Duration::from_millis(500);

/// How many journal lines are read at once.
const LINES: u32 = 1000;

/// How far back it looks again: a line is numbered when it is written, and seen when its transaction is committed.
const LATE: SignedDuration = SignedDuration::from_secs(5);

/// In plain text a step's progress is told at most this often.
const TELL_EVERY: i64 = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster watch                               everything, from now on, until Ctrl-C
  muster watch --since 1h
  muster watch --candidate cloud-base --until-finished && echo it passed

With --until-finished the exit code is 0 when what was followed passed or is published, 4 when not.")]
pub struct Args {
    /// Only one candidate, from its beginning: an id, or a recipe for its newest candidate.
    #[arg(long)]
    candidate: Option<String>,
    /// End when the candidate is finished; without --candidate, when none is on its way any more.
    #[arg(long)]
    until_finished: bool,
    /// Begin with what happened since then: 10m, 2h, 1d, a date or a time.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
}

/// Something to tell. This is the shape of a line of `--json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// The service does not run, or runs again.
    Service(Service),
    /// Something was recorded.
    Journal(JournalLine),
    /// A step got further.
    Progress {
        /// Its key.
        step: String,
        /// How far.
        note: String,
    },
    /// A candidate is finished.
    Finished {
        /// Its id.
        candidate: String,
        /// How, in a word or two.
        outcome: &'static str,
    },
}

/// A step that runs, for the foot of the screen.
#[derive(Clone, Debug)]
pub(super) struct Running {
    key: String,
    note: String,
    since: Timestamp,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let store = call.store().await?;
    let only = match &args.candidate {
        Some(name) => Some(find::candidate(&store, name).await?.id),
        None => None,
    };
    let after = begin(call, args, only.is_some())?;
    let mut watch = Watch {
        store,
        only,
        after,
        runs: true,
        heard: BTreeSet::new(),
        told: HashMap::new(),
        endings: HashMap::new(),
    };
    let mut screen = Screen::new(call.format == Format::Words && output::is_terminal());
    loop {
        let now = call.clock.now();
        let look = watch.look(now).await?;
        for event in &look.events {
            match call.format {
                Format::Json => output::json_line(event)?,
                Format::Words => screen.tell(event, now)?,
            }
        }
        screen.foot(&look.running, now)?;
        if let Some(ending) = look.ending.filter(|_| args.until_finished) {
            screen.foot(&[], now)?;
            return Ok(ending);
        }
        tokio::select! {
            () = tokio::time::sleep(PACE) => {}
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("cannot listen for Ctrl-C")?;
                screen.foot(&[], now)?;
                return Ok(Ending::Done);
            }
        }
    }
}

/// The journal line behind which it begins.
fn begin(call: &Call, args: &Args, one: bool) -> Result<i64, Failure> {
    let now = call.clock.now();
    let since = match &args.since {
        Some(text) => moment(text, now, Direction::Back)
            .map_err(|error| Failure::refused(error, "Say since when with --since, such as --since 1h."))?,
        None if one => return Ok(0),
        None => now,
    };
    // The numbers of lines are microseconds, and never smaller than the time of their line.
    Ok(since.as_microsecond() - 1)
}

struct Watch {
    store: Store,
    only: Option<CandidateId>,
    after: i64,
    /// Whether the service was seen at work; it is not told that it runs before it stood still.
    runs: bool,
    /// The lines that were told and may be read again, by number and writer.
    heard: BTreeSet<(i64, String)>,
    /// What was told of each step, and when.
    told: HashMap<String, (String, Timestamp)>,
    /// How each candidate ended that was seen on its way; `None` while it is.
    endings: HashMap<String, Option<Ending>>,
}

struct Look {
    events: Vec<Event>,
    running: Vec<Running>,
    /// How it ended, once everything that is followed is finished.
    ending: Option<Ending>,
}

impl Watch {
    async fn look(&mut self, now: Timestamp) -> Result<Look, Failure> {
        // Candidates before the journal: what ends them is then never told after their end.
        let open: Vec<CandidateId> =
            self.store.open_versions().await?.into_iter().map(|(id, _)| id).collect();
        let mut events = Vec::new();
        let service = Service::of(self.store.planned_until().await?, now);
        if service.runs != self.runs {
            self.runs = service.runs;
            events.push(Event::Service(service));
        }
        let lines = self.store.journal(self.only.as_ref(), self.after, LINES).await?;
        let is_all = lines.len() < LINES as usize;
        for line in lines {
            if self.heard.insert((line.seq, line.writer.clone())) {
                events.push(Event::Journal(line));
            }
        }
        self.forget_old(if is_all { LATE } else { SignedDuration::ZERO });
        let followed = |id: &&CandidateId| self.only.as_ref().is_none_or(|only| only == *id);
        let followed: Vec<&CandidateId> = open.iter().filter(followed).collect();
        let mut running = Vec::new();
        for row in self.store.open_step_rows().await? {
            if row.is_running() && followed.iter().any(|id| id.0 == row.candidate) {
                self.note(row, now, &mut events, &mut running);
            }
        }
        self.endings.extend(followed.into_iter().map(|id| (id.0.clone(), None)));
        let ending = self.endings(&open, &mut events).await?;
        Ok(Look { events, running, ending })
    }

    /// Goes on from so far back that no line which is committed late is missed.
    fn forget_old(&mut self, late: SignedDuration) {
        let Some((newest, _)) = self.heard.last() else { return };
        // The numbers are microseconds.
        let late = i64::try_from(late.as_micros()).unwrap_or_default();
        self.after = self.after.max(newest - late);
        let after = self.after;
        self.heard.retain(|(seq, _)| *seq > after);
    }

    /// Notes how far a step that runs has got.
    fn note(&mut self, row: StepRow, now: Timestamp, events: &mut Vec<Event>, running: &mut Vec<Running>) {
        if row.note.is_empty() {
            return;
        }
        let key = row.key.to_string();
        running.push(Running { key: key.clone(), note: row.note.clone(), since: row.at_work_since() });
        let is_news = self
            .told
            .get(&key)
            .is_none_or(|(note, at)| *note != row.note && (now - *at).get_seconds() >= TELL_EVERY);
        if is_news {
            self.told.insert(key.clone(), (row.note.clone(), now));
            events.push(Event::Progress { step: key, note: row.note });
        }
    }

    /// Tells of candidates that were on their way and are no more. It all went well when each of them did.
    async fn endings(
        &mut self,
        open: &[CandidateId],
        events: &mut Vec<Event>,
    ) -> Result<Option<Ending>, Failure> {
        if let Some(id) = &self.only {
            self.endings.entry(id.0.clone()).or_default();
        }
        let is_gone = |id: &&String| !open.iter().any(|open| open.0 == **id);
        let pending = self.endings.iter().filter(|(_, ending)| ending.is_none()).map(|(id, _)| id);
        let gone: Vec<String> = pending.filter(is_gone).cloned().collect();
        for id in gone {
            let candidate = self.store.find_readable(&CandidateId(id.clone())).await?;
            let outcome = match candidate.map(|candidate| candidate.stage()) {
                Some(Stage::Finished(outcome)) => outcome,
                // A person has asked for more of it just now.
                Some(_) => continue,
                // It is not kept any more, or only a newer Muster can tell: nothing is left to wait for.
                None => {
                    self.endings.insert(id, Some(Ending::Done));
                    continue;
                }
            };
            let ending = match outcome {
                // Whoever took the place of a candidate is judged instead of it.
                Outcome::Passed | Outcome::Published | Outcome::Superseded => Ending::Done,
                Outcome::Rejected
                | Outcome::CannotTell
                | Outcome::BuildFailed(_)
                | Outcome::PublishFailed(_)
                | Outcome::Cancelled => Ending::No,
            };
            self.endings.insert(id.clone(), Some(ending));
            events.push(Event::Finished { candidate: id, outcome: outcome.words() });
        }
        if self.only.is_none() && !open.is_empty() {
            return Ok(None);
        }
        let all: Option<Vec<Ending>> = self.endings.values().copied().collect();
        Ok(all.map(|all| if all.contains(&Ending::No) { Ending::No } else { Ending::Done }))
    }
}

#[cfg(test)]
mod tests {
    use muster_flow::change::What;

    use super::*;
    use crate::clock::Clock;
    use crate::planner;

    #[tokio::test]
    async fn a_line_that_another_process_commits_late_is_told_too_and_none_is_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/muster.db", folder.path().display());
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let store = Store::open(&url, Clock::set(now)).await.unwrap();
        store.plan().await.unwrap().unwrap();
        let behind = Store::open(&url, Clock::set(now - SignedDuration::from_secs(2))).await.unwrap();
        let mut watch = Watch {
            store: store.clone(),
            only: None,
            after: 0,
            runs: true,
            heard: BTreeSet::new(),
            told: HashMap::new(),
            endings: HashMap::new(),
        };
        let window =
            |stream: &str| planner::request(What::WindowOpened { stream: stream.to_owned() }, "ada", now);
        store.ask(&window("one")).await.unwrap();
        assert_eq!(watch.look(now).await.unwrap().events.len(), 1);
        behind.ask(&window("two")).await.unwrap();
        let events = watch.look(now).await.unwrap().events;
        assert!(matches!(&events[..], [Event::Journal(line)] if line.text.contains("two")), "{events:?}");
        assert!(watch.look(now).await.unwrap().events.is_empty());
    }
}
