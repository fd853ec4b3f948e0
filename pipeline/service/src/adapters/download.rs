//! Files over HTTP, in one pass: taken up where an earlier try ended, written and hashed while they come in.
//!
//! Each file has a thread of its own, on which it is received and written, and another that hashes it. What has just come
//! in is still in the cache of the processor that received it: to write it from another one costs more than to receive,
//! write and hash it together (measured: 3.1 s of CPU per GiB, in place of 1.5).

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::body::Bytes;
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::fetches::Desk;
use crate::port::Fault;
use crate::text::hex;

/// Pieces that wait to be hashed, of at most half a megabyte each. With more of them the connection would need new
/// memory, which the system has to clear, in place of what is free again.
const AHEAD: usize = 3;

/// Bytes per piece when a part on disk is read again.
const PIECE: usize = 1 << 20;

/// A file that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where from.
    pub url: String,
    /// How long it is.
    pub size: u64,
    /// Where to.
    pub path: PathBuf,
    /// What the server asks for beside the address, such as who asks.
    pub headers: HeaderMap,
}

impl Wanted {
    /// Where the file grows.
    fn part(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".part");
        name.into()
    }
}

/// Fetches what is still missing of a file and gives its SHA-256 in hex. The file is under its name when, and only
/// when, somebody has compared that: see [`keep`].
pub async fn fetch(client: &Client, wanted: &Wanted, desk: &Arc<Desk>) -> Result<String, Fault> {
    let stop = CancellationToken::new();
    // Whoever drops this future ends what goes on beside it.
    let _guard = stop.clone().drop_guard();
    let (client, wanted, desk) = (client.clone(), wanted.clone(), Arc::clone(desk));
    let beside = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Fault::retry)?;
        runtime.block_on(async {
            tokio::select! {
                digest = fetch_here(&client, &wanted, &desk) => digest,
                () = stop.cancelled() => Err(Fault::Retry(format!("nobody wants {} any more", wanted.url))),
            }
        })
    });
    beside.await.map_err(Fault::retry)?
}

/// Fetches on the thread that it is called on, which may wait for the disk.
async fn fetch_here(client: &Client, wanted: &Wanted, desk: &Desk) -> Result<String, Fault> {
    if wanted.path.exists() {
        // An earlier look was interrupted after it.
        fs::rename(&wanted.path, wanted.part()).map_err(Fault::retry)?;
    }
    let (mut file, mut hasher) = begin(wanted).map_err(Fault::retry)?;
    let mut have = file.stream_position().map_err(Fault::retry)?;
    desk.add(have);
    if have < wanted.size {
        let response = request(client, wanted, have).await?;
        if response.status() == StatusCode::OK && have > 0 {
            // The server sends it from the start.
            file.set_len(0).and_then(|()| file.rewind()).map_err(Fault::retry)?;
            desk.take_back(have);
            (hasher, have) = (Sha256::new(), 0);
        }
        hasher = stream(response, (file, hasher, desk), wanted.size - have, wanted).await?;
    }
    Ok(hex(&hasher.finalize()))
}

/// Gives a fetched file its name.
pub fn keep(wanted: &Wanted) -> Result<()> {
    let part = wanted.part();
    File::open(&part)?.sync_all().with_context(|| format!("cannot keep {}", part.display()))?;
    fs::rename(&part, &wanted.path).with_context(|| format!("cannot keep {}", wanted.path.display()))
}

/// Removes what was fetched.
pub fn discard(wanted: &Wanted) {
    // What cannot be removed is found out when it is written again.
    let _ = fs::remove_file(wanted.part());
}

/// The part that is there, hashed.
fn begin(wanted: &Wanted) -> std::io::Result<(File, Sha256)> {
    let (part, size) = (wanted.part(), wanted.size);
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(&part)?;
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hasher.update(&piece[..read]),
        }
    }
    let end = file.seek(SeekFrom::End(0))?;
    tracing::debug!("{} has {end} of {size} bytes", part.display());
    Ok((file, hasher))
}

async fn request(client: &Client, wanted: &Wanted, from: u64) -> Result<Response, Fault> {
    let url = &wanted.url;
    let mut request =
        client.get(url).headers(wanted.headers.clone()).header(header::ACCEPT_ENCODING, "identity");
    if from > 0 {
        request = request.header(header::RANGE, format!("bytes={from}-"));
    }
    let away = |error: reqwest::Error| {
        Fault::Retry(format!("cannot read {url}: {:#}", anyhow::Error::from(error.without_url())))
    };
    let response = request.send().await.map_err(away)?;
    let status = response.status();
    match status {
        StatusCode::OK => Ok(response),
        StatusCode::PARTIAL_CONTENT if from > 0 && begins_at(&response) == Some(from) => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Fault::GiveUp(format!("{url} is gone (HTTP {status})")))
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            discard(wanted);
            Err(Fault::Retry(format!("{url} cannot be taken up where it ended: it is read from the start")))
        }
        _ => Err(Fault::Retry(format!("cannot read {url}: HTTP {status}"))),
    }
}

/// `bytes 17-99/100` begins at 17.
fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// Writes what comes in, and has it hashed.
async fn stream(
    mut response: Response,
    (mut file, hasher, desk): (File, Sha256, &Desk),
    missing: u64,
    wanted: &Wanted,
) -> Result<Sha256, Fault> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let hashing = hash_on_thread(hasher, receiver);
    let mut came = 0;
    let outcome = loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                came += piece.len() as u64;
                if came > missing {
                    break Ok(());
                }
                file.write_all(&piece).map_err(|error| {
                    Fault::Retry(format!("cannot write {}: {error}", wanted.path.display()))
                })?;
                desk.add(piece.len() as u64);
                if sender.send(piece).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop(sender);
    let hasher = hashing.await.map_err(Fault::retry)?;
    let (url, size) = (&wanted.url, wanted.size);
    let have = size - missing + came;
    if came > missing {
        discard(wanted);
        return Err(Fault::Retry(format!("{url} is longer than the {size} bytes that were said")));
    }
    if came < missing {
        let why =
            outcome.err().map_or_else(|| "it ended".to_owned(), |error| error.without_url().to_string());
        return Err(Fault::Retry(format!("{url} broke off at {have} of {size} bytes: {why}")));
    }
    Ok(hasher)
}

fn hash_on_thread(mut hasher: Sha256, mut pieces: mpsc::Receiver<Bytes>) -> JoinHandle<Sha256> {
    spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            hasher.update(&piece);
        }
        hasher
    })
}

/// Makes a folder for downloads that carries the key of its step, so that it is cleaned away with it.
pub fn folder(path: &Path, key: &str) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    crate::job::write_whole(&path.join("key"), key.as_bytes())
}
