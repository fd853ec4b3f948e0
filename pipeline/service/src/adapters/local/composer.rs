//! What composes treefiles: rpm-ostree, or dnf and ostree.

use std::path::PathBuf;

use muster_flow::recipe::Signatures;
use serde::Deserialize;

use crate::program;

/// The program's name where it is installed.
const RPM_OSTREE: &str = "rpm-ostree";

/// What composes treefiles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Composer {
    /// `auto`: rpm-ostree where it is installed, otherwise dnf and ostree; these always where signatures are required,
    /// since rpm-ostree takes no keys but those in `/etc/pki/rpm-gpg` of the machine.
    #[default]
    Auto,
    /// `dnf`: dnf and ostree.
    Dnf,
    /// `rpm-ostree`, or the path of one: nothing else.
    RpmOstree(PathBuf),
}

impl Composer {
    /// The rpm-ostree that composes; none when dnf and ostree do.
    pub fn rpm_ostree(&self, signatures: Signatures) -> Option<PathBuf> {
        match self {
            Composer::Auto if signatures == Signatures::Required => None,
            Composer::Auto => program::find(RPM_OSTREE),
            Composer::Dnf => None,
            Composer::RpmOstree(path) => Some(path.clone()),
        }
    }
}

impl TryFrom<String> for Composer {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match word.as_str() {
            "auto" => Ok(Composer::Auto),
            "dnf" => Ok(Composer::Dnf),
            RPM_OSTREE => Ok(Composer::RpmOstree(PathBuf::from(word))),
            path if path.starts_with('/') => Ok(Composer::RpmOstree(PathBuf::from(word))),
            _ => Err(format!("composer cannot be {word:?}; write auto, dnf, rpm-ostree or the path of one")),
        }
    }
}
