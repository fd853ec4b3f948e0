//! What earlier versions knew of package repositories: they kept it in a file, `packages.json` in the service's folder.
//!
//! It is where a repository begins that the database does not know yet, so that nothing is lost by the change of
//! version. Once the database knows it, the file says nothing any more.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Legacy(BTreeMap<String, Seen>);

/// A repository as it was known.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    /// The revision up to which everything is known.
    pub revision: String,
    /// The builds that were spoken of.
    pub builds: HashSet<String>,
}

impl Legacy {
    /// Reads the file, if it is there.
    pub(super) fn read(file: &Path) -> Result<Self> {
        match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("cannot understand {}; remove it to begin anew", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Legacy::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    pub(super) fn seen(&self, baseurl: &str) -> Option<&Seen> {
        self.0.get(baseurl)
    }
}
