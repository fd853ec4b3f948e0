//! What `muster config check` asks of a hub: whether we can log in, and whether every recipe's image could be built.

use std::collections::BTreeSet;

use muster_flow::build::KojiImage;
use muster_flow::recipe::{Builder, Recipe};

use super::client::Hub;
use super::error::CallError;
use super::order::{self, Wish};
use super::preflight::{self, Looked};
use super::session::Session;
use super::settings::Settings;

/// What cannot work, one line each: of the section itself first, then by recipe.
pub async fn check(settings: &Settings, recipes: &[Recipe]) -> Vec<(Option<String>, String)> {
    let faults = settings.faults();
    if !faults.is_empty() {
        return faults.into_iter().map(|fault| (None, fault)).collect();
    }
    let hub = match Hub::new(&settings.hub) {
        Ok(hub) => hub,
        Err(error) => return vec![(None, format!("{error:#}"))],
    };
    let ours = || recipes.iter().filter(|recipe| recipe.builder == Builder::Koji);
    let kinds: BTreeSet<&str> = ours().map(|recipe| order::method(&recipe.koji)).collect();
    let kinds = if kinds.is_empty() { ["image"].into() } else { kinds };
    let mut lines: Vec<(Option<String>, String)> = match rights(settings, &hub, kinds).await {
        Ok(lines) => lines.into_iter().map(|line| (None, line)).collect(),
        Err(error) => return vec![(None, error.to_string())],
    };
    for recipe in ours() {
        // As a release: whatever holds for one holds for a scratch image.
        let image = KojiImage::kept(recipe, "1");
        let target = Settings::of_version(&settings.target, &recipe.version);
        let mut lacks = Wish::of(recipe, &image).faults(settings);
        let there = preflight::look(&hub, &target, &image).await;
        lacks.extend(there.map_or_else(|error| vec![error.to_string()], |Looked { lacks, .. }| lacks));
        lines.extend(lacks.into_iter().map(|line| (Some(recipe.name.clone()), line)));
    }
    lines
}

/// What our account may not do of what recipes need, each said once.
async fn rights(
    settings: &Settings,
    hub: &Hub,
    kinds: BTreeSet<&str>,
) -> Result<BTreeSet<String>, CallError> {
    let session = Session::new(hub.clone(), settings.login.clone());
    let mut lines = BTreeSet::new();
    for kind in kinds {
        lines.extend(preflight::rights(&session, kind).await?);
    }
    Ok(lines)
}
