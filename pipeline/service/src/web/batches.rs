//! Batches: the list of them, and one with its members, revisions and candidates.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use muster_flow::batch::BatchId;

use super::problem::Problem;
use super::{Pages, page};
use crate::story::batch::{self, BatchBrief, BatchStory};

/// How many batches are listed.
const LISTED: u32 = 100;

#[derive(Template)]
#[template(path = "batches.html")]
struct ListPage {
    batches: Vec<BatchBrief>,
}

#[derive(Template)]
#[template(path = "batch.html")]
struct Page {
    story: BatchStory,
}

/// The page of all.
pub async fn list_html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&ListPage { batches: batch::all(pages.store(), LISTED).await? })
}

/// The same as JSON.
pub async fn list_json(State(pages): State<Pages>) -> Response {
    match batch::all(pages.store(), LISTED).await {
        Ok(batches) => Json(batches).into_response(),
        Err(error) => Problem::from(error).json(),
    }
}

/// The page of one.
pub async fn html(
    State(pages): State<Pages>,
    Path((stream, name)): Path<(String, String)>,
) -> Result<Html<String>, Problem> {
    page::render(&Page { story: tell(&pages, &stream, &name).await? })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>, Path((stream, name)): Path<(String, String)>) -> Response {
    match tell(&pages, &stream, &name).await {
        Ok(story) => Json(story).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn tell(pages: &Pages, stream: &str, name: &str) -> Result<BatchStory, Problem> {
    let id = BatchId(format!("{stream}/{name}"));
    let story = batch::tell(pages.store(), &id, pages.now()).await?;
    story.ok_or_else(|| {
        Problem::not_found(format!("There is no batch {id}."), "/batches lists those that there are.")
    })
}
