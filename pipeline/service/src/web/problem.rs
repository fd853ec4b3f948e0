//! What a person or a program is told when a page cannot be shown, with what to do next.

use askama::Template;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use muster_flow::candidate::CandidateId;
use serde_json::json;

/// Why a page cannot be shown.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    what: String,
    next: String,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    code: u16,
    what: &'a str,
    next: &'a str,
}

impl Problem {
    /// There is nothing by that name.
    pub fn not_found(what: impl Into<String>, next: impl Into<String>) -> Self {
        Problem { status: StatusCode::NOT_FOUND, what: what.into(), next: next.into() }
    }

    /// There is no such candidate.
    pub fn no_candidate(id: &CandidateId) -> Self {
        Problem::not_found(
            format!("There is no candidate {id}."),
            "Look for it in the list of candidates; ids look like cloud-base/43.20261121.0, and the oldest candidates \
             are not kept for ever.",
        )
    }

    /// The same as JSON.
    pub fn json(self) -> Response {
        (self.status, Json(json!({ "error": self.what, "next": self.next }))).into_response()
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "cannot show a page");
        Problem {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            what: "The page cannot be shown: the store cannot be read.".to_owned(),
            next: "Try again in a moment; the service's log says more.".to_owned(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let page = Page { code: self.status.as_u16(), what: &self.what, next: &self.next };
        match page.render() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(_) => (self.status, self.what).into_response(),
        }
    }
}
