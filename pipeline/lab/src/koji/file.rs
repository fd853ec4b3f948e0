//! The files of tasks over HTTP, by ranges, and what can go wrong with them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use super::State;
use super::mishap::FileMishap;

impl State {
    /// Sends a file, or the part from where the reader wants it.
    pub fn file(&mut self, path: &str, headers: &HeaderMap) -> Response {
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
        self.downloads.push(format!("{range} {path}").trim().to_owned());
        let mishap = self.file_mishaps.pop_front();
        let found = self.find(path).or_else(|| self.archive_file(path));
        let Some(mut bytes) = found.cloned() else { return StatusCode::NOT_FOUND.into_response() };
        let mut from =
            range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        match mishap {
            Some(FileMishap::Gone) => return StatusCode::NOT_FOUND.into_response(),
            Some(FileMishap::Status(status)) => {
                return StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY).into_response();
            }
            Some(FileMishap::IgnoresRange) => from = None,
            Some(FileMishap::Corrupt) => {
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
            }
            Some(FileMishap::CutAfter(_) | FileMishap::SaysLength(_) | FileMishap::StallAfter(_)) | None => {}
        }
        let whole = bytes.len();
        if from.is_some_and(|from| from >= whole) {
            return (
                StatusCode::RANGE_NOT_SATISFIABLE,
                [(header::CONTENT_RANGE, format!("bytes */{whole}"))],
            )
                .into_response();
        }
        let rest = bytes.split_off(from.unwrap_or(0));
        send(rest, from.map(|from| (from, whole)), mishap)
    }

    /// `work/tasks/34/34/NAME`.
    fn find(&self, path: &str) -> Option<&Vec<u8>> {
        let mut parts = path.strip_prefix("work/tasks/")?.splitn(3, '/');
        let (folder, task, name) =
            (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?, parts.next()?);
        (folder == task % 10_000).then_some(())?;
        self.files.get(&(task, name.to_owned()))
    }
}

fn send(mut rest: Vec<u8>, part: Option<(usize, usize)>, mishap: Option<FileMishap>) -> Response {
    let mut length = rest.len();
    match mishap {
        Some(FileMishap::CutAfter(bytes)) => rest.truncate(bytes),
        Some(FileMishap::SaysLength(bytes)) => length = bytes,
        _ => {}
    }
    let late = match mishap {
        Some(FileMishap::StallAfter(bytes)) => rest.split_off(bytes.min(rest.len())),
        _ => Vec::new(),
    };
    let is_cut = rest.len() + late.len() < length;
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        rest.chunks(1 << 16).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let cut = stream::iter(is_cut.then_some(())).then(async |()| {
        // What was sent before must be on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("the connection ends"))
    });
    let late = stream::iter((!late.is_empty()).then_some(late)).then(async |late| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(Bytes::from(late))
    });
    let body = Body::from_stream(stream::iter(pieces).chain(late).chain(cut));
    let mut response =
        Response::builder().header(header::ACCEPT_RANGES, "bytes").header(header::CONTENT_LENGTH, length);
    if let Some((from, whole)) = part {
        let range = format!("bytes {from}-{}/{whole}", whole - 1);
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    response.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
