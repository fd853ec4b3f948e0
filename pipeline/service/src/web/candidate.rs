//! One candidate: where it stands, why, what next, and everything that happened on its way.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::{Pages, page};
use crate::store::JournalLine;
use crate::story::Story;
use crate::story::boot::Boot;
use crate::story::mark::Mark;

/// How many lines of the journal the page shows.
const JOURNAL: u32 = 500;

/// How the page is looked at.
#[derive(Debug, Default, Deserialize)]
pub struct View {
    /// Whether the page loads itself again; any value means yes.
    follow: Option<String>,
}

#[derive(Template)]
#[template(path = "candidate.html")]
struct Page {
    story: Story,
    matrix: Matrix,
    journal: Vec<JournalLine>,
    follow: bool,
}

/// Every test in every cell.
struct Matrix {
    /// One per boot of the current generation: its step's key, architecture and cell.
    columns: Vec<(String, String, String)>,
    rows: Vec<Row>,
}

struct Row {
    test: String,
    summary: String,
    gating: bool,
    cells: Vec<Option<Mark>>,
}

/// The page.
pub async fn html(
    State(pages): State<Pages>,
    Path((recipe, version)): Path<(String, String)>,
    Query(view): Query<View>,
) -> Result<Html<String>, Problem> {
    let story = tell(&pages, &recipe, &version).await?;
    let id = muster_flow::candidate::CandidateId(story.brief.candidate.clone());
    let journal = pages.store().journal(Some(&id), 0, JOURNAL).await?;
    let follow = view.follow.is_some() && !story.brief.finished;
    page::render(&Page { matrix: matrix(&story), story, journal, follow })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>, Path((recipe, version)): Path<(String, String)>) -> Response {
    match tell(&pages, &recipe, &version).await {
        Ok(story) => Json(story).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn tell(pages: &Pages, recipe: &str, version: &str) -> Result<Story, Problem> {
    let candidate = pages.candidate(recipe, version).await?;
    Ok(pages.teller.story(&candidate).await?)
}

fn matrix(story: &Story) -> Matrix {
    let boots: Vec<_> = story.boots.iter().filter(|boot| !boot.replaced).collect();
    let mut rows: Vec<Row> = Vec::new();
    for (index, boot) in boots.iter().enumerate() {
        for test in &boot.tests {
            let at = rows.iter().position(|row| row.test == test.name).unwrap_or_else(|| {
                rows.push(Row {
                    test: test.name.clone(),
                    summary: test.summary.clone(),
                    gating: test.gating,
                    cells: vec![None; boots.len()],
                });
                rows.len() - 1
            });
            rows[at].gating |= test.gating;
            rows[at].cells[index] = Some(test.mark);
        }
    }
    let column = |boot: &&Boot| (boot.step.clone(), boot.arch.clone(), boot.cell.clone());
    Matrix { columns: boots.iter().map(column).collect(), rows }
}
