//! Changes: what happened upstream, what each did, and the candidates that it led to.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use muster_flow::change::Origin;
use serde::Serialize;
use serde_json::json;

use super::problem::Problem;
use super::{Pages, page};
use crate::store::SeenChange;

/// How many changes a list goes back.
const LIMIT: u32 = 200;

/// A change, what it did, and where that led.
#[derive(Debug, Serialize)]
struct Seen {
    id: String,
    at: Timestamp,
    /// How we heard of it, in a few words.
    origin: String,
    summary: String,
    /// What it did, or why it started nothing; empty while it waits to be weighed.
    effect: String,
    /// The ids of the candidates that it called for, also of those whose place a newer one took.
    candidates: Vec<String>,
}

#[derive(Template)]
#[template(path = "changes.html")]
struct ListPage {
    changes: Vec<Seen>,
}

#[derive(Template)]
#[template(path = "change.html")]
struct ChangePage {
    change: Seen,
}

/// Changes, newest first.
pub async fn html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&ListPage { changes: list(&pages).await? })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>) -> Response {
    match list(&pages).await {
        Ok(changes) => Json(json!({ "changes": changes })).into_response(),
        Err(problem) => problem.json(),
    }
}

/// One change.
pub async fn one_html(State(pages): State<Pages>, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    page::render(&ChangePage { change: one(&pages, &id).await? })
}

/// The same as JSON.
pub async fn one_json(State(pages): State<Pages>, Path(id): Path<String>) -> Response {
    match one(&pages, &id).await {
        Ok(change) => Json(change).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn list(pages: &Pages) -> Result<Vec<Seen>, Problem> {
    Ok(pages.store().changes(LIMIT).await?.into_iter().map(seen).collect())
}

async fn one(pages: &Pages, id: &str) -> Result<Seen, Problem> {
    let change = pages.store().change(id).await?;
    change.map(seen).ok_or_else(|| {
        Problem::not_found(
            format!("There is no change {id}."),
            "Changes are kept for a while only; the pages of the candidates that one led to still say what it was.",
        )
    })
}

fn seen(seen: SeenChange) -> Seen {
    Seen {
        origin: origin(&seen.change.origin),
        summary: seen.change.summary(),
        id: seen.change.id,
        at: seen.change.at,
        effect: seen.effect,
        candidates: seen.candidates.into_iter().map(|id| id.0).collect(),
    }
}

/// How we heard of a change, in a few words.
fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Message { topic } => format!("message {topic}"),
        Origin::Sweep { source } => format!("a look at {source}: the bus did not say"),
        Origin::Calendar => "the calendar".to_owned(),
        Origin::Person { name } => name.clone(),
    }
}
