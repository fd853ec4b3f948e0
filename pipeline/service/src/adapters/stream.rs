//! The pointer of a stream: one JSON file that says what the newest release of each recipe is, and where.
//!
//! It has the shape of Fedora CoreOS streams; where that has a platform, it has the recipe's name, so that recipes share
//! a stream. It lies in `streams/` of a mirror: `NAME.json`, its signature `NAME.json.sig`, and `NAME/releases.json`,
//! which only grows. It knows the file and how to read it back. It must not know what lies at the destinations.

pub mod document;
pub mod pointer;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use muster_flow::publish::{PromoteOutput, StreamRelease};
use tokio::task::spawn_blocking;

use self::document::{Document, Releases, Standing};
use self::pointer::{Place, Pointer};
use crate::adapters::mirror::{Mirror, stranger, writing};
use crate::clock::Clock;
use crate::port::Fault;

/// Where the pointers of all streams lie.
#[derive(Clone, Debug)]
pub struct Streams {
    /// The mirror that holds them, in its folder `streams`.
    pub mirror: Mirror,
    /// Tells when a pointer moved.
    pub clock: Clock,
}

impl Streams {
    /// Lets the stream point at a release, or finds that it does, and reads that back over HTTP.
    pub async fn promote(&self, stream: &str, release: &StreamRelease) -> Result<PromoteOutput, Fault> {
        if !is_name(stream) {
            return Err(Fault::GiveUp(format!("{stream:?} cannot be the name of a stream")));
        }
        let lock = self.lock(stream).await.map_err(Fault::retry)?;
        let place = self.place(stream);
        place.prepare().map_err(Fault::retry)?;
        let now = place.now().map_err(Fault::retry)?;
        let mut document = match &now {
            Some(now) => understand(&now.bytes, &place.document()).map_err(Fault::give_up)?,
            None => Document::new(stream),
        };
        match document.standing(release) {
            // Only a link or a signature may be missing, from a promotion that was cut short.
            Standing::Same => {}
            Standing::Older => document.point_at(release, self.clock.now()),
            // The seam for a rollback: a person's wish to go back would pass here.
            Standing::Newer(version) => {
                let Release { recipe, version: asked } = named(release);
                return Err(Fault::GiveUp(format!(
                    "{stream} points at {version} of {recipe}, which is newer than {asked}"
                )));
            }
        }
        self.remember(stream, release, self.clock.now()).map_err(Fault::retry)?;
        // Nothing else may lie on this mirror, and still its pointers are checked with the key.
        if let Some(key) = self.mirror.signer.public_key().await.map_err(Fault::retry)? {
            key.offer(&self.mirror.root).map_err(Fault::retry)?;
        }
        self.show(&place, &document, now).await.map_err(Fault::retry)?;
        drop(lock);
        self.mirror.list().await?;
        self.read_back(stream, release).await
    }

    /// Whether the stream points at a release.
    pub fn points_at(&self, stream: &str, release: &StreamRelease) -> Result<bool> {
        let document = read::<Document>(&self.place(stream).document())?;
        Ok(document.is_some_and(|document| matches!(document.standing(release), Standing::Same)))
    }

    fn folder(&self) -> PathBuf {
        self.mirror.root.join("streams")
    }

    fn place(&self, stream: &str) -> Place {
        Place { streams: self.folder(), name: stream.to_owned() }
    }

    /// The pointer itself is written last: what it leads to is there before it.
    async fn show(&self, place: &Place, document: &Document, now: Option<Pointer>) -> Result<()> {
        let bytes = document.bytes()?;
        let signature = self.signature(&bytes, now.and_then(|now| now.signature)).await?;
        let modified = writing::time(document.metadata.last_modified.as_second());
        place.show(&Pointer { bytes, signature }, modified)
    }

    /// The signature there is, if it is one of these bytes; otherwise a new one.
    async fn signature(&self, bytes: &[u8], old: Option<Vec<u8>>) -> Result<Option<Vec<u8>>> {
        let signer = &self.mirror.signer;
        let Some(key) = signer.public_key().await? else { return Ok(None) };
        match old {
            Some(old) if key.check_detached(bytes, &old).await.is_ok() => Ok(Some(old)),
            Some(_) | None => signer.detach(bytes).await,
        }
    }

    fn remember(&self, stream: &str, release: &StreamRelease, now: Timestamp) -> Result<()> {
        let folder = self.folder().join(stream);
        writing::folder(&folder)?;
        let path = folder.join("releases.json");
        let mut releases = read::<Releases>(&path)?.unwrap_or_else(|| Releases::new(stream));
        if releases.add(release, now) {
            let bytes = document::bytes(&releases)?;
            writing::write(&path, &bytes, writing::time(now.as_second()))?;
        }
        Ok(())
    }

    async fn lock(&self, stream: &str) -> Result<File> {
        writing::folder(&self.folder())?;
        let path = self.folder().join(format!(".{stream}.lock"));
        let locked = spawn_blocking(move || {
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock().map(|()| file)
        });
        locked.await?.context("cannot lock the stream")
    }

    async fn read_back(&self, stream: &str, release: &StreamRelease) -> Result<PromoteOutput, Fault> {
        let url = format!("{}/streams/{stream}.json", self.mirror.url);
        let bytes = stranger::fetch(&self.mirror.http, &url).await.map_err(Fault::retry)?;
        let document: Document = serde_json::from_slice(&bytes)
            .with_context(|| format!("cannot understand {url}"))
            .map_err(Fault::retry)?;
        let Release { recipe, version } = named(release);
        match document.standing(release) {
            Standing::Same => {}
            Standing::Older | Standing::Newer(_) => {
                return Err(Fault::Retry(format!("a reader of {url} does not find {version} of {recipe}")));
            }
        }
        let signed = match self.mirror.signer.public_key().await.map_err(Fault::retry)? {
            None => "NOT SIGNED",
            Some(key) => {
                let signature =
                    stranger::fetch(&self.mirror.http, &format!("{url}.sig")).await.map_err(Fault::retry)?;
                // Another promotion may have moved the pointer between the two reads: a later look tells.
                key.check_detached(&bytes, &signature).await.map_err(Fault::retry)?;
                "signed by our key"
            }
        };
        Ok(PromoteOutput { pointers: vec![format!("{url} -> {recipe} {version}, {signed}")] })
    }
}

struct Release<'a> {
    recipe: &'a str,
    version: &'a str,
}

fn named(release: &StreamRelease) -> Release<'_> {
    Release { recipe: &release.recipe, version: &release.version }
}

fn is_name(stream: &str) -> bool {
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !stream.is_empty() && !stream.starts_with('.') && stream.chars().all(is_harmless)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => understand(&bytes, path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn understand<T: serde::de::DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    serde_json::from_slice(bytes).with_context(|| format!("cannot understand {}", path.display()))
}
