//! Where the text of a definition comes from: a folder, a commit, a map in a test.
//!
//! Knows how one path names a file and how an include is looked up beside the file that names it. Must not
//! know what the text means.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// So much text may a definition have with its includes, so that few files that include each other often cannot fill the
/// memory. A script that carries a whole archive stays far below it.
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// A place that gives the text of a file by its path.
pub trait Source {
    /// Gives the resolved path and the text of `path`, named by the file `included_from` (by none for the root).
    ///
    /// The resolved path is how the file is known from then on: in errors, in the include closure, and as
    /// `included_from` of what it includes in turn.
    fn text(&self, path: &str, included_from: Option<&str>) -> Result<(String, String), SourceError>;
}

/// Why a source could not give a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("there is no file {0}")]
    Missing(String),
    /// The path would leave the place the source may read.
    #[error("{0} lies outside the folder of the definition")]
    Outside(String),
    /// The path is an address, and sources do not fetch.
    #[error("{0} is an address; definitions are read from files only, so keep a copy of it beside this file")]
    Address(String),
    /// The file is not UTF-8 text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// The file is larger than any definition with all it includes may be.
    #[error("{0} is larger than 64 MiB")]
    TooLarge(String),
    /// The file exists and cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// A source over a folder; every path it accepts stays inside that folder, symbolic links included.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// A source that reads below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl Source for Directory {
    fn text(&self, path: &str, included_from: Option<&str>) -> Result<(String, String), SourceError> {
        first_found(path, included_from, |candidate| self.read(candidate))
    }
}

impl Directory {
    fn read(&self, path: &str) -> Result<String, SourceError> {
        let file = self.root.join(path).canonicalize().map_err(|error| unreadable(path, &error))?;
        let root = self.root.canonicalize().map_err(|error| unreadable(path, &error))?;
        if !file.starts_with(&root) {
            return Err(SourceError::Outside(path.to_owned()));
        }
        read_text(&file, path)
    }
}

/// A source over all files a person may read, for commands they run themselves.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// A source in which relative paths start at `folder`.
    pub fn from(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

impl Source for Files {
    fn text(&self, path: &str, included_from: Option<&str>) -> Result<(String, String), SourceError> {
        if path.contains("://") {
            return Err(SourceError::Address(path.to_owned()));
        }
        let missing = match read_text(&self.folder.join(path), path) {
            Ok(text) => return Ok((path.to_owned(), text)),
            Err(error @ SourceError::Missing(_)) => error,
            Err(error) => return Err(error),
        };
        let folder = included_from.and_then(|file| Path::new(file).parent());
        let Some(beside) = folder.map(|folder| folder.join(path)) else { return Err(missing) };
        let beside = beside.to_string_lossy().into_owned();
        let text = read_text(&self.folder.join(&beside), path)?;
        Ok((beside, text))
    }
}

fn read_text(file: &Path, path: &str) -> Result<String, SourceError> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).map_err(|error| unreadable(path, &error))?;
    // No more of it than the reader would take comes into memory.
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(SourceError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| SourceError::NotText(path.to_owned()))
}

fn unreadable(path: &str, error: &std::io::Error) -> SourceError {
    if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&error.kind()) {
        return SourceError::Missing(path.to_owned());
    }
    SourceError::Unreadable { path: path.to_owned(), reason: error.to_string() }
}

/// A map from path to text, for tests and for files already in memory.
impl Source for BTreeMap<String, String> {
    fn text(&self, path: &str, included_from: Option<&str>) -> Result<(String, String), SourceError> {
        first_found(path, included_from, |candidate| {
            self.get(candidate).cloned().ok_or_else(|| SourceError::Missing(candidate.to_owned()))
        })
    }
}

/// Looks `path` up from the root of the source first and then beside the including file.
fn first_found(
    path: &str,
    included_from: Option<&str>,
    read: impl Fn(&str) -> Result<String, SourceError>,
) -> Result<(String, String), SourceError> {
    if path.contains("://") {
        return Err(SourceError::Address(path.to_owned()));
    }
    let from_root = plain(path)?;
    let missing = match read(&from_root) {
        Ok(text) => return Ok((from_root, text)),
        Err(error @ SourceError::Missing(_)) => error,
        Err(error) => return Err(error),
    };
    let Some(folder) = included_from.and_then(|file| Path::new(file).parent()) else { return Err(missing) };
    let Some(beside) = folder.join(path).to_str().map(plain).transpose()? else { return Err(missing) };
    if beside == from_root {
        return Err(missing);
    }
    let text = read(&beside)?;
    Ok((beside, text))
}

/// The path without `.` and `..`; one that climbs above its start lies outside.
pub(crate) fn plain(path: &str) -> Result<String, SourceError> {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::CurDir => {}
            Component::ParentDir if !parts.is_empty() => {
                parts.pop();
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(SourceError::Outside(path.to_owned()));
            }
        }
    }
    Ok(parts.join("/"))
}
