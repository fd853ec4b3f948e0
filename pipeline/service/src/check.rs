//! Whether everything that is configured can work, before anything is asked of it: for `muster config check`, and for
//! the service at its start.

use std::collections::BTreeMap;

use muster_flow::recipe::{Builder, DestinationKind, Form, Product, Recipe};
use muster_flow::smoketest::Test;
use serde::Serialize;

use crate::adapters::destination::{self, Destinations};
use crate::adapters::{imagefactory, koji, local, qemu};
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::config::Settings;
use crate::program;
use crate::sources::Sources;
use crate::upstream::Upstream;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The recipes that were read.
    pub recipes: Vec<String>,
    /// What cannot work.
    pub faults: Vec<Fault>,
}

/// Something that cannot work.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// What it is about: `recipe cloud-base`, `destinations`, `programs`.
    pub about: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Looks at everything, and asks the hub, the factory and the registries too.
pub async fn everything(settings: &Settings, clock: &Clock) -> Checked {
    let mut faults = Faults::default();
    let destinations = faults.outcome("destinations", Destinations::new(settings, clock.clone()));
    if let Some(destinations) = &destinations {
        faults.lines("destinations", destinations.check().await);
    }
    let sources = faults.outcome("definitions", Sources::new(settings, clock.clone()));
    let recipes = look_here(settings, sources.as_ref(), &mut faults).await;
    if let Some(koji) = &settings.koji {
        for (recipe, line) in koji::check(koji, &recipes).await {
            let about = recipe.map_or_else(|| "koji".to_owned(), |name| format!("recipe {name}"));
            faults.lines(&about, vec![line]);
        }
    }
    if let Some(factory) = &settings.imagefactory {
        faults.lines("imagefactory", imagefactory::check(factory, clock).await);
    }
    let recipes = recipes.into_iter().map(|recipe| recipe.name).collect();
    Checked { recipes, faults: faults.0 }
}

/// Looks at what lies here, and asks nobody but the repository of the definitions, which the service reads anyway.
pub async fn here(settings: &Settings, sources: &Sources, destinations: &Destinations) -> Vec<Fault> {
    let mut faults = Faults::default();
    faults.lines("destinations", destinations.check_here().await);
    look_here(settings, Some(sources), &mut faults).await;
    faults.0
}

async fn look_here(settings: &Settings, sources: Option<&Sources>, faults: &mut Faults) -> Vec<Recipe> {
    faults.outcome("streams", Calendar::new(&settings.streams));
    if let Some(bus) = &settings.bus {
        faults.outcome("bus", bus.check());
    }
    let mut recipes = Vec::new();
    if let Some(sources) = sources {
        let (read, unreadable) = sources.each_recipe().await;
        recipes = read;
        for error in unreadable {
            faults.outcome::<()>("definitions", Err(error));
        }
        for recipe in &recipes {
            let about = format!("recipe {}", recipe.name);
            faults.lines(&about, look_at(recipe, settings));
            if let Some((_, tests)) = faults.outcome(&about, sources.freeze(recipe).await) {
                faults.lines(&about, look_at_tests(recipe, &tests));
            }
        }
    }
    look_at_builders(settings, &recipes, faults);
    faults.lines("programs", missing_programs(settings, &recipes));
    recipes
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn lines(&mut self, about: &str, lines: Vec<String>) {
        // Some adapters name their section themselves.
        let short =
            |what: String| what.strip_prefix(&format!("{about}: ")).map_or(what.clone(), str::to_owned);
        self.0.extend(lines.into_iter().map(|what| Fault { about: about.to_owned(), what: short(what) }));
    }

    fn outcome<T>(&mut self, about: &str, outcome: anyhow::Result<T>) -> Option<T> {
        outcome.inspect_err(|error| self.lines(about, vec![format!("{error:#}")])).ok()
    }
}

/// What of a recipe cannot work, whatever its definition says.
fn look_at(recipe: &Recipe, settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    let forms = forms(&recipe.product);
    if recipe.smoketests.cells.is_empty() {
        faults.push("it has no cells in [smoketests], so it is never booted and can never pass".to_owned());
    }
    for cell in recipe.smoketests.cells.iter().filter(|cell| !forms.contains(&cell.artifact)) {
        let form = cell.artifact.extension();
        faults
            .push(format!("the cell {} boots the form {form}, which is not made of this product", cell.name));
    }
    let configured: BTreeMap<&str, DestinationKind> =
        settings.destinations.iter().map(|(name, settings)| (name.as_str(), kind(settings))).collect();
    for destination in &recipe.destinations {
        let name = &destination.name;
        match configured.get(name.as_str()) {
            None => faults.push(format!("it goes to {name}; add [destinations.{name}] to the configuration")),
            Some(kind) if *kind != destination.kind => {
                faults
                    .push(format!("it takes {name} for another kind of destination than the configuration"));
            }
            Some(_) => {}
        }
        if !forms.contains(&destination.takes) {
            let form = destination.takes.extension();
            faults.push(format!("{name} takes the form {form}, which is not made of this product"));
        }
    }
    faults
}

/// What lacks for whoever builds the recipes, as far as nobody need be asked.
fn look_at_builders(settings: &Settings, recipes: &[Recipe], faults: &mut Faults) {
    for recipe in recipes {
        let lines = match recipe.builder {
            Builder::Koji if settings.koji.is_none() => {
                vec!["Koji builds it; add [koji] to the configuration".to_owned()]
            }
            Builder::Imagefactory if settings.imagefactory.is_none() => {
                vec!["ImageFactory builds it; add [imagefactory] to the configuration".to_owned()]
            }
            Builder::Imagefactory => imagefactory::faults(&recipe.product),
            Builder::Koji | Builder::Local => Vec::new(),
        };
        faults.lines(&format!("recipe {}", recipe.name), lines);
    }
}

fn forms(product: &Product) -> &'static [Form] {
    match product {
        Product::Disk => &[Form::Raw, Form::Qcow2],
        Product::Container => &[Form::Oci],
        Product::Ostree => &[Form::OstreeCommit, Form::Raw, Form::Qcow2],
    }
}

fn kind(settings: &destination::Settings) -> DestinationKind {
    match settings {
        destination::Settings::Mirror(_) => DestinationKind::Mirror,
        destination::Settings::Registry(_) => DestinationKind::Registry,
        destination::Settings::OstreeRepository(_) => DestinationKind::OstreeRepository,
    }
}

/// What of a recipe cannot work, given the smoketests there are.
fn look_at_tests(recipe: &Recipe, tests: &[Test]) -> Vec<String> {
    let mut faults = Vec::new();
    for name in &recipe.gate.required {
        if !tests.iter().any(|test| &test.name == name) {
            faults.push(format!("its gate requires {name}, and there is no such smoketest"));
        }
    }
    for cell in &recipe.smoketests.cells {
        if !tests.iter().any(|test| test.forms.contains(&cell.artifact)) {
            faults.push(format!("no smoketest fits what the cell {} boots", cell.name));
        }
    }
    faults
}

fn missing_programs(settings: &Settings, recipes: &[Recipe]) -> Vec<String> {
    let here = recipes.iter().filter(|recipe| recipe.builder == Builder::Local);
    let mut needed: Vec<&str> =
        here.flat_map(|recipe| local::programs(&recipe.product, &settings.builder)).collect();
    if recipes.iter().any(|recipe| !recipe.smoketests.cells.is_empty()) {
        needed.extend(qemu::PROGRAMS);
    }
    needed.extend(settings.koji.iter().filter_map(|koji| koji.login.program()));
    needed.sort_unstable();
    needed.dedup();
    let missing = needed.into_iter().filter(|name| program::find(name).is_none());
    missing
        .map(|name| format!("{name} is not installed; deploy/packages says which package has it"))
        .collect()
}
