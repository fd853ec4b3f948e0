//! What a kickstart says, typed for whoever builds an image from it.

use super::Warning;
use serde::Serialize;

/// A kickstart with everything it includes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Kickstart {
    /// Every file that was read, the root first, each once: a change to any of them is a change to this.
    pub files: Vec<String>,
    /// What should be changed, though it does no harm yet.
    pub warnings: Vec<Warning>,
    /// Where the system comes from.
    pub origin: Origin,
    /// What the `%packages` sections ask for; none when there is no such section.
    pub packages: Option<Packages>,
    /// Disks and the bootloader.
    pub storage: Storage,
    /// Settings of the installed system.
    pub system: System,
    /// The scripts in the order in which they stand.
    pub scripts: Vec<Script>,
    /// What the machine does when the installation has ended.
    pub ending: Ending,
}

/// Where the packages or the whole tree of a system come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The `url` command: the main package repository.
    pub url: Option<Url>,
    /// The `repo` commands: further package repositories.
    pub repos: Vec<Repo>,
    /// The `ostreesetup` command.
    pub ostree: Option<OstreeSetup>,
    /// The `ostreecontainer` command.
    pub ostree_container: Option<OstreeContainer>,
    /// The URL of the `liveimg` command.
    pub live_image: Option<String>,
    /// The `module` commands.
    pub modules: Vec<Module>,
}

/// How the address of a package repository is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// The repository itself.
    BaseUrl(String),
    /// A plain list of mirrors.
    MirrorList(String),
    /// A list of mirrors with checksums.
    Metalink(String),
}

/// The main package repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Url {
    /// Where it is; variables such as `$releasever` are kept as written.
    pub location: Location,
    /// Proxy to go through.
    pub proxy: Option<String>,
    /// Whether the certificate of an HTTPS server is checked.
    pub verify_tls: bool,
    /// Path of the authority certificates.
    pub tls_ca: Option<String>,
    /// Path of the client certificate.
    pub tls_certificate: Option<String>,
    /// Path of the client key.
    pub tls_key: Option<String>,
}

/// A further package repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repo {
    /// Its name.
    pub name: String,
    /// Where it is; none means a repository the installer already knows by that name.
    pub location: Option<Location>,
    /// Preference over other repositories, lower first.
    pub cost: Option<i64>,
    /// Only these packages are taken from it (globs).
    pub include: Vec<String>,
    /// These packages are not taken from it (globs).
    pub exclude: Vec<String>,
    /// Proxy to go through.
    pub proxy: Option<String>,
    /// Whether the certificate of an HTTPS server is checked.
    pub verify_tls: bool,
    /// Whether the repository is also configured in the installed system.
    pub install: bool,
    /// Path of the authority certificates.
    pub tls_ca: Option<String>,
    /// Path of the client certificate.
    pub tls_certificate: Option<String>,
    /// Path of the client key.
    pub tls_key: Option<String>,
    /// The file and line it stands on, for errors about it.
    pub at: (String, usize),
}

/// A system that comes as an `OSTree` commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OstreeSetup {
    /// Name of the operating system in the deployment.
    pub osname: String,
    /// Name under which the remote is kept.
    pub remote: String,
    /// Address of the repository.
    pub url: String,
    /// Branch to deploy.
    pub reference: String,
    /// Whether commits must be signed.
    pub verify: bool,
}

/// A system that comes as an `OSTree` commit in a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OstreeContainer {
    /// Name of the operating system in the deployment.
    pub stateroot: Option<String>,
    /// Name of the container image.
    pub url: String,
    /// How the image is fetched, `registry` when not given.
    pub transport: Option<String>,
    /// Name under which the remote is kept.
    pub remote: Option<String>,
    /// Whether the image must be signed.
    pub verify: bool,
}

/// A module stream to enable or disable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The module.
    pub name: String,
    /// The stream of it, the default one when not given.
    pub stream: Option<String>,
    /// False when the module is disabled.
    pub enable: bool,
}

/// What the `%packages` sections ask for, merged as the installer merges them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Packages {
    /// The environment (`@^name`).
    pub environment: Option<String>,
    /// Groups (`@name`).
    pub groups: Vec<Group>,
    /// Names, globs and files to install, sorted.
    pub install: Vec<String>,
    /// Groups that are excluded (`-@name`).
    pub excluded_groups: Vec<String>,
    /// Names and globs that are excluded, sorted.
    pub exclude: Vec<String>,
    /// Options of the section.
    pub options: PackageOptions,
}

/// The options after `%packages`; those of the last section hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent option of the section")]
pub struct PackageOptions {
    /// Install the default package set.
    pub default: bool,
    /// Leave documentation out.
    pub exclude_docs: bool,
    /// Do not add the group `base` (releases before F22).
    pub no_base: bool,
    /// Do not add the group `core`.
    pub no_core: bool,
    /// Go on when a package or group does not exist.
    pub ignore_missing: bool,
    /// Go on when a package cannot be installed.
    pub ignore_broken: bool,
    /// The languages to install, as written: colon-separated, `none`, or empty for none at all.
    pub languages: Option<String>,
    /// Install all architectures of a package.
    pub multilib: bool,
    /// Leave weak dependencies out.
    pub exclude_weak_dependencies: bool,
    /// Seconds to wait for a connection.
    pub timeout: Option<i64>,
    /// Times a download is tried again.
    pub retries: Option<i64>,
}

/// A group of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name or id.
    pub name: String,
    /// How much of it.
    pub extent: Extent,
}

/// How much of a group is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Mandatory packages only (`--nodefaults`).
    Mandatory,
    /// Mandatory and default packages.
    Default,
    /// All packages, the optional too (`--optional`).
    All,
}

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

/// Settings of the installed system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct System {
    /// The `lang` command.
    pub language: Option<Language>,
    /// The `keyboard` command.
    pub keyboard: Option<Keyboard>,
    /// The `timezone` command.
    pub timezone: Option<Timezone>,
    /// The `rootpw` command.
    pub root: Option<RootPassword>,
    /// The `user` commands.
    pub users: Vec<User>,
    /// The `group` commands.
    pub groups: Vec<UserGroup>,
    /// The `sshkey` commands.
    pub ssh_keys: Vec<SshKey>,
    /// The `services` command.
    pub services: Services,
    /// The `selinux` command.
    pub selinux: Option<Selinux>,
    /// The `firewall` command.
    pub firewall: Option<Firewall>,
    /// The `network` commands.
    pub networks: Vec<Network>,
    /// The `firstboot` command.
    pub first_boot: Option<FirstBoot>,
    /// Whether the X Window System is left unconfigured (`skipx`).
    pub skip_x: bool,
    /// The target is graphical at start (`xconfig --startxonboot`).
    pub start_x: bool,
    /// Arguments of `authselect`, `authconfig` or `auth`, as written.
    pub authentication: Option<String>,
}

/// The language.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Language {
    /// The locale, such as `en_US.UTF-8`.
    pub locale: String,
    /// Further locales.
    pub also: Vec<String>,
}

/// The keyboard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Keyboard {
    /// Key map of the console.
    pub console: Option<String>,
    /// Layouts under X and Wayland.
    pub layouts: Vec<String>,
}

/// The time zone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Timezone {
    /// Its name, such as `Etc/UTC`.
    pub name: Option<String>,
    /// Whether the hardware clock runs in UTC.
    pub utc: bool,
    /// Whether time is not kept over the network.
    pub no_ntp: bool,
    /// Time servers.
    pub ntp_servers: Vec<String>,
}

/// How root logs in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RootPassword {
    /// The password, none when only locked.
    pub password: Option<Password>,
    /// Whether the account is locked.
    pub locked: bool,
    /// Whether root may log in by password over SSH.
    pub allow_ssh: bool,
}

/// A password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// As typed.
    Plain(String),
    /// As it stands in `/etc/shadow`.
    Crypted(String),
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// Groups beside the user's own.
    pub groups: Vec<String>,
    /// Home directory.
    pub home: Option<String>,
    /// Login shell.
    pub shell: Option<String>,
    /// Full name.
    pub gecos: Option<String>,
    /// Number of the user.
    pub uid: Option<i64>,
    /// Number of the user's own group.
    pub gid: Option<i64>,
    /// The password, none when there is none.
    pub password: Option<Password>,
    /// Whether the account is locked.
    pub locked: bool,
}

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserGroup {
    /// The name.
    pub name: String,
    /// Its number.
    pub gid: Option<i64>,
}

/// A key that may log in as a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SshKey {
    /// The user.
    pub user: String,
    /// The public key.
    pub key: String,
}

/// Services that start and that do not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Services {
    /// To be enabled.
    pub enabled: Vec<String>,
    /// To be disabled.
    pub disabled: Vec<String>,
}

/// The mode of `SELinux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selinux {
    /// Policy holds.
    Enforcing,
    /// Policy only warns.
    Permissive,
    /// No policy.
    Disabled,
}

/// The firewall.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Firewall {
    /// Whether there is one; none when the choice is left to the system (`--use-system-defaults`).
    pub enabled: Option<bool>,
    /// Ports let through, such as `22:tcp`.
    pub ports: Vec<String>,
    /// Services let through.
    pub services: Vec<String>,
    /// Services that are not let through.
    pub remove_services: Vec<String>,
    /// Devices whose traffic is trusted.
    pub trusts: Vec<String>,
}

/// One network device, or the name of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Network {
    /// The device.
    pub device: Option<String>,
    /// `dhcp`, `static`, `ibft`, ...
    pub bootproto: Option<String>,
    /// Name of the host.
    pub hostname: Option<String>,
    /// Address.
    pub ip: Option<String>,
    /// Net mask.
    pub netmask: Option<String>,
    /// Gateway.
    pub gateway: Option<String>,
    /// Name servers.
    pub nameservers: Vec<String>,
    /// Whether it is brought up at boot.
    pub onboot: bool,
    /// Whether it is brought up during the installation.
    pub activate: bool,
}

/// Whether a first-boot agent asks the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstBoot {
    /// It does not run.
    Disabled,
    /// It runs.
    Enabled,
    /// It runs and changes the configuration.
    Reconfigure,
}

/// A script of the kickstart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Script {
    /// When it runs.
    pub moment: Moment,
    /// What runs it, `/bin/sh` when nothing is given.
    pub interpreter: String,
    /// Whether it runs inside the installed system.
    pub chroot: bool,
    /// Whether its failure is the failure of the installation.
    pub error_on_fail: bool,
    /// File its output goes to.
    pub log: Option<String>,
    /// The lines between its header and `%end`.
    pub body: String,
    /// The file and line of its header.
    pub at: (String, usize),
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before anything.
    Pre,
    /// When the disks are mounted and nothing is installed.
    PreInstall,
    /// When everything is installed.
    Post,
    /// When an error stops the installation.
    OnError,
    /// When the installer itself crashes.
    Traceback,
}

/// What the machine does when the installation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// Waits for a key.
    Halt,
    /// Boots the new system.
    Reboot,
    /// Switches off.
    PowerOff,
    /// Shuts down.
    Shutdown,
}
