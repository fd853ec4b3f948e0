//! The mirror and the streams' metadata: files below the mirror's root, served as any HTTP server would.

use std::fs;
use std::path::{Component, Path, PathBuf};

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

use super::page;
use super::problem::Problem;
use crate::config::Settings;
use crate::story::words;

#[derive(Template)]
#[template(path = "folder.html")]
struct Folder {
    path: String,
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    size: String,
}

/// The pages, and the mirror for every address that is none of theirs.
pub fn serve(pages: Router, settings: &Settings) -> Router {
    let Some(root) = root(settings) else { return pages.fallback(nothing) };
    let files = ServeDir::new(&root).append_index_html_on_directories(false).fallback(
        Router::new().fallback(move |request: Request| {
            let root = root.clone();
            async move { folder(&root, request.uri().path()) }
        }),
    );
    pages.fallback_service(files)
}

/// The folder that mirror destinations write to.
fn root(settings: &Settings) -> Option<PathBuf> {
    Some(settings.service.state.join("mirror"))
}

async fn nothing() -> Problem {
    no_page()
}

fn no_page() -> Problem {
    Problem::not_found(
        "There is nothing at this address.",
        "The pages are listed at the top; for programs see API.",
    )
}

/// A listing of a folder of the mirror.
fn folder(root: &Path, path: &str) -> Response {
    let Some(entries) = inside(root, path).and_then(|folder| entries(&folder)) else {
        return no_page().into_response();
    };
    page::render(&Folder { path: path.to_owned(), entries }).into_response()
}

/// The folder below the root that an address names, if it is one and lies there.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let below = Path::new(path.strip_prefix('/')?);
    // A folder is named by a slash at the end, so that the links on its page are relative to it.
    let plain = path.ends_with('/') && below.components().all(|part| matches!(part, Component::Normal(_)));
    let root = root.canonicalize().ok()?;
    let folder = plain.then(|| root.join(below))?.canonicalize().ok()?;
    (folder.is_dir() && folder.starts_with(&root)).then_some(folder)
}

fn entries(folder: &Path) -> Option<Vec<Entry>> {
    let entry = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        let metadata = fs::metadata(entry.path()).ok()?;
        Some(if metadata.is_dir() {
            Entry { name: format!("{name}/"), size: String::new() }
        } else {
            Entry { name, size: words::size(metadata.len()) }
        })
    };
    let mut entries: Vec<Entry> = fs::read_dir(folder).ok()?.flatten().filter_map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Some(entries)
}
