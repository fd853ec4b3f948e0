//! A mirror: a tree of files in Fedora's layout, behind HTTP.
//!
//! An upload is private until it is promoted: it lies in a folder whose name cannot be guessed and which no list names,
//! on the same file system, so that promotion copies nothing. It knows the file system, HTTP and the signer. It must
//! not know streams, nor when anything is promoted.

pub mod layout;
pub mod file_list;
pub mod moves;
pub mod stranger;
pub mod writing;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use muster_flow::publish::{PromoteOutput, UploadOutput, UploadRequest, Uploaded, VerifyOutput};
use serde::Deserialize;
use tokio::task::spawn_blocking;

use self::layout::{Placed, STAGING};
use self::moves::Move;
use self::writing::Sum;
use crate::adapters::signer::Signer;
use crate::port::Fault;

/// A mirror in the section `[destinations.NAME]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The folder that is the root of the tree; `NAME` in the state folder by default.
    pub root: Option<PathBuf>,
    /// The address at which strangers find the root, without a slash at the end; `URL/pub/NAME` by default.
    pub url: Option<String>,
    /// The stream that links called `latest` follow; `stable` by default.
    pub latest: Option<String>,
}

/// A mirror.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Its name in the configuration.
    pub name: String,
    /// The root of the tree.
    pub root: PathBuf,
    /// The address at which strangers find the root.
    pub url: String,
    /// The stream that links called `latest` follow.
    pub latest: String,
    /// Who signs.
    pub signer: Signer,
    /// Reads back.
    pub http: reqwest::Client,
}

impl Mirror {
    /// Copies files into the staging folder, or finds them there.
    pub async fn upload(&self, upload: &UploadRequest) -> Result<UploadOutput, Fault> {
        let placed = layout::place(upload).map_err(Fault::give_up)?;
        let (root, stem) = (self.root.clone(), layout::staging_stem(upload));
        let (copied, modified) = (placed.clone(), writing::time(upload.source_date_epoch));
        let staged = spawn_blocking(move || stage(&root, &stem, &copied, modified)).await;
        let (staging, lock) = staged.map_err(Fault::retry)?.map_err(Fault::retry)?;
        for placed in &placed {
            let path = staging.join(placed.checksum_path());
            if !path.exists() {
                let checksum = self.checksum(placed).await.map_err(Fault::retry)?;
                writing::write(&path, &checksum, modified).map_err(Fault::retry)?;
            }
        }
        drop(lock);
        Ok(UploadOutput { uploaded: placed.iter().map(|placed| placed.uploaded(&self.url)).collect() })
    }

    /// Whether everything of an upload lies there, staged or public.
    pub fn holds(&self, upload: &UploadRequest) -> Result<bool> {
        let placed = layout::place(upload)?;
        let staging = find_staging(&self.root, &layout::staging_stem(upload))?;
        let is_staged = |file: &Placed| staging.as_deref().is_some_and(|staging| lies_at(staging, file));
        Ok(placed.iter().all(|file| is_staged(file) || lies_at(&self.root, file)))
    }

    /// Whether everything of an upload is public.
    pub fn shows(&self, upload: &UploadRequest) -> Result<bool> {
        Ok(layout::place(upload)?.iter().all(|file| lies_at(&self.root, file)))
    }

    /// Reads an upload back over HTTP, before it is public.
    pub async fn verify(&self, upload: &UploadRequest, uploaded: &[Uploaded]) -> Result<VerifyOutput, Fault> {
        let placed = layout::place(upload).map_err(Fault::give_up)?;
        agrees(&placed, uploaded, &self.url).map_err(Fault::give_up)?;
        let staging = find_staging(&self.root, &layout::staging_stem(upload)).map_err(Fault::retry)?;
        let below = match &staging {
            Some(path) => format!("{}/{STAGING}/{}", self.url, file_name(path)),
            // A promotion that was cut short has moved everything already.
            None => self.url.clone(),
        };
        self.read_back(&placed, &below).await.map(|checked| VerifyOutput { checked })
    }

    /// Makes an upload public and reads it back at its public address.
    pub async fn promote(&self, upload: &UploadRequest, stream: &str) -> Result<PromoteOutput, Fault> {
        let placed = layout::place(upload).map_err(Fault::give_up)?;
        if let Some(key) = self.signer.public_key().await.map_err(Fault::retry)? {
            key.offer(&self.root).map_err(Fault::retry)?;
        }
        let staging = find_staging(&self.root, &layout::staging_stem(upload)).map_err(Fault::retry)?;
        let moves = self.moves(upload, &placed, staging.as_deref(), stream);
        self.perform(moves).await?;
        let mut pointers = self.read_back(&placed, &self.url).await?;
        pointers.extend(self.read_back_links(upload, &placed, stream).await?);
        if let Some(staging) = staging {
            remove(staging).await.map_err(Fault::retry)?;
        }
        Ok(PromoteOutput { pointers })
    }

    /// Writes the file list anew, after something else than a release has become public.
    pub async fn list(&self) -> Result<(), Fault> {
        let list = Move::List { root: self.root.clone(), name: file_list::name(&self.name) };
        self.perform(vec![list]).await
    }

    /// Removes what is staged. What is public stays.
    pub async fn withdraw(&self, upload: &UploadRequest) -> Result<()> {
        match find_staging(&self.root, &layout::staging_stem(upload))? {
            Some(staging) => remove(staging).await.map(drop),
            None => Ok(()),
        }
    }

    /// Removes what is staged since before `born` and belongs to none of the candidates with these ids. Says of each
    /// what came of it.
    pub async fn sweep(&self, open: &[String], born: SystemTime) -> Result<Vec<Result<String>>> {
        let mut removed = Vec::new();
        for path in staged(&self.root)? {
            // It may have become public just now.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let is_old = metadata.modified().is_ok_and(|modified| modified < born);
            let is_open = open.iter().any(|candidate| layout::is_staged_by(&staged_by(&path), candidate));
            if is_old && !is_open {
                removed.push(remove(path).await);
            }
        }
        Ok(removed)
    }

    /// What is missing, in plain words.
    pub fn check(&self) -> Vec<String> {
        let staging = self.root.join(STAGING);
        let writable = writing::folder(&staging)
            .and_then(|()| tempfile::tempfile_in(&staging).context("cannot write into it"))
            .err();
        let mut missing = Vec::new();
        if let Some(error) = writable {
            missing.push(format!("destination {}: folder {}: {error:#}", self.name, self.root.display()));
        }
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            missing.push(format!("destination {}: {} is not an HTTP address", self.name, self.url));
        }
        missing
    }

    fn moves(
        &self,
        upload: &UploadRequest,
        placed: &[Placed],
        staging: Option<&Path>,
        stream: &str,
    ) -> Vec<Move> {
        let latest = (stream == self.latest).then_some(upload.version.as_str());
        // Without a staging folder every file must be public already, which each move finds out.
        let staging = staging.map_or_else(|| self.root.join(STAGING).join("gone"), Path::to_owned);
        moves::plan(&self.root, &self.name, &staging, placed, latest)
    }

    /// One promotion at a time moves links and writes the list.
    async fn perform(&self, moves: Vec<Move>) -> Result<(), Fault> {
        let root = self.root.clone();
        let performed = spawn_blocking(move || {
            let lock = File::open(&root).with_context(|| format!("cannot open {}", root.display()))?;
            lock.lock().context("cannot lock the mirror")?;
            anyhow::Ok(moves.iter().try_for_each(Move::perform))
        });
        performed.await.map_err(Fault::retry)?.map_err(Fault::retry)?
    }

    async fn checksum(&self, placed: &Placed) -> Result<Vec<u8>> {
        let text = placed.checksum_text();
        let signed = self.signer.clearsign(text.as_bytes()).await?;
        Ok(signed.unwrap_or_else(|| {
            tracing::warn!(file = placed.name, "the CHECKSUM is not signed: [signing] is `none`");
            text.into_bytes()
        }))
    }

    async fn read_back(&self, placed: &[Placed], below: &str) -> Result<Vec<String>, Fault> {
        let key = self.signer.public_key().await.map_err(Fault::retry)?;
        let mut checked = Vec::new();
        for placed in placed {
            let found = stranger::sum(&self.http, &format!("{below}/{}", placed.path())).await;
            let found = found.map_err(Fault::retry)?;
            let expected = Sum { sha256: placed.digest.clone(), size: placed.size };
            same(&found, &expected, &placed.name).map_err(Fault::give_up)?;
            let checksum = stranger::fetch(&self.http, &format!("{below}/{}", placed.checksum_path())).await;
            let checksum = checksum.map_err(Fault::retry)?;
            let (text, signed) = match &key {
                Some(key) => (key.signed_text(&checksum).await.map_err(Fault::give_up)?, "signed by our key"),
                None => (checksum, "NOT SIGNED"),
            };
            let says = placed.checksum_text();
            ensure_same_text(&text, &says, &placed.name).map_err(Fault::give_up)?;
            let (path, sum) = (placed.path(), &placed.digest);
            checked.push(format!(
                "{}/{path}: {} bytes, SHA-256 {sum}, CHECKSUM {signed}",
                self.url, placed.size
            ));
        }
        Ok(checked)
    }

    async fn read_back_links(
        &self,
        upload: &UploadRequest,
        placed: &[Placed],
        stream: &str,
    ) -> Result<Vec<String>, Fault> {
        let mut pointers = Vec::new();
        for planned in self.moves(upload, placed, None, stream) {
            let Move::Point { link, target } = planned else { continue };
            let below = link.strip_prefix(&self.root).unwrap_or(&link).display().to_string();
            let url = format!("{}/{below}", self.url);
            let led_to = match target.strip_suffix("-CHECKSUM") {
                // A CHECKSUM names its file, so that reading the one link tells where both lead.
                Some(file) => {
                    let checksum = stranger::fetch(&self.http, &url).await.map_err(Fault::retry)?;
                    String::from_utf8_lossy(&checksum).contains(&format!("({file})"))
                }
                None => self.http.head(&url).send().await.map_err(Fault::retry)?.status().is_success(),
            };
            if !led_to {
                return Err(Fault::Retry(format!("a reader of {url} does not get {target}")));
            }
            pointers.push(format!("{url} -> {target}"));
        }
        Ok(pointers)
    }
}

/// Removes a folder, which may be large, and says which.
async fn remove(folder: PathBuf) -> Result<String> {
    let name = folder.display().to_string();
    let removed = spawn_blocking(move || fs::remove_dir_all(folder)).await?;
    removed.map(|()| name.clone()).with_context(|| format!("cannot remove {name}"))
}

/// Copies every file that is not there yet. The lock keeps a second process out until it is dropped.
fn stage(root: &Path, stem: &str, placed: &[Placed], modified: SystemTime) -> Result<(PathBuf, File)> {
    let staging = ensure_staging(root, stem)?;
    let lock = File::open(&staging).context("cannot open the staging folder")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => anyhow::bail!("another process uploads it at this moment"),
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the staging folder"),
    }
    for placed in placed {
        let to = staging.join(placed.path());
        // A file has its name only when it is whole: its size tells an old upload of another build.
        if fs::metadata(&to).is_ok_and(|found| found.len() == placed.size) {
            continue;
        }
        let folder = staging.join(&placed.folder);
        writing::folder(&folder)?;
        writing::tidy(&folder, &placed.name)?;
        let expected = Sum { sha256: placed.digest.clone(), size: placed.size };
        writing::copy(Path::new(&placed.source), &to, &expected, modified)?;
    }
    Ok((staging, lock))
}

/// Finds the staging folder of an upload, or makes one with an unguessable end to its name.
fn ensure_staging(root: &Path, stem: &str) -> Result<PathBuf> {
    let all = root.join(STAGING);
    writing::folder(&all)?;
    let lock = File::open(&all)?;
    lock.lock().context("cannot lock the staging folder")?;
    if let Some(staging) = find_staging(root, stem)? {
        return Ok(staging);
    }
    let staging = all.join(format!(".{stem}.{}", uuid::Uuid::new_v4().simple()));
    writing::folder(&staging)?;
    Ok(staging)
}

fn find_staging(root: &Path, stem: &str) -> Result<Option<PathBuf>> {
    let is_asked_for =
        |path: &PathBuf| staged_by(path).rsplit_once('.').is_some_and(|(start, _token)| start == stem);
    Ok(staged(root)?.into_iter().find(is_asked_for))
}

/// Every staging folder.
fn staged(root: &Path) -> Result<Vec<PathBuf>> {
    let all = root.join(STAGING);
    let entries = match fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", all.display())),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<std::io::Result<_>>().with_context(|| format!("cannot list {}", all.display()))
}

/// The name of a staging folder without the dot that keeps it out of lists.
fn staged_by(path: &Path) -> String {
    file_name(path).trim_start_matches('.').to_owned()
}

fn lies_at(folder: &Path, file: &Placed) -> bool {
    let is_whole = fs::metadata(folder.join(file.path())).is_ok_and(|found| found.len() == file.size);
    is_whole && folder.join(file.checksum_path()).exists()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn agrees(placed: &[Placed], uploaded: &[Uploaded], url: &str) -> Result<()> {
    let same = placed.iter().map(|placed| placed.uploaded(url)).eq(uploaded.iter().cloned());
    ensure!(same, "what was uploaded is not what was asked for");
    Ok(())
}

fn same(found: &Sum, expected: &Sum, name: &str) -> Result<()> {
    ensure!(
        found == expected,
        "a reader gets {name} with SHA-256 {} ({} bytes), it should be {} ({} bytes)",
        found.sha256,
        found.size,
        expected.sha256,
        expected.size
    );
    Ok(())
}

/// The program gpg may end the last line in its own way.
fn ensure_same_text(found: &[u8], expected: &str, name: &str) -> Result<()> {
    let found = String::from_utf8_lossy(found);
    ensure!(
        found.trim_end() == expected.trim_end(),
        "the CHECKSUM of {name} says something else: {}",
        found.trim()
    );
    Ok(())
}
