//! What has changed between the last good candidate and the red one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Inquiry, probe};
use crate::candidate::Candidate;
use crate::difference::{self, Difference, What};
use crate::recipe::{Cell, Recipe};
use crate::smoketest::Test;

/// One change that may have done it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Unique among the suspects of an inquiry, and always the same: probes are recorded by it.
    pub name: String,
    /// What has changed.
    pub change: Change,
}

/// What a suspect is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A package, or several of one origin; the one that the others are named after first.
    Packages(Vec<Difference>),
    /// The definition.
    Definition {
        /// The commit of the good one; empty when it lay in a plain folder.
        old: String,
        /// The commit of the red one.
        new: String,
        /// The files that are not the same.
        files: Vec<String>,
    },
    /// Settings of the recipe that its builds depend on, by their names.
    Recipe(Vec<String>),
    /// The tests themselves, or what they are run in, one line each.
    Testing(Vec<String>),
}

/// The name of the definition as a suspect. No package is called so: names of packages have no blanks.
pub const DEFINITION: &str = "the definition";

/// The name of the recipe as a suspect.
pub const RECIPE: &str = "the recipe";

/// The name of the tests as a suspect.
const TESTING: &str = "the testing";

impl Suspect {
    /// Its packages; none when it is something else.
    pub fn packages(&self) -> &[Difference] {
        match &self.change {
            Change::Packages(differences) => differences,
            Change::Definition { .. } | Change::Recipe(_) | Change::Testing(_) => &[],
        }
    }
}

/// The changes that can be put into an image and left out of it, in the order in which they are searched.
///
/// Packages that came or went are no suspects while anything else is: they follow from what needs them, and come and go
/// with it.
pub fn of(good: &Candidate, red: &Candidate) -> Vec<Suspect> {
    let (old, new) = (difference::packages(good), difference::packages(red));
    let known = !old.is_empty() && !new.is_empty();
    let differences = if known { difference::between(&old, &new) } else { Vec::new() };
    let (followers, versions): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|difference| matches!(difference.what, What::Added | What::Removed));
    let mut suspects = Vec::new();
    suspects.extend(definition(good, red));
    suspects.extend(recipe(&good.recipe, &red.recipe));
    suspects.extend(packages(versions));
    if suspects.is_empty() {
        return packages(followers);
    }
    if let [Suspect { change: Change::Packages(only), .. }] = &mut suspects[..] {
        only.extend(followers);
    }
    suspects
}

fn definition(good: &Candidate, red: &Candidate) -> Option<Suspect> {
    let (old, new) = (&good.definition, &red.definition);
    let paths: BTreeSet<&String> = old.texts.keys().chain(new.texts.keys()).collect();
    let changed = paths.into_iter().filter(|path| old.texts.get(*path) != new.texts.get(*path));
    let files: Vec<String> = changed.cloned().collect();
    if files.is_empty() && old.file == new.file {
        return None;
    }
    let change = Change::Definition { old: old.commit.clone(), new: new.commit.clone(), files };
    Some(Suspect { name: DEFINITION.to_owned(), change })
}

/// The settings that a build depends on. Those of tests and destinations do not make an image another.
fn recipe(old: &Recipe, new: &Recipe) -> Option<Suspect> {
    let settings = [
        ("product", old.product != new.product),
        ("builder", old.builder != new.builder),
        ("koji", old.koji != new.koji),
        ("version", old.version != new.version),
        ("packages", old.packages != new.packages),
    ];
    let changed = settings.into_iter().filter(|(_, changed)| *changed);
    let settings: Vec<String> = changed.map(|(name, _)| name.to_owned()).collect();
    (!settings.is_empty()).then(|| Suspect { name: RECIPE.to_owned(), change: Change::Recipe(settings) })
}

/// What packages of one source have in common: the first word of their names, and from which versions to which they
/// changed.
type Origin = (String, BTreeSet<(String, String)>);

/// Packages that were most likely built from one source are one suspect: they changed from the same version to the same
/// version, and their names begin with the same word.
fn packages(differences: Vec<Difference>) -> Vec<Suspect> {
    let mut groups: BTreeMap<Origin, Vec<Difference>> = BTreeMap::new();
    let mut by_name: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    for difference in differences {
        by_name.entry(difference.name.clone()).or_default().push(difference);
    }
    for (name, same_name) in by_name {
        let word = name.split('-').next().unwrap_or_default().to_owned();
        let side = |side: &Option<String>| side.as_deref().map(without_arch).unwrap_or_default().to_owned();
        let versions: BTreeSet<(String, String)> =
            same_name.iter().map(|difference| (side(&difference.old), side(&difference.new))).collect();
        groups.entry((word, versions)).or_default().extend(same_name);
    }
    let mut suspects: Vec<Suspect> = groups.into_values().filter_map(suspect).collect();
    suspects.sort_by(|one, other| one.name.cmp(&other.name));
    suspects
}

/// The shortest name is the one that the others were made from.
fn suspect(mut group: Vec<Difference>) -> Option<Suspect> {
    group.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
    let name = group.first()?.name.clone();
    Some(Suspect { name, change: Change::Packages(group) })
}

/// `[epoch:]version-release` of what also says the architecture.
pub fn without_arch(evra: &str) -> &str {
    evra.rsplit_once('.').map_or(evra, |(evr, _)| evr)
}

/// What has changed in the tests that a probe runs, and in what it runs them in.
pub fn of_testing(inquiry: &Inquiry<'_>) -> Option<Suspect> {
    let (good, red) = (inquiry.good, inquiry.red);
    let mut changes = Vec::new();
    for test in probe::tests(inquiry) {
        changes.extend(change(good.tests.iter().find(|old| old.name == test.name), &test));
    }
    for cell in probe::cells(inquiry) {
        let old = good.recipe.smoketests.cells.iter().find(|old| old.name == cell.name);
        changes.extend(change_of_cell(old, &cell));
    }
    if good.recipe.smoketests.budgets != red.recipe.smoketests.budgets {
        changes.push("the budgets were changed".to_owned());
    }
    (!changes.is_empty()).then(|| Suspect { name: TESTING.to_owned(), change: Change::Testing(changes) })
}

fn change(old: Option<&Test>, new: &Test) -> Option<String> {
    match old {
        None => Some(format!("the smoketest {} is new", new.name)),
        Some(old) if old == new => None,
        Some(_) => Some(format!("the smoketest {} was changed", new.name)),
    }
}

fn change_of_cell(old: Option<&Cell>, new: &Cell) -> Option<String> {
    match old {
        None => Some(format!("the cell {} is new", new.name)),
        Some(old) if old == new => None,
        Some(_) => Some(format!("the cell {} was changed", new.name)),
    }
}
