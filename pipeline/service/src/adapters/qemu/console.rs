//! The serial console of a guest: a file that grows, and what can be read from it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::text::plain;

/// Words on the console after which nobody needs to wait for a login any more, and what they mean.
const ENDS: [(&str, &str); 10] = [
    ("Kernel panic - not syncing", "the kernel panicked"),
    ("You are in emergency mode", "the system stopped in emergency mode"),
    ("Entering emergency mode", "the system stopped in emergency mode"),
    ("Give root password for maintenance", "the system stopped for maintenance"),
    ("No bootable device.", "the firmware found nothing to boot"),
    ("UEFI Interactive Shell", "the firmware found nothing to boot"),
    ("grub rescue>", "the boot loader found no configuration"),
    ("VFS: Unable to mount root fs", "the kernel found no root file system"),
    ("dracut:/#", "the initramfs found no root file system"),
    ("initramfs: cannot ", "the initramfs found no root file system"),
];

/// How much is read again, so that words that were written in two pieces are seen.
const OVERLAP: u64 = 64;

/// A file that a guest writes to.
#[derive(Clone, Debug)]
pub struct Console {
    path: PathBuf,
    read: u64,
}

impl Console {
    /// The console that is written to `path`.
    pub fn new(path: &Path) -> Self {
        Console { path: path.to_owned(), read: 0 }
    }

    /// How many bytes it has now.
    pub fn length(&self) -> u64 {
        fs::metadata(&self.path).map(|metadata| metadata.len()).unwrap_or_default()
    }

    /// What of the news since the last call says that no login will come.
    pub fn find_end(&mut self) -> Option<&'static str> {
        let news = self.news();
        ENDS.iter().find(|(words, _)| news.contains(words)).map(|(_, meaning)| *meaning)
    }

    fn news(&mut self) -> String {
        let mut bytes = Vec::new();
        let from = self.read.saturating_sub(OVERLAP);
        let Ok(mut file) = File::open(&self.path) else { return String::new() };
        // What cannot be read now is read the next time.
        let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
        self.read = from + bytes.len() as u64;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last line that says anything, fit to be shown.
    pub fn last_line(&self) -> String {
        let text = plain(&crate::program::tail(&self.path));
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn an_end_is_seen_once_although_it_was_written_in_two_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut file = File::create(&path).unwrap();
        let mut console = Console::new(&path);
        write!(file, "[ 1.0] Kernel panic - no").unwrap();
        assert_eq!(console.find_end(), None);
        writeln!(file, "t syncing: no init{}", " ".repeat(100)).unwrap();
        assert_eq!(console.find_end(), Some("the kernel panicked"));
        assert_eq!(console.find_end(), None);
    }
}
