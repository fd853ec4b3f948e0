//! Reads the words after a command by the rows of its description.
//!
//! Knows how the installer matches options: abbreviations, `--option value` and `--option=value`, words
//! between options. Must not know any single command.

use super::Syntax;
use super::fault::Fault;
use super::row::{Row, Takes};
use super::values::{Value, Values};

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The values that were given.
    pub(super) values: Values,
    /// Words and options nothing took, in order.
    pub(super) left_over: Vec<String>,
    /// Deprecated options that were used.
    pub(super) deprecated: Vec<&'static Row>,
}

/// Reads `words` by `rows`, which must be those of one release.
pub(super) fn parse(words: &[String], rows: &[&'static Row], syntax: Syntax) -> Result<Given, Fault> {
    let mut reading = Reading { rows, syntax, given: Given::default(), places: places(rows) };
    let mut rest = words;
    while let Some(word) = rest.first() {
        if word == "--" {
            // What is flattened is written without it, where such a word would be an option.
            let mut words = rest[1..].iter().take_while(|word| *word != "--");
            if let Some(word) = words.find(|word| !reading.is_word(word)) {
                return Err(Fault::new(format!("{word} looks like an option"), "write another word"));
            }
            rest = reading.take_words(&rest[1..], |_, _| true);
            continue;
        }
        match reading.find(word)? {
            Found::Word => rest = reading.take_words(rest, Reading::is_word),
            Found::Unknown => {
                reading.given.left_over.push(word.clone());
                rest = &rest[1..];
            }
            Found::Option(row, value) => rest = reading.take_option(row, value, &rest[1..])?,
        }
    }
    reading.complete()?;
    Ok(reading.given)
}

fn places(rows: &[&'static Row]) -> std::collections::VecDeque<&'static Row> {
    rows.iter().copied().filter(|row| row.is_word()).collect()
}

struct Reading<'a> {
    rows: &'a [&'static Row],
    syntax: Syntax,
    given: Given,
    /// Rows for words that have not been filled.
    places: std::collections::VecDeque<&'static Row>,
}

enum Found {
    Word,
    Unknown,
    Option(&'static Row, Option<String>),
}

impl Reading<'_> {
    fn find(&self, word: &str) -> Result<Found, Fault> {
        if !word.starts_with('-') || word == "-" {
            return Ok(Found::Word);
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word, None),
        };
        let options = || self.rows.iter().copied().filter(|row| !row.is_word());
        if let Some(row) = options().find(|row| row.spellings.contains(&name)) {
            return Ok(Found::Option(row, value));
        }
        let mut matches = options()
            .flat_map(|row| row.spellings.iter().map(move |spelling| (row, *spelling)))
            .filter(|(_, spelling)| spelling.starts_with(name));
        match (matches.next(), matches.next()) {
            (Some((row, _)), None) => Ok(Found::Option(row, value)),
            (Some((_, one)), Some((_, other))) => {
                Err(Fault::new(format!("{name} may mean {one} or {other}"), "write the option in full"))
            }
            (None, _) if is_negative_number(word) || word.contains(' ') => Ok(Found::Word),
            (None, _) => Ok(Found::Unknown),
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.find(word), Ok(Found::Word))
    }

    /// Takes the words up to one that is none; those no place takes are left over.
    fn take_words<'w>(&mut self, words: &'w [String], is_word: impl Fn(&Self, &str) -> bool) -> &'w [String] {
        let run = words.iter().take_while(|word| *word != "--" && is_word(self, word)).count();
        let (mut run, rest) = words.split_at(run);
        while let (Some(first), Some(place)) = (run.first(), self.places.pop_front()) {
            if place.takes == Takes::Words {
                self.given.values.append(place.key, run.iter().cloned());
                run = &[];
            } else {
                self.given.values.set_text(place.key, first.clone());
                run = &run[1..];
            }
        }
        // Places that may stay empty are settled by the first run of words, as the installer does it.
        while self.places.front().is_some_and(|place| place.takes != Takes::Word) {
            self.places.pop_front();
        }
        self.given.left_over.extend(run.iter().cloned());
        rest
    }

    fn take_option<'w>(
        &mut self,
        row: &'static Row,
        value: Option<String>,
        rest: &'w [String],
    ) -> Result<&'w [String], Fault> {
        if row.deprecated.is_some_and(|releases| releases.include(self.syntax)) {
            self.given.deprecated.push(row);
        }
        let values = &mut self.given.values;
        match (row.takes, value) {
            (Takes::Nothing | Takes::Constant(_) | Takes::Constants(_), Some(value)) => {
                return Err(Fault::new(
                    format!("{} takes no value, and {value:?} is given", row.name()),
                    format!("write {} alone", row.name()),
                ));
            }
            (Takes::Nothing, None) => values.set(row.key, Value::Set),
            (Takes::Constant(text), None) => values.set_text(row.key, text),
            (Takes::Constants(texts), None) => {
                values.append(row.key, texts.iter().map(|text| (*text).to_owned()));
            }
            (_, Some(value)) => store(values, row, value)?,
            (takes, None) => {
                let next = rest.first().filter(|word| self.is_word(word));
                let values = &mut self.given.values;
                match next {
                    Some(word) => {
                        store(values, row, word.clone())?;
                        return Ok(&rest[1..]);
                    }
                    None if takes == Takes::OptionalText => values.set_text(row.key, ""),
                    None => {
                        return Err(Fault::new(
                            format!("{} has no value", row.name()),
                            format!("write {}=VALUE", row.name()),
                        ));
                    }
                }
            }
        }
        Ok(rest)
    }

    fn complete(&self) -> Result<(), Fault> {
        if let Some(place) = self.places.iter().find(|place| place.takes == Takes::Word) {
            return Err(Fault::new(
                format!("the {} is missing", place.name()),
                format!("write the {} after the command", place.name()),
            ));
        }
        match self.rows.iter().find(|row| row.required && !self.given.values.has(row.key)) {
            Some(row) => {
                Err(Fault::new(format!("{} is missing", row.name()), format!("add {}=VALUE", row.name())))
            }
            None => Ok(()),
        }
    }
}

/// Why `word`, which nothing took, cannot stand there; `all` are the rows of every release.
pub(super) fn strange(all: &[Row], word: &str, syntax: Syntax) -> Fault {
    if word.trim().is_empty() {
        return Fault::new("a backslash does not continue a line", "write the command on one line");
    }
    if let Some(row) = all.iter().find(|row| row.name().strip_prefix("--") == Some(word)) {
        return Fault::new(format!("{word} is no word of its own here"), format!("write {}", row.name()));
    }
    if !word.starts_with('-') {
        return Fault::new(
            format!("nothing is expected at {word:?}"),
            "remove it; a list has no blanks after its commas, and a value with blanks stands in quotes",
        );
    }
    let name = word.split('=').next().unwrap_or(word);
    let elsewhere = all.iter().find(|row| row.spellings.contains(&name));
    let same = |row: &&Row| row.releases.include(syntax) && elsewhere.is_some_and(|gone| gone.key == row.key);
    match elsewhere {
        Some(row) if row.releases.next_after(syntax).is_some() => {
            let first = row.releases.next_after(syntax).map(|first| first.to_string()).unwrap_or_default();
            Fault::new(
                format!("{syntax} does not know {name}"),
                format!("it came with {first}: leave it out"),
            )
        }
        Some(row) => {
            let instead = match all.iter().find(same) {
                _ if !row.instead.is_empty() => row.instead.to_owned(),
                Some(other) => format!("write {}", other.name()),
                None => "leave it out".to_owned(),
            };
            Fault::new(format!("{syntax} does not know {name} any more"), instead)
        }
        None => {
            let options: Vec<&str> = all
                .iter()
                .filter(|row| row.releases.include(syntax) && !row.is_word())
                .map(Row::name)
                .collect();
            let instead = if options.is_empty() {
                "the command takes no options".to_owned()
            } else {
                format!("there are {}", options.join(", "))
            };
            Fault::new(format!("there is no option {name}"), instead)
        }
    }
}

/// `-5` and `-.5` are words, as no option looks like a number.
fn is_negative_number(word: &str) -> bool {
    let Some(digits) = word.strip_prefix('-') else { return false };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let are_digits = |part: &str| part.chars().all(|char| char.is_ascii_digit());
    !fraction.is_empty()
        && are_digits(whole)
        && are_digits(fraction)
        && (digits.contains('.') || !whole.is_empty())
}

fn store(values: &mut Values, row: &'static Row, text: String) -> Result<(), Fault> {
    let refuse = |expected: String| {
        Err(Fault::new(format!("{}={text} is not possible", row.name()), format!("write {expected}")))
    };
    match row.takes {
        Takes::Number => match number(&text) {
            Some(number) => values.set(row.key, Value::Number(number)),
            None => return refuse(format!("a whole number after {}=", row.name())),
        },
        Takes::Boolean => match text.to_ascii_lowercase().as_str() {
            "on" | "yes" | "true" | "1" => values.set_text(row.key, "on"),
            "off" | "no" | "false" | "0" => values.set_text(row.key, "off"),
            _ => return refuse("on or off".to_owned()),
        },
        Takes::Choice(choices) if !choices.contains(&text.as_str()) => {
            return refuse(format!("one of {}", choices.join(", ")));
        }
        Takes::Means(meanings) => {
            let Some((_, meaning)) =
                meanings.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(&text))
            else {
                let spellings: Vec<&str> = meanings.iter().map(|(spelling, _)| *spelling).collect();
                return refuse(format!("one of {}", spellings.join(", ")));
            };
            values.set_text(row.key, *meaning);
        }
        Takes::List => values.set(row.key, Value::List(items(&text))),
        Takes::Lists => values.append(row.key, items(&text)),
        Takes::Ports => values.append(row.key, text.split(',').map(port)),
        Takes::Append => values.append(row.key, [text]),
        Takes::Nothing
        | Takes::Constant(_)
        | Takes::Constants(_)
        | Takes::Text
        | Takes::OptionalText
        | Takes::Choice(_)
        | Takes::Word
        | Takes::OptionalWord
        | Takes::Words => values.set_text(row.key, text),
    }
    Ok(())
}

fn number(text: &str) -> Option<i64> {
    let digits = text.trim();
    let between = digits.split('_').all(|part| !part.is_empty());
    if between { digits.replace('_', "").parse().ok() } else { None }
}

fn items(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn port(text: &str) -> String {
    let port = text.trim();
    if port.contains(':') { port.to_owned() } else { format!("{port}:tcp") }
}
