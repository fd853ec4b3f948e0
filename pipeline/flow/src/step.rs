//! One piece of outside work: its key, what is asked for, and how far it has got.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of outside work.
pub trait Work: Send + Sync + 'static {
    /// The kind's name in keys and rows. It is a durable contract.
    const NAME: &'static str;
    /// What is asked for.
    type Request: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync;
    /// What comes of it.
    type Output: Serialize + DeserializeOwned + Clone + fmt::Debug + PartialEq + Send + Sync;

    /// Whose room it takes.
    fn place(_request: &Self::Request) -> Place {
        Place::Here
    }
}

/// Whose room a piece of work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This machine's: few at once.
    Here,
    /// That of another system, which is only watched.
    Elsewhere,
}

impl Place {
    /// The word for it in rows. It is a durable contract.
    pub fn word(self) -> &'static str {
        match self {
            Place::Here => "",
            Place::Elsewhere => "elsewhere",
        }
    }
}

/// Names one piece of work: a pure function of its purpose, such as `cloud-base/43.20261121.0/build/x86_64`.
///
/// A person's "try again" makes a new generation, `...#2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(pub String);

impl StepKey {
    /// The key of `generation` (from 1) of the work named by `base`.
    pub fn of_generation(base: &str, generation: u32) -> Self {
        if generation <= 1 { StepKey(base.to_owned()) } else { StepKey(format!("{base}#{generation}")) }
    }

    /// The key without its generation.
    pub fn base(&self) -> &str {
        self.0.rsplit_once('#').map_or(self.0.as_str(), |(base, _)| base)
    }

    /// Which try it names, from 1.
    pub fn generation(&self) -> u32 {
        self.0.rsplit_once('#').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
    }

    /// The key of the try before, if there was one.
    pub fn previous(&self) -> Option<StepKey> {
        let generation = self.generation();
        (generation > 1).then(|| StepKey::of_generation(self.base(), generation - 1))
    }

    /// The key as it may stand in a file name, a tag or a label: slashes and hashes become dots.
    pub fn flat(&self) -> String {
        self.0.replace(['/', '#'], ".")
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What an outside system calls the work: a task id, a folder, a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// How far a piece of work has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress<O> {
    /// Recorded, and not begun.
    Wanted,
    /// Begun outside.
    Running(Handle),
    /// Done. A red test is an output, not a failure.
    Succeeded(O),
    /// We could not do it, or could not find out; the reason is for a person.
    Failed(String),
    /// Stopped because nobody wants it any more.
    Cancelled,
}

/// One piece of outside work of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step<W: Work> {
    /// Its name.
    pub key: StepKey,
    /// What is asked for.
    pub request: W::Request,
    /// How far it has got.
    pub progress: Progress<W::Output>,
}

impl<W: Work> Step<W> {
    /// What came of it, once it succeeded.
    pub fn output(&self) -> Option<&W::Output> {
        match &self.progress {
            Progress::Succeeded(output) => Some(output),
            Progress::Wanted | Progress::Running(_) | Progress::Failed(_) | Progress::Cancelled => None,
        }
    }

    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        match &self.progress {
            Progress::Succeeded(_) | Progress::Failed(_) | Progress::Cancelled => true,
            Progress::Wanted | Progress::Running(_) => false,
        }
    }
}

/// Work that should be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted<W: Work> {
    /// Its name.
    pub key: StepKey,
    /// What is asked for.
    pub request: W::Request,
}
