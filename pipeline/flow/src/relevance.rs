//! Which recipes a change touches, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Life, Purpose};
use crate::change::{What, Wish};
use crate::recipe::Recipe;

/// What is known of the recipes: the ground on which changes are weighed.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// Every recipe.
    pub recipes: Vec<Recipe>,
    /// The packages that the last build of each recipe recorded: package name to recipe names, each with the package's
    /// build where it is known to be the same for all architectures.
    pub installed: HashMap<String, BTreeMap<String, Option<String>>>,
    /// Recipes whose last build is over and recorded the packages of every architecture, so that what is recorded is
    /// what is on their newest image.
    pub settled: BTreeSet<String>,
    /// Recipes with no recorded build. A package cannot be said not to be on them.
    pub unbuilt: BTreeSet<String>,
    /// The files each recipe's definition includes, itself among them, by recipe name.
    pub files: BTreeMap<String, BTreeSet<String>>,
}

/// A recipe that a change touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// The recipe's name.
    pub recipe: String,
    /// What its candidate is for.
    pub purpose: Purpose,
    /// Why, in one line.
    pub why: String,
}

/// Every recipe that a change touches; or, when there is none, why there is none.
pub fn weigh(what: &What, person: Option<&str>, knowledge: &Knowledge) -> Result<Vec<Touch>, String> {
    let touches = match what {
        What::PackageTagged { package, tag, .. } | What::PackageUntagged { package, tag, .. } => {
            return by_package(what, (package, tag), knowledge);
        }
        What::PackageBuilt { nvr, .. } => {
            return Err(format!("{nvr} is on no image before it is tagged; its tag message decides"));
        }
        What::RepositoryRegenerated { tag } => {
            return Err(format!("the tag messages of {tag} have said already what is new in it"));
        }
        What::Pushed { repository, branch, files, .. } => {
            return by_push(repository, branch, files, knowledge);
        }
        What::ComposeFinished { compose, .. } => {
            return Err(format!("compose {compose} is made of packages that were tagged before"));
        }
        What::WindowOpened { stream } => of_stream(stream, &Purpose::Release, knowledge),
        What::Requested { recipe, stream, purpose, reason } => {
            let purpose = match purpose {
                Wish::Scratch => Purpose::Scratch,
                Wish::Release => Purpose::Release,
                Wish::Emergency => {
                    Purpose::Emergency { who: person.unwrap_or("unknown").to_owned(), why: reason.clone() }
                }
            };
            requested(recipe.as_deref(), stream.as_deref(), &purpose, knowledge)?
        }
    };
    if touches.is_empty() { Err("no recipe belongs to it".to_owned()) } else { Ok(touches) }
}

/// The recipes that a build which came into a tag would touch, were it not what their last build recorded: there is
/// nothing to prove.
pub fn up_to_date<'a>(what: &What, knowledge: &'a Knowledge) -> Vec<&'a str> {
    let What::PackageTagged { package, nvr, tag } = what else { return Vec::new() };
    let Some(installed) = knowledge.installed.get(package) else { return Vec::new() };
    let is_there = |recipe: &&Recipe| {
        knowledge.settled.contains(&recipe.name)
            && installed.get(&recipe.name).is_some_and(|build| build.as_ref() == Some(nvr))
    };
    in_tag(tag, knowledge).filter(is_there).map(|recipe| recipe.name.as_str()).collect()
}

/// The recipes that take packages from a tag.
fn in_tag<'a>(tag: &str, knowledge: &'a Knowledge) -> impl Iterator<Item = &'a Recipe> {
    let takes = move |recipe: &&Recipe| recipe.packages.tags.iter().any(|known| known == tag);
    knowledge.recipes.iter().filter(takes)
}

fn by_package(
    what: &What,
    (package, tag): (&str, &str),
    knowledge: &Knowledge,
) -> Result<Vec<Touch>, String> {
    if in_tag(tag, knowledge).next().is_none() {
        return Err(format!("no recipe takes packages from {tag}"));
    }
    let installed = knowledge.installed.get(package);
    let up_to_date = up_to_date(what, knowledge);
    let touches: Vec<Touch> = in_tag(tag, knowledge)
        .filter(|recipe| !up_to_date.contains(&recipe.name.as_str()))
        .filter_map(|recipe| {
            let why = if installed.is_some_and(|recipes| recipes.contains_key(&recipe.name)) {
                format!("{package} is in the package set that its last build recorded")
            } else if knowledge.unbuilt.contains(&recipe.name) {
                format!("it takes packages from {tag} and has no recorded package set yet")
            } else {
                return None;
            };
            Some(Touch { recipe: recipe.name.clone(), purpose: Purpose::Scratch, why })
        })
        .collect();
    match (touches.is_empty(), up_to_date.is_empty()) {
        (false, _) => Ok(touches),
        (true, true) => Err(format!("{package} is on no image")),
        (true, false) => {
            Err(format!("the last build of {} recorded this very build of {package}", up_to_date.join(", ")))
        }
    }
}

fn by_push(
    repository: &str,
    branch: &str,
    files: &[String],
    knowledge: &Knowledge,
) -> Result<Vec<Touch>, String> {
    let of_repository: Vec<&Recipe> = knowledge
        .recipes
        .iter()
        .filter(|recipe| recipe.definition.repository == repository)
        .filter(|recipe| recipe.definition.branch.is_empty() || recipe.definition.branch == branch)
        .collect();
    if of_repository.is_empty() {
        return Err(format!("no recipe is defined in {repository} {branch}"));
    }
    let touches: Vec<Touch> = of_repository
        .iter()
        .filter_map(|recipe| {
            let why = if files.is_empty() {
                format!("the push to {repository} does not say which files it touched")
            } else {
                let known = knowledge.files.get(&recipe.name);
                let file = files.iter().find(|file| {
                    **file == recipe.definition.file || known.is_some_and(|known| known.contains(*file))
                })?;
                if *file == recipe.definition.file {
                    format!("its definition {file} was changed")
                } else {
                    format!("{file}, which its definition includes, was changed")
                }
            };
            Some(Touch { recipe: recipe.name.clone(), purpose: Purpose::Scratch, why })
        })
        .collect();
    if touches.is_empty() {
        return Err("no definition, and nothing that one includes, was changed".to_owned());
    }
    Ok(touches)
}

fn of_stream(stream: &str, purpose: &Purpose, knowledge: &Knowledge) -> Vec<Touch> {
    let recipes = knowledge.recipes.iter().filter(|recipe| recipe.stream == stream);
    recipes
        .map(|recipe| Touch {
            recipe: recipe.name.clone(),
            purpose: purpose.clone(),
            why: format!("its releases go to {stream}"),
        })
        .collect()
}

fn requested(
    recipe: Option<&str>,
    stream: Option<&str>,
    purpose: &Purpose,
    knowledge: &Knowledge,
) -> Result<Vec<Touch>, String> {
    let Some(name) = recipe else {
        let stream = stream.unwrap_or("stable");
        let touches = of_stream(stream, purpose, knowledge);
        return if touches.is_empty() { Err(format!("no recipe releases to {stream}")) } else { Ok(touches) };
    };
    let recipe = knowledge.recipes.iter().find(|recipe| recipe.name == name);
    let recipe = recipe.ok_or_else(|| {
        let known: Vec<&str> = knowledge.recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        format!("there is no recipe {name}; there are: {}", known.join(", "))
    })?;
    Ok(vec![Touch {
        recipe: recipe.name.clone(),
        purpose: purpose.clone(),
        why: "it was asked for by name".to_owned(),
    }])
}

/// What a touch does, given the candidates that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission<'a> {
    /// A candidate of this recipe waits already, and takes the change in.
    Joins(&'a Candidate),
    /// A new candidate is made. It takes over the changes of the waiting one that it supersedes, if any.
    Starts {
        /// The candidate whose place it takes.
        supersedes: Option<&'a Candidate>,
    },
}

/// Weighs one touch against the open candidates: at most one waits per recipe and purpose.
///
/// A package change joins the waiting candidate, which reads its packages only when it starts. A push supersedes it,
/// so that each candidate stands for one commit.
pub fn admit<'a>(touch: &Touch, what: &What, open: &'a [Candidate]) -> Admission<'a> {
    let waiting = open.iter().find(|candidate| {
        candidate.recipe.name == touch.recipe
            && candidate.life == Life::Waiting
            && candidate.purpose.word() == touch.purpose.word()
    });
    match (waiting, what) {
        (None, _) => Admission::Starts { supersedes: None },
        (Some(waiting), What::Pushed { .. }) => Admission::Starts { supersedes: Some(waiting) },
        (
            Some(waiting),
            What::PackageTagged { .. }
            | What::PackageUntagged { .. }
            | What::PackageBuilt { .. }
            | What::RepositoryRegenerated { .. }
            | What::ComposeFinished { .. }
            | What::WindowOpened { .. }
            | What::Requested { .. },
        ) => Admission::Joins(waiting),
    }
}
