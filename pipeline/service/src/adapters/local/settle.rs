//! The last touch to a tree: what only the build needed is removed, and no time stamp is later than the build's epoch.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::fault::Result;
use super::place::inside;
use super::workshop::{Workshop, remove};

/// What the package manager and the build leave behind. The history of dnf holds times and nothing that is installed.
const LEFT: [&str; 7] = [
    "/var/cache/dnf",
    "/var/cache/libdnf5",
    "/var/cache/ldconfig/aux-cache",
    "/var/lib/dnf",
    "/var/lib/libdnf5",
    "/etc/.pwd.lock",
    "/.rpmdb",
];
/// Folders that start empty on each machine.
const EMPTY: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev"];

/// Cleans the tree. `database` is the folder of the package database within it.
pub async fn clean(workshop: &Workshop, database: &str) -> Result<()> {
    let root = &workshop.root;
    for path in LEFT {
        remove(&inside(root, path)?)?;
    }
    for folder in EMPTY {
        for path in children(&inside(root, folder)?) {
            remove(&path)?;
        }
    }
    for path in children(&inside(root, "/var/log")?) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("dnf") || name.starts_with("hawkey") {
            remove(&path)?;
        }
    }
    close_database(workshop, &inside(root, database)?).await
}

/// Folds the journal of the package database into it, so that it is one file that says the same each time.
async fn close_database(workshop: &Workshop, folder: &Path) -> Result<()> {
    let file = folder.join("rpmdb.sqlite");
    if !file.exists() {
        return Ok(());
    }
    let fold = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE;";
    workshop.run("sqlite3", |sqlite3| sqlite3.arg(&file).arg(fold)).await?;
    for left in ["rpmdb.sqlite-shm", "rpmdb.sqlite-wal", ".rpm.lock"] {
        remove(&folder.join(left))?;
    }
    Ok(())
}

/// Holds every time stamp in a tree to `epoch`, of folders after what they hold.
pub fn hold_all_to(path: &Path, epoch: i64) -> Result<()> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if metadata.is_dir() {
        for child in children(path) {
            hold_all_to(&child, epoch)?;
        }
    }
    hold(path, &metadata, epoch)
}

/// Holds the time stamp of one file to `epoch`.
pub fn hold_to(path: &Path, epoch: i64) -> Result<()> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    hold(path, &metadata, epoch)
}

fn hold(path: &Path, metadata: &Metadata, epoch: i64) -> Result<()> {
    if metadata.mtime() < epoch {
        return Ok(());
    }
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("cannot set the time of {}", path.display()))?;
    Ok(())
}

/// The bytes that the files of a tree take, in blocks of 4 KiB.
pub fn size(path: &Path) -> Result<u64> {
    let metadata =
        fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let own = metadata.len().next_multiple_of(4096);
    if !metadata.is_dir() {
        return Ok(own);
    }
    children(path).iter().try_fold(own, |sum, child| Ok(sum + size(child)?))
}

/// What lies in a folder, by name; nothing when there is none.
pub fn children(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort_by(|one, other| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
    paths
}
