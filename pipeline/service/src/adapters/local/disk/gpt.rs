//! The partition table: GPT, both copies, and the protective table before it.
//!
//! Written here rather than by sfdisk, which waits a quarter of a second for a kernel that never saw the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use flate2::Crc;
use uuid::Uuid;

use super::layout::{Layout, Slice};

/// Bytes in a sector.
pub const SECTOR: u64 = 512;
/// The same, as a length.
pub const SECTOR_LENGTH: usize = 512;
/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;
/// Sectors that hold the 128 entries of 128 bytes.
const ENTRY_SECTORS: u64 = 32;
/// Entries in the table.
const ENTRIES: u32 = 128;
/// Bytes of one entry.
const ENTRY: usize = 128;

/// Writes the table of `layout`; `identity` gives the disk's and each partition's own.
pub fn write(disk: &File, layout: &Layout, identity: impl Fn(&str) -> Uuid) -> io::Result<()> {
    let last = layout.size_mib * MIB / SECTOR - 1;
    let mut entries = vec![0; ENTRIES as usize * ENTRY];
    for (slice, entry) in layout.slices.iter().zip(entries.chunks_exact_mut(ENTRY)) {
        entry.copy_from_slice(&encode(slice, identity(&format!("partition {}", slice.role.name()))));
    }
    let sum = checksum(&entries);
    let header = |own: u64, other: u64, table: u64| {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
        header[12..16].copy_from_slice(&92_u32.to_le_bytes());
        for (at, value) in
            [(24, own), (32, other), (40, ENTRY_SECTORS + 2), (48, last - ENTRY_SECTORS - 1), (72, table)]
        {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[56..72].copy_from_slice(&identity("disk").to_bytes_le());
        for (at, value) in [(80, ENTRIES), (84, 128), (88, sum)] {
            header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let own_sum = checksum(&header);
        header[16..20].copy_from_slice(&own_sum.to_le_bytes());
        header
    };
    disk.write_all_at(&protective(last), 446)?;
    disk.write_all_at(&header(1, last, 2), SECTOR)?;
    disk.write_all_at(&entries, 2 * SECTOR)?;
    disk.write_all_at(&entries, (last - ENTRY_SECTORS) * SECTOR)?;
    disk.write_all_at(&header(last, 1, last - ENTRY_SECTORS), last * SECTOR)
}

fn encode(slice: &Slice, identity: Uuid) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let first = slice.start_mib * MIB / SECTOR;
    entry[..16].copy_from_slice(&slice.role.kind().to_bytes_le());
    entry[16..32].copy_from_slice(&identity.to_bytes_le());
    entry[32..40].copy_from_slice(&first.to_le_bytes());
    entry[40..48].copy_from_slice(&(first + slice.size_mib * MIB / SECTOR - 1).to_le_bytes());
    // The name is UTF-16, at most 36 units.
    for (unit, place) in slice.role.name().encode_utf16().take(36).zip(entry[56..].chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
    entry
}

/// The four old entries and the mark of a boot sector: one entry of type EE over the whole disk.
fn protective(last: u64) -> [u8; 66] {
    let mut table = [0; 66];
    table[1..8].copy_from_slice(&[0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
    table[8..12].copy_from_slice(&1_u32.to_le_bytes());
    table[12..16].copy_from_slice(&u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes());
    table[64..].copy_from_slice(&[0x55, 0xaa]);
    table
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::local::Settings;
    use crate::program::Program;

    #[tokio::test]
    async fn sfdisk_finds_the_table_sound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let file = File::create(&path).unwrap();
        let layout = Layout::plain(100, &Settings::default()).unwrap();
        file.set_len(layout.size_mib * MIB).unwrap();
        write(&file, &layout, |role| Uuid::new_v5(&Uuid::nil(), role.as_bytes())).unwrap();
        Program::new("sfdisk").arg("--verify").arg(&path).run().await.unwrap();
        let dump = Program::new("sfdisk").arg("--dump").arg(&path).run().await.unwrap().text();
        assert!(dump.contains("start=      102400, size=      204800"), "{dump}");
        assert!(dump.contains("type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"), "{dump}");
        assert!(dump.contains("name=\"root\""), "{dump}");
    }
}
