//! The packages on a candidate's images, and what has changed in them since an earlier candidate.

use muster_flow::build::Package;
use muster_flow::candidate::Candidate;
use muster_flow::difference::{self, Difference, What};
use serde::Serialize;

use super::words;

/// The packages of one candidate beside those of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// The candidate.
    pub candidate: String,
    /// The candidate it is compared with; none when there is no earlier build.
    pub since: Option<String>,
    /// What is not the same, sorted by name; empty when there is nothing to compare.
    pub differences: Vec<Difference>,
    /// All packages as `name-[epoch:]version-release.arch`, sorted by name; empty before a build is done.
    pub packages: Vec<String>,
}

impl Packages {
    /// What there is to say in one sentence.
    pub fn headline(&self) -> String {
        let count = words::count(self.packages.len(), "package");
        match &self.since {
            _ if self.packages.is_empty() => {
                format!("No build of {} is done: its packages are not known.", self.candidate)
            }
            None => format!("{count}; there is no earlier build to compare with."),
            Some(since) if self.differences.is_empty() => format!("{count}, the same as in {since}."),
            Some(since) => format!("{count}; since {since}: {}.", self.counts()),
        }
    }

    fn counts(&self) -> String {
        let kinds = [What::Upgraded, What::Downgraded, What::Added, What::Removed, What::Moved];
        let counts = kinds.iter().filter_map(|kind| {
            let count = self.differences.iter().filter(|difference| difference.what == *kind).count();
            (count > 0).then(|| format!("{count} {}", kind.word()))
        });
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Compares a candidate's packages with those of another.
pub fn tell(candidate: &Candidate, since: Option<&Candidate>) -> Packages {
    let new = difference::packages(candidate);
    let old = since.map(difference::packages).filter(|old| !old.is_empty() && !new.is_empty());
    let name = |package: &&Package| format!("{}-{}", package.name, package.evra());
    Packages {
        candidate: candidate.id.to_string(),
        since: since.filter(|_| old.is_some()).map(|since| since.id.to_string()),
        differences: old.map(|old| difference::between(&old, &new)).unwrap_or_default(),
        packages: new.iter().map(name).collect(),
    }
}
