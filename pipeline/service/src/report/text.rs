//! Text from files that a guest wrote: parts of it, fit to be shown.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::text::plain;

/// How many lines before a test's begin are shown with it.
const LINES_BEFORE: usize = 6;

/// How much of the console is shown with one test.
const EXCERPT: u64 = 12 * 1024;

/// A piece of the console: what was there just before a test began, and what came while it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The lines just before.
    pub before: String,
    /// Whether something in between is left out.
    pub gap: &'static str,
    /// The lines while it ran; the last ones, if there are too many.
    pub during: String,
}

impl Excerpt {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.during.is_empty()
    }
}

/// What the console showed between two lengths of its file.
pub fn excerpt(console: &Path, from: u64, to: u64) -> Excerpt {
    let start = from.max(to.saturating_sub(EXCERPT));
    let during = part(console, start, to);
    let before = part(console, from.saturating_sub(2048), from);
    let mut lines: Vec<&str> = before.lines().collect();
    lines.drain(..lines.len().saturating_sub(LINES_BEFORE));
    Excerpt {
        before: lines.join("\n"),
        gap: if start > from { "…" } else { "" },
        during: during.trim_end().to_owned(),
    }
}

/// The last part of a file, as text.
pub fn last_part(path: &Path, longest: u64) -> String {
    let length = std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or_default();
    part(path, length.saturating_sub(longest), length)
}

fn part(path: &Path, from: u64, to: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        // What cannot be read is not shown.
        let _ = file.seek(SeekFrom::Start(from));
        let _ = file.take(to.saturating_sub(from)).read_to_end(&mut bytes);
    }
    plain(&String::from_utf8_lossy(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_tells_what_was_before_from_what_came_during() {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console.log");
        let before = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n";
        std::fs::write(&console, format!("{before}during\nafter\n")).unwrap();
        let from = before.len() as u64;
        let excerpt = excerpt(&console, from, from + 7);
        assert_eq!(excerpt.before, "two\nthree\nfour\nfive\nsix\nseven");
        assert_eq!((excerpt.gap, excerpt.during.as_str()), ("", "during"));
    }

    #[test]
    fn of_a_long_console_the_end_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console.log");
        std::fs::write(&console, format!("{}panic\n", "x\n".repeat(20_000))).unwrap();
        let excerpt = excerpt(&console, 0, 40_006);
        assert_eq!(excerpt.gap, "…");
        assert!(excerpt.during.ends_with("panic"));
        assert!(excerpt.during.len() <= 12 * 1024);
    }
}
