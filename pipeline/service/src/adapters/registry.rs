//! An OCI registry: content by digest first, then tags.
//!
//! Until promotion no tag names an upload. An index over all architectures is what tags point at, also when there is
//! one architecture. It knows the registry's protocol. It must not know when tags move.

pub mod layout;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use muster_flow::publish::{PromoteOutput, UploadOutput, UploadRequest, Uploaded, VerifyOutput};
use muster_flow::recipe::Form;
use oci_client::Client;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use self::layout::{Descriptor, Index, Manifest, Platform, digest_ref};
use self::wire::Repository;
use crate::adapters::mirror;
use crate::port::Fault;

/// Blobs that are sent, or read, at once: more do not help one registry.
const AT_ONCE: usize = 4;

/// A registry in the section `[destinations.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Host, and port where it is not the usual one.
    pub host: String,
    /// How it is spoken to.
    #[serde(default)]
    pub protocol: Protocol,
    /// The account that pushes; nobody by default.
    #[serde(default)]
    pub username: String,
    /// The file whose first line is the account's password.
    pub password_file: Option<PathBuf>,
    /// As whom uploads are read back.
    #[serde(default)]
    pub readers: Readers,
    /// The stream that the tags `latest` and of the distribution's version follow; `stable` by default.
    pub latest: Option<String>,
}

/// How a registry is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// With TLS.
    #[default]
    Https,
    /// Without, for a registry on this machine.
    Http,
}

/// Who reads what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readers {
    /// Everybody.
    #[default]
    Anonymous,
    /// Only those with an account: it is read back with the account that pushes.
    Account,
}

/// A registry.
#[derive(Clone)]
pub struct Registry {
    name: String,
    settings: Settings,
    pusher: Client,
    stranger: Client,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry as the configuration wants it.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let (pusher, stranger) = (wire::client(settings.protocol)?, wire::client(settings.protocol)?);
        Ok(Registry { name: name.to_owned(), settings, pusher, stranger })
    }

    /// Pushes every image and the index over them by digest. No tag moves.
    pub async fn upload(&self, upload: &UploadRequest) -> Result<UploadOutput, Fault> {
        let images = images(upload).map_err(Fault::give_up)?;
        let repository = self.for_pushing(upload).await?;
        // Two architectures may share a blob, and it is sent once.
        let blobs: BTreeMap<&str, (&Path, &Descriptor)> = images
            .iter()
            .flat_map(|(path, manifest)| manifest.blobs.iter().map(move |blob| (*path, blob)))
            .map(|(path, blob)| (blob.digest.as_str(), (path, blob)))
            .collect();
        let mut pushes = Vec::new();
        for (path, blob) in blobs.into_values() {
            pushes.push(repository.push_blob(path, blob));
        }
        stream::iter(pushes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let mut described = Vec::new();
        for (path, manifest) in &images {
            let Descriptor { digest, media_type, .. } = &manifest.descriptor;
            repository.push_manifest(digest, media_type, &manifest.bytes).await?;
            let config = layout::blob_path(path, &manifest.config.digest).map_err(Fault::give_up)?;
            let config = std::fs::read(config).map_err(Fault::retry)?;
            described.push((Platform::read(&config).map_err(Fault::give_up)?, manifest.descriptor.clone()));
        }
        let index = Index::over(&described, upload).map_err(Fault::give_up)?;
        repository.push_manifest(&index.digest, layout::INDEX, &index.bytes).await?;
        Ok(UploadOutput { uploaded: self.uploaded(upload)? })
    }

    /// Whether every image of an upload is there.
    pub async fn holds(&self, upload: &UploadRequest) -> Result<bool, Fault> {
        let repository = self.for_pushing(upload).await?;
        for artifact in &upload.artifacts {
            if !repository.has_manifest(&digest_ref(&artifact.digest)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads every manifest and every blob back, as a stranger.
    pub async fn verify(&self, upload: &UploadRequest, uploaded: &[Uploaded]) -> Result<VerifyOutput, Fault> {
        if uploaded != self.uploaded(upload)? {
            return Err(Fault::GiveUp("what was uploaded is not what was asked for".to_owned()));
        }
        let repository = self.for_reading(upload)?;
        let mut checked = Vec::new();
        for uploaded in uploaded {
            let manifest = read_manifest(&repository, &uploaded.digest).await?;
            let mut reads = Vec::new();
            for blob in &manifest.blobs {
                reads.push(repository.read_blob(blob));
            }
            stream::iter(reads).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            let bytes: u64 = manifest.blobs.iter().map(|blob| blob.size).sum();
            checked.push(format!("{}: {} blobs, {bytes} bytes", uploaded.location, manifest.blobs.len()));
        }
        let index = self.index(&repository, upload).await?;
        repository.manifest(&index.digest).await?;
        let name = repository_name(upload)?;
        checked.push(format!("{}/{name}@{}: the index", self.settings.host, index.digest));
        Ok(VerifyOutput { checked })
    }

    /// Writes the tag of the version, which never moves again, then moves the others, and reads each back.
    pub async fn promote(&self, upload: &UploadRequest, stream: &str) -> Result<PromoteOutput, Fault> {
        let pusher = self.for_pushing(upload).await?;
        let index = self.index(&pusher, upload).await?;
        let [version, moving @ ..] = &self.tags(upload, stream)[..] else {
            return Err(Fault::GiveUp("a release needs a version".to_owned()));
        };
        match pusher.find_tag(version).await? {
            Some(digest) if digest != index.digest => {
                return Err(Fault::GiveUp(format!(
                    "the tag {version} is {digest} already, and it never moves"
                )));
            }
            Some(_) => {}
            None => pusher.push_tag(version, &index.bytes).await?,
        }
        for tag in moving {
            pusher.push_tag(tag, &index.bytes).await?;
        }
        let stranger = self.for_reading(upload)?;
        let name = repository_name(upload)?;
        let mut pointers = Vec::new();
        for tag in [version].into_iter().chain(moving) {
            let seen = stranger.find_tag(tag).await?;
            if seen.as_deref() != Some(&index.digest) {
                let seen = seen.unwrap_or_else(|| "nothing".to_owned());
                return Err(Fault::Retry(format!(
                    "a reader of the tag {tag} gets {seen}, not {}",
                    index.digest
                )));
            }
            pointers.push(format!("{}/{name}:{tag} -> {}", self.settings.host, index.digest));
        }
        Ok(PromoteOutput { pointers })
    }

    /// Whether the release has its tag.
    pub async fn shows(&self, upload: &UploadRequest) -> Result<bool, Fault> {
        let repository = self.for_pushing(upload).await?;
        Ok(repository.find_tag(&version_tag(upload)).await?.is_some())
    }

    /// What is missing here, in plain words.
    pub fn check_here(&self) -> Vec<String> {
        let account = self.account().map(drop);
        account.err().map(|error| format!("destination {}: {error:#}", self.name)).into_iter().collect()
    }

    /// What is missing there, in plain words.
    pub async fn check_there(&self, http: &reqwest::Client) -> Vec<String> {
        let Settings { host, protocol, .. } = &self.settings;
        let scheme = match protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
        };
        let mut missing = Vec::new();
        match http.get(format!("{scheme}://{host}/v2/")).send().await {
            // It asks for an account, which is an answer too.
            Ok(answer) if answer.status().is_success() || answer.status().as_u16() == 401 => {}
            Ok(answer) => {
                missing.push(format!("destination {}: {host} answers {}", self.name, answer.status()));
            }
            Err(_) => missing.push(format!("destination {}: the registry {host} does not answer", self.name)),
        }
        missing
    }

    fn tags(&self, upload: &UploadRequest, stream: &str) -> Vec<String> {
        let mut tags = vec![version_tag(upload)];
        let latest = self.settings.latest.as_deref().unwrap_or("stable");
        if stream == latest {
            tags.extend(upload.version.split_once('.').map(|(major, _)| major.to_owned()));
            tags.push("latest".to_owned());
        }
        tags.push(stream.to_owned());
        tags
    }

    /// The index as it was uploaded: its bytes follow from what lies in the registry.
    async fn index(&self, repository: &Repository, upload: &UploadRequest) -> Result<Index, Fault> {
        let mut described = Vec::new();
        for artifact in &upload.artifacts {
            let manifest = read_manifest(repository, &artifact.digest).await?;
            let config = repository.small_blob(&manifest.config).await?;
            described.push((Platform::read(&config).map_err(Fault::give_up)?, manifest.descriptor));
        }
        Index::over(&described, upload).map_err(Fault::give_up)
    }

    fn uploaded(&self, upload: &UploadRequest) -> Result<Vec<Uploaded>, Fault> {
        let name = repository_name(upload)?;
        let host = &self.settings.host;
        let uploaded = upload.artifacts.iter().map(|artifact| Uploaded {
            name: artifact.name.clone(),
            arch: artifact.arch.clone(),
            location: format!("{host}/{name}@{}", digest_ref(&artifact.digest)),
            digest: artifact.digest.clone(),
            size: artifact.size,
        });
        Ok(uploaded.collect())
    }

    async fn for_pushing(&self, upload: &UploadRequest) -> Result<Repository, Fault> {
        let (name, auth) = (repository_name(upload)?, self.account().map_err(Fault::give_up)?);
        Repository::for_pushing(self.pusher.clone(), auth, &self.settings.host, &name).await
    }

    fn for_reading(&self, upload: &UploadRequest) -> Result<Repository, Fault> {
        let name = repository_name(upload)?;
        let auth = match self.settings.readers {
            Readers::Anonymous => RegistryAuth::Anonymous,
            Readers::Account => self.account().map_err(Fault::give_up)?,
        };
        Ok(Repository::for_reading(self.stranger.clone(), auth, &self.settings.host, &name))
    }

    fn account(&self) -> Result<RegistryAuth> {
        let Settings { username, password_file, .. } = &self.settings;
        match password_file {
            None => Ok(RegistryAuth::Anonymous),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the password file {}", path.display()))?;
                let password = text.lines().next().unwrap_or_default().to_owned();
                Ok(RegistryAuth::Basic(username.clone(), password))
            }
        }
    }
}

/// The repository that a destination's path names.
fn repository_name(upload: &UploadRequest) -> Result<String, Fault> {
    let is_harmless =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_./".contains(letter);
    let name =
        mirror::layout::expand(&upload.destination.path, "", &upload.version).map_err(Fault::give_up)?;
    if name.is_empty() || !name.chars().all(is_harmless) || name.contains("..") {
        return Err(Fault::GiveUp(format!("{name:?} cannot be a repository of a registry")));
    }
    Ok(name)
}

async fn read_manifest(repository: &Repository, digest: &str) -> Result<Manifest, Fault> {
    let digest = digest_ref(digest);
    let bytes = repository.manifest(&digest).await?;
    Manifest::read(bytes, &digest).map_err(Fault::give_up)
}

fn images(upload: &UploadRequest) -> Result<Vec<(&Path, Manifest)>> {
    let layouts = upload.artifacts.iter().map(|artifact| match artifact.form {
        Form::Oci => Ok((Path::new(&artifact.path), Manifest::in_layout(artifact)?)),
        Form::Raw | Form::Qcow2 | Form::OstreeCommit => {
            anyhow::bail!("a registry takes OCI layouts, and {} is none", artifact.name)
        }
    });
    layouts.collect()
}

fn version_tag(upload: &UploadRequest) -> String {
    tag_of(&upload.version)
}

/// The tag of a version, such as `43-20261121.0`, which never moves.
pub fn tag_of(version: &str) -> String {
    version.replacen('.', "-", 1)
}
