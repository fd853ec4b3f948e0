//! What is set in the installed system: language, time, users, services, network.

use serde::Serialize;

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
