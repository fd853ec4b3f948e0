//! OCI images as they lie in a layout on disk, and the index over the images of every architecture. No network.
//!
//! The bytes of a manifest are its identity: they are carried as they are and never written anew.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use muster_flow::build::Artifact;
use muster_flow::publish::UploadRequest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::text::hex;

/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The media type of a manifest that names none itself.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a manifest or an index may be.
pub const MEDIA_TYPES: [&str; 3] = [MANIFEST, INDEX, "application/vnd.docker.distribution.manifest.v2+json"];

/// A reference to a piece of content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:` and hex.
    pub digest: String,
    /// Bytes.
    pub size: u64,
}

/// A manifest, as far as pushing and reading back needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Itself.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The image's configuration.
    pub config: Descriptor,
    /// Everything it needs, the configuration first.
    pub blobs: Vec<Descriptor>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `amd64`.
    pub architecture: String,
    /// Such as `linux`.
    pub os: String,
    /// Such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The index over the images of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// `sha256:` and hex.
    pub digest: String,
    /// Its bytes: the same images, version and time make the same bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// Understands a manifest's bytes and checks them against a digest.
    pub fn read(bytes: Vec<u8>, digest: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            media_type: Option<String>,
            config: Descriptor,
            layers: Vec<Descriptor>,
        }
        let found = digest_of(&bytes);
        ensure!(found == digest, "the manifest {digest} has the digest {found}");
        let wire: Wire =
            serde_json::from_slice(&bytes).with_context(|| format!("{digest} is no image manifest"))?;
        let mut blobs = vec![wire.config.clone()];
        blobs.extend(wire.layers);
        for blob in &blobs {
            ensure!(
                is_digest(&blob.digest),
                "{digest} names content by {:?}, which is no SHA-256",
                blob.digest
            );
        }
        let media_type = wire.media_type.unwrap_or_else(|| MANIFEST.to_owned());
        let descriptor = Descriptor { media_type, digest: digest.to_owned(), size: bytes.len() as u64 };
        Ok(Manifest { descriptor, bytes, config: wire.config, blobs })
    }

    /// The manifest of an artifact that is a layout on disk.
    pub fn in_layout(artifact: &Artifact) -> Result<Self> {
        let digest = digest_ref(&artifact.digest);
        let path = blob_path(Path::new(&artifact.path), &digest)?;
        let bytes =
            fs::read(&path).with_context(|| format!("{} is no OCI layout with {digest}", artifact.path))?;
        Manifest::read(bytes, &digest)
    }
}

impl Platform {
    /// What an image's configuration says.
    pub fn read(config: &[u8]) -> Result<Self> {
        serde_json::from_slice(config).context("cannot understand the image's configuration")
    }
}

impl Index {
    /// The index over images, ordered by platform.
    pub fn over(images: &[(Platform, Descriptor)], upload: &UploadRequest) -> Result<Self> {
        #[derive(Serialize)]
        struct Entry<'a> {
            #[serde(flatten)]
            descriptor: &'a Descriptor,
            platform: &'a Platform,
        }
        let mut images: Vec<_> = images.iter().collect();
        images.sort();
        if let Some(twice) = images.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            bail!("two images are both for {} {}", twice[0].0.os, twice[0].0.architecture);
        }
        let created = jiff::Timestamp::from_second(upload.source_date_epoch).unwrap_or_default();
        let manifests: Vec<_> =
            images.iter().map(|(platform, descriptor)| Entry { descriptor, platform }).collect();
        let bytes = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": manifests,
            "annotations": {
                "org.opencontainers.image.version": upload.version,
                "org.opencontainers.image.created": created.to_string(),
                "org.muster.candidate": upload.candidate,
            },
        }))?;
        Ok(Index { digest: digest_of(&bytes), bytes })
    }
}

/// The file of a piece of content in a layout.
pub fn blob_path(layout: &Path, digest: &str) -> Result<PathBuf> {
    ensure!(is_digest(digest), "{digest:?} is no SHA-256");
    Ok(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:")))
}

/// `sha256:` and hex, from hex.
pub fn digest_ref(hex: &str) -> String {
    if hex.starts_with("sha256:") { hex.to_owned() } else { format!("sha256:{hex}") }
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn is_digest(digest: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    digest.strip_prefix("sha256:").is_some_and(is_hex)
}
