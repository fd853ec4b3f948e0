//! Writing to the terminal: a reader that goes away is no error, and colour is only for terminals.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::story::mark::Mark;
use crate::story::service::Service;
use crate::text;

pub use text::plain;

/// Writes one line, or several.
pub fn line(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Writes a value as one JSON document.
pub fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string_pretty(value).context("cannot write JSON")?)
}

/// Writes a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string(value).context("cannot write JSON")?)
}

/// Writes text as it is.
pub fn write(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `muster show ... | head` has seen what it wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.context("cannot write to standard output"),
    }
}

/// Whether people look at it in a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A mark with its shape and word, in colour on a terminal.
pub fn mark(mark: Mark) -> String {
    paint(mark, &format!("{} {}", mark.shape(), mark.word()))
}

/// Text in the colour of a mark, on a terminal.
pub fn paint(mark: Mark, text: &str) -> String {
    if !is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match mark {
        Mark::Passed | Mark::Done => "32",
        Mark::Failed | Mark::Missing => "31;1",
        Mark::InfraError | Mark::Held => "33",
        Mark::Running | Mark::Queued => "34",
        Mark::Waived | Mark::ExpectedFailure => "35",
        Mark::NotYet | Mark::GivenUp | Mark::Skipped => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// What stands above everything else while the service does not run; empty while it does.
pub fn notice(service: &Service) -> String {
    let notice = service.notice().map(|notice| paint(Mark::Failed, &wrap(&notice, "", 100)));
    notice.map(|notice| format!("{notice}\n\n")).unwrap_or_default()
}

/// Text in lines of at most `width` characters, each behind `indent`.
pub fn wrap(text: &str, indent: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in plain(text).lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let room = width.saturating_sub(indent.chars().count());
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.iter().map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_behind_its_indent() {
        assert_eq!(wrap("one two three", "  ", 10), "  one two\n  three");
        assert_eq!(wrap("", "  ", 10), "");
    }
}
