//! GRUB for both firmwares, put into place without grub-install.
//!
//! grub-mkimage makes the two cores from the host's GRUB; where the boot sector finds the rest is patched in here.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use uuid::Uuid;

use super::gpt::{MIB, SECTOR, SECTOR_LENGTH};
use super::layout::{Layout, Role};
use crate::adapters::local::fault::Result;
use crate::adapters::local::workshop::Workshop;
use crate::program::Program;

/// Where the boot sector keeps the place of the core.
const CORE_AT: usize = 0x5c;
/// Where the boot sector tests what drive it was given; two empty instructions make it believe the firmware.
const DRIVE_CHECK: usize = 0x66;
/// The part of the boot sector that belongs to the disk: what a BIOS writes there.
const DISK_PARAMETERS: std::ops::Range<usize> = 3..0x5a;
/// The part of the boot sector that holds the partition table.
const TABLE: std::ops::Range<usize> = 0x1b8..0x200;
/// Where the first sector of the core says where its other sectors lie.
const REST_AT: usize = 0x1f4;
/// The segment the rest of the core is loaded to.
const REST_SEGMENT: u16 = 0x820;

/// What both cores can do: find the file system, read its configuration, start Linux.
const MODULES: [&str; 17] = [
    "part_gpt",
    "part_msdos",
    "fat",
    "ext2",
    "normal",
    "linux",
    "search",
    "search_fs_uuid",
    "search_label",
    "configfile",
    "serial",
    "terminal",
    "echo",
    "test",
    "sleep",
    "ls",
    "cat",
];

/// Where the host's GRUB lies.
const GRUB: &str = "/usr/lib/grub";

/// Makes a core for one firmware, which goes on with `grub.cfg` on the file system `identity` in `folder`.
pub async fn core(workshop: &Workshop, target: Target, identity: Uuid, folder: &str) -> Result<PathBuf> {
    let (format, name, more): (_, _, &[&str]) = match target {
        Target::Bios => ("i386-pc", "core.img", &["biosdisk"]),
        Target::Efi => ("x86_64-efi", "BOOTX64.EFI", &["efi_gop", "all_video"]),
    };
    let work = workshop.desk.work();
    let (config, core) = (work.join(format!("{format}.cfg")), work.join(name));
    let text = format!(
        "search --no-floppy --fs-uuid --set=root {identity}\nset prefix=($root){folder}/grub2\n\
         configfile ($root){folder}/grub2/grub.cfg\n"
    );
    std::fs::write(&config, text).map_err(|error| workshop.io(error, "cannot write GRUB's configuration"))?;
    let make = |program: Program| {
        let program = program.args(["-O", format, "-o"]).arg(&core).arg("-p").arg(format!("{folder}/grub2"));
        program.arg("-c").arg(&config).args(MODULES).args(more)
    };
    workshop.run("grub-mkimage", make).await?;
    Ok(core)
}

/// The firmware a core is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Efi,
}

/// Puts the BIOS core into its partition and the boot sector before everything.
pub fn embed(disk: &File, layout: &Layout, core: &std::path::Path) -> Result<()> {
    let slice = layout.of_role(&Role::BiosBoot).context("there is no partition for GRUB")?;
    let at = slice.start_mib * MIB / SECTOR;
    let core = std::fs::read(core).context("cannot read GRUB's core")?;
    let core = patched_core(core, at, slice.size_mib * MIB)?;
    let image = format!("{GRUB}/i386-pc/boot.img");
    let image =
        std::fs::read(&image).with_context(|| format!("cannot read {image}: is grub-pc-bin installed?"))?;
    let mut sector = [0; SECTOR_LENGTH];
    disk.read_exact_at(&mut sector, 0).context("cannot read the disk's first sector")?;
    let sector = patched_sector(&image, &sector, at)?;
    disk.write_all_at(&sector, 0).context("cannot write the boot sector")?;
    disk.write_all_at(&core, at * SECTOR).context("cannot write GRUB's core")?;
    Ok(())
}

/// The boot sector that jumps to the core at sector `at` and keeps the disk's partition table.
fn patched_sector(image: &[u8], there: &[u8; SECTOR_LENGTH], at: u64) -> Result<[u8; SECTOR_LENGTH]> {
    let mut sector = *there;
    let Ok(image) = <[u8; SECTOR_LENGTH]>::try_from(image) else {
        return Err(anyhow!("GRUB's boot.img is {} bytes long instead of {SECTOR}", image.len()).into());
    };
    for byte in (0..sector.len()).filter(|byte| !DISK_PARAMETERS.contains(byte) && !TABLE.contains(byte)) {
        sector[byte] = image[byte];
    }
    sector[CORE_AT..CORE_AT + 8].copy_from_slice(&at.to_le_bytes());
    sector[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(sector)
}

/// The core, whole sectors long, whose first sector knows where the others lie: right behind it.
fn patched_core(mut core: Vec<u8>, at: u64, room: u64) -> Result<Vec<u8>> {
    let sectors = (core.len() as u64).div_ceil(SECTOR);
    let Some(rest) = u16::try_from(sectors).ok().and_then(|sectors| sectors.checked_sub(1)) else {
        return Err(anyhow!("GRUB's core is {} bytes long, which it cannot be", core.len()).into());
    };
    if sectors * SECTOR > room {
        return Err(
            anyhow!("GRUB's core of {} bytes does not fit its partition of {room}", core.len()).into()
        );
    }
    core.resize(usize::from(rest + 1) * SECTOR_LENGTH, 0);
    core[REST_AT..REST_AT + 8].copy_from_slice(&(at + 1).to_le_bytes());
    core[REST_AT + 8..REST_AT + 10].copy_from_slice(&rest.to_le_bytes());
    core[REST_AT + 10..REST_AT + 12].copy_from_slice(&REST_SEGMENT.to_le_bytes());
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sector_keeps_the_partition_table_and_finds_the_core() {
        let there = [0xaa; 512];
        let sector = patched_sector(&[0x11; 512], &there, 0x0123_4567).unwrap();
        assert_eq!(sector[TABLE], [0xaa; 72]);
        assert_eq!(sector[DISK_PARAMETERS], [0xaa; 87]);
        assert_eq!(sector[..3], [0x11; 3]);
        assert_eq!(sector[CORE_AT..CORE_AT + 8], [0x67, 0x45, 0x23, 0x01, 0, 0, 0, 0]);
        assert_eq!(sector[DRIVE_CHECK..DRIVE_CHECK + 3], [0x90, 0x90, 0x11]);
    }

    #[test]
    fn the_core_says_where_its_other_sectors_lie() {
        let core = patched_core(vec![1; 1025], 2048, MIB).unwrap();
        assert_eq!(core.len(), 3 * 512);
        assert_eq!(core[REST_AT..REST_AT + 12], [1, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 8]);
    }

    #[test]
    fn a_core_that_does_not_fit_is_refused() {
        let error = patched_core(vec![1; 2000], 2048, 1024).unwrap_err();
        assert_eq!(error.to_string(), "GRUB's core of 2000 bytes does not fit its partition of 1024");
    }

    #[test]
    fn a_strange_boot_image_is_refused() {
        assert!(patched_sector(&[0; 440], &[0; 512], 1).is_err());
    }
}
