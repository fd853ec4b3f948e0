//! Disks, partitions and the bootloader.

use serde::Serialize;

/// Disks and the bootloader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Storage {
    /// The `part` commands in order.
    pub partitions: Vec<Partition>,
    /// The `reqpart` command.
    pub required: Option<RequiredPartitions>,
    /// The `autopart` command.
    pub automatic: Option<AutoPartition>,
    /// The `clearpart` command.
    pub clear: Option<ClearPartitions>,
    /// Whether invalid partition tables are initialised (`zerombr`).
    pub zero_mbr: bool,
    /// The `bootloader` command.
    pub bootloader: Option<Bootloader>,
    /// Names of further storage commands (`raid`, `logvol`, ...), with file and line of each.
    pub further: Vec<(String, String, usize)>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent option of the command")]
pub struct Partition {
    /// The mount point, or `swap`, `biosboot`, `pv.01`, `raid.01`.
    pub mount_point: String,
    /// The file system, the default one when not given.
    pub fstype: Option<String>,
    /// Size in MiB.
    pub size: Option<i64>,
    /// Whether it grows to fill the disk.
    pub grow: bool,
    /// Largest size in MiB when it grows.
    pub max_size: Option<i64>,
    /// Whether the size is chosen by the installer (`--recommended`, `--hibernation`).
    pub recommended: bool,
    /// Label of the file system.
    pub label: Option<String>,
    /// Options in `/etc/fstab`.
    pub fsoptions: Option<String>,
    /// Options given to mkfs.
    pub mkfs_options: Option<String>,
    /// Disk to stand on (`--ondisk`).
    pub disk: Option<String>,
    /// Existing partition to use (`--onpart`).
    pub onpart: Option<String>,
    /// Whether it must be a primary partition.
    pub primary: bool,
    /// Whether the partition is made as a file system at all.
    pub format: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The file and line it stands on, for errors about it.
    pub at: (String, usize),
}

/// The partitions the platform needs to boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RequiredPartitions {
    /// Whether a separate `/boot` is added.
    pub add_boot: bool,
}

/// Partitions laid out by the installer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent option of the command")]
pub struct AutoPartition {
    /// `plain`, `lvm`, `thinp` or `btrfs`; the default of the release when not given.
    pub scheme: Option<String>,
    /// The file system, the default one when not given.
    pub fstype: Option<String>,
    /// Leave `/home` out.
    pub no_home: bool,
    /// Leave `/boot` out.
    pub no_boot: bool,
    /// Leave swap out.
    pub no_swap: bool,
    /// Whether it is encrypted.
    pub encrypted: bool,
}

/// Which partitions are removed first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ClearPartitions {
    /// All of them (`--all`).
    pub all: bool,
    /// Those of Linux (`--linux`).
    pub linux: bool,
    /// Whether disks get a new label.
    pub init_label: bool,
    /// The kind of label, such as `gpt`.
    pub disk_label: Option<String>,
    /// The disks, all when empty.
    pub drives: Vec<String>,
}

/// The bootloader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Bootloader {
    /// `mbr`, `partition`, `boot` or `none`.
    pub location: Option<String>,
    /// Kernel arguments.
    pub append: Option<String>,
    /// Seconds the menu waits.
    pub timeout: Option<i64>,
    /// The disk it is written to.
    pub boot_drive: Option<String>,
    /// Whether extlinux stands in for GRUB.
    pub extlinux: bool,
    /// No bootloader at all (`--disabled`, `--location=none`).
    pub disabled: bool,
    /// Leave the boot-loader specification out.
    pub sdboot: bool,
}
