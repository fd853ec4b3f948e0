//! How the packages of two builds differ.
//!
//! It knows how RPM orders versions, and must not know where the lists come from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::build::Package;
use crate::candidate::Candidate;

/// One package that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The package's name.
    pub name: String,
    /// What became of it.
    pub what: What,
    /// What it was, as `[epoch:]version-release.arch`; nothing when it was added.
    pub old: Option<String>,
    /// What it is; nothing when it was removed.
    pub new: Option<String>,
}

/// What became of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It is new on the image.
    Added,
    /// It is no longer there.
    Removed,
    /// It is newer.
    Upgraded,
    /// It is older.
    Downgraded,
    /// It is the same version, for another architecture.
    Moved,
}

impl What {
    /// One word for a person.
    pub fn word(self) -> &'static str {
        match self {
            What::Added => "added",
            What::Removed => "removed",
            What::Upgraded => "upgraded",
            What::Downgraded => "downgraded",
            What::Moved => "moved",
        }
    }
}

/// All packages of a candidate's builds, whatever the architecture; nothing before a build is done.
pub fn packages(candidate: &Candidate) -> BTreeSet<&Package> {
    candidate.builds().filter_map(|step| step.output()).flat_map(|output| &output.packages).collect()
}

/// What is not the same on both sides, sorted by name. A package that may be there several times, as a kernel may, is
/// compared oldest with oldest.
pub fn between(old: &BTreeSet<&Package>, new: &BTreeSet<&Package>) -> Vec<Difference> {
    let mut names: BTreeMap<&str, [Vec<&Package>; 2]> = BTreeMap::new();
    for (side, gone_or_come) in [old.difference(new), new.difference(old)].into_iter().enumerate() {
        for package in gone_or_come {
            names.entry(&package.name).or_default()[side].push(package);
        }
    }
    names.into_values().flat_map(|[old, new]| of_one_name(old, new)).collect()
}

/// The same architecture is compared first, then what is left over, and then only one side is left.
fn of_one_name(mut old: Vec<&Package>, mut new: Vec<&Package>) -> Vec<Difference> {
    old.sort_by(|one, other| order(one, other));
    new.sort_by(|one, other| order(one, other));
    let mut found = Vec::new();
    for any_arch in [false, true] {
        old.retain(|was| {
            let Some(at) = new.iter().position(|is| any_arch || is.arch == was.arch) else { return true };
            found.push(difference(Some(was), Some(new.remove(at))));
            false
        });
    }
    found.extend(old.into_iter().map(|was| difference(Some(was), None)));
    found.extend(new.into_iter().map(|is| difference(None, Some(is))));
    found.into_iter().flatten().collect()
}

fn difference(old: Option<&Package>, new: Option<&Package>) -> Option<Difference> {
    let what = match (old, new) {
        (Some(old), Some(new)) => match order(old, new) {
            Ordering::Less => What::Upgraded,
            Ordering::Greater => What::Downgraded,
            Ordering::Equal => What::Moved,
        },
        (None, _) => What::Added,
        (_, None) => What::Removed,
    };
    let name = old.or(new)?.name.clone();
    Some(Difference { name, what, old: old.map(Package::evra), new: new.map(Package::evra) })
}

/// How RPM orders two builds of a package: by epoch, then version, then release.
pub fn order(one: &Package, other: &Package) -> Ordering {
    one.epoch
        .cmp(&other.epoch)
        .then_with(|| order_versions(&one.version, &other.version))
        .then_with(|| order_versions(&one.release, &other.release))
}

/// How RPM orders two versions, or two releases: number by number and word by word, where a number is more than a word,
/// what stands behind `~` comes before the version without it, and what stands behind `^` after it.
pub fn order_versions(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        one = skip(one);
        other = skip(other);
        match (one.first(), other.first()) {
            (None, None) => return Ordering::Equal,
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                one = &one[1..];
                other = &other[1..];
                continue;
            }
            (Some(b'~'), _) | (None, Some(b'^')) => return Ordering::Less,
            (_, Some(b'~')) | (Some(b'^'), None) => return Ordering::Greater,
            // A caret is less than anything but the end.
            (Some(b'^') | None, _) => return Ordering::Less,
            (_, Some(b'^') | None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.is_ascii_digit(), b.is_ascii_digit()) {
                (true, false) => return Ordering::Greater,
                (false, true) => return Ordering::Less,
                _ => {}
            },
        }
        let numbers = one[0].is_ascii_digit();
        let (a, b) = (take(&mut one, numbers), take(&mut other, numbers));
        let differ = if numbers { order_numbers(a, b) } else { a.cmp(b) };
        if differ != Ordering::Equal {
            return differ;
        }
    }
}

/// Without what only separates.
fn skip(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|byte| byte.is_ascii_alphanumeric() || b"~^".contains(byte));
    &text[from.unwrap_or(text.len())..]
}

/// The digits or the letters that it starts with.
fn take<'a>(text: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let belongs = |byte: &u8| if digits { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
    let end = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// Numbers of any length.
fn order_numbers(one: &[u8], other: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (one, other) = (&one[significant(one)..], &other[significant(other)..]);
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, arch: &str) -> Package {
        let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
        let (version, release) = version.split_once('-').unwrap_or((version, "1"));
        Package {
            name: name.to_owned(),
            epoch: epoch.parse().expect("a number"),
            version: version.to_owned(),
            release: release.to_owned(),
            arch: arch.to_owned(),
        }
    }

    /// `old` and `new` are lists such as `bash-5.2:x86_64`.
    fn told(old: &[(&str, &str, &str)], new: &[(&str, &str, &str)]) -> Vec<String> {
        let list = |side: &[(&str, &str, &str)]| -> Vec<Package> {
            side.iter().map(|(name, version, arch)| package(name, version, arch)).collect()
        };
        let (old, new) = (list(old), list(new));
        between(&old.iter().collect(), &new.iter().collect())
            .iter()
            .map(|one| {
                let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
                format!("{} {} {} {}", one.name, one.what.word(), side(&one.old), side(&one.new))
            })
            .collect()
    }

    #[test]
    fn each_package_that_differs_is_told_once() {
        let old = [
            ("bash", "5.2-1", "x86_64"),
            ("gone", "1-1", "noarch"),
            ("same", "1-1", "noarch"),
            ("back", "1:2-1", "x86_64"),
            ("turned", "1-1", "x86_64"),
        ];
        let new = [
            ("bash", "5.2-2", "x86_64"),
            ("come", "1-1", "noarch"),
            ("same", "1-1", "noarch"),
            ("back", "3-1", "x86_64"),
            ("turned", "1-1", "noarch"),
        ];
        assert_eq!(
            told(&old, &new),
            [
                "back downgraded 1:2-1.x86_64 3-1.x86_64",
                "bash upgraded 5.2-1.x86_64 5.2-2.x86_64",
                "come added - 1-1.noarch",
                "gone removed 1-1.noarch -",
                "turned moved 1-1.x86_64 1-1.noarch",
            ]
        );
        assert!(told(&new, &new).is_empty());
    }

    #[test]
    fn several_builds_of_one_package_are_kept_apart() {
        let old = [("kernel", "6.1-9", "x86_64"), ("kernel", "6.1-10", "x86_64"), ("glibc", "1-1", "i686")];
        let new = [
            ("kernel", "6.1-10", "x86_64"),
            ("kernel", "6.1-11", "x86_64"),
            ("glibc", "2-1", "i686"),
            ("glibc", "2-1", "x86_64"),
        ];
        assert_eq!(
            told(&old, &new),
            [
                "glibc upgraded 1-1.i686 2-1.i686",
                "glibc added - 2-1.x86_64",
                "kernel upgraded 6.1-9.x86_64 6.1-11.x86_64",
            ]
        );
    }

    #[test]
    fn the_order_is_the_same_seen_from_both_sides() {
        let versions =
            ["", "0", "00", "1", "1.", "1.0", "1.0~rc1", "1.0^git1", "1.0a", "a", "a1", "~", "^", "10", "9"];
        for one in versions {
            assert_eq!(order_versions(one, one), Ordering::Equal, "{one}");
            for other in versions {
                assert_eq!(order_versions(one, other), order_versions(other, one).reverse(), "{one} {other}");
            }
        }
    }
}
