//! Paths inside the image's root, never outside it.
//!
//! The root holds links that mean something to the image: followed from here they would lead to this machine's own
//! files. Every path that is written to goes through [`inside`].

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow};

use super::fault::Result;

/// More links than a sane tree has in one path.
const MOST_LINKS: u32 = 40;

/// Where `path` of the image lies on this machine; links on the way are followed as the image would follow them.
pub fn inside(root: &Path, path: &str) -> Result<PathBuf> {
    let resolved = resolve(root, path).with_context(|| format!("cannot follow {path} in the image"))?;
    Ok(resolved)
}

fn resolve(root: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let mut todo: Vec<String> = parts(Path::new(path));
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(part) = todo.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(anyhow!("there are too many links"));
                }
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                todo.extend(parts(&target));
            }
            Err(_) => at = next,
        }
    }
    Ok(root.join(at))
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<String> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// Writes a file of the image, and the folders above it.
pub fn write(root: &Path, path: &str, text: &str, mode: u32) -> Result<()> {
    let file = inside(root, path)?;
    put(&file, text.as_bytes(), mode).with_context(|| format!("cannot write {path} of the image"))?;
    Ok(())
}

fn put(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, bytes)?;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

/// Reads a text of the image; an absent file is empty.
pub fn read(root: &Path, path: &str) -> Result<String> {
    match fs::read(inside(root, path)?) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(anyhow!(error).context(format!("cannot read {path} of the image")).into()),
    }
}

/// Whether the image has this file, folder or link.
pub fn exists(root: &Path, path: &str) -> bool {
    inside(root, path).is_ok_and(|path| path.symlink_metadata().is_ok())
}

/// Puts a link of the image in place of whatever was there.
pub fn link(root: &Path, path: &str, target: &str) -> Result<()> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = inside(root, folder)?;
    let place = || -> io::Result<()> {
        fs::create_dir_all(&folder)?;
        let link = folder.join(name);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        std::os::unix::fs::symlink(target, link)
    };
    place().with_context(|| format!("cannot link {path} of the image"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_image_never_lead_to_this_machine() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("usr/lib", root.join("lib")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("usr/lib/out")).unwrap();
        std::os::unix::fs::symlink("../../../../../etc", root.join("usr/lib/up")).unwrap();
        assert_eq!(inside(root, "/lib/a").unwrap(), root.join("usr/lib/a"));
        assert_eq!(inside(root, "/lib/out").unwrap(), root.join("etc/passwd"));
        assert_eq!(inside(root, "/lib/up/shadow").unwrap(), root.join("etc/shadow"));
        assert_eq!(inside(root, "/../../x").unwrap(), root.join("x"));
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("b", root.path().join("a")).unwrap();
        std::os::unix::fs::symlink("a", root.path().join("b")).unwrap();
        assert!(inside(root.path(), "/a").is_err());
    }
}
