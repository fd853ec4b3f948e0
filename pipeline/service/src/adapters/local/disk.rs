//! One disk image: a partition table, GRUB for BIOS and UEFI, and file systems, all within one plain file.
//!
//! Nothing is mounted and no loop device is used: each program writes at its partition's offset. What does not need
//! the packages is made while they are installed.

pub mod layout;
mod esp;
mod ext4;
mod gpt;
mod grub;
mod swap;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use muster_flow::build::Artifact;
use muster_flow::recipe::Form;
use tokio::try_join;
use uuid::Uuid;

use self::gpt::MIB;
use self::grub::Target;
use self::layout::{Layout, Role, Slice};
use super::fault::{BuildError, Result};
use super::workshop::{Workshop, blocking, says_full};
use crate::digest;

/// A disk whose table and boot code are written.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    layout: Layout,
}

/// The identity of a partition's file system, the same for the same request.
pub fn identity(workshop: &Workshop, role: &Role) -> Uuid {
    workshop.uuid(&format!("file system {}", role.name()))
}

/// Makes the file with its partition table, its boot code and its EFI system partition.
pub async fn begin(workshop: &Workshop, layout: Layout) -> Result<Disk> {
    let path = workshop.artifact(Form::Raw);
    let start = || -> std::io::Result<File> {
        let disk = File::options().read(true).write(true).create_new(true).open(&path)?;
        disk.set_len(layout.size_mib * MIB)?;
        gpt::write(&disk, &layout, |role| workshop.uuid(role))?;
        for slice in layout.slices.iter().filter(|slice| slice.role == Role::Swap) {
            swap::write(&disk, slice.start_mib * MIB, slice.size_mib, identity(workshop, &slice.role))?;
        }
        Ok(disk)
    };
    let disk = start().map_err(|error| workshop.io(error, "cannot begin the disk"))?;
    let (boot, folder) = layout.boot();
    let boot = identity(workshop, &boot.context("the disk has no partition for /")?.role);
    let bios = async {
        if layout.of_role(&Role::BiosBoot).is_some() {
            let core = grub::core(workshop, Target::Bios, boot, folder).await?;
            grub::embed(&disk, &layout, &core)?;
        }
        Ok::<_, BuildError>(())
    };
    let efi = async {
        if let Some(slice) = layout.of_role(&Role::Esp) {
            let core = grub::core(workshop, Target::Efi, boot, folder).await?;
            esp::make(workshop, &path, slice, &core).await?;
        }
        Ok::<_, BuildError>(())
    };
    try_join!(bios, efi)?;
    Ok(Disk { path, layout })
}

/// Makes the file systems out of the tree at `root`, which is taken apart where partitions are mounted in it.
pub async fn fill(workshop: &Workshop, disk: &Disk, root: &Path) -> Result<()> {
    let mut slices: Vec<(&str, &'static str, &Slice)> = Vec::new();
    for slice in &disk.layout.slices {
        if let Role::Files { mount, kind } = &slice.role {
            slices.push((mount, kind, slice));
        }
    }
    // A deeper mount point is taken out of the tree before the one it lies in.
    slices.sort_by_key(|(mount, _, _)| std::cmp::Reverse(mount.len()));
    if let Some(slice) = disk.layout.of_role(&Role::Esp) {
        let tree = take_out(workshop, root, "/boot/efi")?;
        esp::add(workshop, &disk.path, slice, &tree).await?;
    }
    for (mount, kind, slice) in slices {
        let tree = if mount == "/" { root.to_owned() } else { take_out(workshop, root, mount)? };
        make_files(workshop, disk, slice, (mount, kind, &tree)).await?;
    }
    Ok(())
}

/// Moves what lies at a mount point out of the tree and leaves an empty folder like it.
fn take_out(workshop: &Workshop, root: &Path, mount: &str) -> Result<PathBuf> {
    let from = super::place::inside(root, mount)?;
    let to = workshop.desk.work().join(format!("tree{}", mount.replace('/', "-")));
    let take = || -> std::io::Result<()> {
        fs::create_dir_all(&from)?;
        let permissions = fs::metadata(&from)?.permissions();
        fs::rename(&from, &to)?;
        fs::create_dir(&from)?;
        fs::set_permissions(&from, permissions)
    };
    take().map_err(|error| workshop.io(error, &format!("cannot take {mount} out of the tree")))?;
    // The folders on the way have changed too.
    for changed in from.ancestors().take_while(|path| path.starts_with(root)) {
        super::settle::hold_to(changed, workshop.epoch())?;
    }
    Ok(to)
}

async fn make_files(
    workshop: &Workshop,
    disk: &Disk,
    slice: &Slice,
    (mount, kind, tree): (&str, &'static str, &Path),
) -> Result<()> {
    workshop.say(&format!("making the file system {mount} of {} MiB", slice.size_mib));
    let log = workshop.desk.work().join(format!("mkfs-{}.log", slice.role.name()));
    let start = slice.start_mib * MIB;
    let program = workshop
        .program(&format!("mkfs.{kind}"))
        // GRUB of Debian 12 cannot read a file system with either of these features.
        .args(["-q", "-F", "-m", "1", "-O", "^metadata_csum_seed,^orphan_file"])
        // Left to itself, mkfs gives a small disk blocks of 1 KiB, which it keeps when it has grown into a large
        // one, and which GRUB reads one by one.
        .args(["-b", "4096"])
        .arg("-L")
        .arg(slice.label.clone().unwrap_or_else(|| slice.role.name()))
        .arg("-U")
        .arg(identity(workshop, &slice.role).to_string())
        .arg("-E")
        .arg(format!(
            "offset={start},hash_seed={},lazy_itable_init=1,nodiscard,root_owner=0:0",
            workshop.uuid(&format!("hash seed {mount}"))
        ))
        .arg("-d")
        .arg(tree)
        .arg(&disk.path)
        .arg(format!("{}k", slice.size_mib * 1024))
        .env("E2FSPROGS_FAKE_TIME", workshop.epoch().to_string())
        .log(&log);
    let finished = program.run_any().await?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    workshop.note(text.trim_end());
    if finished.code != Some(0) {
        return Err(refusal(workshop, &text, (mount, slice.size_mib, tree)));
    }
    let (path, epoch) = (disk.path.clone(), workshop.epoch());
    let mode = fs::metadata(tree).context("cannot look at the tree")?.permissions().mode();
    let mode = u16::try_from(mode & 0o7777).unwrap_or(0o755);
    blocking(move || {
        let disk = File::options().read(true).write(true).open(&path).context("cannot open the disk")?;
        Ok(ext4::settle(&disk, start, epoch, mode)?)
    })
    .await
}

/// Why a file system could not be made: too small for its files, or something of this machine's.
fn refusal(workshop: &Workshop, text: &str, (mount, size_mib, tree): (&str, u64, &Path)) -> BuildError {
    let small = ["Could not allocate block", "Could not allocate inode", "not enough space", "too small"];
    if !says_full(text) && small.iter().any(|words| text.contains(words)) {
        let files_mib = super::settle::size(tree).unwrap_or(0).div_ceil(MIB);
        return BuildError::FileSystemTooSmall { mount: mount.to_owned(), size_mib, files_mib };
    }
    workshop.told_apart(BuildError::Other(anyhow::anyhow!(
        "cannot make the file system {mount}:\n{}",
        text.trim()
    )))
}

/// Finishes the disk: its qcow2 form and the identity of both, each file being read once.
pub async fn finish(workshop: &Workshop, disk: Disk) -> Result<Vec<Artifact>> {
    workshop.say("compressing the disk");
    let qcow2 = workshop.artifact(Form::Qcow2);
    let digest_of = async |path: &Path| digest::of_file(path.to_owned()).await.map_err(BuildError::Other);
    let convert = async {
        let args = ["convert", "-m", "8", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"];
        workshop.run("qemu-img", |program| program.args(args).arg(&disk.path).arg(&qcow2)).await?;
        digest_of(&qcow2).await
    };
    let (raw_digest, qcow2_digest) = try_join!(digest_of(&disk.path), convert)?;
    let artifact = |form: Form, path: &Path, (digest, size): (String, u64)| Artifact {
        form,
        arch: workshop.request.arch.clone(),
        name: workshop.artifact_name(form),
        path: path.display().to_string(),
        size,
        digest,
    };
    Ok(vec![artifact(Form::Raw, &disk.path, raw_digest), artifact(Form::Qcow2, &qcow2, qcow2_digest)])
}
