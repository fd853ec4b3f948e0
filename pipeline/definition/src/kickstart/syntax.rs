//! The releases whose kickstart syntax is known, in the order in which the syntax grew.

use std::fmt;
use std::str::FromStr;

/// The kickstart syntax of one release, such as `F43` or `RHEL9`; later syntax compares greater.
///
/// The number is a rank: Fedora N has 10 N, and an enterprise release stands just after the Fedora it
/// branched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syntax(u16);

/// Fedora 46 is the newest syntax there is a description of.
const NEWEST_FEDORA: u16 = 46;
/// Fedora 7 is the first release called Fedora rather than Fedora Core.
const OLDEST_FEDORA: u16 = 7;
/// Each enterprise release with the Fedora it branched from.
const ENTERPRISE: [(u16, u16); 6] = [(6, 13), (7, 21), (8, 28), (9, 34), (10, 40), (11, 46)];

impl Syntax {
    /// The newest syntax known, which stands for Rawhide.
    pub const NEWEST: Self = Self::fedora(NEWEST_FEDORA);

    /// Later than every release; ranges without an end reach to here.
    pub(super) const LAST: Self = Self(u16::MAX);

    /// The syntax of Fedora `release`.
    pub(super) const fn fedora(release: u16) -> Self {
        Self(release * 10)
    }

    /// The syntax of the enterprise release that branched from Fedora `fedora`.
    pub(super) const fn enterprise_after(fedora: u16) -> Self {
        Self(fedora * 10 + 1)
    }

    /// Whether this is the syntax of an enterprise release.
    pub fn is_enterprise(self) -> bool {
        self.0 % 10 == 1
    }
}

/// A name that is no known release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kickstart syntax {0}; write F7 to F46, RHEL6 to RHEL11, or DEVEL")]
pub struct UnknownSyntax(pub String);

impl FromStr for Syntax {
    type Err = UnknownSyntax;

    fn from_str(name: &str) -> Result<Self, UnknownSyntax> {
        let unknown = || UnknownSyntax(name.to_owned());
        let upper = name.to_ascii_uppercase();
        if upper == "DEVEL" || upper == "RAWHIDE" {
            return Ok(Self::NEWEST);
        }
        if let Some(release) = upper.strip_prefix("RHEL") {
            let release: u16 = release.parse().map_err(|_| unknown())?;
            let (_, fedora) = ENTERPRISE.iter().find(|(known, _)| *known == release).ok_or_else(unknown)?;
            return Ok(Self::enterprise_after(*fedora));
        }
        let release = upper.strip_prefix('F').ok_or_else(unknown)?.parse().map_err(|_| unknown())?;
        if (OLDEST_FEDORA..=NEWEST_FEDORA).contains(&release) {
            Ok(Self::fedora(release))
        } else {
            Err(unknown())
        }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fedora = self.0 / 10;
        match ENTERPRISE.iter().find(|(_, after)| self.is_enterprise() && *after == fedora) {
            Some((release, _)) => write!(f, "RHEL{release}"),
            None => write!(f, "F{fedora}"),
        }
    }
}
