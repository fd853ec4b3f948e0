//! `muster config check`: whether everything that is configured can work, before anything is asked of it.

use std::collections::BTreeMap;

use muster_flow::recipe::{Builder, DestinationKind, Form, Product, Recipe};
use muster_flow::smoketest::Test;
use serde::Serialize;

use super::call::{Call, Ending, Failure};
use super::output;
use crate::adapters::destination::{self, Destinations};
use crate::adapters::{imagefactory, koji, local, qemu};
use crate::calendar::Calendar;
use crate::clock::Clock;
use crate::config::Settings;
use crate::program;
use crate::sources::Sources;
use crate::upstream::Upstream;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Look whether everything that is configured can work.
    #[command(after_help = "\
Example:
  muster --config muster.toml config check && echo ready

It reads the settings, every recipe with its definition and smoketests, the keys, and looks for the
programs that are needed. It logs in to the Koji hub, if there is one, and asks it about permissions,
targets, architectures and package lists. It exits with 4 when it found faults.")]
    Check,
}

/// The shape of `--json`.
#[derive(Debug, Serialize)]
struct Checked {
    /// The recipes that were read.
    recipes: Vec<String>,
    /// What cannot work.
    faults: Vec<Fault>,
}

/// Something that cannot work.
#[derive(Debug, Serialize)]
struct Fault {
    /// What it is about: `recipe cloud-base`, `destinations`, `programs`.
    about: String,
    /// What is wrong, and what to do.
    what: String,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let What::Check = args.what;
    let checked = check(call).await?;
    let words = if checked.faults.is_empty() {
        format!("everything can work; recipes: {}", checked.recipes.join(", "))
    } else {
        let lines = checked
            .faults
            .iter()
            .map(|fault| output::wrap(&format!("{}: {}", fault.about, fault.what), "", 100));
        lines.collect::<Vec<_>>().join("\n")
    };
    call.say(&words, &checked)?;
    Ok(if checked.faults.is_empty() { Ending::Done } else { Ending::No })
}

async fn check(call: &Call) -> Result<Checked, Failure> {
    let settings = &call.settings;
    let mut faults = Faults::default();
    faults.outcome("streams", Calendar::new(&settings.streams));
    if let Some(bus) = &settings.bus {
        faults.outcome("bus", bus.check());
    }
    if let Some(destinations) =
        faults.outcome("destinations", Destinations::new(settings, call.clock.clone()))
    {
        faults.lines("destinations", destinations.check().await);
    }
    let mut recipes = Vec::new();
    if let Some(sources) = faults.outcome("definitions", Sources::new(settings, call.clock.clone())) {
        recipes = faults.outcome("definitions", sources.recipes().await).unwrap_or_default();
        for recipe in &recipes {
            let about = format!("recipe {}", recipe.name);
            faults.lines(&about, look_at(recipe, settings));
            if let Some((_, tests)) = faults.outcome(&about, sources.freeze(recipe).await) {
                faults.lines(&about, look_at_tests(recipe, &tests));
            }
        }
    }
    look_at_koji(settings, &recipes, &mut faults).await;
    look_at_imagefactory(settings, (&recipes, &call.clock), &mut faults).await;
    faults.lines("programs", missing_programs(settings, &recipes));
    let recipes = recipes.into_iter().map(|recipe| recipe.name).collect();
    Ok(Checked { recipes, faults: faults.0 })
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

/// What the hub lacks for the recipes that it builds.
async fn look_at_koji(settings: &Settings, recipes: &[Recipe], faults: &mut Faults) {
    if let Some(koji) = &settings.koji {
        for (recipe, line) in koji::check(koji, recipes).await {
            let about = recipe.map_or_else(|| "koji".to_owned(), |name| format!("recipe {name}"));
            faults.lines(&about, vec![line]);
        }
        return;
    }
    for recipe in recipes.iter().filter(|recipe| recipe.builder == Builder::Koji) {
        let line = "Koji builds it; add [koji] to the configuration".to_owned();
        faults.lines(&format!("recipe {}", recipe.name), vec![line]);
    }
}

/// What an ImageFactory lacks for the recipes that it builds.
async fn look_at_imagefactory(
    settings: &Settings,
    (recipes, clock): (&[Recipe], &Clock),
    faults: &mut Faults,
) {
    let ours = || recipes.iter().filter(|recipe| recipe.builder == Builder::Imagefactory);
    let Some(factory) = &settings.imagefactory else {
        for recipe in ours() {
            let line = "ImageFactory builds it; add [imagefactory] to the configuration".to_owned();
            faults.lines(&format!("recipe {}", recipe.name), vec![line]);
        }
        return;
    };
    faults.lines("imagefactory", imagefactory::check(factory, clock).await);
    for recipe in ours() {
        faults.lines(&format!("recipe {}", recipe.name), imagefactory::faults(&recipe.product));
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
    let mut needed: Vec<&str> = here.flat_map(|recipe| local::programs(&recipe.product)).copied().collect();
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
