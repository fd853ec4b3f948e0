//! The pointer of a stream: one JSON file that says what the newest release of each recipe is, and where.
//!
//! It has the shape of Fedora CoreOS streams; where that has a platform, it has the recipe's name, so that recipes share
//! a stream. It lies in `streams/` of a mirror: `NAME.json`, its signature `NAME.json.sig`, and `NAME/releases.json`,
//! which only grows. It knows the file and how to read it back. It must not know what lies at the destinations.

pub mod document;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use muster_flow::publish::{PromoteOutput, StreamRelease};
use tokio::task::spawn_blocking;

use self::document::{Document, Releases, Standing};
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
        writing::tidy(&self.folder(), &format!("{stream}.json.")).map_err(Fault::retry)?;
        writing::tidy(&self.folder().join(stream), "").map_err(Fault::retry)?;
        let path = self.path(stream);
        let mut document = read(&path).map_err(Fault::give_up)?.unwrap_or_else(|| Document::new(stream));
        match document.standing(release) {
            // Only the signature may be missing, from a promotion that was cut short.
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
        self.write(stream, &document, release).await.map_err(Fault::retry)?;
        drop(lock);
        self.mirror.list().await?;
        self.read_back(stream, release).await
    }

    /// Whether the stream points at a release.
    pub fn points_at(&self, stream: &str, release: &StreamRelease) -> Result<bool> {
        let document = read::<Document>(&self.path(stream))?;
        Ok(document.is_some_and(|document| matches!(document.standing(release), Standing::Same)))
    }

    fn folder(&self) -> PathBuf {
        self.mirror.root.join("streams")
    }

    fn path(&self, stream: &str) -> PathBuf {
        self.folder().join(format!("{stream}.json"))
    }

    /// The pointer itself is written last: what it leads to is there before it.
    async fn write(&self, stream: &str, document: &Document, release: &StreamRelease) -> Result<()> {
        let now = self.clock.now();
        self.remember(stream, release, now)?;
        let bytes = document.bytes()?;
        let path = self.path(stream);
        let signature = self.folder().join(format!("{stream}.json.sig"));
        let is_signed = match (self.mirror.signer.public_key().await?, fs::read(&signature)) {
            (Some(key), Ok(old)) => key.check_detached(&bytes, &old).await.is_ok(),
            (Some(_), Err(_)) => false,
            (None, _) => true,
        };
        let new = if is_signed { None } else { self.mirror.signer.detach(&bytes).await? };
        let modified = writing::time(document.metadata.last_modified.as_second());
        match new {
            Some(new) => writing::write(&signature, &new, modified)?,
            // A signature of what stood here before would call the pointer forged.
            None if !self.mirror.signer.signs() => remove(&signature)?,
            None => {}
        }
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        writing::write(&path, &bytes, modified)
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

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("cannot understand {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
