//! The release windows of the streams, by their cron expressions in UTC.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result};
use cron::Schedule;
use jiff::{SignedDuration, Timestamp};
use muster_flow::calendar::Window;
use muster_flow::change::{Change, Origin, What};

use crate::config;

/// How far back an opening counts that nobody was there to see.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(24);

/// When the windows of the streams open.
pub struct Calendar {
    schedules: Vec<(String, Schedule)>,
}

impl Calendar {
    /// Reads the cron expressions of the streams.
    pub fn new(streams: &BTreeMap<String, config::Stream>) -> Result<Self> {
        let mut schedules = Vec::new();
        for (stream, settings) in streams {
            if let Some(window) = &settings.window {
                let schedule = Schedule::from_str(window)
                    .with_context(|| format!("cannot understand the window {window:?} of stream {stream}"))?;
                schedules.push((stream.clone(), schedule));
            }
        }
        Ok(Calendar { schedules })
    }

    /// The windows that opened in the last day, each as a change with an id of its own.
    pub fn due(&self, now: Timestamp) -> Vec<Change> {
        let last = self.schedules.iter().filter_map(|(stream, schedule)| {
            let opens = opening_between(schedule, now - LOOK_BACK, now)?;
            Some(Window { stream: stream.clone(), opens })
        });
        last.map(|window| Change {
            id: window.change_id(),
            at: window.opens,
            origin: Origin::Calendar,
            what: What::WindowOpened { stream: window.stream },
        })
        .collect()
    }

    /// When the next window of a stream opens.
    pub fn next(&self, stream: &str, now: Timestamp) -> Option<Timestamp> {
        let (_, schedule) = self.schedules.iter().find(|(name, _)| name == stream)?;
        from_chrono(&schedule.after(&to_chrono(now)?).next()?)
    }
}

/// The newest opening in a span of time.
fn opening_between(schedule: &Schedule, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let until = to_chrono(until)?;
    let mut newest = None;
    // A window that opens every second is a mistake; a day's worth of minutes is enough to look through.
    for opening in schedule.after(&to_chrono(after)?).take(1500) {
        if opening > until {
            break;
        }
        newest = Some(opening);
    }
    from_chrono(&newest?)
}

fn to_chrono(at: Timestamp) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp(at.as_second(), 0)
}

fn from_chrono(at: &chrono::DateTime<chrono::Utc>) -> Option<Timestamp> {
    Timestamp::from_second(at.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(window: &str) -> Calendar {
        let stream = config::Stream { window: Some(window.to_owned()), ..config::Stream::default() };
        Calendar::new(&BTreeMap::from([("stable".to_owned(), stream)])).unwrap()
    }

    #[test]
    fn a_window_is_due_once_however_often_one_looks() {
        let calendar = calendar("0 0 6 1 * *");
        let early: Timestamp = "2026-12-01T06:00:05Z".parse().unwrap();
        let late: Timestamp = "2026-12-01T23:00:00Z".parse().unwrap();
        assert_eq!(calendar.due(early), calendar.due(late));
        assert_eq!(calendar.due(early)[0].id, "window/stable/2026-12-01T06:00:00Z");
    }

    #[test]
    fn no_window_is_due_before_it_opens_or_long_after() {
        let calendar = calendar("0 0 6 1 * *");
        assert!(calendar.due("2026-12-01T05:59:59Z".parse().unwrap()).is_empty());
        assert!(calendar.due("2026-12-02T06:00:01Z".parse().unwrap()).is_empty());
    }
}
