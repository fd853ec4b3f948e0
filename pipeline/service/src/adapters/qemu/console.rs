//! The serial console of a guest: a file that grows, and what can be read from it.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::phase::Phase;
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
    /// Where the boot began that is looked at.
    begun: u64,
    phase: Phase,
}

impl Console {
    /// The console that is written to `path`.
    pub fn new(path: &Path) -> Self {
        Console { path: path.to_owned(), read: 0, begun: 0, phase: Phase::default() }
    }

    /// How many bytes it has now.
    pub fn length(&self) -> u64 {
        fs::metadata(&self.path).map(|metadata| metadata.len()).unwrap_or_default()
    }

    /// How far the guest was when the console was looked at last.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Forgets what was written up to now: it belongs to the boot before.
    pub fn begin_again(&mut self) {
        self.begun = self.length();
        (self.read, self.phase) = (self.begun, Phase::default());
    }

    /// What of the news since the last call says that no login will come.
    pub fn find_end(&mut self) -> Option<&'static str> {
        let news = self.news();
        self.phase = self.phase.max(Phase::of(&news));
        ENDS.iter().find(|(words, _)| news.contains(words)).map(|(_, meaning)| *meaning)
    }

    fn news(&mut self) -> String {
        let mut bytes = Vec::new();
        let from = self.read.saturating_sub(OVERLAP).max(self.begun);
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

    #[test]
    fn what_was_written_before_a_reboot_says_nothing_of_the_boot_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let mut file = File::create(&path).unwrap();
        let mut console = Console::new(&path);
        assert_eq!((console.find_end(), console.phase()), (None, Phase::Firmware));
        write!(file, "[    0.0] Linux ver").unwrap();
        assert_eq!((console.find_end(), console.phase()), (None, Phase::Firmware));
        writeln!(file, "sion 6\n[    3.1] random: crng init done").unwrap();
        assert_eq!((console.find_end(), console.phase()), (None, Phase::Kernel));
        write!(file, "a login: [   18.0] Kernel panic - not syncing").unwrap();
        console.begin_again();
        assert_eq!((console.find_end(), console.phase()), (None, Phase::Firmware));
        writeln!(file, "Welcome to GRUB!").unwrap();
        assert_eq!((console.find_end(), console.phase()), (None, Phase::BootLoader));
    }
}
