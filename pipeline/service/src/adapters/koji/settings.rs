//! The section `[koji]` of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

use crate::adapters::elsewhere;

/// Its section of the configuration. In the values marked so, `$version` becomes the recipe's version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The hub, such as `https://koji.example.org/kojihub`.
    pub hub: String,
    /// Where the files of tasks are read from, such as `https://kojipkgs.example.org`.
    pub topurl: String,
    /// The pages for people, such as `https://koji.example.org/koji`.
    pub weburl: String,
    /// Who logs in, and how.
    pub login: Login,
    /// The build target (`$version`).
    #[serde(default = "target")]
    pub target: String,
    /// The tree that the installer comes from (`$version`), for the tasks that need one; `$arch` is replaced by Koji.
    #[serde(default)]
    pub install_tree: String,
    /// What the builder's tools take the system for (`$version`): `Fedora-NN`, `RHEL-X.Y`, `CentOS-X.Y` or `SL-X.Y`.
    #[serde(default = "distro")]
    pub distro: String,
    /// The size of the disk in GB.
    #[serde(default = "elsewhere::disk_gb")]
    pub disk_gb: u32,
    /// What our tasks and uploads are known by. Every installation that shares the account needs its own.
    #[serde(default = "elsewhere::mark")]
    pub mark: String,
    /// Seconds between two looks at a task.
    #[serde(default = "elsewhere::poll_s")]
    pub poll_s: u64,
}

fn target() -> String {
    "f$version".to_owned()
}

fn distro() -> String {
    "Fedora-$version".to_owned()
}

/// Who logs in, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Login {
    /// By Kerberos, from a keytab, without anybody having to fetch a ticket first.
    Kerberos {
        /// The keytab; what the environment says, or the tickets of the account that runs us, without it.
        keytab: Option<PathBuf>,
    },
    /// By a client certificate, also where the web server asks for it at the login only.
    Certificate {
        /// The certificate, with its key when `key` is not set.
        certificate: PathBuf,
        /// Its key.
        key: Option<PathBuf>,
        /// Who signs the hub's certificate; the system's authorities without it.
        authority: Option<PathBuf>,
    },
    /// By a password, for test hubs.
    Password {
        /// The account.
        username: String,
        /// The file whose first line is its password.
        password_file: PathBuf,
    },
}

impl Login {
    /// The program that it needs.
    pub fn program(&self) -> Option<&'static str> {
        match self {
            Login::Kerberos { .. } | Login::Certificate { .. } => Some("curl"),
            Login::Password { .. } => None,
        }
    }
}

impl Settings {
    /// The value for a recipe of this version.
    pub fn of_version(value: &str, version: &str) -> String {
        value.replace("$version", version)
    }

    /// The page of a task.
    pub fn task_page(&self, task: i64) -> String {
        format!("{}/taskinfo?taskID={task}", self.weburl.trim_end_matches('/'))
    }

    /// The page of a build.
    pub fn build_page(&self, build: i64) -> String {
        format!("{}/buildinfo?buildID={build}", self.weburl.trim_end_matches('/'))
    }

    /// What TOML cannot say.
    pub fn faults(&self) -> Vec<String> {
        let addresses = [("hub", &*self.hub), ("topurl", &self.topurl), ("weburl", &self.weburl)];
        elsewhere::faults(&addresses, &self.mark)
    }
}
