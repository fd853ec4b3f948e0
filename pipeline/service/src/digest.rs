//! SHA-256 of files, each read once.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::SeekFrom as Hole;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use crate::text::hex;

/// Bytes read at once: large enough that the cost of a call does not show.
const CHUNK: usize = 1 << 20;

/// The SHA-256 of a file, in hex, and its size in bytes.
pub async fn of_file(path: PathBuf) -> Result<(String, u64)> {
    spawn_blocking(move || read_sparse(&path).with_context(|| format!("cannot read {}", path.display())))
        .await?
}

/// Holes are hashed as the zeros they are, without being read.
fn read_sparse(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let (mut hasher, zeros, mut buffer) = (Sha256::new(), vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = 0;
    while at < size {
        let data = next(&file, Hole::Data(at))?.unwrap_or(size);
        feed(&mut hasher, &zeros, data - at);
        let hole = next(&file, Hole::Hole(data))?.unwrap_or(size);
        file.seek(SeekFrom::Start(data))?;
        let mut rest = hole - data;
        while rest > 0 {
            let part = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
            file.read_exact(&mut buffer[..part])?;
            hasher.update(&buffer[..part]);
            rest -= part as u64;
        }
        at = hole;
    }
    Ok((hex(&hasher.finalize()), size))
}

fn feed(hasher: &mut Sha256, zeros: &[u8], mut count: u64) {
    while count > 0 {
        let part = usize::try_from(count).unwrap_or(zeros.len()).min(zeros.len());
        hasher.update(&zeros[..part]);
        count -= part as u64;
    }
}

/// Where the next data, or the next hole, begins; none when there is no more of it.
fn next(file: &File, from: Hole) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, from) {
        Ok(at) => Ok(Some(at)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_file_with_holes_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(5_000_001).unwrap();
        file.write_all_at(b"in the middle", 2_000_003).unwrap();
        let whole = hex(&Sha256::digest(std::fs::read(&path).unwrap()));
        assert_eq!(read_sparse(&path).unwrap(), (whole, 5_000_001));
    }

    #[test]
    fn an_empty_file_has_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        File::create(&path).unwrap();
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(read_sparse(&path).unwrap(), (nothing.to_owned(), 0));
    }
}
