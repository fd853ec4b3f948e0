//! Signs what is published, and checks signatures as a stranger would.
//!
//! It knows gpg and the calling convention of an external signing command. It must not know what it signs. No secret
//! key is ever read by this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::adapters::mirror::writing;
use crate::program::{self, Program};

/// How long a signature may take when nobody says otherwise; a remote signer may have to queue.
const DEFAULT_LIMIT_S: u64 = 60;

/// The section `[signing]` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Settings {
    /// Nothing is signed, and every publication says so.
    #[default]
    None,
    /// A key in a folder of gpg on this machine, or behind its agent.
    Gpg {
        /// The key's fingerprint, id or address.
        key: String,
        /// The folder of gpg; the user's own by default.
        homedir: Option<PathBuf>,
        /// Seconds a signature may take.
        #[serde(default = "default_limit")]
        limit_s: u64,
    },
    /// A program that asks a signing server. It reads the text on standard input and writes the signed text, or the
    /// detached signature, to standard output.
    Command {
        /// The program and its arguments that make a clear-signed text.
        clearsign: Vec<String>,
        /// The program and its arguments that make a detached signature.
        detach: Vec<String>,
        /// The file with the public key, so that what comes back can be checked.
        public_key: PathBuf,
        /// Seconds a signature may take.
        #[serde(default = "default_limit")]
        limit_s: u64,
    },
}

fn default_limit() -> u64 {
    DEFAULT_LIMIT_S
}

/// Signs.
#[derive(Clone, Debug)]
pub struct Signer {
    settings: Settings,
}

impl Signer {
    /// A signer as the configuration wants it.
    pub fn new(settings: Settings) -> Self {
        Signer { settings }
    }

    /// The text inside an clear-signed message; `None` when nothing is signed.
    pub async fn clearsign(&self, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let signing = match &self.settings {
            Settings::None => return Ok(None),
            Settings::Gpg { .. } => self.gpg().arg("--clearsign"),
            Settings::Command { clearsign, .. } => command(clearsign)?,
        };
        self.sign(signing, text).await.map(Some)
    }

    /// A detached, armoured signature; `None` when nothing is signed.
    pub async fn detach(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let signing = match &self.settings {
            Settings::None => return Ok(None),
            Settings::Gpg { .. } => self.gpg().args(["--armor", "--detach-sign"]),
            Settings::Command { detach, .. } => command(detach)?,
        };
        self.sign(signing, bytes).await.map(Some)
    }

    /// The public key that strangers check with; `None` when nothing is signed.
    pub async fn public_key(&self) -> Result<Option<PublicKey>> {
        let armour = match &self.settings {
            Settings::None => return Ok(None),
            Settings::Gpg { key, .. } => {
                let export = self.gpg().args(["--armor", "--export"]).arg(key).run().await;
                export.context("cannot export the public key")?.stdout
            }
            Settings::Command { public_key, .. } => {
                std::fs::read(public_key).with_context(|| format!("cannot read {}", public_key.display()))?
            }
        };
        ensure!(!armour.is_empty(), "the signing key is not known to gpg");
        Ok(Some(PublicKey { armour }))
    }

    /// The fingerprint in hex of the key that strangers check with; `None` when nothing is signed.
    pub async fn fingerprint(&self) -> Result<Option<String>> {
        match self.public_key().await? {
            Some(key) => key.fingerprint().await.map(Some),
            None => Ok(None),
        }
    }

    /// The gpg key and folder that other programs can sign with themselves.
    pub fn gpg_key(&self) -> Option<(&str, Option<&Path>)> {
        match &self.settings {
            Settings::Gpg { key, homedir, .. } => Some((key, homedir.as_deref())),
            Settings::None | Settings::Command { .. } => None,
        }
    }

    /// Whether anything is signed.
    pub fn signs(&self) -> bool {
        !matches!(self.settings, Settings::None)
    }

    /// Whether signatures are made by another program than gpg.
    pub fn signs_elsewhere(&self) -> bool {
        matches!(self.settings, Settings::Command { .. })
    }

    /// The fingerprint of a key, for programs that take no address.
    pub async fn key_id(&self, key: &str) -> Result<String> {
        let list = self.gpg().args(["--with-colons", "--list-secret-keys", "--", key]).run().await;
        let list = list.context("gpg does not know the signing key")?.text();
        primary_fingerprints(&list).into_iter().next().context("gpg does not know the signing key")
    }

    /// What is missing, in plain words.
    pub async fn check(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if program::find("gpg").is_none() && !matches!(self.settings, Settings::None) {
            missing.push("signing: gpg is not installed".to_owned());
            return missing;
        }
        match &self.settings {
            Settings::None => {}
            Settings::Gpg { key, homedir, .. } => {
                if self.gpg().args(["--list-secret-keys", "--", key]).run().await.is_err() {
                    let place = homedir
                        .as_ref()
                        .map_or("the user's folder".to_owned(), |path| path.display().to_string());
                    missing.push(format!("signing: gpg has no secret key {key} in {place}"));
                }
            }
            Settings::Command { clearsign, detach, public_key, .. } => {
                for words in [clearsign, detach] {
                    match words.first() {
                        None => missing.push("signing: a command is empty".to_owned()),
                        Some(name) if program::find(name).is_none() => {
                            missing.push(format!("signing: {name} is not installed"));
                        }
                        Some(_) => {}
                    }
                }
                if !public_key.is_file() {
                    missing.push(format!("signing: there is no public key {}", public_key.display()));
                }
            }
        }
        missing
    }

    async fn sign(&self, signing: Program, bytes: &[u8]) -> Result<Vec<u8>> {
        let signed = signing.input(bytes).limit(self.limit()).run().await.context("cannot sign")?.stdout;
        ensure!(!signed.is_empty(), "the signer ended well but wrote no signature");
        Ok(signed)
    }

    fn gpg(&self) -> Program {
        let mut gpg = Program::new("gpg")
            .args(["--batch", "--no-tty", "--yes", "--quiet", "--digest-algo", "SHA256"])
            .limit(self.limit());
        if let Some((key, homedir)) = self.gpg_key() {
            if let Some(homedir) = homedir {
                gpg = gpg.arg("--homedir").arg(homedir);
            }
            gpg = gpg.arg("--local-user").arg(key);
        }
        gpg
    }

    fn limit(&self) -> Duration {
        match self.settings {
            Settings::None => Duration::from_secs(DEFAULT_LIMIT_S),
            Settings::Gpg { limit_s, .. } | Settings::Command { limit_s, .. } => Duration::from_secs(limit_s),
        }
    }
}

fn command(words: &[String]) -> Result<Program> {
    let (name, args) = words.split_first().context("the signing command is empty")?;
    Ok(Program::new(name).args(args))
}

/// The name of the public key in the folders that strangers read.
pub const KEY_FILE: &str = "SIGNING-KEY.asc";

/// A public key, as a stranger has it.
#[derive(Clone, Debug)]
pub struct PublicKey {
    /// The key in armour.
    pub armour: Vec<u8>,
}

impl PublicKey {
    /// Puts it where people who verify look for it, as `KEY_FILE` in a public folder.
    pub fn offer(&self, folder: &Path) -> Result<()> {
        let path = folder.join(KEY_FILE);
        if std::fs::read(&path).is_ok_and(|bytes| bytes == self.armour) {
            return Ok(());
        }
        writing::write(&path, &self.armour, writing::time(0))
    }

    /// Its fingerprint in upper-case hex, as gpg tells it.
    pub async fn fingerprint(&self) -> Result<String> {
        let home = tempfile::tempdir().context("cannot make a folder of gpg")?;
        let show = stranger(home.path()).args(["--with-colons", "--show-keys"]).input(self.armour.as_slice());
        let shown = show.run().await.context("cannot read the public key")?.text();
        primary_fingerprints(&shown).into_iter().next().context("the public key is none that gpg knows")
    }

    /// The text that a clear-signed message really signs. What stands before or after it is not trusted.
    pub async fn signed_text(&self, message: &[u8]) -> Result<Vec<u8>> {
        let home = self.fresh_home().await?;
        let text = home.path().join("text");
        let gpg = stranger(home.path()).arg("--output").arg(&text).arg("--decrypt").input(message);
        self.valid(home.path(), gpg).await?;
        std::fs::read(&text).context("gpg extracted no text")
    }

    /// Fails unless the detached signature is by this key.
    pub async fn check_detached(&self, bytes: &[u8], signature: &[u8]) -> Result<()> {
        let home = self.fresh_home().await?;
        let (data, sig) = (home.path().join("data"), home.path().join("data.sig"));
        std::fs::write(&data, bytes)?;
        std::fs::write(&sig, signature)?;
        self.valid(home.path(), stranger(home.path()).arg("--verify").arg(&sig).arg(&data)).await
    }

    /// Runs gpg and believes nothing but a `VALIDSIG` by this key: its exit code is 0 for more than that.
    async fn valid(&self, home: &Path, gpg: Program) -> Result<()> {
        let list = stranger(home).args(["--with-colons", "--list-keys"]).run().await?.text();
        let known = primary_fingerprints(&list);
        let finished = gpg.run_any().await.context("cannot run gpg")?;
        let status = finished.text();
        let by = status
            .lines()
            .filter_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "))
            .filter_map(|line| line.split_whitespace().last())
            .find(|fingerprint| known.iter().any(|known| known == fingerprint));
        if by.is_none() || finished.code != Some(0) {
            let said = String::from_utf8_lossy(&finished.stderr).trim().replace('\n', "; ");
            bail!("there is no valid signature by our key: {said}");
        }
        Ok(())
    }

    async fn fresh_home(&self) -> Result<tempfile::TempDir> {
        let home = tempfile::tempdir().context("cannot make a folder of gpg")?;
        let import = stranger(home.path()).arg("--import").input(self.armour.as_slice());
        import.run().await.context("cannot import the public key")?;
        Ok(home)
    }
}

/// The program gpg, as a stranger runs it: a folder with one public key, no agent, status on standard output.
fn stranger(home: &Path) -> Program {
    Program::new("gpg")
        .args(["--batch", "--no-tty", "--quiet", "--no-autostart", "--trust-model", "always"])
        .args(["--status-fd", "1", "--homedir"])
        .arg(home)
}

/// The fingerprints of primary keys in a list of gpg's, in upper-case hex.
fn primary_fingerprints(list: &str) -> Vec<String> {
    let mut is_primary = false;
    let mut fingerprints = Vec::new();
    for line in list.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match (fields.first(), fields.get(9)) {
            (Some(&("pub" | "sec")), _) => is_primary = true,
            (Some(&"fpr"), Some(fingerprint)) if is_primary => {
                is_primary = false;
                fingerprints.push((*fingerprint).to_owned());
            }
            _ => {}
        }
    }
    fingerprints
}
