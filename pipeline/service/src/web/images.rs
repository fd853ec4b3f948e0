//! Published images: what each stream points at, and how to verify it.

use std::collections::BTreeSet;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::{Pages, page};
use crate::story::image::{self, Image};
use crate::story::words;

/// One stream.
#[derive(Debug, Serialize)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// What it points at, one per recipe.
    pub releases: Vec<Release>,
}

/// What a stream points at for one recipe.
#[derive(Debug, Serialize)]
pub struct Release {
    /// The recipe.
    pub recipe: String,
    /// The recipe's line for people who choose an image.
    pub summary: String,
    /// The version.
    pub version: String,
    /// The candidate it was.
    pub candidate: String,
    /// When the candidate was made.
    pub created: Timestamp,
    /// Seconds since then.
    pub age_s: i64,
    /// The images.
    pub images: Vec<Image>,
}

#[derive(Template)]
#[template(path = "images.html")]
struct Page {
    streams: Vec<Stream>,
}

/// The page.
pub async fn html(State(pages): State<Pages>) -> Result<Html<String>, Problem> {
    page::render(&Page { streams: streams(&pages).await? })
}

/// The same as JSON.
pub async fn json(State(pages): State<Pages>) -> Response {
    match streams(&pages).await {
        Ok(streams) => Json(serde_json::json!({ "streams": streams })).into_response(),
        Err(problem) => problem.json(),
    }
}

async fn streams(pages: &Pages) -> Result<Vec<Stream>, Problem> {
    let mut names: BTreeSet<String> = pages.streams.iter().cloned().collect();
    // A stream needs no section in the configuration to be released to.
    names.extend(pages.store().streams().await?);
    let trust = pages.teller.trust().await;
    let mut streams = Vec::new();
    for name in names {
        let mut releases: Vec<Release> = Vec::new();
        for release in pages.store().releases(&name).await? {
            let created = Timestamp::from_second(release.created).unwrap_or_default();
            releases.push(Release {
                images: image::of_release(&release, &name, &trust),
                recipe: release.recipe,
                summary: release.summary,
                version: release.version,
                candidate: release.candidate,
                created,
                age_s: (pages.now() - created).get_seconds().max(0),
            });
        }
        releases.sort_by(|a, b| a.recipe.cmp(&b.recipe));
        streams.push(Stream { name, releases });
    }
    Ok(streams)
}

impl Release {
    fn age(&self) -> String {
        words::span(self.age_s)
    }
}
