//! Recipes in TOML: one at the top of a file, or several as `[[recipe]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use muster_flow::koji::KojiTask;
use muster_flow::recipe::{Builder, Grammar, Recipe};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    recipe: Vec<Recipe>,
}

/// Reads every `*.toml` of the folders below `root`, in the order of their names. One that is broken keeps all from being
/// read: nobody could tell a recipe that is broken from one that was removed.
pub(super) fn read(root: &Path, folders: &[String]) -> Result<Vec<Recipe>> {
    let (recipes, faults) = read_each(root, folders);
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(recipes),
    }
}

/// The same, with what is wrong with each file that cannot be read.
pub(super) fn read_each(root: &Path, folders: &[String]) -> (Vec<Recipe>, Vec<anyhow::Error>) {
    let mut recipes: Vec<Recipe> = Vec::new();
    let mut faults = Vec::new();
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    let present: Vec<PathBuf> =
        folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()).collect();
    if present.is_empty() {
        let folders = folders.join(", ");
        let root = root.display();
        faults.push(anyhow!(
            "there is no folder of recipes below {root} (definitions.recipes names {folders})"
        ));
    }
    for folder in present {
        let files = files(&folder).unwrap_or_else(|error| {
            faults.push(error);
            Vec::new()
        });
        for file in files {
            let read =
                read_file(&file).with_context(|| format!("cannot read recipes from {}", file.display()));
            for recipe in read.unwrap_or_else(|error| {
                faults.push(error);
                Vec::new()
            }) {
                if let Some(other) = seen.insert(recipe.name.clone(), file.clone()) {
                    let (name, file, other) = (&recipe.name, file.display(), other.display());
                    faults.push(anyhow!("{file}: name: there is a recipe {name} in {other} already"));
                    continue;
                }
                recipes.push(recipe);
            }
        }
    }
    (recipes, faults)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(file: &Path) -> Result<Vec<Recipe>> {
    let text = std::fs::read_to_string(file)?;
    let table: toml::Table = toml::from_str(&text)?;
    // Parsed from the text again, so that an error shows the line.
    let recipes = if table.contains_key("recipe") {
        toml::from_str::<Several>(&text)?.recipe
    } else {
        vec![toml::from_str::<Recipe>(&text)?]
    };
    for recipe in &recipes {
        check(recipe).with_context(|| format!("recipe {:?}", recipe.name))?;
    }
    Ok(recipes)
}

/// What TOML cannot say: names that become parts of keys, files and addresses.
fn check(recipe: &Recipe) -> Result<()> {
    let word = |text: &str| {
        !text.is_empty()
            && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_.+".contains(character))
            && !text.starts_with(['.', '-'])
    };
    for (key, value) in [("name", &recipe.name), ("image", &recipe.image), ("version", &recipe.version)] {
        if !word(value) {
            bail!(
                "{key}: {value:?} must be letters, digits and any of - _ . + and begin with a letter or digit"
            );
        }
    }
    if recipe.arches.is_empty() {
        bail!("arches: there must be one at least");
    }
    if let Some(arch) = recipe.arches.iter().find(|arch| !word(arch)) {
        bail!("arches: {arch:?} is no name of an architecture");
    }
    if !word(&recipe.stream) {
        bail!("stream: {:?} must be letters, digits and any of - _ . +", recipe.stream);
    }
    let ending = Path::new(&recipe.definition.file).extension().and_then(|ending| ending.to_str());
    let (endings, kind): (&[&str], &str) = match recipe.grammar() {
        Grammar::Kickstart => (&["ks", "cfg"], "a kickstart (.ks)"),
        Grammar::Treefile => (&["yaml", "yml", "json"], "a treefile (.yaml or .json)"),
        Grammar::Kiwi => (&["kiwi", "xml"], "a description of kiwi (.kiwi or .xml)"),
        Grammar::Customizations => (&["json"], "the customizations of a blueprint (.json)"),
        Grammar::Template => (&["tdl", "xml"], "a template (.tdl or .xml)"),
    };
    if !ending.is_some_and(|ending| endings.contains(&ending)) {
        bail!("definition.file: {:?} is not {kind}", recipe.definition.file);
    }
    if recipe.builder != Builder::Koji && recipe.koji != KojiTask::default() {
        bail!("koji: Koji does not build it: write builder = \"koji\"");
    }
    let mut cells = BTreeSet::new();
    for cell in &recipe.smoketests.cells {
        if !word(&cell.name) || !cells.insert(&cell.name) {
            bail!("smoketests.cells: {:?} is not a name of its own", cell.name);
        }
    }
    let mut destinations = BTreeSet::new();
    for destination in &recipe.destinations {
        if !destinations.insert((&destination.name, destination.takes)) {
            bail!("destinations: {:?} takes the same form twice", destination.name);
        }
    }
    Ok(())
}
