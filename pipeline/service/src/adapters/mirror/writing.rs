//! Files that nobody ever sees half of: written beside their place, synced, then renamed.
//!
//! It knows the file system. It must not know what the files are.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::text::hex;

/// Bytes per read: large enough that system calls do not show, small enough for the cache.
const PIECE: usize = 1 << 18;

/// Public files are read by everybody.
const READABLE: u32 = 0o644;

/// The SHA-256 and the size of what was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Sum {
    /// Hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// Copies a file and hashes it in the same pass; it takes its place only when the hash is as expected.
///
/// Runs of zeroes become holes.
pub fn copy(from: &Path, to: &Path, expected: &Sum, modified: SystemTime) -> Result<()> {
    let place = || format!("cannot copy {} to {}", from.display(), to.display());
    let mut source = File::open(from).with_context(place)?;
    let mut file = beside(to)?;
    let cloned = rustix::fs::ioctl_ficlone(file.as_file(), &source).is_ok();
    let sum = if cloned { hash(&mut source) } else { pour(&mut source, file.as_file_mut()) };
    let sum = sum.with_context(place)?;
    ensure!(
        sum == *expected,
        "{} has changed since it was built: SHA-256 is {} ({} bytes), it should be {} ({} bytes)",
        from.display(),
        sum.sha256,
        sum.size,
        expected.sha256,
        expected.size,
    );
    settle(file, to, modified).with_context(place)
}

/// Writes a small file whole.
pub fn write(to: &Path, bytes: &[u8], modified: SystemTime) -> Result<()> {
    let place = || format!("cannot write {}", to.display());
    let mut file = beside(to)?;
    file.write_all(bytes).with_context(place)?;
    settle(file, to, modified).with_context(place)
}

/// The hash and size of a file.
pub fn sum(path: &Path) -> Result<Sum> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    hash(&mut file).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes a folder, and all above it, that everybody may enter.
pub fn folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

/// Removes what killed processes left in a folder: temporary files and folders whose names begin with `.name`. Nobody
/// else may be writing such names there at this moment.
pub fn tidy(folder: &Path, name: &str) -> Result<()> {
    let list = || format!("cannot tidy {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(list),
    };
    for entry in entries {
        let entry = entry.with_context(list)?;
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.strip_prefix('.').is_some_and(|found| found.starts_with(name)) && found.ends_with('~') {
            let is_folder = entry.file_type().with_context(list)?.is_dir();
            let path = entry.path();
            if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }.with_context(list)?;
        }
    }
    Ok(())
}

/// Makes renames and links in a folder last.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot sync {}", path.display()))
}

/// A time from seconds since 1970.
pub fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A temporary file `.name.XXXXXX~` in the folder of `to`; mirrors skip such names, and dropping it removes it.
fn beside(to: &Path) -> Result<NamedTempFile> {
    let parent = to.parent().context("a file needs a folder")?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix("~")
        .permissions(Permissions::from_mode(READABLE))
        .tempfile_in(parent)
        .with_context(|| format!("cannot write into {}", parent.display()))
}

fn settle(file: NamedTempFile, to: &Path, modified: SystemTime) -> Result<()> {
    // The process's umask may be stricter than a public file wants.
    file.as_file().set_permissions(Permissions::from_mode(READABLE))?;
    file.as_file().set_modified(modified)?;
    file.as_file().sync_all()?;
    file.persist(to)?;
    sync_folder(to.parent().context("a file needs a folder")?)
}

fn hash(file: &mut File) -> io::Result<Sum> {
    pieces(file, |_| Ok(()))
}

fn pour(from: &mut File, to: &mut File) -> io::Result<Sum> {
    let sum = pieces(from, |piece| {
        if piece.iter().all(|&byte| byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(piece.len()).unwrap_or(0))).map(drop)
        } else {
            to.write_all(piece)
        }
    })?;
    // A hole at the end exists only through the file's length.
    to.set_len(sum.size)?;
    Ok(sum)
}

fn pieces(from: &mut File, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Sum> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(Sum { sha256: hex(&hasher.finalize()), size });
        }
        hasher.update(&piece[..length]);
        take(&piece[..length])?;
        size += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_bytes_holes_and_time() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        let mut bytes = vec![7; 3];
        bytes.extend(vec![0; 4 << 20]);
        fs::write(&from, &bytes).unwrap();
        let expected = sum(&from).unwrap();
        copy(&from, &to, &expected, time(1_000_000_000)).unwrap();
        assert_eq!(fs::read(&to).unwrap(), bytes);
        let metadata = fs::metadata(&to).unwrap();
        assert_eq!(metadata.mtime(), 1_000_000_000);
        assert!(metadata.blocks() * 512 < 1 << 20, "zeroes were written: {} blocks", metadata.blocks());
    }

    #[test]
    fn a_file_that_changed_since_the_build_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&from, "built").unwrap();
        let expected = sum(&from).unwrap();
        fs::write(&from, "other").unwrap();
        let error = copy(&from, &to, &expected, time(0)).unwrap_err();
        assert!(error.to_string().contains("has changed since it was built"), "{error}");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["a"], "something was left behind");
    }
}
