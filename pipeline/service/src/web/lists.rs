//! The shorter lists: waits, parked messages, the journal.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use muster_flow::candidate::CandidateId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::problem::Problem;
use super::{Pages, page};
use crate::store::JournalLine;
use crate::story::wait::Wait;

/// How many journal lines one answer has at most.
const JOURNAL: u32 = 1000;

/// How much of a parked message a page shows.
const SHOWN: usize = 600;

#[derive(Template)]
#[template(path = "waits.html")]
struct WaitsPage {
    waits: Vec<Wait>,
    now: Timestamp,
}

impl WaitsPage {
    fn left(&self, until: &Timestamp) -> String {
        if *until <= self.now {
            return "due now".to_owned();
        }
        format!("in {}", page::span(&(*until - self.now).get_seconds()))
    }
}

/// Every wait with its reason.
pub async fn waits_html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&WaitsPage { waits: pages.teller.waits().await?, now: pages.now() })
}

/// The same as JSON.
pub async fn waits_json(State(pages): State<Pages>) -> Response {
    match pages.teller.waits().await.map_err(Problem::from) {
        Ok(waits) => Json(json!({ "waits": waits })).into_response(),
        Err(problem) => problem.json(),
    }
}

#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedPage {
    parked: Vec<ParkedLine>,
}

/// A message that could not be understood.
#[derive(Debug, Serialize)]
struct ParkedLine {
    id: String,
    topic: String,
    /// Why it is here.
    reason: String,
    received: Timestamp,
    bytes: usize,
    /// Its beginning, as far as it is text.
    beginning: String,
}

/// Messages that could not be understood.
pub async fn parked_html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&ParkedPage { parked: parked(&pages).await? })
}

/// The same as JSON.
pub async fn parked_json(State(pages): State<Pages>) -> Response {
    match parked(&pages).await {
        Ok(parked) => Json(json!({ "parked": parked })).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn parked(pages: &Pages) -> Result<Vec<ParkedLine>, Problem> {
    let line = |parked: muster_message::Parked| ParkedLine {
        bytes: parked.body.len(),
        beginning: String::from_utf8_lossy(&parked.body).chars().take(SHOWN).collect(),
        id: parked.id,
        topic: parked.topic,
        reason: parked.reason,
        received: parked.received,
    };
    Ok(pages.store().parked().await?.into_iter().map(line).collect())
}

/// What part of the journal is asked for.
#[derive(Debug, Default, Deserialize)]
pub struct JournalQuery {
    /// Only what was written after this line.
    #[serde(default)]
    after: i64,
    /// Only one candidate's lines.
    candidate: Option<String>,
}

/// The journal, oldest first, a thousand lines at a time.
pub async fn journal_json(State(pages): State<Pages>, Query(query): Query<JournalQuery>) -> Response {
    let candidate = query.candidate.map(CandidateId);
    let lines: Result<Vec<JournalLine>, Problem> =
        pages.store().journal(candidate.as_ref(), query.after, JOURNAL).await.map_err(Problem::from);
    match lines {
        Ok(lines) => Json(json!({ "journal": lines })).into_response(),
        Err(problem) => problem.json(),
    }
}

#[derive(Template)]
#[template(path = "api.html")]
struct ApiPage;

/// What there is for programs.
pub async fn api_html() -> Result<Html<String>, Problem> {
    page::render(&ApiPage)
}
