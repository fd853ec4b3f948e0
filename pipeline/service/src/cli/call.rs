//! What every command gets, and how it ends: settings, store, the person's name, exit codes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::output;
use crate::clock::Clock;
use crate::config::Settings;
use crate::program::Program;
use crate::store::Store;
use crate::story::teller::Teller;
use crate::web;

/// How long the user database may take to name a user.
const ID: Duration = Duration::from_secs(10);

/// How things are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Words,
    /// For programs.
    Json,
}

/// How a command ended that could be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Done,
    /// The answer is no: a candidate did not pass, a check found faults.
    No,
}

impl Ending {
    /// The exit code.
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Ending::Done => 0,
            Ending::No => 4,
        })
    }
}

/// Why a command could not be done, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is nothing by that name.
    #[error("{what}")]
    NotFound {
        /// What there is not.
        what: String,
        /// What to do next.
        next: String,
    },
    /// It cannot be done as asked.
    #[error("{what}")]
    Refused {
        /// Why.
        what: String,
        /// What to do next.
        next: String,
    },
    /// Something went wrong on the way.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// There is nothing by that name.
    pub fn not_found(what: impl Into<String>, next: impl Into<String>) -> Self {
        Failure::NotFound { what: what.into(), next: next.into() }
    }

    /// It cannot be done as asked.
    pub fn refused(what: impl Into<String>, next: impl Into<String>) -> Self {
        Failure::Refused { what: what.into(), next: next.into() }
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::NotFound { .. } => 3,
            Failure::Refused { .. } | Failure::Other(_) => 1,
        })
    }

    /// What to do next.
    pub fn next(&self) -> &str {
        match self {
            Failure::NotFound { next, .. } | Failure::Refused { next, .. } => next,
            Failure::Other(_) => {
                "Try again; if it stays so, `muster config check` names what cannot work on this machine, and the \
                 service's log may say more."
            }
        }
    }

    /// Says on standard error what went wrong and what to do next.
    pub fn report(&self, format: Format) {
        let next = self.next();
        match format {
            Format::Json => eprintln!("{}", json!({ "error": self.to_string(), "next": next })),
            Format::Words => eprintln!("muster: {self}\n  {next}"),
        }
    }

    /// The settings cannot be read or understood.
    fn settings(error: &anyhow::Error, config: Option<&Path>) -> Self {
        let file = config.unwrap_or(Path::new("muster.toml")).display();
        Failure::refused(
            format!("{error:#}"),
            format!(
                "Correct {file}, or name another file with --config; `muster config check` looks at all of it."
            ),
        )
    }

    /// The database cannot be opened.
    fn database(error: &anyhow::Error, address: &str) -> Self {
        let next = if address.starts_with("sqlite:") {
            "See that this file is the one that `muster serve` writes, that you may read and write it, and that the \
             disk is not full; `database` in [service] names it."
        } else {
            "See that the database server runs and can be reached from here; `database` in [service] is its address."
        };
        Failure::refused(format!("{error:#}"), next)
    }
}

/// What every command gets.
#[derive(Debug)]
pub struct Call {
    /// The settings.
    pub settings: Settings,
    /// The file they came from, if one was named.
    pub config: Option<PathBuf>,
    /// Words or JSON.
    pub format: Format,
    /// The time.
    pub clock: Clock,
    person: Option<String>,
}

impl Call {
    /// Reads the settings.
    pub fn new(config: Option<PathBuf>, person: Option<String>, format: Format) -> Result<Self, Failure> {
        let settings = Settings::read(config.as_deref())
            .map_err(|error| Failure::settings(&error, config.as_deref()))?;
        Ok(Call { settings, config, format, clock: Clock::system(), person })
    }

    /// The store, which must be there already.
    pub async fn store(&self) -> Result<Store, Failure> {
        let address = self.settings.database();
        let file = address.strip_prefix("sqlite://").map(|rest| rest.split('?').next().unwrap_or(rest));
        if let Some(file) = file.filter(|file| !Path::new(file).exists()) {
            return Err(Failure::refused(
                format!("there is no state at {file}"),
                "Start `muster serve` first, with the same --config and in the same folder.",
            ));
        }
        let store = Store::open(&address, self.clock.clone()).await;
        store.map_err(|error| Failure::database(&error, &address))
    }

    /// The name under which facts are recorded.
    pub async fn person(&self) -> Result<String, Failure> {
        let named = self.person.clone().filter(|name| !name.trim().is_empty());
        let login = || {
            ["USER", "LOGNAME"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()))
        };
        if let Some(name) = named.or_else(login) {
            return Ok(name);
        }
        // Services and containers often set neither; the user database still knows the name.
        let id = Program::new("id").arg("-un").limit(ID).run().await;
        let name = id.map(|finished| finished.text().trim().to_owned()).unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::refused(
                "it is not known who you are",
                "Name yourself with --as NAME, or set USER.",
            ));
        }
        Ok(name)
    }

    /// A teller of stories over the store.
    pub async fn teller(&self) -> Result<Teller, Failure> {
        Ok(Teller::new(self.store().await?, &self.settings, self.clock.clone()))
    }

    /// Says what came of it: a line for a person, or JSON.
    pub fn say(&self, words: &str, json: &impl serde::Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Words => output::line(words)?,
            Format::Json => output::json(json)?,
        }
        Ok(())
    }

    /// The address of a candidate's page.
    pub fn page(&self, id: &str) -> String {
        format!("{}{}", self.settings.url(), web::page::path(id))
    }
}

/// A moment in the past or the future: `7d`, `2h`, a date, or a full time.
pub fn moment(text: &str, now: Timestamp, direction: Direction) -> Result<Timestamp, String> {
    let advice =
        || format!("cannot understand {text:?}: say 90m, 12h, 7d or 2w, 2026-12-01, or 2026-12-01T12:00:00Z");
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        return date.to_zoned(jiff::tz::TimeZone::UTC).map(|at| at.timestamp()).map_err(|_| advice());
    }
    let unit = text.chars().last().ok_or_else(advice)?;
    let number: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| advice())?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(advice()),
    };
    let span = number.checked_mul(seconds).filter(|_| number >= 0).ok_or_else(advice)?;
    let span = jiff::SignedDuration::from_secs(span);
    let at = match direction {
        Direction::Ahead => now.checked_add(span),
        Direction::Back => now.checked_sub(span),
    };
    at.map_err(|_| advice())
}

/// Where a span without a sign leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into the future.
    Ahead,
    /// Into the past.
    Back,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_span_or_a_date_or_a_time() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let said = |text: &str, direction| moment(text, now, direction).map(|at| at.to_string());
        assert_eq!(said("7d", Direction::Ahead).unwrap(), "2026-11-28T12:00:00Z");
        assert_eq!(said("90m", Direction::Back).unwrap(), "2026-11-21T10:30:00Z");
        assert_eq!(said("2026-12-01", Direction::Ahead).unwrap(), "2026-12-01T00:00:00Z");
        assert_eq!(said("2026-12-01T08:00:00Z", Direction::Ahead).unwrap(), "2026-12-01T08:00:00Z");
        for garbage in ["", "d", "7", "-7d", "soon", "7ü", "99999999999999999999d", "9999999999w"] {
            let error = said(garbage, Direction::Ahead).unwrap_err();
            assert!(error.contains("say 90m"), "{garbage}: {error}");
        }
    }
}
