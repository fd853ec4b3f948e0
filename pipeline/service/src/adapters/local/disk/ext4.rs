//! What `mkfs.ext4 -d` does not do as it is needed: the times of inodes, and the mode of the root.
//!
//! The time an inode changed and was read last are those of the build, so two builds of one tree would differ. They
//! are set to the build's epoch here, in the file, and the inodes' checksums with them. Knows the layout of ext4's
//! superblock, group descriptors and inodes. Must not change anything else.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

/// Where the superblock lies.
const SUPERBLOCK: u64 = 1024;
/// The number of the root's inode.
const ROOT: u32 = 2;
/// The feature bits that are asked for here.
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
/// The flag of a group whose inode table was never written.
const GROUP_UNUSED: u16 = 1;
/// The bytes of an inode that old file systems have.
const OLD_INODE: usize = 128;

/// Sets the times of every inode of the file system that begins at byte `start` to `epoch`, except when its contents
/// changed; and gives its root the permissions `root_mode`, which are not copied from the tree.
pub fn settle(disk: &File, start: u64, epoch: i64, root_mode: u16) -> Result<()> {
    let system = FileSystem::read(disk, start)?;
    let mut table = vec![0; usize::try_from(u64::from(system.inodes_per_group) * system.inode_size as u64)?];
    for group in 0..system.groups {
        let Some((at, used)) = system.group(disk, group)? else { continue };
        let bytes = &mut table[..used as usize * system.inode_size];
        disk.read_exact_at(bytes, at).context("cannot read the inodes")?;
        for (index, inode) in bytes.chunks_exact_mut(system.inode_size).enumerate() {
            // An inode with neither a kind nor a link was never used.
            if u16_at(inode, 0) != 0 || u16_at(inode, 0x1a) != 0 {
                set_inode_times(inode, epoch);
                let number = group * system.inodes_per_group + u32::try_from(index)? + 1;
                if number == ROOT {
                    let mode = u16_at(inode, 0) & 0o170_000 | root_mode & 0o7777;
                    inode[..2].copy_from_slice(&mode.to_le_bytes());
                }
                system.sum(number, inode);
            }
        }
        disk.write_all_at(bytes, at).context("cannot write the inodes")?;
    }
    Ok(())
}

struct FileSystem {
    start: u64,
    block: u64,
    groups: u32,
    inodes_per_group: u32,
    inode_size: usize,
    /// Bytes of a group descriptor.
    descriptor: u64,
    /// What inode checksums begin with; none when inodes have none.
    seed: Option<u32>,
}

impl FileSystem {
    fn read(disk: &File, start: u64) -> Result<Self> {
        let mut superblock = [0; 1024];
        disk.read_exact_at(&mut superblock, start + SUPERBLOCK).context("cannot read the superblock")?;
        ensure!(u16_at(&superblock, 0x38) == 0xef53, "there is no ext4 file system at byte {start}");
        let (incompat, ro_compat) = (u32_at(&superblock, 0x60), u32_at(&superblock, 0x64));
        let seed = (ro_compat & RO_COMPAT_METADATA_CSUM != 0).then(|| match incompat & INCOMPAT_CSUM_SEED {
            0 => crc32c(!0, &superblock[0x68..0x78]),
            _ => u32_at(&superblock, 0x270),
        });
        let inodes_per_group = u32_at(&superblock, 0x28);
        ensure!(inodes_per_group > 0, "the ext4 file system at byte {start} has no inodes");
        Ok(FileSystem {
            start,
            block: 1024 << u32_at(&superblock, 0x18),
            groups: u32_at(&superblock, 0) / inodes_per_group,
            inodes_per_group,
            inode_size: usize::from(u16_at(&superblock, 0x58)),
            descriptor: if incompat & INCOMPAT_64BIT == 0 { 32 } else { u16_at(&superblock, 0xfe).into() },
            seed,
        })
    }

    /// Where a group's inodes lie and how many of them are in use; none when the group has none.
    fn group(&self, disk: &File, group: u32) -> Result<Option<(u64, u32)>> {
        let mut descriptor = [0; 64];
        let descriptors = if self.block == 1024 { 2 } else { 1 };
        let at = self.start + descriptors * self.block + u64::from(group) * self.descriptor;
        let length = usize::try_from(self.descriptor)?.min(64);
        disk.read_exact_at(&mut descriptor[..length], at).context("cannot read a group's descriptor")?;
        if u16_at(&descriptor, 0x12) & GROUP_UNUSED != 0 {
            return Ok(None);
        }
        let block = u64::from(u32_at(&descriptor, 0x8)) | u64::from(u32_at(&descriptor, 0x28)) << 32;
        let unused = u32::from(u16_at(&descriptor, 0x1c)) | u32::from(u16_at(&descriptor, 0x32)) << 16;
        let used = self.inodes_per_group.saturating_sub(unused);
        Ok(Some((self.start + block * self.block, used)))
    }

    /// Writes the checksum of an inode into it: CRC-32C of its number, its generation and all of it.
    fn sum(&self, number: u32, inode: &mut [u8]) {
        let Some(seed) = self.seed else { return };
        let has_high = inode.len() > OLD_INODE && u16_at(inode, 0x80) >= 4;
        inode[0x7c..0x7e].fill(0);
        if has_high {
            inode[0x82..0x84].fill(0);
        }
        let sum = crc32c(crc32c(seed, &number.to_le_bytes()), &inode[0x64..0x68]);
        let sum = crc32c(sum, inode).to_le_bytes();
        inode[0x7c..0x7e].copy_from_slice(&sum[..2]);
        if has_high {
            inode[0x82..0x84].copy_from_slice(&sum[2..]);
        }
    }
}

/// Access, change and birth; seconds are 32 bits, of which two more stand among the bits of nanoseconds.
fn set_inode_times(inode: &mut [u8], epoch: i64) {
    let bytes = epoch.to_le_bytes();
    let extra = [bytes[4] & 3, 0, 0, 0];
    for at in [0x8, 0xc] {
        inode[at..at + 4].copy_from_slice(&bytes[..4]);
    }
    if inode.len() > OLD_INODE && u16_at(inode, 0x80) >= 0x18 {
        for at in [0x84, 0x8c, 0x94] {
            inode[at..at + 4].copy_from_slice(&extra);
        }
        inode[0x90..0x94].copy_from_slice(&bytes[..4]);
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// CRC-32C without the last inversion, as ext4 has it.
fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ sum >> 8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index: u32 = 0;
    while index < 256 {
        let (mut sum, mut bit) = (index, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
            bit += 1;
        }
        table[index as usize] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Program;

    #[test]
    fn the_checksum_is_that_of_the_castagnoli_polynomial() {
        // The check value of CRC-32C, before its last inversion.
        assert_eq!(crc32c(!0, b"123456789"), !0xe306_9283);
    }

    #[tokio::test]
    async fn times_are_set_and_e2fsck_finds_nothing_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree/sub");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("file"), "text").unwrap();
        let path = folder.path().join("disk.raw");
        let offset = 1 << 20;
        File::create(&path).unwrap().set_len(offset + (40 << 20)).unwrap();
        let args = ["-q", "-F", "-E", "offset=1048576,nodiscard", "-d"];
        let mkfs = Program::new("mkfs.ext4").args(args).arg(folder.path().join("tree"));
        mkfs.arg(&path).arg("40960k").run().await.unwrap();
        let disk = File::options().read(true).write(true).open(&path).unwrap();
        settle(&disk, offset, 1_767_225_600, 0o555).unwrap();
        let image = format!("{}?offset=1048576", path.display());
        Program::new("e2fsck").args(["-f", "-n", &image]).run().await.unwrap();
        let stat = Program::new("debugfs").args(["-R", "stat /sub/file", &image]).run().await.unwrap().text();
        let root = Program::new("debugfs").args(["-R", "stat /", &image]).run().await.unwrap().text();
        assert!(root.contains("Mode:  0555"), "{root}");
        for line in
            ["ctime: 0x6955b900:00000000", "atime: 0x6955b900:00000000", "crtime: 0x6955b900:00000000"]
        {
            assert!(stat.contains(line), "{stat}");
        }
    }
}
