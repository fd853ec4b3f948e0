//! The header that makes a partition swap space.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::gpt::MIB;

/// Bytes in a page of memory.
const PAGE: usize = 4096;

/// Writes the header of a swap space that begins at byte `start`.
pub fn write(disk: &File, start: u64, size_mib: u64, identity: Uuid) -> io::Result<()> {
    let last_page = size_mib * MIB / PAGE as u64 - 1;
    let mut header = [0; PAGE];
    // The first KiB is left to boot loaders; then come the version, the last page, the count of bad pages, an
    // identity, and at the end of the page the mark.
    header[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    header[1028..1032].copy_from_slice(&u32::try_from(last_page).unwrap_or(u32::MAX).to_le_bytes());
    header[1036..1052].copy_from_slice(identity.as_bytes());
    header[4086..].copy_from_slice(b"SWAPSPACE2");
    disk.write_all_at(&header, start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[tokio::test]
    async fn blkid_knows_it_for_swap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let disk = File::create(&path).unwrap();
        disk.set_len(8 * MIB).unwrap();
        let identity = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
        write(&disk, MIB, 4, identity).unwrap();
        let blkid =
            Program::new("blkid").args(["-p", "-O", "1048576"]).arg(&path).run().await.unwrap().text();
        assert!(blkid.contains("TYPE=\"swap\"") && blkid.contains(&identity.to_string()), "{blkid}");
    }
}
