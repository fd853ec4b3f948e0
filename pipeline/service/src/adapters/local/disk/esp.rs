//! The EFI system partition, written with mtools at its offset in the disk.

use std::path::Path;

use super::gpt::{MIB, SECTOR};
use super::layout::Slice;
use crate::adapters::local::fault::Result;
use crate::adapters::local::settle;
use crate::adapters::local::workshop::Workshop;

/// FAT32 needs 65,525 clusters; below this many MiB mkfs.vfat makes FAT16.
const FAT32_MIB: u64 = 34;

/// Makes the file system with GRUB where every firmware looks first.
pub async fn make(workshop: &Workshop, disk: &Path, slice: &Slice, core: &Path) -> Result<()> {
    settle::hold_to(core, workshop.epoch())?;
    let serial = format!("{:08x}", workshop.uuid("file system esp").as_fields().0);
    let bits = if slice.size_mib >= FAT32_MIB { "32" } else { "16" };
    let mkfs = workshop.program("mkfs.vfat").args(["-n", "ESP", "-F", bits, "-i", &serial, "--invariant"]);
    let mkfs = mkfs.arg(format!("--offset={}", slice.start_mib * MIB / SECTOR)).arg(disk);
    mkfs.arg((slice.size_mib * MIB / 1024).to_string()).run().await?;
    let place = place(disk, slice);
    workshop.program("mmd").args(["-i", &place, "::EFI", "::EFI/BOOT"]).run().await?;
    workshop
        .program("mcopy")
        .args(["-m", "-i", &place])
        .arg(core)
        .arg("::EFI/BOOT/BOOTX64.EFI")
        .run()
        .await?;
    Ok(())
}

/// Adds what packages put into `/boot/efi`; what is there already stays.
pub async fn add(workshop: &Workshop, disk: &Path, slice: &Slice, tree: &Path) -> Result<()> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(tree).map_err(|error| workshop.io(error, "cannot read /boot/efi"))? {
        entries.push(entry.map_err(|error| workshop.io(error, "cannot read /boot/efi"))?.path());
    }
    if entries.is_empty() {
        return Ok(());
    }
    entries.sort();
    let copy = workshop.program("mcopy").args(["-s", "-m", "-D", "s", "-i", &place(disk, slice)]);
    copy.args(&entries).arg("::").run().await?;
    Ok(())
}

/// How mtools names a file system within a file.
fn place(disk: &Path, slice: &Slice) -> String {
    format!("{}@@{}", disk.display(), slice.start_mib * MIB)
}
