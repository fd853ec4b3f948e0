//! Mirrors and the streams' metadata: files below a folder, served as any HTTP server would, with listings.

use std::fs;
use std::path::{Component, Path, PathBuf};

use askama::Template;
use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

use super::page;
use super::problem::Problem;
use crate::adapters::destination;
use crate::config::Settings;
use crate::story::words;

#[derive(Template)]
#[template(path = "folder.html")]
struct Folder {
    path: String,
    entries: Vec<Entry>,
}

/// The files of a folder.
pub type Files = ServeDir<Router>;

struct Entry {
    name: String,
    size: String,
}

/// The pages, the streams' metadata, and a helpful answer for every address that is none of theirs.
pub fn serve(pages: Router, settings: &Settings) -> Router {
    let pages = match streams(settings) {
        Some(folder) => pages.nest_service("/streams", files(folder)),
        None => pages,
    };
    pages.fallback(nothing)
}

/// Serves the files of a folder, and lists what lies in it.
pub fn files(root: PathBuf) -> Files {
    let listing = Router::new().fallback({
        let root = root.clone();
        move |OriginalUri(whole): OriginalUri, request: Request| {
            let root = root.clone();
            async move { folder(&root, request.uri().path(), whole.path()) }
        }
    });
    ServeDir::new(root).append_index_html_on_directories(false).fallback(listing)
}

/// The folder that the pointers of streams lie in.
fn streams(settings: &Settings) -> Option<PathBuf> {
    let root = |(name, settings_of): (&String, &destination::Settings)| match settings_of {
        destination::Settings::Mirror(mirror) => {
            Some(mirror.root.clone().unwrap_or_else(|| settings.service.state.join(name)))
        }
        destination::Settings::Registry(_) | destination::Settings::OstreeRepository(_) => None,
    };
    let named = settings.destinations.get_key_value("mirror").and_then(root);
    let root = named.or_else(|| settings.destinations.iter().find_map(root))?;
    Some(root.join("streams"))
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

/// A listing of the folder at `path` below the root, under the address that the stranger wrote.
fn folder(root: &Path, path: &str, address: &str) -> Response {
    let Some(entries) = inside(root, path).and_then(|folder| entries(&folder)) else {
        return no_page().into_response();
    };
    page::render(&Folder { path: address.to_owned(), entries }).into_response()
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
