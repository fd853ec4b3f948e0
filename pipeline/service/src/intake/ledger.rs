//! Which builds of each package repository have been spoken of: by a message that was weighed, or by a sweep.
//!
//! The note is kept in one file, written after each look. Should it be lost or late, a change is told twice, which costs
//! a scratch candidate and loses nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use muster_flow::change::What;
use serde::{Deserialize, Serialize};

use super::package_of;
use crate::adapters::packages::Index;

#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    repositories: BTreeMap<String, Seen>,
    is_written: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// The revision up to which everything is known.
    revision: String,
    builds: HashSet<String>,
    /// What messages told of since the last sweep.
    #[serde(default)]
    said: HashSet<String>,
    /// What sweeps found, until the message that is late speaks of it too.
    #[serde(default)]
    swept: HashSet<String>,
}

impl Seen {
    fn all_of(index: &Index, swept: HashSet<String>) -> Seen {
        Seen { revision: index.revision.clone(), builds: index.builds.clone(), said: HashSet::new(), swept }
    }
}

impl Ledger {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let repositories = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot understand {}; remove it to begin anew", file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Ledger { file: file.to_owned(), repositories, is_written: true })
    }

    /// A repository that is seen for the first time begins with everything known.
    pub(super) fn begin(&mut self, baseurl: &str, index: &Index) {
        if !self.repositories.contains_key(baseurl) {
            let seen = Seen::all_of(index, HashSet::new());
            self.repositories.insert(baseurl.to_owned(), seen);
            self.is_written = false;
            if let Err(error) = self.write() {
                tracing::warn!("cannot note what is in {baseurl}: {error:#}");
            }
        }
    }

    /// A message said that a build is there, and it is.
    pub(super) fn said(&mut self, baseurl: &str, nvr: &str) {
        if let Some(seen) = self.repositories.get_mut(baseurl) {
            let is_news = seen.builds.insert(nvr.to_owned());
            let was_swept = seen.swept.remove(nvr);
            seen.said.insert(nvr.to_owned());
            self.is_written &= !is_news && !was_swept;
        }
    }

    /// Whether a sweep told of this build already, and no message did yet.
    pub(super) fn was_swept(&self, baseurl: &str, nvr: &str) -> bool {
        self.repositories.get(baseurl).is_some_and(|seen| seen.swept.contains(nvr))
    }

    /// A message spoke of a build that is not there. Should it come or come back, that is news.
    pub(super) fn said_gone(&mut self, baseurl: &str, nvr: &str) {
        if let Some(seen) = self.repositories.get_mut(baseurl)
            && seen.builds.remove(nvr)
        {
            seen.swept.remove(nvr);
            seen.said.remove(nvr);
            self.is_written = false;
        }
    }

    /// What a repository holds that was not spoken of, and what it no longer holds.
    pub(super) fn news(&self, baseurl: &str, index: &Index, tag: &str) -> Vec<What> {
        let Some(seen) = self.repositories.get(baseurl) else { return Vec::new() };
        if seen.revision == index.revision {
            return Vec::new();
        }
        let come: BTreeSet<&String> = index.builds.difference(&seen.builds).collect();
        let told = seen.said.iter().filter(|nvr| index.builds.contains(*nvr));
        let renewed: BTreeSet<&str> = come.iter().copied().chain(told).map(|nvr| package_of(nvr)).collect();
        let gone: BTreeSet<&String> = seen.builds.difference(&index.builds).collect();
        let tagged = come.iter().map(|nvr| What::PackageTagged {
            package: package_of(nvr).to_owned(),
            nvr: (*nvr).clone(),
            tag: tag.to_owned(),
        });
        // A build that made room for another of the same package is not news of its own.
        let gone = gone.iter().filter(|nvr| !renewed.contains(package_of(nvr)));
        let untagged = gone.map(|nvr| What::PackageUntagged {
            package: package_of(nvr).to_owned(),
            nvr: (*nvr).clone(),
            tag: tag.to_owned(),
        });
        tagged.chain(untagged).collect()
    }

    /// All that a sweep saw is known now; `found` are the builds it told of.
    pub(super) fn settle(&mut self, baseurl: &str, index: &Index, found: HashSet<String>) {
        let seen = self.repositories.entry(baseurl.to_owned()).or_default();
        if seen.revision != index.revision {
            let mut swept = std::mem::take(&mut seen.swept);
            swept.retain(|nvr| index.builds.contains(nvr));
            swept.extend(found);
            *seen = Seen::all_of(index, swept);
            self.is_written = false;
        }
    }

    pub(super) fn write(&mut self) -> Result<()> {
        if self.is_written {
            return Ok(());
        }
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        crate::job::write_whole(&self.file, &serde_json::to_vec(&self.repositories)?)?;
        self.is_written = true;
        Ok(())
    }
}
