//! Holding dnf to the packages that a build may take.
//!
//! dnf takes the newest of what its repositories hold, so all that it may not take is excluded by its full name. What
//! the repositories hold is asked of dnf itself, and the metadata that it answered from is what it then installs from.
//! Whether it held is read from the finished tree, since another build may have renewed a shared cache in between.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;
use muster_flow::batch::PackageSet;
use muster_flow::build::{Allowed, Package};
use muster_flow::difference;

use super::verdict::judge;
use crate::adapters::local::fault::{BuildError, Result};
use crate::adapters::local::workshop::Workshop;
use crate::program::Program;

/// How many packages an error names at most.
const NAMED: usize = 10;

/// What a build is held to.
#[derive(Debug, Default)]
pub struct Held {
    /// What dnf must be told not to take, each by its full name.
    pub excludes: Vec<String>,
    /// The frozen set, if there is one.
    set: Option<PackageSet>,
    /// Packages that are in no repository any more although the set has them.
    gone: Vec<Package>,
}

impl Held {
    /// What follows from what is allowed and what the repositories hold.
    ///
    /// A set is of every architecture that its repositories were read for, and what is of another one than the build's
    /// is not missed in them.
    fn new(allowed: &Allowed, set: Option<PackageSet>, there: &BTreeSet<Package>) -> Self {
        let strange = |package: &&Package| set.as_ref().is_some_and(|set| !set.has(package));
        let excludes = there.iter().filter(strange).chain(&allowed.without).map(Package::nevra).collect();
        let of_set = set.iter().flat_map(|set| set.0.keys());
        let arches: BTreeSet<&str> = there.iter().map(|package| package.arch.as_str()).collect();
        let is_gone = |package: &&Package| {
            arches.contains(package.arch.as_str())
                && !there.contains(package)
                && !allowed.without.contains(package)
        };
        let gone = of_set.filter(is_gone);
        let gone = gone.cloned().collect();
        Held { excludes, set, gone }
    }

    /// The same error; but told as a package that vanished, when that may be why what was asked for is not there.
    pub fn told_apart(&self, error: BuildError) -> BuildError {
        // What is there and excluded is neither missing nor a broken dependency in dnf's words.
        let may_be =
            matches!(error, BuildError::Missing { .. } | BuildError::Dependency(_) | BuildError::Install(_));
        if !may_be || self.gone.is_empty() {
            return error;
        }
        let lines = error.to_string();
        let words: Vec<&str> =
            lines.split_whitespace().map(|word| word.trim_end_matches([',', ':'])).collect();
        let named = |package: &&Package| words.contains(&package.name.as_str());
        let named: Vec<&Package> = self.gone.iter().filter(named).collect();
        let names = if named.is_empty() { list(&self.gone) } else { list(named) };
        BuildError::Vanished { names, lines }
    }

    /// Looks whether the installed packages are those that could be taken.
    pub fn check(&self, allowed: &Allowed, installed: &[Package]) -> Result<()> {
        let strange = |package: &&Package| {
            allowed.without.contains(package) || self.set.as_ref().is_some_and(|set| !set.has(package))
        };
        let strange: Vec<&Package> = installed.iter().filter(strange).collect();
        if !strange.is_empty() {
            return Err(BuildError::NotAllowed(list(strange)));
        }
        // Where the newest is gone dnf takes an older one, and says nothing of it.
        let older = |gone: &&Package| {
            let same = |other: &&Package| other.name == gone.name && other.arch == gone.arch;
            let mut same = installed.iter().filter(same).peekable();
            same.peek().is_some() && same.all(|other| difference::order(other, gone).is_lt())
        };
        let missed: Vec<&Package> = self.gone.iter().filter(older).collect();
        if missed.is_empty() {
            return Ok(());
        }
        let lines = "an older build of it would have been installed instead".to_owned();
        Err(BuildError::Vanished { names: list(missed), lines })
    }
}

fn list<'a>(packages: impl IntoIterator<Item = &'a Package>) -> String {
    let names: Vec<String> = packages.into_iter().map(Package::nevra).collect();
    let more = names.len().saturating_sub(NAMED);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Asks dnf, by the configuration at `config`, what the repositories hold, and says what follows for this build.
pub async fn find(workshop: &Workshop, config: &Path) -> Result<Held> {
    let allowed = &workshop.request.allowed;
    let set = allowed.set.as_deref().map(|name| workshop.sets.read(name)).transpose()?;
    workshop.say("looking which packages may be taken");
    let list = |dnf: Program| {
        super::target(workshop, dnf.args(["--quiet", "--config"]).arg(config))
            .args(["repoquery", "--available", "--disableexcludes=all", "--qf"])
            .arg("%{name}-%{epoch}:%{version}-%{release}.%{arch}")
    };
    let finished = list(workshop.program("dnf")).run_any().await?;
    let complaint = String::from_utf8_lossy(&finished.stderr);
    workshop.note(complaint.trim_end());
    judge(&complaint, finished.code, &workshop.desk.folder)?;
    let text = finished.text();
    let packages = text
        .lines()
        .map(|line| Package::of_nevra(line).ok_or_else(|| anyhow!("dnf lists a package as {line:?}").into()));
    let there = packages.collect::<Result<BTreeSet<_>>>()?;
    let held = Held::new(allowed, set, &there);
    let excluded = held.excludes.len();
    workshop.note(&format!("== {excluded} of {} packages may not be taken", there.len()));
    if !held.gone.is_empty() {
        workshop.note(&format!("== of its package set no repository has {}", self::list(&held.gone)));
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(names: &[&str]) -> Vec<Package> {
        names.iter().map(|name| Package::of_nevra(name).unwrap()).collect()
    }

    fn set(names: &[&str]) -> PackageSet {
        PackageSet(packages(names).into_iter().map(|package| (package, String::new())).collect())
    }

    fn held(frozen: &[&str], there: &[&str]) -> Held {
        Held::new(&Allowed::default(), Some(set(frozen)), &packages(there).into_iter().collect())
    }

    #[test]
    fn what_came_later_is_excluded_and_what_must_be_done_without() {
        let allowed = Allowed { set: None, without: packages(&["b-2-1.noarch"]) };
        let there: BTreeSet<Package> =
            packages(&["a-1-1.noarch", "a-2-1.noarch", "b-2-1.noarch"]).into_iter().collect();
        let frozen = set(&["a-1-1.noarch", "b-2-1.noarch"]);
        let held = Held::new(&allowed, Some(frozen), &there);
        assert_eq!(held.excludes, ["a-0:2-1.noarch", "b-0:2-1.noarch"]);
        assert_eq!(Held::new(&allowed, None, &there).excludes, ["b-0:2-1.noarch"]);
        assert!(Held::new(&Allowed::default(), None, &there).excludes.is_empty());
        let error = held.check(&allowed, &packages(&["a-2-1.noarch", "b-2-1.noarch"])).unwrap_err();
        assert!(error.to_string().starts_with("a-0:2-1.noarch, b-0:2-1.noarch "), "{error}");
        held.check(&allowed, &packages(&["a-1-1.noarch"])).unwrap();
    }

    #[test]
    fn what_is_of_another_architecture_is_not_missed() {
        let held = held(&["a-1-1.noarch", "b-1-1.aarch64"], &["a-1-1.noarch", "b-1-1.x86_64"]);
        assert_eq!(held.gone, []);
        let dependency = held.told_apart(BuildError::Dependency("nothing provides b".to_owned()));
        assert!(matches!(dependency, BuildError::Dependency(_)), "{dependency}");
    }

    #[test]
    fn a_package_of_the_set_that_vanished_is_an_error_where_it_is_needed() {
        let held = held(&["a-1-1.noarch", "a-2-1.noarch", "gone-1-1.noarch"], &["a-1-1.noarch"]);
        let allowed = Allowed::default();
        let error = held.check(&allowed, &packages(&["a-1-1.noarch"])).unwrap_err().to_string();
        assert!(error.contains("has a-0:2-1.noarch any more"), "{error}");
        held.check(&allowed, &[]).unwrap();
        let missing = BuildError::Missing { names: "gone".to_owned(), lines: String::new() };
        let error = held.told_apart(missing).to_string();
        assert!(error.contains("has gone-0:1-1.noarch any more"), "{error}");
        let other = held.told_apart(BuildError::NoKernel);
        assert!(matches!(other, BuildError::NoKernel), "{other}");
        let nothing_gone = Held::default().told_apart(BuildError::Dependency("no".to_owned()));
        assert!(matches!(nothing_gone, BuildError::Dependency(_)), "{nothing_gone}");
    }

    #[test]
    fn an_error_names_a_few_and_counts_the_rest() {
        let many: Vec<Package> =
            (0..12).map(|number| Package::of_nevra(&format!("p{number}-1-1.noarch")).unwrap()).collect();
        assert!(list(&many).ends_with("p9-0:1-1.noarch and 2 more"), "{}", list(&many));
    }
}
