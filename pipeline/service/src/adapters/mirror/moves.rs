//! The promotion of a mirror as a list of small moves, each of which may be done twice.
//!
//! A process that dies between two of them leaves a tree in which every file is whole, and the next one does the list
//! again from its start.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::{self, Placed};
use super::{file_list, writing};
use crate::port::Fault;

/// One move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// What a killed process left in a folder is removed.
    Tidy {
        /// The folder.
        folder: PathBuf,
    },
    /// A staged file takes its public place. What lies there already must be the same.
    Publish {
        /// Where it is staged.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
        /// SHA-256 in hex.
        digest: String,
    },
    /// A staged CHECKSUM takes its public place; a second signature of the same file replaces the first.
    Replace {
        /// Where it is staged.
        from: PathBuf,
        /// Its place.
        to: PathBuf,
    },
    /// A relative link points at a file in its own folder from now on.
    Point {
        /// The link.
        link: PathBuf,
        /// The file's name.
        target: String,
    },
    /// The file list is written anew.
    List {
        /// The mirror's root.
        root: PathBuf,
        /// The list's name.
        name: String,
    },
}

/// Everything that makes an upload public, in order: files, their CHECKSUMs, links, the file list.
pub fn plan(root: &Path, mirror: &str, staging: &Path, placed: &[Placed], latest: Option<&str>) -> Vec<Move> {
    let folders: BTreeSet<&str> = placed.iter().map(|placed| placed.folder.as_str()).collect();
    let tidied = folders.into_iter().map(|folder| Move::Tidy { folder: root.join(folder) });
    let files = placed.iter().map(|placed| Move::Publish {
        from: staging.join(placed.path()),
        to: root.join(placed.path()),
        digest: placed.digest.clone(),
    });
    let checksums = placed.iter().map(|placed| Move::Replace {
        from: staging.join(placed.checksum_path()),
        to: root.join(placed.checksum_path()),
    });
    let links = placed.iter().filter_map(|placed| {
        let name = placed.latest_name(latest?)?;
        let folder = root.join(&placed.folder);
        let checksum = Move::Point {
            link: folder.join(layout::checksum_of(&name)),
            target: layout::checksum_of(&placed.name),
        };
        Some([Move::Point { link: folder.join(name), target: placed.name.clone() }, checksum])
    });
    let links = links.flatten();
    let list = Move::List { root: root.to_owned(), name: file_list::name(mirror) };
    tidied.chain(files).chain(checksums).chain(links).chain([list]).collect()
}

impl Move {
    /// Does it, or finds it done.
    pub fn perform(&self) -> Result<(), Fault> {
        let done = match self {
            Move::Publish { from, to, digest } => {
                publish(from, to).map_err(Fault::retry)?;
                return ensure_unchanged(from, to, digest);
            }
            Move::Tidy { folder } => writing::tidy(folder, ""),
            Move::Replace { from, to } => replace(from, to),
            Move::Point { link, target } => point(link, target),
            Move::List { root, name } => list(root, name),
        };
        done.map_err(Fault::retry)
    }
}

fn publish(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file needs a folder")?;
    writing::folder(parent)?;
    match fs::hard_link(from, to) {
        Ok(()) => writing::sync_folder(parent),
        Err(error)
            if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) && to.exists() =>
        {
            Ok(())
        }
        Err(error) => Err(error).with_context(|| format!("cannot put {} into its place", to.display())),
    }
}

/// What is public under this name may be this very file, from a promotion that was cut short; nothing else may be.
fn ensure_unchanged(from: &Path, to: &Path, digest: &str) -> Result<(), Fault> {
    let inode = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let is_link = inode(from).is_some_and(|staged| Some(staged) == inode(to));
    if is_link || writing::sum(to).map_err(Fault::retry)?.sha256 == digest {
        return Ok(());
    }
    let place = to.display();
    Err(Fault::GiveUp(format!(
        "{place} is public already, with other content; published files are never changed"
    )))
}

fn replace(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("a file needs a folder")?;
    let bytes = match fs::read(from) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", from.display())),
    };
    writing::folder(parent)?;
    if fs::read(to).is_ok_and(|public| public == bytes) {
        return Ok(());
    }
    writing::write(to, &bytes, fs::metadata(from)?.modified()?)
}

/// Lets a link point at something else, or finds that it does, in one step. What is not a link is replaced by one.
pub fn point(link: &Path, target: &str) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == Path::new(target)) {
        return Ok(());
    }
    let parent = link.parent().context("a link needs a folder")?;
    let moved = || format!("cannot move the link {}", link.display());
    // The new link is made in a folder of its own, as nothing but a rename replaces a link in one step.
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    let beside = tempfile::Builder::new().prefix(&format!(".{name}.")).suffix("~").tempdir_in(parent);
    let beside = beside.with_context(moved)?;
    let new = beside.path().join("link");
    std::os::unix::fs::symlink(target, &new).with_context(moved)?;
    fs::rename(&new, link).with_context(moved)?;
    writing::sync_folder(parent)
}

fn list(root: &Path, name: &str) -> Result<()> {
    writing::tidy(root, name)?;
    let path = root.join(name);
    let text = file_list::text(root)?;
    let modified = newest(&text);
    writing::write(&path, text.as_bytes(), modified)
}

/// The list is as old as the newest thing it names.
fn newest(list: &str) -> std::time::SystemTime {
    let times = list.lines().filter_map(|line| line.split_once('\t')?.0.parse().ok());
    writing::time(times.max().unwrap_or(0))
}
