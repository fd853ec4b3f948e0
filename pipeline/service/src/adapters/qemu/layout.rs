//! An OCI image layout: finds an image by its digest and unpacks its layers, one over the other.
//!
//! Every blob is checked against its digest while it is read, so that what is tested is what was built.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

/// How deep indexes may lie within indexes.
const DEEPEST: u32 = 4;

/// The start of the name of an entry that removes another one.
const WHITEOUT: &str = ".wh.";

/// The name of an entry that removes everything that lower layers have in its folder.
const OPAQUE: &str = ".wh..wh..opq";

/// What an image says about itself.
#[derive(Debug, Default, Deserialize)]
pub struct Image {
    /// How it wants to be run.
    #[serde(default)]
    pub config: Config,
}

/// How an image wants to be run.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// Environment variables, as `NAME=value`.
    pub env: Vec<String>,
    /// The folder it starts in.
    pub working_dir: String,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
}

/// Unpacks the image with the manifest `digest` (hex, without `sha256:`) of a layout into the empty folder `root`. The
/// answer says what is wrong with the image, when it is what was built and cannot be unpacked all the same.
pub fn unpack(layout: &Path, digest: &str, root: &Path) -> Result<Result<Image, String>> {
    let index = fs::read(layout.join("index.json")).context("cannot read the layout's index")?;
    let index: Index = serde_json::from_slice(&index).context("cannot understand the layout's index")?;
    let manifest = find_manifest(layout, &index, digest, 0)?;
    let manifest = manifest.with_context(|| format!("the layout has no image sha256:{digest}"))?;
    let manifest: Manifest = read_json(layout, &manifest)?;
    let image = read_json(layout, &manifest.config)?;
    fs::create_dir_all(root)?;
    for layer in &manifest.layers {
        if let Err(why) = unpack_layer(layout, layer, root)? {
            return Ok(Err(format!("cannot unpack the layer {}: {why}", layer.digest)));
        }
    }
    Ok(Ok(image))
}

fn find_manifest(layout: &Path, index: &Index, digest: &str, depth: u32) -> Result<Option<Descriptor>> {
    ensure!(depth <= DEEPEST, "the layout's indexes lie too deep");
    for descriptor in &index.manifests {
        let is_index =
            descriptor.media_type.contains("index") || descriptor.media_type.contains("manifest.list");
        let is_it = descriptor.digest.strip_prefix("sha256:") == Some(digest);
        if is_it && !is_index {
            return Ok(Some(descriptor.clone()));
        }
        if is_index {
            let inner: Index = read_json(layout, descriptor)?;
            // The digest of an index stands for its first image.
            let found = match inner.manifests.first() {
                Some(first) if is_it => Some(first.clone()),
                Some(_) | None => find_manifest(layout, &inner, digest, depth + 1)?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

fn read_json<T: DeserializeOwned>(layout: &Path, descriptor: &Descriptor) -> Result<T> {
    let mut bytes = Vec::new();
    let mut blob = Blob::open(layout, &descriptor.digest)?;
    blob.read_to_end(&mut bytes)?;
    blob.check()?;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("cannot understand the blob {}", descriptor.digest))
}

fn unpack_layer(layout: &Path, layer: &Descriptor, root: &Path) -> Result<Result<(), String>> {
    let mut blob = Blob::open(layout, &layer.digest)?;
    let unpacked = match layer.media_type.rsplit_once(['+', '.']).map(|(_, ending)| ending) {
        Some("gzip") => unpack_tar(&mut MultiGzDecoder::new(BufReader::new(&mut blob)), root),
        Some("tar") => unpack_tar(&mut blob, root),
        _ => bail!("layers of the type {} are not understood", layer.media_type),
    };
    // The end of an archive may come before the end of its blob.
    io::copy(&mut blob, &mut io::sink())?;
    blob.check()?;
    match unpacked {
        Err(error) if is_ours(&error) => Err(error).context("cannot unpack a layer"),
        unpacked => Ok(unpacked.map_err(|error| format!("{error:#}"))),
    }
}

/// Whether an error is this computer's, and not the image's.
fn is_ours(error: &anyhow::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let ours = [OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| ours.contains(&error.kind())))
}

fn unpack_tar(reader: &mut impl Read, root: &Path) -> Result<()> {
    let mut archive = Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    archive.set_overwrite(true);
    // Whiteouts are about lower layers: what this same layer brings stays, whatever the order.
    let mut fresh: HashSet<PathBuf> = HashSet::new();
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let parent = path.parent().unwrap_or(Path::new(""));
        if name == OPAQUE {
            empty(root, parent, &fresh)?;
        } else if let Some(gone) = name.strip_prefix(WHITEOUT) {
            hide(root, &plain(&parent.join(gone))?, &fresh)?;
        } else if is_device(entry.header().entry_type()) {
            // Devices come from the sandbox, not from the image.
        } else if entry.header().entry_type() == EntryType::Directory {
            make_way(root, &path, EntryType::Directory)?;
            fresh.insert(path);
            // A folder that may not be written to must get its files first.
            folders.push(entry);
        } else {
            make_way(root, &path, entry.header().entry_type())?;
            entry.unpack_in(root).with_context(|| format!("cannot unpack {}", path.display()))?;
            fresh.insert(path);
        }
    }
    for mut folder in folders {
        folder.unpack_in(root)?;
    }
    Ok(())
}

fn is_device(kind: EntryType) -> bool {
    kind.is_block_special() || kind.is_character_special() || kind.is_fifo()
}

/// Removes what a lower layer has where a thing of another kind will lie.
fn make_way(root: &Path, path: &Path, kind: EntryType) -> Result<()> {
    let Some(place) = inside(root, path)? else { return Ok(()) };
    let Ok(there) = fs::symlink_metadata(&place) else { return Ok(()) };
    match (there.is_dir(), kind == EntryType::Directory) {
        (true, true) => Ok(()),
        (true, false) => fs::remove_dir_all(&place).context("cannot replace a folder"),
        (false, _) => fs::remove_file(&place).context("cannot replace a file"),
    }
}

/// Removes what lower layers have at a path and below.
fn hide(root: &Path, path: &Path, fresh: &HashSet<PathBuf>) -> Result<()> {
    if fresh.iter().any(|known| known.starts_with(path)) {
        return empty(root, path, fresh);
    }
    let Some(place) = inside(root, path)? else { return Ok(()) };
    match fs::symlink_metadata(&place) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(&place)?,
        Ok(_) => fs::remove_file(&place)?,
        Err(_) => {}
    }
    Ok(())
}

/// Removes what lower layers have below a folder.
fn empty(root: &Path, folder: &Path, fresh: &HashSet<PathBuf>) -> Result<()> {
    let is_root = folder.as_os_str().is_empty();
    let Some(place) = (if is_root { Some(root.to_owned()) } else { inside(root, folder)? }) else {
        return Ok(());
    };
    if !fs::symlink_metadata(&place).is_ok_and(|there| there.is_dir()) {
        return Ok(());
    }
    for entry in fs::read_dir(&place)? {
        hide(root, &folder.join(entry?.file_name()), fresh)?;
    }
    Ok(())
}

/// Where a path of the image lies, if its folder is there and within the root: a link may lead anywhere.
fn inside(root: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let clean = plain(path)?;
    let Some(name) = clean.file_name() else { return Ok(None) };
    let Ok(parent) = fs::canonicalize(root.join(clean.parent().unwrap_or(Path::new("")))) else {
        return Ok(None);
    };
    ensure!(parent.starts_with(fs::canonicalize(root)?), "the path {} leads out", path.display());
    Ok(Some(parent.join(name)))
}

/// A path from the image's root, written in the one way.
fn plain(path: &Path) -> Result<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => bail!("the path {} leads out", path.display()),
        }
    }
    Ok(plain)
}

/// A blob that is hashed while it is read.
struct Blob {
    file: File,
    hash: Sha256,
    digest: String,
}

impl Blob {
    fn open(layout: &Path, digest: &str) -> Result<Self> {
        let hex =
            digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let hex = hex.with_context(|| format!("the digest {digest} is not understood"))?;
        let file = File::open(layout.join("blobs/sha256").join(hex));
        let file = file.with_context(|| format!("cannot read the blob {digest}"))?;
        Ok(Blob { file, hash: Sha256::new(), digest: hex.to_owned() })
    }

    fn check(self) -> Result<()> {
        let found = crate::text::hex(&self.hash.finalize());
        ensure!(
            found == self.digest,
            "the blob sha256:{} is not what it was: it is sha256:{found}",
            self.digest
        );
        Ok(())
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
