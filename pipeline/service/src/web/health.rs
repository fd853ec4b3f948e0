//! Whether the service is well: its store can be read, and there is room to write.
//!
//! It only looks. That a disk is full is seen here before the first write that fails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rustix::fs::statvfs;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Pages;
use crate::config::Settings;
use crate::story::words;

/// How long a look may take before what is looked at counts as away: whoever asks for our health asks again soon.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that must be left: SQLite lets what it has written grow to 4 MiB before it folds it into the database, and the
/// folding needs as much again.
const ROOM: u64 = 8 << 20;

/// Says whether the service is well, and what is wrong when it is not.
pub async fn text(State(pages): State<Pages>) -> Response {
    if let Err(error) = can_read(&pages).await {
        tracing::error!(error = format!("{error:#}"), "cannot read the store");
        return ill("the store cannot be read; see the service's log");
    }
    for (what, place) in &pages.places {
        let place = place.clone();
        let looked = timeout(PATIENCE, spawn_blocking(move || lack(&place))).await;
        let lack = match looked {
            Ok(Ok(lack)) => lack,
            Ok(Err(_)) | Err(_) => Some("it does not answer".to_owned()),
        };
        if let Some(lack) = lack {
            tracing::error!("cannot write: the disk of {what}: {lack}");
            return ill(&format!("the disk of {what}: {lack}"));
        }
    }
    (StatusCode::OK, "ok\n").into_response()
}

fn ill(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn can_read(pages: &Pages) -> Result<()> {
    let look = timeout(PATIENCE, pages.store().open_versions()).await;
    look.with_context(|| format!("it does not answer within {} s", PATIENCE.as_secs()))?.map(drop)
}

/// Where the service writes: the state folder, and the database where that is a file of its own elsewhere.
pub(super) fn places(settings: &Settings) -> Vec<(&'static str, PathBuf)> {
    let state = &settings.service.state;
    let mut places = vec![("the state folder", state.clone())];
    let database = settings.database();
    let file =
        database.strip_prefix("sqlite://").map(|file| Path::new(file.split('?').next().unwrap_or(file)));
    if let Some(folder) = file.and_then(Path::parent).filter(|folder| *folder != state) {
        places.push(("the database", folder.to_owned()));
    }
    places
}

/// What keeps a disk from being written to; `None` when nothing does.
fn lack(place: &Path) -> Option<String> {
    let disk = match statvfs(place) {
        Ok(disk) => disk,
        Err(error) => return Some(format!("it cannot be looked at: {error}")),
    };
    let left = disk.f_bavail.saturating_mul(disk.f_frsize);
    if left < ROOM {
        let (left, needed) = (words::size(left), words::size(ROOM));
        return Some(format!("it is full: {left} are left, and {needed} are needed to go on"));
    }
    // Some file systems count no files.
    (disk.f_files > 0 && disk.f_favail == 0).then(|| "it is full: it can take no more files".to_owned())
}
