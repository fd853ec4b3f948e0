//! What the installed system needs to start: fstab, boot loader entries, GRUB's menu.

use std::cmp::Reverse;
use std::path::Path;

use anyhow::Context;
use muster_definition::kickstart::Bootloader;

use super::chamber::{Reach, chamber};
use super::disk::identity;
use super::disk::layout::{Layout, Role};
use super::fault::{BuildError, Result};
use super::place::{exists, inside, read, write};
use super::settle::children;
use super::workshop::Workshop;
use crate::program::Program;

/// Something that GRUB can start; paths as GRUB sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the menu shows.
    pub title: String,
    /// The kernel.
    pub linux: String,
    /// The initial file system.
    pub initrd: String,
    /// The kernel's arguments.
    pub options: String,
}

/// Writes fstab and, unless there is no boot loader, an entry for each kernel and the menu.
pub async fn write_all(workshop: &Workshop, layout: &Layout, bootloader: &Bootloader) -> Result<()> {
    let root = &workshop.root;
    write(root, "/etc/fstab", &fstab(workshop, layout), 0o644)?;
    if bootloader.disabled {
        return Ok(());
    }
    let mut kernels: Vec<String> = children(&inside(root, "/usr/lib/modules")?)
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    // The newest is the one that starts.
    kernels.sort_by_key(|kernel| Reverse(numbers(kernel)));
    let name = os_release(root, "PRETTY_NAME")?.unwrap_or_else(|| "Linux".to_owned());
    let id = os_release(root, "ID")?.unwrap_or_else(|| "linux".to_owned());
    let slice = layout.mounted("/").context("the disk has no partition for /")?;
    let append = bootloader.append.as_deref().unwrap_or_default();
    let options = format!("root=UUID={} ro {append}", identity(workshop, &slice.role)).trim().to_owned();
    // Entries that a package wrote name the disks of this machine.
    for stale in children(&inside(root, "/boot/loader/entries")?) {
        super::workshop::remove(&stale)?;
    }
    let folder = layout.boot().1;
    let mut entries = Vec::new();
    for kernel in kernels {
        if !place_kernel(workshop, &kernel).await? {
            continue;
        }
        let entry = Entry {
            title: format!("{name} ({kernel})"),
            linux: format!("{folder}/vmlinuz-{kernel}"),
            initrd: format!("{folder}/initramfs-{kernel}.img"),
            options: options.clone(),
        };
        let text = format!(
            "title {}\nversion {kernel}\nlinux {}\ninitrd {}\noptions {options}\n",
            entry.title, entry.linux, entry.initrd
        );
        write(root, &format!("/boot/loader/entries/{id}-{kernel}.conf"), &text, 0o644)?;
        entries.push(entry);
    }
    if entries.is_empty() {
        return Err(BuildError::NoKernel);
    }
    write(root, "/boot/grub2/grub.cfg", &menu(&entries, bootloader.timeout.unwrap_or(0)), 0o600)
}

/// Sees to it that a kernel and its initial file system lie in `/boot`; false when there is no kernel.
async fn place_kernel(workshop: &Workshop, kernel: &str) -> Result<bool> {
    let root = &workshop.root;
    let image = format!("/boot/vmlinuz-{kernel}");
    if !exists(root, &image) {
        let from = inside(root, &format!("/usr/lib/modules/{kernel}/vmlinuz"))?;
        if !from.exists() {
            return Ok(false);
        }
        std::fs::copy(from, inside(root, &image)?)
            .map_err(|error| workshop.io(error, "cannot copy the kernel to /boot"))?;
    }
    let initramfs = format!("/boot/initramfs-{kernel}.img");
    if !exists(root, &initramfs) {
        make_initramfs(workshop, kernel, &initramfs, &[]).await?;
    }
    Ok(true)
}

/// Runs the image's own dracut, with further arguments of its own.
pub async fn make_initramfs(workshop: &Workshop, kernel: &str, to: &str, more: &[String]) -> Result<()> {
    workshop.say(&format!("making the initial file system of {kernel}"));
    let dracut = |unshare: Program| {
        chamber(unshare, &workshop.root, Reach::Nothing)
            .args(["env", "-C", "/", "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "chroot"])
            .arg(&workshop.root)
            .args(["dracut", "--force", "--no-hostonly", "--reproducible"])
            .args(more)
            .args([to, kernel])
    };
    workshop.run("unshare", dracut).await?;
    Ok(())
}

/// GRUB's menu, newest entry first. GRUB speaks on the serial port when the kernel does.
pub fn menu(entries: &[Entry], timeout: i64) -> String {
    let serial = entries.iter().any(|entry| entry.options.contains("console=ttyS0"));
    let terminal = if serial {
        "serial --unit=0 --speed=115200\nterminal_input serial console\nterminal_output serial console\n"
    } else {
        ""
    };
    let menu: Vec<String> = entries
        .iter()
        .map(|entry| {
            let Entry { title, linux, initrd, options } = entry;
            format!(
                "menuentry \"{}\" {{\n linux {linux} {options}\n initrd {initrd}\n}}\n",
                title.replace('"', "'")
            )
        })
        .collect();
    format!("{terminal}set timeout={timeout}\nset default=0\n{}", menu.concat())
}

fn fstab(workshop: &Workshop, layout: &Layout) -> String {
    let mut lines = Vec::new();
    for slice in &layout.slices {
        let identity = identity(workshop, &slice.role);
        let options = |default: &str| slice.fsoptions.clone().unwrap_or_else(|| default.to_owned());
        lines.push(match &slice.role {
            Role::BiosBoot => continue,
            Role::Esp => {
                let serial = format!("{:08X}", identity.as_fields().0);
                let (high, low) = serial.split_at(4);
                let options = options("umask=0077,shortname=winnt,nofail");
                ("/boot/efi".to_owned(), format!("UUID={high}-{low} /boot/efi vfat {options} 0 2\n"))
            }
            Role::Swap => {
                ("swap".to_owned(), format!("UUID={identity} none swap {} 0 0\n", options("defaults")))
            }
            Role::Files { mount, kind } => {
                let pass = if mount == "/" { 1 } else { 2 };
                let line = format!("UUID={identity} {mount} {kind} {} 1 {pass}\n", options("defaults"));
                (mount.clone(), line)
            }
        });
    }
    // A folder is mounted before what is mounted in it.
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A value of the image's os-release.
pub fn os_release(root: &Path, key: &str) -> Result<Option<String>> {
    let text = read(root, "/etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    Ok(value.map(|value| value.trim_matches(['"', '\'']).to_owned()))
}

/// The numbers in a version, to compare 6.10 with 6.9.
fn numbers(version: &str) -> (Vec<u64>, String) {
    let parts = version.split(|letter: char| !letter.is_ascii_digit());
    (parts.filter_map(|part| part.parse().ok()).collect(), version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_kernels_come_first() {
        assert!(numbers("6.10.2-300.fc43.x86_64") > numbers("6.9.12-200.fc43.x86_64"));
    }

    #[test]
    fn the_menu_speaks_on_the_serial_port_only_when_the_kernel_does() {
        let entry = Entry {
            title: "A \"B\" (6.1)".to_owned(),
            linux: "/boot/vmlinuz-6.1".to_owned(),
            initrd: "/boot/initramfs-6.1.img".to_owned(),
            options: "root=UUID=1 ro".to_owned(),
        };
        let quiet = menu(std::slice::from_ref(&entry), 5);
        assert_eq!(
            quiet,
            "set timeout=5\nset default=0\nmenuentry \"A 'B' (6.1)\" {\n linux /boot/vmlinuz-6.1 root=UUID=1 ro\n \
             initrd /boot/initramfs-6.1.img\n}\n"
        );
        let loud = menu(&[Entry { options: "console=ttyS0,115200n8".to_owned(), ..entry }], 5);
        assert!(loud.starts_with("serial --unit=0"), "{loud}");
    }
}
