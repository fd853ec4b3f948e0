//! Batches: the frozen package set that the releases of one window are built from, and that is judged as a whole.
//!
//! It knows packages, how sets of them differ, and what the candidates of a batch must show. It must not know where a
//! set is kept or read from.

pub mod judge;
pub mod members;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::build::Package;
use crate::gate::Ruling;
use crate::koji::{KojiRepo, KojiTask};
use crate::recipe::{Builder, Recipe};
use judge::Judgement;
use members::Member;

/// Every package that could be taken at one moment, each with the source package that it was built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSet(pub BTreeMap<Package, String>);

impl PackageSet {
    /// The set as text, always the same for the same set: a package a line, sorted, and behind a tab its source package
    /// as name, version and release.
    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(package, source)| format!("{}\t{source}\n", package.nevra()));
        lines.collect()
    }

    /// Reads what [`PackageSet::text`] writes; the line that cannot be read otherwise.
    pub fn of_text(text: &str) -> Result<Self, String> {
        let decode = |line: &str| {
            let (nevra, source) = line.split_once('\t')?;
            Some((Package::of_nevra(nevra)?, source.to_owned()))
        };
        let packages = text.lines().map(|line| decode(line).ok_or_else(|| line.to_owned()));
        packages.collect::<Result<_, _>>().map(PackageSet)
    }

    /// Whether a package is in it.
    pub fn has(&self, package: &Package) -> bool {
        self.0.contains_key(package)
    }
}

/// Names a batch, after stream and date like a release: `stable/20261121.0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub String);

impl BatchId {
    /// The `number`th batch of a stream on one day, such as `20261121`.
    pub fn new(stream: &str, day: &str, number: u32) -> Self {
        BatchId(format!("{stream}/{day}.{number}"))
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What must hold before the candidates of a batch are published, and for how long that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Whose verdicts count.
    pub requires: Requires,
    /// Days after the freeze in which the batch must have passed; what still waits for it then is given up.
    #[serde(deserialize_with = "days")]
    pub days: i64,
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let days = i64::deserialize(deserializer)?;
    if (1..=365).contains(&days) {
        Ok(days)
    } else {
        Err(Error::custom(format!(
            "the days in which a batch must pass are at least 1 and at most 365, not {days}"
        )))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy { requires: Requires::All, days: 14 }
    }
}

/// Whose verdicts count for a candidate of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requires {
    /// Those of every candidate of the batch.
    #[default]
    All,
    /// Its own alone.
    Own,
}

/// A frozen package set with its own gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its name.
    pub id: BatchId,
    /// The stream that its releases go to.
    pub stream: String,
    /// Where its packages come from.
    pub source: Source,
    /// The change that called for it.
    pub change: String,
    /// When it was frozen first.
    pub frozen: Timestamp,
    /// What must hold before its candidates are published.
    pub requires: Requires,
    /// What still waits for it at this time is given up.
    pub until: Timestamp,
    /// The batch that it was compared with: the one before from the same source, if there was one.
    pub before: Option<Before>,
    /// What differs from the batch before, by source package; nothing in the first batch of a source.
    pub members: Vec<Member>,
    /// What it was made of, the newest last. There is always one.
    pub revisions: Vec<Revision>,
    /// What its gate said last.
    pub verdict: Option<Judgement>,
}

/// The batch that another was compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Its name.
    pub id: BatchId,
    /// The SHA-256 in hex of what it was made of then.
    pub set: String,
}

/// What a batch is made of from one moment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Counted from 1.
    pub number: u32,
    /// The SHA-256 in hex of its package set.
    pub set: String,
    /// How many packages are in the set.
    pub packages: u64,
    /// The SHA-256 of the set that was frozen, before anything was ejected.
    pub frozen: String,
    /// The repositories of Koji that hold just that.
    #[serde(default)]
    pub repos: Vec<KojiRepo>,
    /// When.
    pub at: Timestamp,
    /// Who made it; Muster, for the first.
    pub who: String,
    /// Why.
    pub why: String,
    /// The source packages that are ejected from it.
    pub ejected: BTreeSet<String>,
    /// What an ejected member was in the batch before and no repository has any more: it is absent.
    #[serde(default)]
    pub absent: Vec<String>,
}

impl Batch {
    /// What it is made of now.
    pub fn current(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// The member that a name means: of a source package, or of a package built from one.
    pub fn find_member(&self, name: &str) -> Option<&Member> {
        let of_source = self.members.iter().find(|member| member.source == name);
        of_source.or_else(|| {
            self.members.iter().find(|member| member.packages.iter().any(|package| package.name == name))
        })
    }
}

/// Where the packages of a batch come from. Candidates with the same source share a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Package repositories, by their addresses, for each architecture.
    Repositories(BTreeSet<String>),
    /// Repositories of a Koji hub, as it made them of its tags.
    Koji {
        /// Their addresses as recipes write them; none means the build tag's.
        repositories: BTreeSet<String>,
        /// The distribution's version, which names the target.
        version: String,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined =
            |addresses: &BTreeSet<String>| addresses.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        match self {
            Source::Repositories(addresses) => formatter.write_str(&joined(addresses)),
            Source::Koji { repositories, version } if repositories.is_empty() => {
                write!(formatter, "Koji's build tag for {version}")
            }
            Source::Koji { repositories, version } => {
                write!(formatter, "Koji for {version}: {}", joined(repositories))
            }
        }
    }
}

/// What a source had at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Every package; of Koji every build, as its source package.
    pub set: PackageSet,
    /// The repositories of Koji that hold just that.
    pub repos: Vec<KojiRepo>,
}

/// Where a recipe's packages come from, when that can be frozen and a build be held to it.
///
/// Nothing is frozen for a recipe whose repositories its definition alone names, nor for what is made of other images, nor
/// for what ImageFactory builds, which nobody can keep from taking what is there.
pub fn source(recipe: &Recipe) -> Option<Source> {
    let named = &recipe.packages.repositories;
    match (recipe.builder, &recipe.koji) {
        (Builder::Imagefactory, _) | (Builder::Koji, KojiTask::Indirection(_)) => None,
        (Builder::Local, _) | (Builder::Koji, KojiTask::Runroot(_)) if named.is_empty() => None,
        (Builder::Local, _) => Some(Source::Repositories(addresses(recipe))),
        (Builder::Koji, _) => Some(Source::Koji {
            repositories: named.iter().map(|repository| repository.baseurl.clone()).collect(),
            version: recipe.version.clone(),
        }),
    }
}

/// The addresses of a recipe's repositories, for each architecture.
pub fn addresses(recipe: &Recipe) -> BTreeSet<String> {
    let of_arch = |arch: &String| {
        let address =
            |baseurl: &str| baseurl.replace("$basearch", arch).replace("$releasever", &recipe.version);
        recipe
            .packages
            .repositories
            .iter()
            .map(move |repository| address(&repository.baseurl))
            .collect::<Vec<_>>()
    };
    recipe.arches.iter().flat_map(of_arch).collect()
}

/// The batch of a candidate, as the candidate sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InBatch {
    /// Its name.
    pub id: BatchId,
    /// What must hold before its candidates are published.
    pub requires: Requires,
    /// What still waits for it at this time is given up.
    pub until: Timestamp,
    /// The number of its newest revision.
    pub revision: u32,
    /// The SHA-256 in hex of the package set of that revision.
    pub set: String,
    /// The repositories of Koji that hold just that.
    #[serde(default)]
    pub repos: Vec<KojiRepo>,
    /// What its gate said last; `None` while some candidate is on its way.
    pub ruling: Option<Ruling>,
    /// What keeps it from passing, in one line; empty when nothing does.
    #[serde(default)]
    pub against: String,
}

impl InBatch {
    /// Whether its gate may still say another thing, by a waiver or a new revision: what its candidates made is needed.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ruling != Some(Ruling::Pass) && now < self.until
    }

    /// Whether a candidate with a passing verdict may be published as far as its batch is concerned.
    pub fn lets_publish(&self) -> bool {
        match self.requires {
            Requires::All => self.ruling == Some(Ruling::Pass),
            Requires::Own => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_may_still_let_its_candidates_out_until_its_time_is_over() {
        let until: Timestamp = "2026-12-05T00:00:00Z".parse().expect("a time");
        let in_batch = |ruling| InBatch {
            id: BatchId::new("stable", "20261121", 0),
            requires: Requires::All,
            until,
            revision: 1,
            set: String::new(),
            repos: Vec::new(),
            ruling,
            against: String::new(),
        };
        let before = until - jiff::SignedDuration::from_hours(1);
        assert!(in_batch(None).is_open(before) && in_batch(Some(Ruling::Fail)).is_open(before));
        assert!(!in_batch(Some(Ruling::Pass)).is_open(before) && !in_batch(None).is_open(until));
    }

    #[test]
    fn a_set_is_read_as_it_was_written() {
        let names =
            ["bash-0:5.3.0-2.fc43.x86_64", "gtk+-4:1.0~rc1^git-1.noarch", "java-21-openjdk-1:21-1.i686"];
        let packages =
            names.map(|nevra| (Package::of_nevra(nevra).expect("a package"), "bash-5.3.0-2".to_owned()));
        let set = PackageSet(packages.into());
        let text = set.text();
        assert_eq!(text.lines().count(), 3);
        assert!(text.starts_with("bash-0:5.3.0-2.fc43.x86_64\tbash-5.3.0-2\n"), "{text}");
        assert_eq!(PackageSet::of_text(&text), Ok(set));
        assert_eq!(PackageSet::of_text("bash"), Err("bash".to_owned()));
        let java = Package::of_nevra("java-21-openjdk-1:21-1.i686").expect("a package");
        assert_eq!((java.name.as_str(), java.epoch, java.version.as_str()), ("java-21-openjdk", 1, "21"));
        for broken in ["", "bash", "bash-1", "bash-1-1", "-1-1.noarch", "bash-x:1-1.noarch"] {
            assert_eq!(Package::of_nevra(broken), None, "{broken}");
        }
    }
}
