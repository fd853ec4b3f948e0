//! What `muster config check` asks of a hub: whether we can log in, and whether every recipe's image could be built.

use muster_flow::build::KojiImage;
use muster_flow::recipe::{Builder, Recipe};

use super::client::Hub;
use super::error::CallError;
use super::image;
use super::preflight;
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
    let mut lines: Vec<(Option<String>, String)> = match rights(settings, &hub).await {
        Ok(lines) => lines.into_iter().map(|line| (None, line)).collect(),
        Err(error) => return vec![(None, error.to_string())],
    };
    for recipe in recipes.iter().filter(|recipe| recipe.builder == Builder::Koji) {
        // As a release: whatever holds for one holds for a scratch image.
        let image = KojiImage::kept(recipe, "1");
        let target = Settings::of_version(&settings.target, &recipe.version);
        let mut lacks = image::faults(&recipe.product, &recipe.version, &recipe.packages);
        let there =
            preflight::lacks(&hub, &target, &image).await.unwrap_or_else(|error| vec![error.to_string()]);
        lacks.extend(there);
        lines.extend(lacks.into_iter().map(|line| (Some(recipe.name.clone()), line)));
    }
    lines
}

async fn rights(settings: &Settings, hub: &Hub) -> Result<Vec<String>, CallError> {
    preflight::rights(&Session::new(hub.clone(), settings.login.clone())).await
}
