//! One boot: what was booted where, how each test stands and why, and the files that it left.

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::{Pages, files, page};
use crate::story::Brief;
use crate::story::boot::Boot;

/// The report of one boot.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The candidate.
    pub candidate: Brief,
    /// The boot.
    pub boot: Boot,
    /// The names of the files it left.
    pub files: Vec<String>,
}

#[derive(Template)]
#[template(path = "boot.html")]
struct Page {
    report: Report,
    /// The picture of its screen, if there is one.
    screenshot: Option<String>,
    /// The last lines of its console.
    console: String,
}

/// The page.
pub async fn html(
    State(pages): State<Pages>,
    Path(path): Path<(String, String, String, String)>,
) -> Result<Html<String>, Problem> {
    let report = report(&pages, &path).await?;
    let screenshot = report.files.iter().find(|name| files::is_picture(name)).cloned();
    let console = report.boot.folder.as_deref().map(files::console).unwrap_or_default();
    page::render(&Page { report, screenshot, console })
}

/// The same as JSON.
pub async fn json(
    State(pages): State<Pages>,
    Path(path): Path<(String, String, String, String)>,
) -> Response {
    match report(&pages, &path).await {
        Ok(report) => Json(report).into_response(),
        Err(problem) => problem.json(),
    }
}

/// The report of the boot that an address names by recipe, version, architecture and cell.
pub(super) async fn report(
    pages: &Pages,
    (recipe, version, arch, cell): &(String, String, String, String),
) -> Result<Report, Problem> {
    let candidate = pages.candidate(recipe, version).await?;
    let key = format!("{}/smoketest/{arch}/{cell}", candidate.id);
    let boot = pages.teller.boots(&candidate).await?.into_iter().find(|boot| boot.step == key);
    let boot = boot.ok_or_else(|| {
        let known: Vec<&str> = candidate.steps.smoketests.iter().map(|step| step.key.0.as_str()).collect();
        let next = if known.is_empty() {
            format!("Nothing of {} was booted yet; its page says why.", candidate.id)
        } else {
            format!("There are: {}", known.join(", "))
        };
        Problem::not_found(format!("There is no boot {key}."), next)
    })?;
    let files = boot.folder.as_deref().map(files::names).unwrap_or_default();
    Ok(Report { candidate: pages.teller.brief(&candidate).await?, boot, files })
}
