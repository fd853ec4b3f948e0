//! The configuration: one TOML file, a section per adapter, owned by the adapter.
//!
//! Without a file the embedded defaults run everything on one machine. A key that nobody knows is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::SignedDuration;
use muster_flow::batch;
use muster_flow::recipe::{Recipe, Repository, Signatures};
use serde::Deserialize;

use crate::adapters;
use crate::blame;

/// Everything that can be set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where state and pages live.
    pub service: Service,
    /// Where recipes, definitions and smoketests are read from.
    pub definitions: adapters::definitions::Settings,
    /// Where recipes take packages from that do not say it themselves.
    pub packages: PackageSources,
    /// The engine's pace.
    pub engine: Engine,
    /// How it is found out what made a candidate red.
    pub blame: blame::Settings,
    /// How long the database keeps what is over.
    pub retention: Retention,
    /// The bus; without it only people, sweeps and the calendar bring changes.
    pub bus: Option<adapters::fedora_messaging::Settings>,
    /// The Koji hub that builds the images whose recipes say so.
    pub koji: Option<adapters::koji::Settings>,
    /// The ImageFactory that builds the images whose recipes say so.
    pub imagefactory: Option<adapters::imagefactory::Settings>,
    /// The local builder.
    pub builder: adapters::local::Settings,
    /// The QEMU cloudlet.
    pub cloudlet: adapters::qemu::Settings,
    /// Destinations by the names that recipes use.
    pub destinations: BTreeMap<String, adapters::destination::Settings>,
    /// Who signs.
    pub signing: adapters::signer::Settings,
    /// The streams by name.
    pub streams: BTreeMap<String, Stream>,
}

/// Where state and pages live.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Service {
    /// The folder for everything that is kept on this machine.
    pub state: PathBuf,
    /// The database's address, `sqlite://FILE` or `postgres://...`; a SQLite file in the state folder by default.
    pub database: Option<String>,
    /// The address that pages and the mirror are served on.
    pub listen: String,
    /// The address at which strangers reach it, without a slash at the end; made from `listen` by default.
    pub url: Option<String>,
    /// Days that the files of a finished candidate which no stream points at are kept on this machine.
    pub keep_days: i64,
}

impl Service {
    /// How long what only serves to look things up, or to try again, is kept.
    pub fn keep(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * self.keep_days)
    }
}

impl Default for Service {
    fn default() -> Self {
        Service {
            state: PathBuf::from(".muster/state"),
            database: None,
            listen: "127.0.0.1:8380".to_owned(),
            url: None,
            keep_days: 7,
        }
    }
}

/// Where recipes take packages from that do not say it themselves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackageSources {
    /// Package repositories; they stand in for those that definitions name.
    pub repositories: Vec<Repository>,
    /// Whether packages from them must be signed.
    pub signatures: Signatures,
}

impl PackageSources {
    /// A recipe with these repositories, if it names none.
    #[must_use]
    pub fn complete(&self, mut recipe: Recipe) -> Recipe {
        if recipe.packages.repositories.is_empty() {
            recipe.packages.repositories.clone_from(&self.repositories);
            recipe.packages.signatures = self.signatures;
        }
        recipe
    }
}

/// The engine's pace.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Milliseconds between two looks when nothing wakes the engine.
    pub tick_ms: u64,
    /// Milliseconds between two looks at work that goes on outside.
    pub look_ms: i64,
    /// Seconds between two sweeps for what the bus did not say.
    pub sweep_s: u64,
    /// Seconds that a message may be later than a sweep before it counts as lost.
    pub grace_s: i64,
    /// Seconds without a change before a scratch candidate starts.
    pub quiet_s: i64,
    /// Seconds after which a scratch candidate starts although changes still come.
    pub at_most_s: i64,
    /// Builds that run at once on this machine.
    pub parallel_builds: u32,
    /// Builds that run at once elsewhere, such as on Koji.
    pub parallel_builds_elsewhere: u32,
    /// Boots that run at once on this machine.
    pub parallel_smoketests: u32,
    /// How often a build or a boot is tried to be begun before it fails; what is away is waited for until its deadline.
    pub attempts: u32,
    /// Seconds before the second try; it doubles up to an hour.
    pub backoff_s: i64,
    /// Hours a build, and a boot, may take.
    pub deadline_hours: i64,
}

impl Default for Engine {
    fn default() -> Self {
        Engine {
            tick_ms: 500,
            look_ms: 250,
            sweep_s: 300,
            grace_s: 900,
            quiet_s: 60,
            at_most_s: 900,
            parallel_builds: 1,
            parallel_builds_elsewhere: 50,
            parallel_smoketests: 1,
            attempts: 6,
            backoff_s: 5,
            deadline_hours: 6,
        }
    }
}

/// How long the database keeps what is over, in days.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Messages that were digested. It must be longer than the broker may deliver a message again.
    pub messages_days: i64,
    /// Changes that were weighed, and who told of what first. A release window of the last day is known by its change, so
    /// that less than two days count as two.
    pub changes_days: i64,
    /// Journal lines of finished candidates.
    pub journal_days: i64,
    /// Parked messages that were dropped.
    pub parked_days: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { messages_days: 30, changes_days: 90, journal_days: 365, parked_days: 90 }
    }
}

/// One stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// When its release windows open: a cron expression with seconds, in UTC; never, when it is not set.
    pub window: Option<String>,
    /// What must hold before the releases of one window are published.
    pub batch: batch::Policy,
}

impl Settings {
    /// Reads a file; a missing file that nobody asked for means the embedded defaults.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let default = Path::new("muster.toml");
        let path = match path {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(Settings::default()),
        };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// The database's address.
    pub fn database(&self) -> String {
        let in_state = || format!("sqlite://{}", self.service.state.join("muster.db").display());
        self.service.database.clone().unwrap_or_else(in_state)
    }

    /// The folder of the jobs of one kind.
    pub fn jobs(&self, kind: &str) -> PathBuf {
        self.service.state.join("jobs").join(kind)
    }

    /// The address at which strangers reach us, without a slash at the end.
    pub fn url(&self) -> String {
        let from_listen = || format!("http://{}", self.service.listen);
        self.service.url.clone().unwrap_or_else(from_listen)
    }
}
