//! The list of candidates, narrowed by recipe and stage.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{Pages, page};
use crate::story::{self, Brief};

/// How many candidates a list goes back.
const LIMIT: u32 = 300;

/// What the list is narrowed to; nothing, when a field is empty.
#[derive(Debug, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    recipe: String,
    #[serde(default)]
    stage: String,
}

/// The list.
#[derive(Debug, Serialize)]
pub struct List {
    /// Candidates, newest first.
    pub candidates: Vec<Brief>,
    /// The recipes that have candidates.
    #[serde(skip)]
    recipes: Vec<String>,
}

#[derive(Template)]
#[template(path = "candidates.html")]
struct Page {
    open: Vec<Brief>,
    finished: Vec<Brief>,
    recipes: Vec<String>,
    stages: &'static [&'static str],
    filter: Filter,
}

impl Page {
    fn is_narrowed(&self) -> bool {
        !self.filter.recipe.is_empty() || !self.filter.stage.is_empty()
    }
}

/// The page.
pub async fn html(State(pages): State<Pages>, Query(filter): Query<Filter>) -> Result<Html<String>, Problem> {
    let List { candidates, recipes } = list(&pages, &filter).await?;
    let (finished, open) = candidates.into_iter().partition(|brief| brief.finished);
    page::render(&Page { open, finished, recipes, stages: &story::STAGES, filter })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>, Query(filter): Query<Filter>) -> Response {
    match list(&pages, &filter).await {
        Ok(list) => Json(list).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn list(pages: &Pages, filter: &Filter) -> Result<List, Problem> {
    let mut candidates = pages.teller.briefs(&pages.store().lines(LIMIT).await?).await?;
    let mut recipes: Vec<String> = candidates.iter().map(|brief| brief.recipe.clone()).collect();
    recipes.sort();
    recipes.dedup();
    candidates.retain(|brief| {
        (filter.recipe.is_empty() || filter.recipe == brief.recipe)
            && (filter.stage.is_empty() || filter.stage == brief.stage)
    });
    Ok(List { candidates, recipes })
}
