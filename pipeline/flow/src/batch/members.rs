//! What is different in a batch from the one before, and what the batch is without some of that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::PackageSet;
use crate::build::Package;
use crate::difference::{self, Difference};

/// What one source package brings into a batch: it comes and goes as one, since its packages are made for each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name of the source package.
    pub source: String,
    /// How its packages differ from the batch before.
    pub packages: Vec<Difference>,
}

/// The name of a source package in its name, version and release.
fn name_of(source: &str) -> &str {
    source.rsplitn(3, '-').nth(2).unwrap_or(source)
}

/// What the newest of each package is, for each architecture: a repository may hold several builds of one.
fn newest(set: &PackageSet) -> BTreeSet<&Package> {
    let mut newest: BTreeMap<(&str, &str), &Package> = BTreeMap::new();
    for package in set.0.keys() {
        let known = newest.entry((&package.name, &package.arch)).or_insert(package);
        if difference::order(known, package).is_lt() {
            *known = package;
        }
    }
    newest.into_values().collect()
}

/// What differs between two sets, by source package.
pub fn between(before: &PackageSet, frozen: &PackageSet) -> Vec<Member> {
    let mut sources: BTreeMap<&str, &str> = BTreeMap::new();
    for (package, source) in before.0.iter().chain(&frozen.0) {
        sources.insert(&package.name, name_of(source));
    }
    let mut members: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    for difference in difference::between(&newest(before), &newest(frozen)) {
        let source = sources.get(difference.name.as_str()).map_or(difference.name.as_str(), |name| name);
        members.entry(source.to_owned()).or_default().push(difference);
    }
    members.into_iter().map(|(source, packages)| Member { source, packages }).collect()
}

/// A set without some of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Without {
    /// The set in which they are as they were in the batch before.
    pub set: PackageSet,
    /// What they were in the batch before and cannot be any more, because no repository has it.
    pub absent: Vec<String>,
}

/// A frozen set in which the source packages in `ejected` are as they were in the batch before; `there` is what the
/// repositories hold now.
pub fn without(
    frozen: &PackageSet,
    before: &PackageSet,
    there: &PackageSet,
    ejected: &BTreeSet<String>,
) -> Without {
    let is_ejected = |source: &str| ejected.contains(name_of(source));
    let mut set = frozen.clone();
    set.0.retain(|package, source| !is_ejected(source) || before.has(package));
    let mut absent = Vec::new();
    let old: PackageSet = PackageSet(
        before
            .0
            .iter()
            .filter(|(_, source)| is_ejected(source))
            .map(|(p, s)| (p.clone(), s.clone()))
            .collect(),
    );
    for (package, source) in &old.0 {
        if there.has(package) {
            set.0.insert(package.clone(), source.clone());
        } else {
            set.0.remove(package);
        }
    }
    // Of an older build that is gone nobody would have taken anything: only the newest is missed.
    let missed = newest(&old).into_iter().filter(|package| !there.has(package));
    absent.extend(missed.map(Package::nevra));
    Without { set, absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(packages: &[(&str, &str)]) -> PackageSet {
        let package = |(nevra, source): &(&str, &str)| {
            (Package::of_nevra(nevra).expect("a package"), (*source).to_owned())
        };
        PackageSet(packages.iter().map(package).collect())
    }

    fn before() -> PackageSet {
        set(&[
            ("bash-5.2-1.x86_64", "bash-5.2-1"),
            ("hello-1-1.x86_64", "hello-1-1"),
            ("hello-libs-1-1.x86_64", "hello-1-1"),
            ("gone-1-1.noarch", "gone-1-1"),
        ])
    }

    fn frozen() -> PackageSet {
        set(&[
            ("bash-5.2-1.x86_64", "bash-5.2-1"),
            ("hello-1-1.x86_64", "hello-1-1"),
            ("hello-2-1.x86_64", "hello-2-1"),
            ("hello-libs-2-1.x86_64", "hello-2-1"),
            ("new-1-1.noarch", "new-1-1"),
        ])
    }

    fn told(members: &[Member]) -> Vec<String> {
        let packages = |member: &Member| {
            let words = member.packages.iter().map(|one| format!("{} {}", one.name, one.what.word()));
            words.collect::<Vec<_>>().join(", ")
        };
        members.iter().map(|member| format!("{}: {}", member.source, packages(member))).collect()
    }

    #[test]
    fn members_are_what_is_newest_and_differs_by_source_package() {
        assert_eq!(
            told(&between(&before(), &frozen())),
            ["gone: gone removed", "hello: hello upgraded, hello-libs upgraded", "new: new added"]
        );
        assert!(between(&frozen(), &frozen()).is_empty());
    }

    #[test]
    fn an_ejected_member_is_as_it_was_in_the_batch_before_as_far_as_that_is_still_there() {
        let ejected: BTreeSet<String> = ["hello", "gone"].map(str::to_owned).into();
        let there = set(&[("hello-1-1.x86_64", "hello-1-1"), ("gone-1-1.noarch", "gone-1-1")]);
        let Without { set: left, absent } = without(&frozen(), &before(), &there, &ejected);
        let names: Vec<String> = left.0.keys().map(Package::nevra).collect();
        assert_eq!(
            names,
            ["bash-0:5.2-1.x86_64", "gone-0:1-1.noarch", "hello-0:1-1.x86_64", "new-0:1-1.noarch"]
        );
        assert_eq!(absent, ["hello-libs-0:1-1.x86_64"]);
        let nothing = without(&frozen(), &before(), &there, &BTreeSet::new());
        assert_eq!((nothing.set, nothing.absent), (frozen(), Vec::new()));
    }
}
