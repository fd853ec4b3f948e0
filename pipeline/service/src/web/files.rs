//! Files that builds and boots left, for people who look into a candidate.
//!
//! A name from an address never becomes a path before it was seen to be a plain name of a file in the one folder that
//! the store names: no separators, no dots in front, no links out of it.

use std::fs;
use std::io::{Read as _, Seek, SeekFrom};
use std::path::{Path as FilePath, PathBuf};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::problem::Problem;
use super::{Pages, boot};
use crate::text;

/// How much of a console a page shows.
const CONSOLE: u64 = 8 << 10;

/// Endings of files that people may see, and what they are.
const KINDS: [(&str, &str); 7] = [
    ("html", "text/html; charset=utf-8"),
    ("xml", "application/xml; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("log", "text/plain; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("tap", "text/plain; charset=utf-8"),
];

/// One file of a boot's folder.
pub async fn of_boot(
    State(pages): State<Pages>,
    Path((recipe, version, arch, cell, file)): Path<(String, String, String, String, String)>,
) -> Result<Response, Problem> {
    let report = boot::report(&pages, &(recipe, version, arch, cell)).await?;
    let missing = || {
        let next = if report.files.is_empty() {
            "It left no files, or they are not kept any more.".to_owned()
        } else {
            format!("There are: {}", report.files.join(", "))
        };
        Problem::not_found(format!("There is no file {file} of this boot."), next)
    };
    if !report.files.contains(&file) {
        return Err(missing());
    }
    let folder = report.boot.folder.as_deref().ok_or_else(missing)?;
    send(&FilePath::new(folder).join(&file)).await.ok_or_else(missing)
}

/// The log of a build, as far as it has got.
pub async fn build_log(
    State(pages): State<Pages>,
    Path((recipe, version, arch)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let candidate = pages.candidate(&recipe, &version).await?;
    let build = candidate.builds().find(|build| build.request.arch == arch);
    let log = build.map(|build| match build.output() {
        Some(output) => PathBuf::from(&output.log),
        None => pages.builds.join(build.key.flat()).join("build.log"),
    });
    let missing = || {
        Problem::not_found(
            format!("There is no log of a build of {} for {arch}.", candidate.id),
            "It has not begun, or its files are not kept any more; the last words of a failed build are on the \
             candidate's page.",
        )
    };
    send_as(&log.ok_or_else(missing)?, "text/plain; charset=utf-8").await.ok_or_else(missing)
}

async fn send(path: &FilePath) -> Option<Response> {
    let kind = kind(path.file_name()?.to_str()?)?;
    send_as(path, kind).await
}

async fn send_as(path: &FilePath, kind: &'static str) -> Option<Response> {
    let file = tokio::fs::File::open(path).await.ok()?;
    let metadata = file.metadata().await.ok().filter(fs::Metadata::is_file)?;
    // A log that is still being written has the length it had when it was opened.
    let mut response = Body::from_stream(ReaderStream::new(file.take(metadata.len()))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(metadata.len()));
    // A report shows what a guest wrote. Whatever that is, it runs nothing and reaches nothing.
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    );
    Some(response)
}

fn kind(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    KINDS.iter().find(|(known, _)| *known == ending).map(|(_, kind)| *kind)
}

/// The names of the files in a boot's folder that people may see.
pub(super) fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        // The entry's own type: a link is not followed.
        let plain = entry.file_type().ok()?.is_file() && is_plain(&name);
        plain.then_some(name)
    };
    let mut names: Vec<String> = entries.flatten().filter_map(name).collect();
    names.sort();
    names
}

/// Whether a file is a picture of the screen.
pub(super) fn is_picture(name: &str) -> bool {
    kind(name) == Some("image/png")
}

fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // What the job keeps for itself is nobody's report.
    let own = ["request.json", "result.json"].contains(&name);
    !name.starts_with('.') && name.chars().all(fits) && kind(name).is_some() && !own
}

/// The last lines of a boot's console.
pub(super) fn console(folder: &str) -> String {
    let name = names(folder).into_iter().find(|name| name.starts_with("console"));
    let Some(name) = name else { return String::new() };
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(FilePath::new(folder).join(&name))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(CONSOLE)))?;
        let mut bytes = Vec::new();
        file.take(CONSOLE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let said = read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    text::plain(&said)
}
