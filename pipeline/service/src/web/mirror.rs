//! Mirrors and the streams' metadata: files below a folder, served as any HTTP server would, with listings.

use std::fs;
use std::path::{Component, Path, PathBuf};

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::services::{ServeDir, ServeFile};

use super::page;
use super::problem::Problem;
use crate::adapters::destination::{self, Served, Shown};
use crate::config::Settings;
use crate::story::words;

#[derive(Template)]
#[template(path = "folder.html")]
struct Folder {
    heading: String,
    /// The folders above it, the outermost first.
    above: Vec<Crumb>,
    entries: Vec<Entry>,
}

struct Crumb {
    name: String,
    /// Where it is, seen from the folder.
    address: String,
}

impl Folder {
    /// A folder that the last of some names names, below those before it.
    fn new(mut names: Vec<String>, entries: Vec<Entry>) -> Self {
        let heading = names.pop().unwrap_or_default();
        let depth = names.len();
        let crumb = |(at, name)| Crumb { name, address: "../".repeat(depth - at) };
        Folder { heading, above: names.into_iter().enumerate().map(crumb).collect(), entries }
    }
}

#[derive(Clone)]
struct Entry {
    name: String,
    size: String,
}

/// The pages, the streams' metadata, and a helpful answer for every address that is none of theirs.
pub fn serve(pages: Router, settings: &Settings) -> Router {
    let pages = match streams(settings) {
        Some(folder) => pages.nest_service("/streams", files(folder, vec!["Streams".to_owned()])),
        None => pages,
    };
    pages.fallback(nothing)
}

/// What destinations on this machine show to strangers, each under `/pub/NAME`.
pub fn published(served: Vec<Served>) -> Router {
    served.into_iter().fold(Router::new(), |router, Served { name, folder, shown }| {
        let (path, heading) = (format!("/pub/{name}"), format!("Files on {name}"));
        match shown {
            Shown::Everything => router.nest_service(&path, files(folder, vec![heading])),
            Shown::Only { folders, files } => {
                router.nest_service(&path, parts(&folder, &heading, (folders, files)))
            }
        }
    })
}

/// Serves the files of a folder, and lists what lies in it. The names are those of the folder and of what is above it.
fn files(root: PathBuf, names: Vec<String>) -> ServeDir<Router> {
    let listing = Router::new().fallback({
        let root = root.clone();
        move |request: Request| {
            let (root, names) = (root.clone(), names.clone());
            async move { folder(&root, names, request.uri().path()) }
        }
    });
    ServeDir::new(root).append_index_html_on_directories(false).fallback(listing)
}

/// Serves some folders and files of a folder, each at an address of its own, so that no other one leads anywhere.
fn parts(root: &Path, heading: &str, (folders, single): (&'static [&str], &'static [&str])) -> Router {
    let start = {
        let (root, names) = (root.to_owned(), vec![heading.to_owned()]);
        move || {
            let (folders, single) = (present(&root, folders, "/"), present(&root, single, ""));
            async move { page::render(&Folder::new(names, [folders, single].concat())) }
        }
    };
    let parts = Router::new().route("/", get(start)).fallback(nothing);
    let parts = single
        .iter()
        .fold(parts, |parts, file| parts.route_service(&format!("/{file}"), ServeFile::new(root.join(file))));
    folders.iter().fold(parts, |parts, folder| {
        let names = vec![heading.to_owned(), (*folder).to_owned()];
        parts.nest_service(&format!("/{folder}"), files(root.join(folder), names))
    })
}

/// What there is of the parts of a folder, for its list.
fn present(root: &Path, parts: &[&str], ending: &str) -> Vec<Entry> {
    let there = parts.iter().filter(|part| root.join(part).exists());
    there.map(|part| Entry { name: format!("{part}{ending}"), size: String::new() }).collect()
}

/// The folder that the pointers of streams lie in.
fn streams(settings: &Settings) -> Option<PathBuf> {
    let (name, mirror) = destination::holder_of_streams(&settings.destinations)?;
    let root = mirror.root.clone().unwrap_or_else(|| settings.service.state.join(name));
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

/// A listing of the folder at `path` below the root.
fn folder(root: &Path, mut names: Vec<String>, path: &str) -> Response {
    let Some(entries) = inside(root, path).and_then(|folder| entries(&folder)) else {
        return no_page().into_response();
    };
    names.extend(path.split('/').filter(|part| !part.is_empty()).map(str::to_owned));
    page::render(&Folder::new(names, entries)).into_response()
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
