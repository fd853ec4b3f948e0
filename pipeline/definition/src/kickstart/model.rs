//! What a kickstart says, typed for whoever builds an image from it.

mod storage;
mod system;

use super::Warning;
use serde::Serialize;

pub use storage::{AutoPartition, Bootloader, ClearPartitions, Partition, RequiredPartitions, Storage};
pub use system::{
    Firewall, FirstBoot, Keyboard, Language, Network, Password, RootPassword, Selinux, Services, SshKey,
    System, Timezone, User, UserGroup,
};

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
