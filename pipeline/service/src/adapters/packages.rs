//! What a package repository holds now: the builds in its metadata, read by whoever must confirm what a message says.
//!
//! It knows `repomd.xml` and `primary.xml`. It must not know what a change or a recipe is. Metadata is read as a
//! stream and kept as names only; the same `repomd.xml` is never read twice.

mod primary;
mod repomd;

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use muster_flow::batch::PackageSet;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::text::hex;

/// Bytes of `repomd.xml` that are believed; real ones have some 10 kB.
const REPOMD_LIMIT: usize = 4 << 20;

/// What one repository holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Changes whenever the repository does: the SHA-256 of `repomd.xml`, in hex.
    pub revision: String,
    /// Name, version and release of every source package that something in the repository was built from.
    pub builds: HashSet<String>,
    /// The build of each package that is not called like it, both as name, version and release.
    pub packages: HashMap<String, String>,
    /// The source package's name of each package that is not called like it.
    pub sources: HashMap<String, String>,
}

impl Index {
    /// The build that a package or build belongs to, when the repository has it.
    pub fn build_of(&self, nvr: &str) -> Option<&str> {
        self.builds.get(nvr).or_else(|| self.packages.get(nvr)).map(String::as_str)
    }
}

/// The name in a name, version and release that are joined by dashes.
pub fn name_of(nvr: &str) -> Option<&str> {
    nvr.rsplitn(3, '-').nth(2).filter(|name| !name.is_empty())
}

/// Looks into package repositories, and remembers each as it last was.
#[derive(Debug)]
pub struct PackageRepositories {
    http: reqwest::Client,
    known: Mutex<HashMap<String, Arc<Index>>>,
}

impl PackageRepositories {
    /// Nothing is looked at yet.
    pub fn new() -> Result<Self> {
        Ok(PackageRepositories { http: crate::http::client()?, known: Mutex::new(HashMap::new()) })
    }

    /// What the repository at `baseurl` held when it was last looked at.
    pub async fn last(&self, baseurl: &str) -> Option<Arc<Index>> {
        self.known.lock().await.get(baseurl).cloned()
    }

    /// What the repository at `baseurl` (`file:`, `http:` or `https:`) holds now.
    pub async fn index(&self, baseurl: &str) -> Result<Arc<Index>> {
        // One look at a time: two at once would only read the same metadata twice.
        let mut known = self.known.lock().await;
        let place = Place::of(baseurl, &self.http)?;
        let read = async {
            let repomd = place.bytes("repodata/repomd.xml", REPOMD_LIMIT).await?;
            let revision = hex(&Sha256::digest(&repomd));
            if let Some(index) = known.get(baseurl).filter(|index| index.revision == revision) {
                return Ok(index.clone());
            }
            let primary = repomd::primary(&repomd)?;
            let file = place.file(&primary.location).await?;
            let mut index = tokio::task::spawn_blocking(move || {
                in_primary(file, &primary, |xml| primary::read(xml, revision))
            })
            .await??;
            if let Some(before) = known.get(baseurl) {
                // Of a package that has just gone somebody may still ask what it was built from.
                for (package, source) in &before.sources {
                    index.sources.entry(package.clone()).or_insert_with(|| source.clone());
                }
            }
            Ok(Arc::new(index))
        };
        let index: Result<Arc<Index>> = read.await;
        let index = index.with_context(|| format!("cannot read the package repository {baseurl}"))?;
        known.insert(baseurl.to_owned(), index.clone());
        Ok(index)
    }

    /// Every package that the repository at `baseurl` holds now.
    pub async fn packages(&self, baseurl: &str) -> Result<PackageSet> {
        let place = Place::of(baseurl, &self.http)?;
        let read = async {
            let repomd = place.bytes("repodata/repomd.xml", REPOMD_LIMIT).await?;
            let primary = repomd::primary(&repomd)?;
            let file = place.file(&primary.location).await?;
            tokio::task::spawn_blocking(move || in_primary(file, &primary, primary::read_all)).await?
        };
        read.await.with_context(|| format!("cannot read the package repository {baseurl}"))
    }
}

fn in_primary<T>(
    file: PrimaryFile,
    primary: &repomd::Primary,
    read: impl FnOnce(Box<dyn Read>) -> Result<T>,
) -> Result<T> {
    let (path, keep) = match file {
        PrimaryFile::Local(path) => (path, None),
        PrimaryFile::Fetched(file) => (file.path().to_owned(), Some(file)),
    };
    let open = || std::fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()));
    verify(open()?, primary)?;
    let read = read(decompressed(open()?, &primary.location)?);
    drop(keep);
    read.with_context(|| format!("cannot understand {}", primary.location))
}

/// A repository that is being made anew may have one file from before and one from after.
fn verify(mut file: std::fs::File, primary: &repomd::Primary) -> Result<()> {
    let Some(expected) = &primary.sha256 else { return Ok(()) };
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("cannot read {}", primary.location))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let found = hex(&hash.finalize());
    if found != *expected {
        bail!("{} is not the file that repomd.xml speaks of; it may be about to change", primary.location);
    }
    Ok(())
}

fn decompressed(file: std::fs::File, name: &str) -> Result<Box<dyn Read>> {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending {
        "xml" => Ok(Box::new(file)),
        "gz" => Ok(Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file)))),
        "zst" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(BufReader::new(file));
            Ok(Box::new(decoder.context("cannot decompress the metadata")?))
        }
        other => bail!("metadata compressed as {other:?} is not read; make the repository with zstd or gzip"),
    }
}

/// Where a repository lies.
enum Place<'a> {
    Folder(PathBuf),
    Web(String, &'a reqwest::Client),
}

enum PrimaryFile {
    Local(PathBuf),
    Fetched(tempfile::NamedTempFile),
}

impl<'a> Place<'a> {
    fn of(baseurl: &str, http: &'a reqwest::Client) -> Result<Place<'a>> {
        let trimmed = baseurl.trim_end_matches('/');
        if let Some(rest) = trimmed.strip_prefix("file:") {
            return Ok(Place::Folder(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))));
        }
        if trimmed.starts_with('/') {
            return Ok(Place::Folder(PathBuf::from(trimmed)));
        }
        if trimmed.starts_with("http:") || trimmed.starts_with("https:") {
            return Ok(Place::Web(trimmed.to_owned(), http));
        }
        bail!("cannot look into {baseurl}: it is neither file: nor http(s):")
    }

    async fn bytes(&self, name: &str, limit: usize) -> Result<Vec<u8>> {
        let bytes = match self {
            Place::Folder(folder) => {
                let path = folder.join(name);
                tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?
            }
            Place::Web(base, http) => {
                let mut answer = http.get(format!("{base}/{name}")).send().await?.error_for_status()?;
                let mut bytes = Vec::new();
                while let Some(chunk) = answer.chunk().await? {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() > limit {
                        bail!("{name} is larger than {limit} bytes");
                    }
                }
                bytes
            }
        };
        if bytes.len() > limit {
            bail!("{name} is larger than {limit} bytes");
        }
        Ok(bytes)
    }

    async fn file(&self, name: &str) -> Result<PrimaryFile> {
        let (base, http) = match self {
            Place::Folder(folder) => return Ok(PrimaryFile::Local(folder.join(name))),
            Place::Web(base, http) => (base, http),
        };
        let mut answer = http.get(format!("{base}/{name}")).send().await?.error_for_status()?;
        let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        while let Some(chunk) = answer.chunk().await? {
            std::io::Write::write_all(&mut file, &chunk)?;
        }
        Ok(PrimaryFile::Fetched(file))
    }
}

#[cfg(test)]
mod tests;
