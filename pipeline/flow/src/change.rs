//! Something happened upstream. A change is a reason to look; it is never trusted as data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing that happened upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Unique: the message id, or a name made from what a sweep, the calendar or a person asked for.
    pub id: String,
    /// When it happened, as far as its origin says.
    pub at: Timestamp,
    /// How we heard of it.
    pub origin: Origin,
    /// What happened.
    pub what: What,
}

/// How we heard of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A message on the bus.
    Message {
        /// Its topic, without the prefix of the deployment.
        topic: String,
    },
    /// A periodic look at a source, which found what the bus did not say.
    Sweep {
        /// The source that was looked at.
        source: String,
    },
    /// A window of the calendar.
    Calendar,
    /// A person.
    Person {
        /// Who.
        name: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A build of a package came into a tag.
    PackageTagged {
        /// The package's name.
        package: String,
        /// Name, version and release of the build, joined by dashes.
        nvr: String,
        /// The Koji tag.
        tag: String,
    },
    /// A build of a package left a tag.
    PackageUntagged {
        /// The package's name.
        package: String,
        /// Name, version and release of the build, joined by dashes.
        nvr: String,
        /// The Koji tag.
        tag: String,
    },
    /// A package was built. It touches no image until it is tagged.
    PackageBuilt {
        /// The package's name.
        package: String,
        /// Name, version and release of the build, joined by dashes.
        nvr: String,
    },
    /// The repository of a tag was made anew.
    RepositoryRegenerated {
        /// The Koji tag.
        tag: String,
    },
    /// Commits were pushed to a repository.
    Pushed {
        /// The repository's name as its forge writes it, such as `fedora-kickstarts` or `rpms/bash`.
        repository: String,
        /// The branch.
        branch: String,
        /// The commit at the tip after the push; empty when the message does not say.
        commit: String,
        /// The files that the push says it touched; empty when the message does not say.
        files: Vec<String>,
    },
    /// A compose came to its end.
    ComposeFinished {
        /// The compose's id.
        compose: String,
        /// Its status, such as `FINISHED`.
        status: String,
    },
    /// A release window opened.
    WindowOpened {
        /// The stream that may release now.
        stream: String,
    },
    /// A person asked for a candidate.
    Requested {
        /// The recipe, or every recipe of a stream when it is `None`.
        recipe: Option<String>,
        /// The stream, for a release of everything in it.
        stream: Option<String>,
        /// What for.
        purpose: Wish,
        /// Why, in the person's words.
        reason: String,
    },
}

/// What a person may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// A build that proves a change and is not published.
    Scratch,
    /// A release outside of the calendar.
    Release,
    /// A release now, past calendar and freeze, with the same gate.
    Emergency,
}

impl Change {
    /// One line for a person.
    pub fn summary(&self) -> String {
        self.what.summary()
    }
}

impl What {
    /// One line for a person.
    pub fn summary(&self) -> String {
        match self {
            What::PackageTagged { nvr, tag, .. } => format!("{nvr} was tagged into {tag}"),
            What::PackageUntagged { nvr, tag, .. } => format!("{nvr} was untagged from {tag}"),
            What::PackageBuilt { nvr, .. } => format!("{nvr} was built"),
            What::RepositoryRegenerated { tag } => format!("the repository of {tag} was made anew"),
            What::Pushed { repository, branch, commit, .. } => {
                let short: String = commit.chars().take(10).collect();
                format!("{repository} {branch} was pushed to {short}")
            }
            What::ComposeFinished { compose, status } => format!("compose {compose} ended as {status}"),
            What::WindowOpened { stream } => format!("the release window of {stream} opened"),
            What::Requested { recipe, stream, purpose, reason } => {
                let subject = recipe.as_deref().or(stream.as_deref()).unwrap_or("everything");
                let purpose = match purpose {
                    Wish::Scratch => "a scratch candidate",
                    Wish::Release => "a release",
                    Wish::Emergency => "an emergency release",
                };
                format!("{purpose} of {subject} was asked for: {reason}")
            }
        }
    }
}
