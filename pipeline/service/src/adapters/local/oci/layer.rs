//! One layer: the tree as a tar archive, gzipped, hashed on both sides of the compression.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::adapters::local::settle::children;
use crate::text::hex;

/// A layer that lies under its digest.
pub struct Layer {
    /// SHA-256 of the compressed layer, in hex.
    pub digest: String,
    /// SHA-256 of the archive, in hex.
    pub diff_id: String,
    /// Bytes of the compressed layer.
    pub size: u64,
}

/// Writes the tree at `root` as a layer into the folder `blobs`.
pub fn write(root: &Path, blobs: &Path) -> Result<Layer> {
    let making = blobs.join("layer");
    let file = File::create(&making).with_context(|| format!("cannot make {}", making.display()))?;
    // Neither a name nor a time stands in the header, so that the same archive gives the same bytes.
    let gzip = GzBuilder::new().mtime(0).write(Counted::new(BufWriter::new(file)), Compression::default());
    let mut archive = Builder::new(Counted::new(gzip));
    archive.sparse(false);
    append(&mut archive, root, &mut HashMap::new()).context("cannot archive the tree")?;
    let archive = archive.into_inner().context("cannot end the archive")?;
    let diff_id = hex(&archive.hasher.finalize());
    let mut compressed = archive.inner.finish().context("cannot end the layer")?;
    compressed.flush().context("cannot write the layer")?;
    let (digest, size) = (hex(&compressed.hasher.finalize()), compressed.size);
    fs::rename(&making, blobs.join(&digest)).context("cannot name the layer")?;
    Ok(Layer { digest, diff_id, size })
}

/// Passes bytes on, hashed and counted.
struct Counted<W> {
    inner: W,
    hasher: Sha256,
    size: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Counted { inner, hasher: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Files that have more than one name, by device and inode, with the name that was written first.
type Links = HashMap<(u64, u64), PathBuf>;

fn append<W: Write>(archive: &mut Builder<W>, root: &Path, links: &mut Links) -> Result<()> {
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path)?;
        let name = path.strip_prefix(root)?;
        append_one(archive, (&path, &metadata), name, links)
            .with_context(|| format!("cannot archive {}", name.display()))?;
        if metadata.is_dir() {
            waiting.extend(children(&path).into_iter().rev());
        }
    }
    Ok(())
}

fn append_one<W: Write>(
    archive: &mut Builder<W>,
    (path, metadata): (&Path, &Metadata),
    name: &Path,
    links: &mut Links,
) -> Result<()> {
    let kind = metadata.file_type();
    // A socket is of use only to the process that made it.
    if kind.is_socket() {
        return Ok(());
    }
    let mut header = header(metadata)?;
    if metadata.is_file() && metadata.nlink() > 1 {
        let first = links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.to_owned());
        if first != name {
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            return Ok(archive.append_link(&mut header, name, &*first)?);
        }
    }
    append_attributes(archive, path)?;
    if kind.is_symlink() {
        Ok(archive.append_link(&mut header, name, fs::read_link(path)?)?)
    } else if metadata.is_file() {
        Ok(archive.append_data(&mut header, name, File::open(path)?)?)
    } else {
        let name = if name.as_os_str().is_empty() { Path::new("./") } else { name };
        Ok(archive.append_data(&mut header, name, io::empty())?)
    }
}

fn header(metadata: &Metadata) -> Result<Header> {
    let kind = metadata.file_type();
    let mut header = Header::new_gnu();
    header.set_entry_type(if kind.is_dir() {
        EntryType::Directory
    } else if kind.is_symlink() {
        EntryType::Symlink
    } else if kind.is_fifo() {
        EntryType::Fifo
    } else if kind.is_char_device() {
        EntryType::Char
    } else if kind.is_block_device() {
        EntryType::Block
    } else {
        EntryType::Regular
    });
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(if kind.is_file() { metadata.len() } else { 0 });
    if kind.is_char_device() || kind.is_block_device() {
        header.set_device_major(rustix::fs::major(metadata.rdev()))?;
        header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
    }
    Ok(header)
}

/// Extended attributes, such as the capabilities of a program, go before their file in a header of their own.
fn append_attributes<W: Write>(archive: &mut Builder<W>, path: &Path) -> Result<()> {
    let mut names = vec![0; 4096];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(error) => return Err(error).context("cannot list extended attributes"),
    };
    let mut attributes = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let size =
            rustix::fs::lgetxattr(path, name, &mut value).context("cannot read an extended attribute")?;
        value.truncate(size);
        attributes.push((format!("SCHILY.xattr.{}", std::ffi::OsStr::from_bytes(name).display()), value));
    }
    attributes.sort();
    if attributes.is_empty() {
        return Ok(());
    }
    let attributes = attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    Ok(archive.append_pax_extensions(attributes)?)
}
