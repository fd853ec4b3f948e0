//! The description of a command, and a command line read by it.
//!
//! Knows when a command lives, what its lines hold and how they are written. Must not know any single command.

use super::Syntax;
use super::fault::Fault;
use super::row::{Releases, Row, Show, Takes};
use super::values::{Value, Values};
use super::words;
use std::fmt::Write as _;

/// How a command came to an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Where it still works and something else should be written.
    pub(super) discouraged: Releases,
    /// Where it is accepted and does nothing.
    pub(super) deprecated: Releases,
    /// Where it is an error, though the name is known.
    pub(super) removed: Releases,
    /// What to do without it.
    pub(super) instead: &'static str,
}

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// One setting, which later lines change.
    Change,
    /// One more of several.
    Add,
}

/// What the words after a command are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Options and words by the rows.
    Rows,
    /// The rest of the line, as it stands.
    Raw,
    /// By the rows; words that are left over are kept under the key `rest`.
    Rest,
}

/// A command of the kickstart language.
#[derive(Debug)]
pub(super) struct Command {
    /// Its names, the one that is written first.
    pub(super) names: &'static [&'static str],
    /// What it is sorted by among commands of the same rank.
    pub(super) sort: &'static str,
    /// Commands of a lower rank are written first.
    pub(super) rank: u8,
    /// The releases that know it.
    pub(super) releases: Releases,
    /// How it ended.
    pub(super) ended: Ended,
    /// What a line says.
    pub(super) lines: Lines,
    /// What the words after it are read as.
    pub(super) reads: Reads,
    /// Its options and words, in the order in which they are written.
    pub(super) rows: &'static [Row],
    /// The comment above it, or above the first of several, with its newline.
    pub(super) comment: &'static str,
    /// What stands below the last of several.
    pub(super) below: &'static str,
    /// What is written when the kickstart has no such line.
    pub(super) absent: fn(Syntax) -> &'static str,
    /// Commands it cannot stand beside, and since when.
    pub(super) conflicts: &'static [(&'static str, Releases)],
    /// What must be true of a line beyond its rows; it may also put values in order.
    pub(super) settle: fn(&mut Occurrence, Syntax) -> Result<(), Fault>,
    /// The line when the rows do not tell how it is written: with its newline, and with the comment above it
    /// unless lines add up.
    pub(super) write: Option<fn(&Occurrence, Syntax) -> String>,
    /// The values that tell two lines of the same thing; a repetition gets a warning.
    pub(super) identity: &'static [&'static str],
}

/// A command that lives in every release, has no options, and is written when it has been seen.
pub(super) const BASE: Command = Command {
    names: &[],
    sort: "",
    rank: 0,
    releases: Releases::ALL,
    ended: Ended { discouraged: Releases(""), deprecated: Releases(""), removed: Releases(""), instead: "" },
    lines: Lines::Change,
    reads: Reads::Rows,
    rows: &[],
    comment: "",
    below: "",
    absent: |_| "",
    conflicts: &[],
    settle: |_, _| Ok(()),
    write: None,
    identity: &[],
};

impl Command {
    /// The name that is written.
    pub(super) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// A command as a kickstart uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// The name as written.
    pub(super) name: String,
    /// The rest of the line as written.
    pub(super) raw: String,
    /// Its values, those of earlier lines included when a line changes a setting.
    pub(super) values: Values,
    /// The values given on this line.
    pub(super) given: Values,
    /// The file it stands in.
    pub(super) file: String,
    /// The line it stands on.
    pub(super) line: usize,
}

impl Occurrence {
    /// The file and line.
    pub(super) fn at(&self) -> (String, usize) {
        (self.file.clone(), self.line)
    }
}

/// The line of `occurrence`, with its newline.
pub(super) fn written(command: &Command, occurrence: &Occurrence, syntax: Syntax) -> String {
    if let Some(write) = command.write {
        return write(occurrence, syntax);
    }
    let comment = if command.lines == Lines::Change { command.comment } else { "" };
    let options = options_written(command, &occurrence.values, syntax);
    format!("{comment}{}{options}\n", command.name())
}

/// The options and words of a line, each with a blank before it.
pub(super) fn options_written(command: &Command, values: &Values, syntax: Syntax) -> String {
    let mut text = String::new();
    let mut shown: Vec<&str> = Vec::new();
    for row in command.rows.iter().filter(|row| row.releases.include(syntax)) {
        if row.show == Show::Hidden || row.needs.is_some_and(|key| !shown.contains(&key)) {
            continue;
        }
        let before = text.len();
        write_row(&mut text, row, values);
        if text.len() > before {
            shown.push(row.key);
        }
    }
    text
}

fn write_row(text: &mut String, row: &Row, values: &Values) {
    let name = row.name();
    // Writing into a string cannot fail.
    let _ = match (values.find(row.key), row.takes) {
        (None, _) | (Some(_), Takes::Constants(_)) => Ok(()),
        (Some(Value::Set), _) => write!(text, " {name}"),
        (Some(Value::Text(value)), Takes::Constant(constant)) if value == constant => write!(text, " {name}"),
        (Some(Value::Text(_)), Takes::Constant(_)) => Ok(()),
        (Some(Value::Text(value)), Takes::Word | Takes::OptionalWord) => match row.show {
            Show::Quoted => write!(text, " {}", words::in_quotes(value)),
            Show::Bare | Show::Zero | Show::Hidden => write!(text, " {}", words::bare(value)),
        },
        (Some(Value::Text(value)), _) if value.is_empty() && !row.required => Ok(()),
        (Some(Value::Text(value)), _) => write!(text, " {name}={}", shown(row, value)),
        (Some(Value::Number(0)), _) if row.show != Show::Zero => Ok(()),
        (Some(Value::Number(number)), _) => write!(text, " {name}={number}"),
        (Some(Value::List(items)), Takes::Words) => {
            items.iter().try_for_each(|item| write!(text, " {}", words::bare(item)))
        }
        (Some(Value::List(items)), _) if items.is_empty() => Ok(()),
        (Some(Value::List(items)), Takes::Append) => {
            items.iter().try_for_each(|item| write!(text, " {name}={}", shown(row, item)))
        }
        (Some(Value::List(items)), _) => write!(text, " {name}={}", shown(row, &items.join(","))),
    };
}

fn shown<'a>(row: &Row, value: &'a str) -> std::borrow::Cow<'a, str> {
    match row.show {
        Show::Quoted => words::in_quotes(value).into(),
        // Nothing after the sign reads back as nothing.
        Show::Bare | Show::Zero | Show::Hidden if value.is_empty() => "".into(),
        Show::Bare | Show::Zero | Show::Hidden => words::bare(value),
    }
}

/// The words, each with a blank before it.
pub(super) fn words_written(words: &[String]) -> String {
    words.iter().fold(String::new(), |mut text, word| {
        text.push(' ');
        text.push_str(&words::bare(word));
        text
    })
}
