//! Treefiles: what rpm-ostree composes an `OSTree` commit from.
//!
//! Knows the keys, the two formats, the include closure and the rules by which files merge. Must not know how
//! a commit is composed.

mod condition;
mod file;
mod keys;
mod merge;
mod packages;
mod typed;
mod variables;

use crate::Source;
use std::collections::BTreeMap;

/// Reads the treefile `path` and everything it includes for the architecture `basearch`.
pub fn read(path: &str, source: &dyn Source, basearch: &str) -> Result<Treefile, ReadError> {
    let closure = file::read(path, source, basearch)?;
    typed::typed(closure, path)
}

/// Why a treefile cannot be used: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct ReadError {
    /// The file, as its source resolved it.
    pub file: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl ReadError {
    /// What is wrong with a file, and what to write instead.
    fn new(file: &str, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), what: what.into() }
    }
}

/// A treefile with everything it includes, for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the format")]
pub struct Treefile {
    /// Every file that was read, the root first; scripts and added files that it names come last.
    pub files: Vec<String>,
    /// The branch the commit goes to, variables put in.
    pub reference: Option<String>,
    /// Names of the package repositories (`NAME.repo` beside the treefile).
    pub repos: Vec<String>,
    /// Packages to install, for this architecture, each once.
    pub packages: Vec<String>,
    /// Packages that must not be installed.
    pub exclude_packages: Vec<String>,
    /// Packages of a given repository.
    pub repo_packages: Vec<RepoPackages>,
    /// systemd units to enable.
    pub units: Vec<String>,
    /// The target to boot into.
    pub default_target: Option<String>,
    /// Languages to keep; none means all.
    pub install_langs: Option<Vec<String>>,
    /// Whether documentation is kept.
    pub documentation: bool,
    /// Whether recommended packages are installed.
    pub recommends: bool,
    /// Arguments of dracut.
    pub initramfs_args: Vec<String>,
    /// Whether `SELinux` labels are written.
    pub selinux: bool,
    /// The version written into os-release.
    pub mutate_os_release: Option<String>,
    /// What an automatic version starts with.
    pub automatic_version_prefix: Option<String>,
    /// The release version given to the package manager.
    pub releasever: Option<String>,
    /// Scripts written in the treefile, in order.
    pub postprocess: Vec<String>,
    /// A script in a file, by its path in the source.
    pub postprocess_script: Option<String>,
    /// Files to add: from (a path in the source), to.
    pub add_files: Vec<(String, String)>,
    /// Files to remove.
    pub remove_files: Vec<String>,
    /// Per entry: a package, then patterns of its files to remove.
    pub remove_from_packages: Vec<Vec<String>>,
    /// Groups whose members are kept in /etc.
    pub etc_group_members: Vec<String>,
    /// Where kernels lie: `both`, `modules` or `new`.
    pub boot_location: Option<String>,
    /// Whether /etc/machine-id is absent for compatibility.
    pub machineid_compat: bool,
    /// Whether /tmp is a directory.
    pub tmp_is_dir: bool,
    /// Metadata put into the commit.
    pub add_commit_metadata: BTreeMap<String, serde_json::Value>,
    /// Free metadata of the treefile.
    pub metadata: Option<serde_json::Value>,
    /// Every key after merging, variables put in, for whoever needs one that has no field; files are named by their
    /// path in the source.
    pub merged: serde_json::Map<String, serde_json::Value>,
}

/// Packages taken from one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct RepoPackages {
    /// The repository.
    pub repo: String,
    /// The packages.
    pub packages: Vec<String>,
}
