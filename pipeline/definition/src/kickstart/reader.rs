//! Reads files line by line: commands go by their descriptions, sections open and end, includes are followed.
//!
//! Knows the states between lines and how an included file stands in the file that includes it. Must not know
//! single commands, nor where files lie.

use super::Syntax;
use super::command::{Command, Lines, Occurrence, Reads};
use super::commands;
use super::document::Document;
use super::fault::{Fault, ReadError, Warning};
use super::options;
use super::row::{Releases, Row, Takes};
use super::section::{self, Open};
use super::values::{Value, Values};
use super::words::{self, Comments, Unsplit};
use crate::source::MOST_BYTES;
use crate::{Source, SourceError};
use std::collections::{HashMap, HashSet};

/// An include may lie this deep; nobody writes deeper ones, and the stack stays small.
const DEEPEST: usize = 40;
/// So many includes may be followed, so that few files that include each other often come to an end.
const MOST_INCLUDES: usize = 10_000;

/// Reads `path` and all it includes.
pub(super) fn read(path: &str, source: &dyn Source, syntax: Syntax) -> Result<Document, ReadError> {
    let mut reader = Reader {
        source,
        document: Document::new(syntax),
        stack: Vec::new(),
        known_files: HashSet::new(),
        section: None,
        seen: HashSet::new(),
        identities: HashSet::new(),
        rows: HashMap::new(),
        bytes: 0,
        includes: 0,
    };
    reader.file(path, None)?;
    Ok(reader.document)
}

struct Reader<'a> {
    source: &'a dyn Source,
    document: Document,
    /// The files that are being read, the root first.
    stack: Vec<String>,
    known_files: HashSet<String>,
    section: Option<Open>,
    /// The commands that have been used.
    seen: HashSet<&'static str>,
    /// What tells lines apart that add up.
    identities: HashSet<String>,
    /// The rows of a command that this release knows.
    rows: HashMap<(&'static str, &'static str), Vec<&'static Row>>,
    bytes: u64,
    includes: usize,
}

/// The lines of one file, with their numbers.
struct Text<'t> {
    file: String,
    lines: Box<dyn Iterator<Item = &'t str> + 't>,
    number: usize,
    back: Option<&'t str>,
}

impl<'t> Text<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let line = self.back.take().or_else(|| self.lines.next())?;
        self.number += 1;
        Some(line)
    }

    fn put_back(&mut self, line: &'t str) {
        self.back = Some(line);
        self.number -= 1;
    }

    fn at(&self) -> (String, usize) {
        (self.file.clone(), self.number)
    }

    fn error(&self, fault: Fault) -> ReadError {
        fault.at(&self.file, self.number)
    }

    fn split(&self, line: &str, comments: Comments) -> Result<Vec<String>, ReadError> {
        words::split(line, comments).map_err(|unsplit| {
            self.error(match unsplit {
                Unsplit::OpenQuote(mark) => Fault::new(
                    format!("{mark} on the line has no partner"),
                    "close it, or put a backslash before it",
                ),
                Unsplit::LoneBackslash => Fault::new("the file ends with a backslash", "remove it"),
            })
        })
    }
}

/// A word that holds the end of its line could not be written back.
fn fit_on_a_line(words: &[String]) -> Result<(), Fault> {
    if words.iter().any(|word| word.contains(words::ends_line)) { Err(end_of_line()) } else { Ok(()) }
}

fn end_of_line() -> Fault {
    Fault::new(
        "the end of the line belongs to its last word",
        "remove the backslash or the control character before it; lines are not continued",
    )
}

fn is_blank_or_comment(line: &str) -> bool {
    let start = line.trim_start_matches(words::is_blank);
    start.is_empty() || start.starts_with('#')
}

impl Reader<'_> {
    fn file(&mut self, path: &str, including: Option<&Text<'_>>) -> Result<(), ReadError> {
        let included_from = including.map(|text| text.file.as_str());
        let error = |fault: Fault| match including {
            Some(text) => text.error(fault),
            None => fault.at(path, 0),
        };
        let (file, content) = self.source.text(path, included_from).map_err(|cause| {
            let is_missing = matches!(cause, SourceError::Missing(_)) && including.is_some();
            let instead = if is_missing { "add the file, or correct the path" } else { "" };
            error(Fault::new(cause.to_string(), instead))
        })?;
        self.limits(&file, content.len()).map_err(error)?;
        self.stack.push(file.clone());
        if self.known_files.insert(file.clone()) {
            self.document.files.push(file.clone());
        }
        let mut text = Text { file, lines: Box::new(words::lines(&content)), number: 0, back: None };
        self.lines(&mut text)?;
        self.stack.pop();
        Ok(())
    }

    fn limits(&mut self, file: &str, bytes: usize) -> Result<(), Fault> {
        if self.stack.iter().any(|open| open == file) {
            let circle = self.stack.join(" -> ");
            return Err(Fault::new(
                format!("{file} includes itself: {circle} -> {file}"),
                "take one of these includes out",
            ));
        }
        self.bytes += bytes as u64;
        self.includes += 1;
        if self.stack.len() >= DEEPEST || self.includes > MOST_INCLUDES {
            return Err(Fault::new(
                "there are too many includes",
                format!("stay below {MOST_INCLUDES} includes, {DEEPEST} deep"),
            ));
        }
        if self.bytes > MOST_BYTES {
            return Err(Fault::new(
                format!("the text is larger than {} MiB with all its includes", MOST_BYTES >> 20),
                "keep large data beside the kickstart, and fetch it where it is needed",
            ));
        }
        Ok(())
    }

    fn is_included(&self) -> bool {
        self.stack.len() > 1
    }

    fn lines(&mut self, text: &mut Text<'_>) -> Result<(), ReadError> {
        while let Some(line) = text.next() {
            if is_blank_or_comment(line) {
                if let (Some(platform), None) = (line.strip_prefix("#platform="), &self.section) {
                    words::trimmed(platform).clone_into(&mut self.document.platform);
                }
                continue;
            }
            let words = text.split(line, Comments::Dropped)?;
            let first = words.first().map(String::as_str).unwrap_or_default();
            if is_include(first) {
                self.include(&words, text)?;
            } else if self.section.is_some() {
                self.left_open(text)?;
                text.put_back(line);
                self.section(text)?;
            } else if first.starts_with('%') {
                fit_on_a_line(&words).map_err(|fault| text.error(fault))?;
                let (open, deprecated) =
                    section::open(words, text.at(), &mut self.document).map_err(|fault| text.error(fault))?;
                self.warn_of_rows(text, &deprecated);
                self.section = Some(open);
                self.section(text)?;
            } else {
                self.command(&words, line, text)?;
            }
        }
        self.end_of_file(text)
    }

    fn end_of_file(&mut self, text: &Text<'_>) -> Result<(), ReadError> {
        match &self.section {
            // An included file left it open, and nothing is lost, as packages are taken line by line.
            Some(open) if !self.is_included() && open.name == "%packages" && open.at.0 != text.file => {
                let (file, line) = open.at.clone();
                let what = "the section %packages is not ended; write %end where it ends".to_owned();
                self.document.warnings.push(Warning { file, line, what });
                Ok(())
            }
            _ => self.left_open(text),
        }
    }

    /// In the root file every section has ended before the next line outside it.
    fn left_open(&mut self, text: &Text<'_>) -> Result<(), ReadError> {
        if self.is_included() {
            return Ok(());
        }
        let Some(open) = &self.section else { return Ok(()) };
        let fault = Fault::new(format!("the section {} is not ended", open.name), "write %end where it ends");
        let (file, line) = open.at.clone();
        // The root's own sections end with the file at the latest, before F8.
        if file == text.file && Releases("F7").include(self.document.syntax) {
            return self.close(text);
        }
        Err(fault.at(&file, line))
    }

    fn include(&mut self, words: &[String], text: &Text<'_>) -> Result<(), ReadError> {
        match words.get(1).filter(|path| !path.is_empty()) {
            Some(path) => self.file(path, Some(text)),
            None => Err(text.error(Fault::new("nothing stands after %include", "write %include PATH"))),
        }
    }

    /// The lines of the open section, up to its end or that of the file.
    fn section(&mut self, text: &mut Text<'_>) -> Result<(), ReadError> {
        while let Some(line) = text.next() {
            let keeps_every_line = self.section.as_ref().is_some_and(Open::keeps_every_line);
            if !keeps_every_line && is_blank_or_comment(line) {
                continue;
            }
            let start = line.trim_start_matches(words::is_blank);
            let word = start.split(words::is_blank).next().unwrap_or_default();
            let special = word == "%end" || is_include(word) || section::NAMES.contains(&word);
            if !special {
                self.section_line(line, text)?;
                continue;
            }
            let words = text.split(line, Comments::Kept)?;
            let first = words.first().map(String::as_str).unwrap_or_default();
            if first == "%end" {
                return self.close(text);
            } else if is_include(first) {
                self.include_in_section(&words, text)?;
            } else if section::NAMES.contains(&first) {
                return self.next_section(line, text);
            }
        }
        Ok(())
    }

    fn section_line(&mut self, line: &str, text: &Text<'_>) -> Result<(), ReadError> {
        match &mut self.section {
            Some(open) => open.line(line, &mut self.document).map_err(|fault| text.error(fault)),
            None => Ok(()),
        }
    }

    fn include_in_section(&mut self, words: &[String], text: &Text<'_>) -> Result<(), ReadError> {
        let before = self.section.as_ref().filter(|open| open.name == "%packages").cloned();
        self.include(words, text)?;
        if self.section.is_some() {
            return Ok(());
        }
        match before {
            // The included file has ended the section; of packages that does no harm.
            Some(open) => {
                self.section = Some(open);
                Ok(())
            }
            None => Err(text.error(Fault::new(
                "the included file ends the section of the file that includes it",
                "take %end out of the included file",
            ))),
        }
    }

    /// A section begins inside another one.
    fn next_section<'t>(&mut self, line: &'t str, text: &mut Text<'t>) -> Result<(), ReadError> {
        if Releases("F7").include(self.document.syntax) {
            text.put_back(line);
            return self.close(text);
        }
        let name = self.section.as_ref().map(|open| open.name).unwrap_or_default();
        Err(text.error(Fault::new(
            format!("a section begins inside {name}"),
            "end that section with %end first; in a script, move the word away from the start of the line",
        )))
    }

    fn close(&mut self, text: &Text<'_>) -> Result<(), ReadError> {
        match self.section.take() {
            Some(open) => open.close(&mut self.document).map_err(|fault| text.error(fault)),
            None => Ok(()),
        }
    }

    fn command(&mut self, words: &[String], line: &str, text: &Text<'_>) -> Result<(), ReadError> {
        let name = words.first().map(String::as_str).unwrap_or_default();
        let error = |fault: Fault| text.error(Fault { what: format!("{name}: {}", fault.what), ..fault });
        let command = commands::find(name, self.document.syntax).map_err(|fault| text.error(fault))?;
        let syntax = self.document.syntax;
        self.seen.insert(command.name());
        let conflicting =
            |(name, releases): &&(&str, Releases)| releases.include(syntax) && self.seen.contains(*name);
        if let Some((other, _)) = command.conflicts.iter().find(conflicting) {
            return Err(error(Fault::new(
                format!("{} and {other} exclude each other", command.name()),
                format!("keep either {} or {other}", command.name()),
            )));
        }
        let ended = command.ended;
        if ended.removed.include(syntax) {
            return Err(error(Fault::new(format!("{syntax} has removed the command"), ended.instead)));
        }
        if ended.deprecated.include(syntax) {
            self.warn(text, format!("{name} does nothing in {syntax}; {}", ended.instead));
            return Ok(());
        }
        if ended.discouraged.include(syntax) {
            self.warn(text, format!("{name} will be removed; {}", ended.instead));
        }
        let occurrence = self.occurrence(command, words, line, text).map_err(error)?;
        fit_on_a_line(words).map_err(error)?;
        self.keep(command, occurrence, text).map_err(error)
    }

    fn occurrence(
        &mut self,
        command: &'static Command,
        words: &[String],
        line: &str,
        text: &Text<'_>,
    ) -> Result<Occurrence, Fault> {
        let syntax = self.document.syntax;
        let name = words.first().cloned().unwrap_or_default();
        let raw = words::trimmed(line).strip_prefix(name.as_str()).map(words::trimmed).unwrap_or_default();
        let mut occurrence = Occurrence {
            raw: raw.to_owned(),
            values: self.values_before(command),
            given: Values::default(),
            file: text.file.clone(),
            line: text.number,
            name,
        };
        if command.reads == Reads::Raw {
            // Without the blank behind it, a backslash would take the end of the line.
            words::split(raw, Comments::Dropped).map_err(|_| end_of_line())?;
        } else {
            let rows = self.rows(command);
            let mut given = options::parse(words.get(1..).unwrap_or_default(), &rows, syntax)?;
            take_left_over(command, &mut given, syntax)?;
            occurrence.values.defaults(&rows);
            occurrence.values.overlay(given.values.clone());
            occurrence.given = given.values;
            self.warn_of_rows(text, &given.deprecated);
        }
        (command.settle)(&mut occurrence, syntax)?;
        Ok(occurrence)
    }

    fn values_before(&self, command: &'static Command) -> Values {
        let before = match command.lines {
            Lines::Change => self.document.commands.get(&(command.rank, command.sort)),
            Lines::Add => None,
        };
        before.and_then(|(_, lines)| lines.first()).map(|line| line.values.clone()).unwrap_or_default()
    }

    fn rows(&mut self, command: &'static Command) -> Vec<&'static Row> {
        let syntax = self.document.syntax;
        let rows = self
            .rows
            .entry((command.name(), command.sort))
            .or_insert_with(|| command.rows.iter().filter(|row| row.releases.include(syntax)).collect());
        rows.clone()
    }

    fn keep(
        &mut self,
        command: &'static Command,
        occurrence: Occurrence,
        text: &Text<'_>,
    ) -> Result<(), Fault> {
        if let Some(what) = identity(command, &occurrence.values) {
            let repeated = !self.identities.insert(format!("{} {what}", command.name()));
            if repeated && command.name() == "snapshot" {
                return Err(Fault::new(format!("snapshot {what} is there already"), "choose another name"));
            }
            if repeated {
                self.warn(text, format!("{} {what} is there already", command.name()));
            }
        }
        let (_, lines) = self
            .document
            .commands
            .entry((command.rank, command.sort))
            .or_insert_with(|| (command, Vec::new()));
        if command.lines == Lines::Change {
            lines.clear();
        }
        lines.push(occurrence);
        Ok(())
    }

    fn warn(&mut self, text: &Text<'_>, what: String) {
        self.document.warnings.push(Warning { file: text.file.clone(), line: text.number, what });
    }

    fn warn_of_rows(&mut self, text: &Text<'_>, rows: &[&'static Row]) {
        for row in rows {
            let instead = if row.instead.is_empty() { "leave it out" } else { row.instead };
            self.warn(text, format!("{} is deprecated in {}; {instead}", row.name(), self.document.syntax));
        }
    }
}

fn is_include(word: &str) -> bool {
    word == "%include" || word == "%ksappend"
}

fn take_left_over(command: &Command, given: &mut options::Given, syntax: Syntax) -> Result<(), Fault> {
    let strange = match command.reads {
        // They are written behind the options, where a word of blanks and a dash would be no word any more.
        Reads::Rest => {
            let words = given.values.list("words").iter().chain(&given.left_over);
            words.into_iter().find(|word| word.starts_with('-'))
        }
        Reads::Rows | Reads::Raw => given.left_over.first(),
    };
    if let Some(word) = strange {
        return Err(options::strange(command.rows, word, syntax));
    }
    if command.reads == Reads::Rest && !given.left_over.is_empty() {
        given.values.append("rest", std::mem::take(&mut given.left_over));
    }
    Ok(())
}

/// What tells a line from others of the command, if they must differ.
fn identity(command: &Command, values: &Values) -> Option<String> {
    let parts: Vec<String> = command
        .identity
        .iter()
        .filter_map(|key| values.text(key).map(str::to_owned).or_else(|| values.list(key).first().cloned()))
        .collect();
    let identity = parts.join(" ");
    (!identity.is_empty() && identity != "swap").then_some(identity)
}

impl Values {
    /// What a line says about options it does not give: flags are off, and some options have a default.
    fn defaults(&mut self, rows: &[&'static Row]) {
        for row in rows {
            match (row.takes, row.default) {
                (Takes::Nothing, _) => self.unset(row.key),
                (Takes::Number, Some(default)) => {
                    self.set(row.key, Value::Number(default.parse().unwrap_or_default()));
                }
                (_, Some(default)) => self.set_text(row.key, default),
                (_, None) => {}
            }
        }
    }
}
