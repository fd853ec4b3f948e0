//! Frozen package sets: each is one file in the state folder, named by its SHA-256, and never changes.
//!
//! It knows files. It must not know what a set is used for, nor where its packages came from.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use muster_flow::batch::PackageSet;
use sha2::{Digest, Sha256};

use crate::text::hex;

/// Where frozen package sets are kept.
#[derive(Clone, Debug)]
pub struct PackageSets {
    folder: PathBuf,
}

impl PackageSets {
    /// The sets of a state folder.
    pub fn below(state: &Path) -> Self {
        PackageSets { folder: state.join("package-sets") }
    }

    /// Keeps a set, once; returns its SHA-256 in hex. It is on the disk before this returns, so that whoever records the
    /// name can rely on it. One that was damaged is written anew.
    pub fn keep(&self, set: &PackageSet) -> Result<String> {
        let text = set.text();
        let name = hex(&Sha256::digest(text.as_bytes()));
        let path = self.folder.join(&name);
        if self.read(&name).is_ok() {
            return Ok(name);
        }
        let write = || -> Result<()> {
            std::fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            // Commands of people read and write sets too, and the builds' own processes read them.
            file.as_file().set_permissions(Permissions::from_mode(0o644))?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            std::fs::File::open(&self.folder)?.sync_all()?;
            Ok(())
        };
        write().with_context(|| format!("cannot keep the package set {}", path.display()))?;
        Ok(name)
    }

    /// Reads the set with this SHA-256. A file that has become another since is an error.
    pub fn read(&self, name: &str) -> Result<PackageSet> {
        let path = self.folder.join(name);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the package set {}", path.display()))?;
        let found = hex(&Sha256::digest(text.as_bytes()));
        ensure!(found == name, "the package set {} was changed: it is {found} now", path.display());
        PackageSet::of_text(&text)
            .map_err(|line| anyhow!("the package set {} holds no package in {line:?}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_kept_once_and_one_that_was_changed_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let sets = PackageSets::below(folder.path());
        let set = PackageSet::of_text("hello-0:1-1.noarch\thello-1-1\n").unwrap();
        let name = sets.keep(&set).unwrap();
        assert_eq!(sets.keep(&set).unwrap(), name);
        assert_eq!(sets.read(&name).unwrap(), set);
        let path = folder.path().join("package-sets").join(&name);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        std::fs::write(&path, "hello-0:2-1.noarch\thello-2-1\n").unwrap();
        let error = sets.read(&name).unwrap_err();
        assert!(error.to_string().contains("was changed"), "{error}");
        assert_eq!(sets.keep(&set).unwrap(), name, "it is frozen again");
        assert_eq!(sets.read(&name).unwrap(), set);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(format!("{:#}", sets.read("0").unwrap_err()).contains("cannot read the package set"));
    }
}
