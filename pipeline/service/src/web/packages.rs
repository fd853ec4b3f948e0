//! The packages of one candidate, and what has changed in them.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use muster_flow::candidate::Candidate;
use serde::Deserialize;

use super::problem::Problem;
use super::{Pages, page};
use crate::story::Brief;
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
    /// What they may be compared with, newest first.
    choices: Vec<Brief>,
}

impl Page {
    fn is_chosen(&self, choice: &Brief) -> bool {
        self.packages.since.as_ref() == Some(&choice.candidate)
    }
}

/// The page.
pub async fn html(
    State(pages): State<Pages>,
    Path((recipe, version)): Path<(String, String)>,
    Query(view): Query<View>,
) -> Result<Html<String>, Problem> {
    let candidate = pages.candidate(&recipe, &version).await?;
    let packages = tell(&pages, &candidate, &view).await?;
    page::render(&Page { packages, choices: pages.teller.comparable(&candidate).await? })
}

/// The same as JSON.
pub async fn json(
    State(pages): State<Pages>,
    Path((recipe, version)): Path<(String, String)>,
    Query(view): Query<View>,
) -> Response {
    let packages = async {
        let candidate = pages.candidate(&recipe, &version).await?;
        tell(&pages, &candidate, &view).await
    };
    match packages.await {
        Ok(packages) => Json(packages).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn tell(pages: &Pages, candidate: &Candidate, view: &View) -> Result<Packages, Problem> {
    let since = match view.since.trim() {
        "" => None,
        since => Some(pages.candidate(candidate.id.recipe(), since).await?),
    };
    Ok(pages.teller.packages(candidate, since).await?)
}
