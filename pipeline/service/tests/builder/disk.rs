//! A kickstart becomes a disk.

use std::fs;
use std::path::Path;

use muster::program::Program;
use muster_flow::build::BuildOutput;
use muster_flow::recipe::{Form, Product};

use crate::ground::{
    DISK, artifact, assert_says, build, distribution, in_image, request, root_of, said, scratch,
};

#[tokio::test]
async fn a_kickstart_becomes_a_disk_and_the_same_request_gives_the_same_bytes() {
    let Some(distribution) = distribution() else { return };
    let (one, other) = (scratch(), scratch());
    let first = build(one.path(), request(&distribution, Product::Disk, DISK)).await.unwrap();
    let second = build(other.path(), request(&distribution, Product::Disk, DISK)).await.unwrap();
    let identities = |output: &BuildOutput| -> Vec<(String, String)> {
        output.artifacts.iter().map(|artifact| (artifact.name.clone(), artifact.digest.clone())).collect()
    };
    let (raw, qcow2) = (artifact(&first, Form::Raw), artifact(&first, Form::Qcow2));
    if identities(&first) != identities(&second) {
        let others = artifact(&second, Form::Raw);
        let cmp = Program::new("cmp").args(["-l", &raw.path, &others.path]).run_any().await.unwrap().text();
        panic!("{} bytes differ, the first at {:?}", cmp.lines().count(), cmp.lines().next());
    }
    assert_eq!(raw.name, "Murmur-Cloud-Base-43-20260921.0.x86_64.raw");
    for artifact in [raw, qcow2] {
        assert!(said("sha256sum", &[&artifact.path]).await.starts_with(&artifact.digest));
        assert_eq!(fs::metadata(&artifact.path).unwrap().len(), artifact.size);
    }
    said("qemu-img", &["compare", &raw.path, &qcow2.path]).await;
    said("sfdisk", &["--verify", &raw.path]).await;
    let disk = Path::new(&raw.path);
    said("e2fsck", &["-f", "-n", &root_of(disk)]).await;
    check_tree(disk).await;
    check_record(&first);
    assert!(!one.path().join("work").exists(), "the build left its work behind");
}

/// What a person's commands and scripts have come to in the image.
async fn check_tree(disk: &Path) {
    let fstab = in_image(disk, "cat /etc/fstab").await;
    assert_says(&fstab, &[" / ext4 defaults 1 1", " /boot/efi vfat "]);
    let blkid = said("blkid", &["-p", "-O", &(50 << 20).to_string(), disk.to_str().unwrap()]).await;
    let uuid = fstab.split_once("UUID=").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert_says(&blkid, &[&uuid, "LABEL=\"root\""]);
    let place = (2 << 20).to_string();
    let esp = said("blkid", &["-p", "-s", "UUID", "-o", "value", "-O", &place, disk.to_str().unwrap()]).await;
    assert_says(&fstab, &[&format!("UUID={} /boot/efi vfat", esp.trim())]);
    let menu = in_image(disk, "cat /boot/grub2/grub.cfg").await;
    assert_says(
        &menu,
        &[&format!("root=UUID={uuid} ro console=tty0 console=ttyS0,115200n8"), "set timeout=0"],
    );
    let entries = in_image(disk, "ls -p /boot/loader/entries").await;
    assert_says(&entries, &["/murmur-"]);
    assert_says(&in_image(disk, "cat /etc/motd").await, &["Welcome to Murmur Cloud"]);
    assert_says(&in_image(disk, "cat /root/ks-post.log").await, &["post in /"]);
    assert_says(&in_image(disk, "cat /var/log/outside.log").await, &["outside"]);
    assert_says(&in_image(disk, "cat /etc/locale.conf").await, &["LANG=\"en_US.UTF-8\""]);
    assert_says(&in_image(disk, "stat /etc/localtime").await, &["../usr/share/zoneinfo/Etc/UTC"]);
    let wants = in_image(disk, "ls -p /etc/systemd/system/multi-user.target.wants").await;
    assert_says(&wants, &["/sshd.service/", "/cloud-init.service/"]);
    assert_says(&in_image(disk, "stat /etc/machine-id").await, &["Size: 0"]);
    assert_says(&in_image(disk, "cat /etc/shadow").await, &["root:!locked:"]);
    assert_says(&in_image(disk, "stat /").await, &["Mode:  0555"]);
    for gone in
        ["/tmp/ks-script", "/var/log/dnf.log", "/var/lib/dnf", "/usr/share/man/man1/hello.1.gz", "/tmp/pre"]
    {
        assert!(!in_image(disk, &format!("stat {gone}")).await.contains("Inode:"), "{gone} is in the image");
    }
    let esp = format!("{}@@{}", disk.display(), 2 << 20);
    assert_says(&said("mdir", &["-/", "-b", "-i", &esp, "::"]).await, &["::/EFI/BOOT/BOOTX64.EFI"]);
}

/// What is recorded about the build.
fn check_record(output: &BuildOutput) {
    let installed = |name: &str| output.packages.iter().find(|package| package.name == name);
    let hello = installed("hello").unwrap();
    assert_eq!(hello.nvr(), "hello-2.10-2.mm43", "the newer one lies in updates");
    assert!(installed("glibc").is_some() && installed("hello-extras").is_some());
    assert!(installed("kernel-modules").is_none() && installed("gpg-pubkey").is_none());
    assert!(output.packages.is_sorted());
    let warnings = output.warnings.join("\n");
    assert_says(
        &warnings,
        &[
            "the service nosuch cannot be enabled: the image has no nosuch.service",
            "a.ks:25: %pre is for the machine of an installer and was not run",
        ],
    );
    let log = fs::read_to_string(&output.log).unwrap();
    assert_says(&log, &["Installing       : glibc", "== phase install took ", "== phase compress took "]);
    let progress = fs::read_to_string(Path::new(&output.log).with_file_name("progress")).unwrap();
    assert_says(&progress, &["making the file system / of 160 MiB", "compressing the disk"]);
}

#[tokio::test]
async fn partitions_of_their_own_hold_what_belongs_to_them() {
    let Some(distribution) = distribution() else { return };
    let folder = scratch();
    let text = DISK.replace(
        "part / --fstype=ext4 --size=160 --grow",
        "part /boot --fstype=ext4 --size=80 --label=kernels\npart swap --size=16\npart / --size=100",
    );
    let text = text
        + "user --name=ada --groups=wheel --password=s3cret --plaintext\nsshkey --username=ada \"ssh-ed25519 AAAA ada\"\n";
    let output = build(folder.path(), request(&distribution, Product::Disk, &text)).await.unwrap();
    let disk = artifact(&output, Form::Raw).path.clone();
    let at = |mib: u64| format!("{disk}?offset={}", mib << 20);
    let show = |mib: u64, command: &'static str| {
        let image = at(mib);
        async move { said("debugfs", &["-R", command, &image]).await }
    };
    // The kernels lie in /boot's own file system, which begins after 50 MiB; the root begins after 146 MiB.
    assert_says(&show(50, "ls -p /").await, &["/vmlinuz-", "/initramfs-", "/grub2/", "/loader/"]);
    assert_says(&show(50, "cat /grub2/grub.cfg").await, &[" linux /vmlinuz-"]);
    assert!(!show(146, "ls -p /boot").await.contains("vmlinuz"));
    assert_says(&show(146, "cat /etc/fstab").await, &[" none swap defaults 0 0", " /boot ext4 defaults 1 2"]);
    for mib in [50, 146] {
        said("e2fsck", &["-f", "-n", &at(mib)]).await;
    }
    assert_says(&said("blkid", &["-p", "-O", &(130 << 20).to_string(), &disk]).await, &["TYPE=\"swap\""]);
    assert_says(&show(146, "cat /etc/passwd").await, &["ada:x:1000:1000::/home/ada:/bin/bash"]);
    assert_says(&show(146, "cat /etc/shadow").await, &["ada:$6$"]);
    assert_says(&show(146, "cat /home/ada/.ssh/authorized_keys").await, &["ssh-ed25519 AAAA ada"]);
    assert_says(&show(146, "stat /home/ada/.ssh").await, &["Mode:  0700", "User:  1000"]);
    assert_says(&output.warnings.join("\n"), &["the password of ada stands in clear"]);
}
