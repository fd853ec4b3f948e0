//! How events are shown: lines that stay, and on a terminal a foot with running work that is drawn anew.

use std::fmt::Write;

use anyhow::Result;
use jiff::Timestamp;

use super::{Event, Running};
use crate::cli::output;
use crate::story::words;

/// Used when the terminal does not say how wide it is.
const WIDTH: usize = 100;

/// How many running steps the foot shows.
const FOOT: usize = 8;

pub(super) struct Screen {
    is_live: bool,
    /// How many lines of foot are on the screen.
    drawn: usize,
}

impl Screen {
    pub(super) fn new(is_live: bool) -> Self {
        Screen { is_live, drawn: 0 }
    }

    /// Tells an event in a line that stays.
    pub(super) fn tell(&mut self, event: &Event, now: Timestamp) -> Result<()> {
        let line = match event {
            Event::Service(service) => {
                let notice = service.notice().unwrap_or_else(|| "The service runs again.".to_owned());
                said(now, "muster", &notice)
            }
            Event::Journal(line) => said(line.at, line.candidate.as_deref().unwrap_or("-"), &line.text),
            // The foot shows it.
            Event::Progress { .. } if self.is_live => return Ok(()),
            Event::Progress { step, note } => said(now, step, note),
            // The journal says it in the same words.
            Event::Finished { .. } => return Ok(()),
        };
        self.clear()?;
        output::line(&line)
    }

    /// Draws the foot anew.
    pub(super) fn foot(&mut self, running: &[Running], now: Timestamp) -> Result<()> {
        if !self.is_live {
            return Ok(());
        }
        self.clear()?;
        let width = width();
        let mut lines: Vec<String> =
            running.iter().take(FOOT).map(|running| foot_line(running, now)).collect();
        if running.len() > FOOT {
            lines.push(format!("  and {} more", running.len() - FOOT));
        }
        // A line that wraps would be two, and the next drawing would leave its rest behind.
        let cut = |line: &String| line.chars().take(width.saturating_sub(1)).collect::<String>() + "\n";
        self.drawn = lines.len();
        output::write(&lines.iter().map(cut).collect::<String>())
    }

    fn clear(&mut self) -> Result<()> {
        if self.drawn > 0 {
            output::write(&format!("\u{1b}[{}A\u{1b}[J", self.drawn))?;
            self.drawn = 0;
        }
        Ok(())
    }
}

fn said(at: Timestamp, subject: &str, text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut said =
        format!("{}  {}  {}", at.strftime("%H:%M:%S"), output::plain(subject), output::plain(first));
    for line in lines {
        let _ = write!(said, "\n          {}", output::plain(line));
    }
    said
}

fn foot_line(running: &Running, now: Timestamp) -> String {
    let for_now = words::span((now - running.since).get_seconds());
    let note = running.note.lines().next().unwrap_or_default();
    format!("  ◐ {}  {for_now}  {}", output::plain(&running.key), output::plain(note))
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0).unwrap_or(WIDTH)
}
