//! The partitions of an image: which, in what order, where, how large.
//!
//! Pure arithmetic over what the kickstart says. Must not touch a file.

use muster_definition::kickstart::{AutoPartition, Partition, Storage};
use uuid::Uuid;

use crate::adapters::local::Settings;
use crate::adapters::local::fault::{BuildError, Result};

/// The size of the partition that holds GRUB for the BIOS, in MiB; its code takes a tenth of that.
const BIOS_BOOT_MIB: u64 = 1;
/// The size of an EFI system partition that nobody asked for, in MiB: large enough to be FAT32.
const ESP_MIB: u64 = 48;
/// The size of a `/boot` that nobody asked for, in MiB: room for three kernels.
const BOOT_MIB: u64 = 512;
/// The size of swap when its size is left to the installer, in MiB.
const SWAP_MIB: u64 = 512;

/// A disk with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// In the order in which they lie.
    pub slices: Vec<Slice>,
    /// The size of the disk in MiB.
    pub size_mib: u64,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// What it holds.
    pub role: Role,
    /// Where it begins, in MiB.
    pub start_mib: u64,
    /// Its size in MiB.
    pub size_mib: u64,
    /// The label of its file system, when the kickstart gives one.
    pub label: Option<String>,
    /// Its options in `/etc/fstab`, when the kickstart gives them.
    pub fsoptions: Option<String>,
    /// The most it may grow to, in MiB.
    growth: Growth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Fixed,
    UpTo(u64),
}

/// What a partition holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// GRUB's second half, for the BIOS.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// Swap space.
    Swap,
    /// A file system.
    Files {
        /// Where it is mounted.
        mount: String,
        /// The program that makes it: `ext4`, `ext3` or `ext2`.
        kind: &'static str,
    },
}

impl Role {
    /// The root file system.
    pub fn root() -> Self {
        files("/")
    }

    /// Its name in the partition table.
    pub fn name(&self) -> String {
        match self {
            Role::BiosBoot => "biosboot".to_owned(),
            Role::Esp => "esp".to_owned(),
            Role::Swap => "swap".to_owned(),
            Role::Files { mount, .. } if mount == "/" => "root".to_owned(),
            Role::Files { mount, .. } => mount.trim_start_matches('/').replace('/', "-"),
        }
    }

    /// Its type in the partition table, as the discoverable partitions specification lists them.
    pub fn kind(&self) -> Uuid {
        let kind = match self {
            Role::BiosBoot => 0x2168_6148_6449_6e6f_744e_6565_6445_4649,
            Role::Esp => 0xc12a_7328_f81f_11d2_ba4b_00a0_c93e_c93b,
            Role::Swap => 0x0657_fd6d_a4ab_43c4_84e5_0933_c84b_4f4f,
            Role::Files { mount, .. } => match mount.as_str() {
                "/" => 0x4f68_bce3_e8cd_4db1_96e7_fbca_f984_b709,
                "/boot" => 0xbc13_c2ff_59e6_4262_a352_b275_fd6f_7172,
                "/home" => 0x933a_c7e1_2eb4_4f13_b844_0e14_e2ae_f915,
                _ => 0x0fc6_3daf_8483_4772_8e79_3d69_d847_7de4,
            },
        };
        Uuid::from_u128(kind)
    }

    /// What stands first on a disk; the root stands last, so that it can grow with the disk.
    fn rank(&self) -> u8 {
        match self {
            Role::BiosBoot => 0,
            Role::Esp => 1,
            Role::Files { mount, .. } if mount == "/boot" => 2,
            Role::Swap => 3,
            Role::Files { mount, .. } if mount == "/" => 5,
            Role::Files { .. } => 4,
        }
    }
}

impl Layout {
    /// The layout that a kickstart asks for. A disk that boots gets what BIOS and UEFI need, asked for or not.
    pub fn of(storage: &Storage, settings: &Settings) -> Result<Self> {
        refuse_further(storage)?;
        let mut slices = storage.partitions.iter().map(slice).collect::<Result<Vec<_>>>()?;
        if slices.is_empty() {
            slices = automatic(storage.automatic.as_ref(), settings)?;
        } else if storage.required.is_some_and(|required| required.add_boot) {
            slices.push(fixed(files("/boot"), BOOT_MIB));
        }
        let mut warnings = Vec::new();
        let boots = !storage.bootloader.as_ref().is_some_and(|bootloader| bootloader.disabled);
        for (role, size) in [(Role::BiosBoot, BIOS_BOOT_MIB), (Role::Esp, ESP_MIB)] {
            if boots && !slices.iter().any(|slice| slice.role == role) {
                if storage.required.is_none() && storage.automatic.is_none() {
                    let name = role.name();
                    warnings.push(format!("a partition {name} was added, so that the image boots anywhere"));
                }
                slices.push(fixed(role, size));
            }
        }
        if !slices.iter().any(|slice| matches!(&slice.role, Role::Files { mount, .. } if mount == "/")) {
            return Err(
                anyhow::anyhow!("the kickstart has no partition for /: add one, or write autopart").into()
            );
        }
        Self::placed(slices, settings, warnings)
    }

    /// One root file system with what BIOS and UEFI need.
    pub fn plain(root_mib: u64, settings: &Settings) -> Result<Self> {
        let slices = vec![
            fixed(Role::BiosBoot, BIOS_BOOT_MIB),
            fixed(Role::Esp, ESP_MIB),
            growing(files("/"), root_mib),
        ];
        Self::placed(slices, settings, Vec::new())
    }

    fn placed(mut slices: Vec<Slice>, settings: &Settings, warnings: Vec<String>) -> Result<Self> {
        slices.sort_by_key(|slice| (slice.growth != Growth::Fixed, slice.role.rank()));
        // One MiB before the first partition and one after the last hold the two partition tables.
        let asked: u64 = 2 + slices.iter().map(|slice| slice.size_mib).sum::<u64>();
        let size_mib = settings.disk_mib.unwrap_or(asked).max(asked);
        if size_mib > settings.max_disk_mib {
            return Err(BuildError::DiskTooLarge { size_mib, limit_mib: settings.max_disk_mib });
        }
        grow(&mut slices, size_mib - asked);
        let mut at = 1;
        for slice in &mut slices {
            slice.start_mib = at;
            at += slice.size_mib;
        }
        Ok(Layout { slices, size_mib, warnings })
    }

    /// The slice that holds the kernel, and the kernel's folder within it.
    pub fn boot(&self) -> (Option<&Slice>, &'static str) {
        match self.mounted("/boot") {
            Some(slice) => (Some(slice), ""),
            None => (self.mounted("/"), "/boot"),
        }
    }

    /// The slice that is mounted at `mount`.
    pub fn mounted(&self, mount: &str) -> Option<&Slice> {
        self.slices.iter().find(|slice| matches!(&slice.role, Role::Files { mount: at, .. } if at == mount))
    }

    /// The slice of a role.
    pub fn of_role(&self, role: &Role) -> Option<&Slice> {
        self.slices.iter().find(|slice| slice.role == *role)
    }
}

/// Gives what is left of the disk to the partitions that grow, in equal parts.
fn grow(slices: &mut [Slice], mut left: u64) {
    loop {
        let room = |slice: &Slice| match slice.growth {
            Growth::UpTo(most) => most.saturating_sub(slice.size_mib),
            Growth::Fixed => 0,
        };
        let takers = slices.iter().filter(|slice| room(slice) > 0).count() as u64;
        if takers == 0 || left == 0 {
            return;
        }
        let share = (left / takers).max(1);
        for slice in slices.iter_mut() {
            let more = room(slice).min(share).min(left);
            slice.size_mib += more;
            left -= more;
        }
    }
}

fn automatic(automatic: Option<&AutoPartition>, settings: &Settings) -> Result<Vec<Slice>> {
    let automatic =
        automatic.cloned().unwrap_or(AutoPartition { no_swap: true, no_boot: true, ..Default::default() });
    if automatic.encrypted {
        return Err(unsupported(
            "autopart",
            "--encrypted",
            "an image that boots alone cannot ask for a passphrase",
        ));
    }
    // LVM and btrfs are what an installer would do on a machine; an image needs neither.
    let mut slices = vec![growing(files("/"), settings.automatic_root_mib)];
    if !automatic.no_boot {
        slices.push(fixed(files("/boot"), BOOT_MIB));
    }
    if !automatic.no_swap {
        slices.push(fixed(Role::Swap, SWAP_MIB));
    }
    Ok(slices)
}

fn slice(partition: &Partition) -> Result<Slice> {
    let at = format!("{}:{}", partition.at.0, partition.at.1);
    let refuse = |what: String, instead: &str| Err(unsupported(&at, &what, instead));
    if partition.encrypted {
        return refuse(
            "an encrypted partition".to_owned(),
            "an image that boots alone cannot ask for a passphrase",
        );
    }
    if let Some(there) = &partition.onpart {
        return refuse(format!("--onpart={there}"), "an image begins with an empty disk: give a --size");
    }
    let role = role(partition, &at)?;
    let asked = partition.size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0);
    let size = match (asked, &role) {
        (Some(size), _) => size,
        (None, Role::BiosBoot) => BIOS_BOOT_MIB,
        (None, Role::Esp) => ESP_MIB,
        (None, Role::Swap) => SWAP_MIB,
        (None, Role::Files { mount, .. }) => {
            return refuse(
                format!("the partition {mount} without a size"),
                "write --size with a number of MiB",
            );
        }
    };
    let most = partition.max_size.and_then(|most| u64::try_from(most).ok()).unwrap_or(u64::MAX);
    Ok(Slice {
        role,
        start_mib: 0,
        size_mib: size,
        label: partition.label.clone(),
        fsoptions: partition.fsoptions.clone(),
        growth: if partition.grow { Growth::UpTo(most) } else { Growth::Fixed },
    })
}

fn role(partition: &Partition, at: &str) -> Result<Role> {
    let (mount, fstype) = (partition.mount_point.as_str(), partition.fstype.as_deref());
    match (mount, fstype) {
        ("biosboot", _) | (_, Some("biosboot")) => Ok(Role::BiosBoot),
        ("swap", _) | (_, Some("swap")) => Ok(Role::Swap),
        ("/boot/efi", _) => Ok(Role::Esp),
        (mount, None | Some("ext4")) if mount.starts_with('/') => {
            Ok(Role::Files { mount: mount.to_owned(), kind: "ext4" })
        }
        (mount, Some("ext3")) if mount.starts_with('/') => {
            Ok(Role::Files { mount: mount.to_owned(), kind: "ext3" })
        }
        (mount, Some("ext2")) if mount.starts_with('/') => {
            Ok(Role::Files { mount: mount.to_owned(), kind: "ext2" })
        }
        (mount, Some(fstype)) if mount.starts_with('/') => {
            let what = format!("the file system {fstype} for {mount}");
            Err(unsupported(at, &what, "write --fstype=ext4, which is made without mounting anything"))
        }
        (mount, _) => {
            let what = format!("the partition {mount}");
            Err(unsupported(at, &what, "write part with a mount point, swap or biosboot"))
        }
    }
}

fn refuse_further(storage: &Storage) -> Result<()> {
    match storage.further.first() {
        Some((command, file, line)) => {
            let at = format!("{file}:{line}");
            Err(unsupported(
                &at,
                &format!("the command {command}"),
                "lay the disk out with plain part commands",
            ))
        }
        None => Ok(()),
    }
}

fn unsupported(at: &str, what: &str, instead: &str) -> BuildError {
    BuildError::Unsupported { at: at.to_owned(), what: what.to_owned(), instead: instead.to_owned() }
}

fn files(mount: &str) -> Role {
    Role::Files { mount: mount.to_owned(), kind: "ext4" }
}

fn fixed(role: Role, size_mib: u64) -> Slice {
    Slice { role, start_mib: 0, size_mib, label: None, fsoptions: None, growth: Growth::Fixed }
}

fn growing(role: Role, size_mib: u64) -> Slice {
    Slice { growth: Growth::UpTo(u64::MAX), ..fixed(role, size_mib) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mount: &str, size: i64) -> Partition {
        let at = ("a.ks".to_owned(), 7);
        Partition {
            mount_point: mount.to_owned(),
            size: Some(size),
            format: true,
            at,
            ..Partition::default()
        }
    }

    fn places(storage: &Storage, settings: &Settings) -> Vec<(String, u64, u64)> {
        let layout = Layout::of(storage, settings).unwrap();
        layout.slices.iter().map(|slice| (slice.role.name(), slice.start_mib, slice.size_mib)).collect()
    }

    fn named(name: &str, start: u64, size: u64) -> (String, u64, u64) {
        (name.to_owned(), start, size)
    }

    #[test]
    fn the_root_lies_last_and_everything_is_aligned() {
        let partitions = vec![part("/", 160), part("swap", 64), part("/boot", 100)];
        let storage = Storage { partitions, ..Storage::default() };
        let expected = [
            named("biosboot", 1, 1),
            named("esp", 2, 48),
            named("boot", 50, 100),
            named("swap", 150, 64),
            named("root", 214, 160),
        ];
        assert_eq!(places(&storage, &Settings::default()), expected);
    }

    #[test]
    fn growing_partitions_share_what_the_disk_has_left() {
        let grown = Partition { grow: true, ..part("/", 100) };
        let capped = Partition { grow: true, max_size: Some(30), ..part("/var", 20) };
        let storage = Storage { partitions: vec![grown, capped], ..Storage::default() };
        let settings = Settings { disk_mib: Some(1000), ..Settings::default() };
        let expected =
            [named("biosboot", 1, 1), named("esp", 2, 48), named("var", 50, 30), named("root", 80, 919)];
        assert_eq!(places(&storage, &settings), expected);
    }

    #[test]
    fn without_a_size_of_the_disk_nothing_grows() {
        let storage =
            Storage { partitions: vec![Partition { grow: true, ..part("/", 100) }], ..Storage::default() };
        assert_eq!(places(&storage, &Settings::default())[2], named("root", 50, 100));
    }

    #[test]
    fn what_cannot_be_made_is_named_with_its_line() {
        let btrfs = Partition { fstype: Some("btrfs".to_owned()), ..part("/", 100) };
        let storage = Storage { partitions: vec![btrfs], ..Storage::default() };
        let error = Layout::of(&storage, &Settings::default()).unwrap_err().to_string();
        assert_eq!(
            error,
            "a.ks:7: the file system btrfs for / is not supported by the local builder; write --fstype=ext4, \
             which is made without mounting anything"
        );
    }

    #[test]
    fn a_disk_beyond_the_limit_is_refused() {
        let storage = Storage { partitions: vec![part("/", 1 << 40)], ..Storage::default() };
        let error = Layout::of(&storage, &Settings::default()).unwrap_err();
        assert!(matches!(error, BuildError::DiskTooLarge { .. }), "{error}");
    }
}
