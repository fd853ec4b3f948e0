//! Where changes come from: up to where each source is known, and how much the bus lost.

use jiff::Timestamp;
use serde::Serialize;

use super::words;
use crate::store::heard::SourceRow;

/// Every source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sources {
    /// Whether a bus is configured; without one, sweeps find everything.
    pub bus: bool,
    /// In one sentence, how things are.
    pub headline: String,
    /// The sources.
    pub sources: Vec<Source>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub source: String,
    /// `koji`, `packages` or `git`.
    pub kind: String,
    /// Up to where it is known: an event, a revision, a commit; none before the first look. A revision with a `+` when
    /// messages have told of more.
    pub position: Option<String>,
    /// When that was reached there, as far as it says.
    pub position_at: Option<Timestamp>,
    /// The last sweep that was answered.
    pub swept: Option<Timestamp>,
    /// Seconds since then: what happened there within them may not be known yet.
    pub lag_s: Option<i64>,
    /// Why the last sweep was not answered, when it was not.
    pub fault: Option<String>,
    /// Changes that a message told of first.
    pub first_by_bus: i64,
    /// Changes that a sweep found first.
    pub first_by_sweep: i64,
    /// Those of them whose message came within the time of grace.
    pub late: i64,
    /// Those of them whose message did not.
    pub lost: i64,
    /// Those of them whose message may come yet.
    pub undecided: i64,
}

impl Source {
    /// Its position, short enough for a line.
    pub fn short(&self) -> String {
        let position = self.position.as_deref().unwrap_or("not known yet");
        match self.kind.as_str() {
            "git" | "packages" => position.chars().take(13).collect(),
            _ => position.to_owned(),
        }
    }

    /// How long ago it was swept.
    pub fn lag(&self) -> String {
        self.lag_s.map_or("never".to_owned(), |lag| format!("{} ago", words::span(lag)))
    }
}

/// Tells of the sources.
pub(super) fn tell(rows: Vec<SourceRow>, bus: bool, now: Timestamp) -> Sources {
    let one = |row: SourceRow| Source {
        position: Some(row.position).filter(|position| !position.is_empty()),
        position_at: row.at,
        swept: row.swept,
        lag_s: row.swept.map(|swept| (now - swept).get_seconds().max(0)),
        fault: Some(row.fault).filter(|fault| !fault.is_empty()),
        first_by_bus: row.counts.bus,
        first_by_sweep: row.counts.late + row.counts.lost + row.counts.undecided,
        late: row.counts.late,
        lost: row.counts.lost,
        undecided: row.counts.undecided,
        source: row.name,
        kind: row.kind,
    };
    let sources: Vec<Source> = rows.into_iter().map(one).collect();
    Sources { bus, headline: headline(&sources, bus), sources }
}

fn headline(sources: &[Source], bus: bool) -> String {
    let sum = |count: fn(&Source) -> i64| -> i64 { sources.iter().map(count).sum() };
    let (lost, all) = (sum(|one| one.lost), sum(|one| one.first_by_bus + one.first_by_sweep));
    let count = |number: i64| words::count(usize::try_from(number).unwrap_or(0), "change");
    let text = match (bus, all, lost) {
        _ if sources.is_empty() => return "No source was looked at yet.".to_owned(),
        (false, all, _) => format!("No bus is configured: sweeps found {}.", count(all)),
        (true, 0, _) => "Nothing has happened yet.".to_owned(),
        (true, all, 0) => format!("The bus lost none of {}.", count(all)),
        (true, all, lost) => format!("The bus lost {lost} of {}, and sweeps found what it lost.", count(all)),
    };
    match sources.iter().filter(|one| one.fault.is_some()).count() {
        0 => text,
        1 => format!("{text} One source cannot be read."),
        many => format!("{text} {many} sources cannot be read."),
    }
}
