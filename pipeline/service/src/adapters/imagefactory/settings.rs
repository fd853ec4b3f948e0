//! The section `[imagefactory]` of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

use crate::adapters::elsewhere;

/// Its section of the configuration. In the values marked so, `$version` becomes the recipe's version.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it answers, such as `https://factory.example.org:8075`.
    pub url: String,
    /// Who signs its certificate; the system's authorities without it.
    pub authority: Option<PathBuf>,
    /// Who we are, where it asks for it.
    pub oauth: Option<OAuth>,
    /// What its tools take the system for, such as `Fedora`.
    #[serde(default = "os")]
    pub os: String,
    /// The tree that the installer comes from (`$version`, `$arch`).
    pub install_tree: String,
    /// The size of the disk in GB.
    #[serde(default = "elsewhere::disk_gb")]
    pub disk_gb: u32,
    /// What our images are known by. Every installation that uses the same factory needs its own.
    #[serde(default = "elsewhere::mark")]
    pub mark: String,
    /// Seconds between two looks at an image.
    #[serde(default = "elsewhere::poll_s")]
    pub poll_s: u64,
}

/// Two-legged OAuth 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth {
    /// The consumer's key.
    pub key: String,
    /// The file whose first line is the consumer's secret.
    pub secret_file: PathBuf,
}

fn os() -> String {
    "Fedora".to_owned()
}

impl Settings {
    /// What TOML cannot say.
    pub fn faults(&self) -> Vec<String> {
        let addresses = [("url", &*self.url), ("install_tree", &self.install_tree)];
        let mut faults = elsewhere::faults(&addresses, &self.mark);
        if let Some(oauth) = &self.oauth
            && let Err(error) = std::fs::metadata(&oauth.secret_file)
        {
            faults.push(format!("oauth.secret_file: cannot read {}: {error}", oauth.secret_file.display()));
        }
        faults
    }
}
