//! A pointer and its signature as one thing that is replaced in one step.
//!
//! `NAME.json` and `NAME.json.sig` are links through `NAME/current`, which is a link itself: to a folder in
//! `NAME/pointers` that holds both and never changes. Whoever renames another link over `NAME/current` replaces both. It
//! knows the file system. It must not know what a pointer says.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::adapters::mirror::{moves, writing};
use crate::text;

/// Where the folders of all pointers lie.
const POINTERS: &str = "pointers";

/// The link to the one that counts.
const CURRENT: &str = "current";

/// The place of a stream's pointer. Whoever changes it holds the stream's lock.
#[derive(Debug)]
pub struct Place {
    /// The folder of all streams.
    pub streams: PathBuf,
    /// The stream.
    pub name: String,
}

/// A pointer, with the signature of these very bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The document.
    pub bytes: Vec<u8>,
    /// Its signature; `None` when nothing is signed.
    pub signature: Option<Vec<u8>>,
}

impl Place {
    /// The address of the document, as a path.
    pub fn document(&self) -> PathBuf {
        self.streams.join(self.document_name())
    }

    /// What counts now.
    pub fn now(&self) -> Result<Option<Pointer>> {
        let folder = self.folder().join(CURRENT);
        let Some(bytes) = read(&folder.join(self.document_name()))? else { return Ok(None) };
        Ok(Some(Pointer { bytes, signature: read(&folder.join(self.signature_name()))? }))
    }

    /// Removes what killed processes left, and takes in a pointer that lies here as two files.
    pub fn prepare(&self) -> Result<()> {
        writing::folder(&self.folder().join(POINTERS))?;
        for (folder, name) in [
            (&self.streams, format!("{}.", self.document_name())),
            (&self.folder(), String::new()),
            (&self.folder().join(POINTERS), String::new()),
        ] {
            writing::tidy(folder, &name)?;
        }
        let document = self.document();
        let Ok(found) = fs::symlink_metadata(&document) else { return Ok(()) };
        if !found.is_file() {
            return Ok(());
        }
        let signature = read(&self.streams.join(self.signature_name()))?;
        let bytes = fs::read(&document).with_context(|| format!("cannot read {}", document.display()))?;
        self.show(&Pointer { bytes, signature }, found.modified()?)
    }

    /// Makes a pointer the one that counts, or finds that it is. The one before it is kept for whoever is reading it.
    pub fn show(&self, pointer: &Pointer, modified: SystemTime) -> Result<()> {
        let before = fs::read_link(self.folder().join(CURRENT)).ok();
        let now = Path::new(POINTERS).join(self.lay_down(pointer, modified)?);
        moves::point(&self.folder().join(CURRENT), &now.to_string_lossy())?;
        // The signature's name leads to something before the document's does: until then nothing is there to be checked.
        let signature = self.streams.join(self.signature_name());
        if pointer.signature.is_some() {
            moves::point(&signature, &self.through_current(&self.signature_name()))?;
        } else {
            // A signature of what stood here before would call the pointer forged.
            remove(&signature)?;
        }
        moves::point(&self.document(), &self.through_current(&self.document_name()))?;
        if before.as_ref() == Some(&now) { Ok(()) } else { self.forget_others(&[Some(now), before]) }
    }

    /// Writes document and signature into a folder that has its name only when it is whole, and returns the name.
    fn lay_down(&self, pointer: &Pointer, modified: SystemTime) -> Result<String> {
        let pointers = self.folder().join(POINTERS);
        let mut hash = Sha256::new();
        hash.update(&pointer.bytes);
        hash.update(pointer.signature.as_deref().unwrap_or_default());
        let name = text::hex(&hash.finalize()[..8]);
        let place = pointers.join(&name);
        if place.exists() {
            return Ok(name);
        }
        let written = || format!("cannot write {}", place.display());
        let fresh = tempfile::Builder::new().prefix(".new.").suffix("~").tempdir_in(&pointers);
        let fresh = fresh.with_context(written)?;
        writing::write(&fresh.path().join(self.document_name()), &pointer.bytes, modified)?;
        if let Some(signature) = &pointer.signature {
            writing::write(&fresh.path().join(self.signature_name()), signature, modified)?;
        }
        fs::set_permissions(fresh.path(), Permissions::from_mode(0o755)).with_context(written)?;
        fs::rename(fresh.path(), &place).with_context(written)?;
        let _ = fresh.keep();
        writing::sync_folder(&pointers)?;
        Ok(name)
    }

    fn forget_others(&self, kept: &[Option<PathBuf>]) -> Result<()> {
        let pointers = self.folder().join(POINTERS);
        let listed = || format!("cannot tidy {}", pointers.display());
        for entry in fs::read_dir(&pointers).with_context(listed)? {
            let name = Path::new(POINTERS).join(entry.with_context(listed)?.file_name());
            if !kept.iter().flatten().any(|kept| *kept == name) {
                fs::remove_dir_all(self.folder().join(name)).with_context(listed)?;
            }
        }
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.streams.join(&self.name)
    }

    fn document_name(&self) -> String {
        format!("{}.json", self.name)
    }

    fn signature_name(&self) -> String {
        format!("{}.json.sig", self.name)
    }

    fn through_current(&self, file: &str) -> String {
        format!("{}/{CURRENT}/{file}", self.name)
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
