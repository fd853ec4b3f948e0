//! The EFI system partition, written with mtools at its offset in the disk.

use std::path::Path;

use super::gpt::{MIB, SECTOR};
use super::layout::Slice;
use crate::adapters::local::fault::Result;
use crate::adapters::local::settle;
use crate::adapters::local::workshop::Workshop;
use crate::program::Program;

/// Makes the file system with GRUB where every firmware looks first.
pub async fn make(workshop: &Workshop, disk: &Path, slice: &Slice, core: &Path) -> Result<()> {
    settle::hold_to(core, workshop.epoch())?;
    let serial = format!("{:08x}", workshop.uuid("file system esp").as_fields().0);
    workshop.run("mkfs.vfat", |mkfs| format(mkfs.args(["-i", &serial]), disk, slice)).await?;
    let place = place(disk, slice);
    workshop.run("mmd", |mmd| mmd.args(["-i", &place, "::EFI", "::EFI/BOOT"])).await?;
    let copy = |mcopy: Program| mcopy.args(["-m", "-i", &place]).arg(core).arg("::EFI/BOOT/BOOTX64.EFI");
    workshop.run("mcopy", copy).await?;
    Ok(())
}

/// mkfs.vfat for a slice. A label would bring the time of day with it, and --invariant an identity that is everybody's.
/// Left alone it would look at the size of the whole disk, not of the slice.
fn format(mkfs: Program, disk: &Path, slice: &Slice) -> Program {
    let (bits, cluster) = shape(slice.size_mib);
    mkfs.args(["-F", bits, "-s", cluster])
        .arg(format!("--offset={}", slice.start_mib * MIB / SECTOR))
        .arg(disk)
        .arg((slice.size_mib * MIB / 1024).to_string())
}

/// The bits of an entry and the sectors of a cluster: the number of clusters decides what readers take it for.
fn shape(size_mib: u64) -> (&'static str, &'static str) {
    match size_mib {
        0..4 => ("12", "2"),
        4..16 => ("16", "1"),
        16..34 => ("16", "2"),
        34..260 => ("32", "1"),
        _ => ("32", "8"),
    }
}

/// Adds what packages put into `/boot/efi`; what is there already stays.
pub async fn add(workshop: &Workshop, disk: &Path, slice: &Slice, tree: &Path) -> Result<()> {
    let entries = settle::children(tree);
    if entries.is_empty() {
        return Ok(());
    }
    let place = place(disk, slice);
    workshop
        .run("mcopy", |mcopy| mcopy.args(["-s", "-m", "-D", "s", "-i", &place]).args(&entries).arg("::"))
        .await?;
    Ok(())
}

/// How mtools names a file system within a file.
fn place(disk: &Path, slice: &Slice) -> String {
    format!("{}@@{}", disk.display(), slice.start_mib * MIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::local::Settings;
    use crate::adapters::local::disk::layout::Layout;

    #[tokio::test]
    async fn every_size_gives_a_file_system_that_mtools_and_fsck_understand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        for size_mib in [1, 3, 4, 15, 16, 33, 34, 48, 259, 260, 600] {
            let layout = Layout::plain(400, &Settings::default()).unwrap();
            let mut slice = layout.slices[1].clone();
            slice.size_mib = size_mib;
            std::fs::File::create(&path).unwrap().set_len((size_mib + 10) * MIB).unwrap();
            format(Program::new("mkfs.vfat"), &path, &slice).run().await.unwrap();
            let place = place(&path, &slice);
            Program::new("mmd").args(["-i", &place, "::EFI"]).run().await.unwrap();
            let listed = Program::new("mdir").args(["-b", "-i", &place, "::"]).run().await.unwrap().text();
            assert_eq!(listed.trim(), "::/EFI/", "{size_mib} MiB");
        }
    }
}
