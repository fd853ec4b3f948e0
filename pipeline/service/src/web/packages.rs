//! The packages of one candidate, and what has changed in them.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::{Pages, page};
use crate::story::packages::Packages;

/// What to compare with.
#[derive(Debug, Default, Deserialize)]
pub struct View {
    /// The version of another candidate of the recipe, such as `43.20261021.0`; the last release when it is empty.
    #[serde(default)]
    since: String,
}

#[derive(Template)]
#[template(path = "packages.html")]
struct Page {
    packages: Packages,
}

/// The page.
pub async fn html(
    State(pages): State<Pages>,
    Path((recipe, version)): Path<(String, String)>,
    Query(view): Query<View>,
) -> Result<Html<String>, Problem> {
    page::render(&Page { packages: tell(&pages, &recipe, &version, &view).await? })
}

/// The same as JSON.
pub async fn json(
    State(pages): State<Pages>,
    Path((recipe, version)): Path<(String, String)>,
    Query(view): Query<View>,
) -> Response {
    match tell(&pages, &recipe, &version, &view).await {
        Ok(packages) => Json(packages).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn tell(pages: &Pages, recipe: &str, version: &str, view: &View) -> Result<Packages, Problem> {
    let candidate = pages.candidate(recipe, version).await?;
    let since = match view.since.trim() {
        "" => None,
        since => Some(pages.candidate(recipe, since).await?),
    };
    Ok(pages.teller.packages(&candidate, since).await?)
}
