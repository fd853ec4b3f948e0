//! The file list that mirrors of a mirror poll, in the format of `quick-fedora-mirror`, version 2.
//!
//! It is written last, by rename: whoever reads it finds every file that it names.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::writing;

/// The name of the list of the mirror called `mirror`.
pub fn name(mirror: &str) -> String {
    format!("fullfiletimelist-{mirror}")
}

/// The list of everything public below `root`: time, kind, size and path of each, tab-separated; then the SHA-256 of
/// each CHECKSUM file.
pub fn text(root: &Path) -> Result<String> {
    let mut entries = Vec::new();
    walk(root, "", &mut entries)?;
    entries.sort();
    let mut list = "[Version]\n2\n\n[Files]\n".to_owned();
    for Entry { path, kind, time, size } in &entries {
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{time}\t{kind}\t{size}\t{path}");
    }
    list.push_str("\n[Checksums SHA256]\n");
    for Entry { path, .. } in
        entries.iter().filter(|entry| entry.kind == 'f' && entry.path.ends_with("-CHECKSUM"))
    {
        let _ = writeln!(list, "{}\t{path}", writing::sum(&root.join(path))?.sha256);
    }
    list.push_str("\n[End]\n");
    Ok(list)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    path: String,
    kind: char,
    /// The later of the times of content and of inode: a hard link into place changes only the second.
    time: i64,
    size: u64,
}

fn walk(root: &Path, below: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let folder = root.join(below);
    let read = || format!("cannot list {}", folder.display());
    for entry in fs::read_dir(&folder).with_context(read)? {
        let entry = entry.with_context(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_list = below.is_empty() && name.starts_with("fullfiletimelist-");
        if is_list || name.starts_with('.') {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let metadata = entry.metadata().with_context(read)?;
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => 'd',
            kind if kind.is_symlink() => 'l',
            _ => 'f',
        };
        let time = metadata.mtime().max(metadata.ctime());
        if kind == 'd' {
            walk(root, &path, entries)?;
        }
        entries.push(Entry { path, kind, time, size: metadata.size() });
    }
    Ok(())
}
