//! What a stream's files say. Pure.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use muster_flow::publish::{Publication, StreamRelease, Uploaded};
use muster_flow::recipe::{DestinationKind, Form};
use serde::{Deserialize, Serialize};

use crate::adapters::mirror::layout;

/// What made the file.
const GENERATOR: &str = concat!("muster ", env!("CARGO_PKG_VERSION"));

/// A stream's pointer: `NAME.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The stream's name.
    pub stream: String,
    /// When it moved last.
    pub metadata: Metadata,
    /// What the recipes' releases are.
    pub recipes: BTreeMap<String, Recipe>,
    /// Where everything is, by architecture.
    pub architectures: BTreeMap<String, Architecture>,
}

/// When a file was written, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// When.
    #[serde(rename = "last-modified")]
    pub last_modified: Timestamp,
    /// The program.
    pub generator: String,
}

/// The release of one recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// One line for people who choose an image.
    pub summary: String,
    /// The version.
    pub release: String,
    /// The candidate's id.
    pub candidate: String,
    /// When the candidate was made.
    pub created: Timestamp,
}

/// What there is for one architecture, by recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// Files.
    #[serde(default)]
    pub artifacts: BTreeMap<String, Artifacts>,
    /// What is not a file: container images and OSTree commits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
}

/// The files of one recipe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// The version.
    pub release: String,
    /// By form, such as `qcow2`.
    pub formats: BTreeMap<String, Format>,
}

/// The files of one form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The disk image.
    pub disk: Disk,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its address.
    pub location: String,
    /// The address of its clear-signed CHECKSUM.
    pub signature: String,
    /// Its hash in hex.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

/// A container image or an OSTree commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The version.
    pub release: String,
    /// Where it moves along with the stream: `registry/repository:stream`, or the ref's address.
    pub image: String,
    /// Where this very one is: `registry/repository@sha256:...`, or the commit's address.
    #[serde(rename = "digest-ref")]
    pub digest_ref: String,
}

/// Every release there was, in the order of promotion: `NAME/releases.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases {
    /// The stream's name.
    pub stream: String,
    /// The releases, the newest last.
    pub releases: Vec<Past>,
}

/// One release there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The recipe's name.
    pub recipe: String,
    /// The version.
    pub release: String,
    /// The candidate's id.
    pub candidate: String,
    /// When the candidate was made.
    pub created: Timestamp,
    /// When the stream came to point at it.
    pub promoted: Timestamp,
}

/// What a stream says of a recipe, beside a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing, or an older release.
    Older,
    /// This very release.
    Same,
    /// A newer release, of this version.
    Newer(String),
}

impl Document {
    /// A stream that points nowhere yet.
    pub fn new(stream: &str) -> Self {
        Document {
            stream: stream.to_owned(),
            metadata: Metadata { last_modified: Timestamp::UNIX_EPOCH, generator: GENERATOR.to_owned() },
            recipes: BTreeMap::new(),
            architectures: BTreeMap::new(),
        }
    }

    /// Where it stands beside a release. The candidate that was made later is the newer one.
    pub fn standing(&self, release: &StreamRelease) -> Standing {
        match self.recipes.get(&release.recipe) {
            Some(now) if now.candidate == release.candidate => Standing::Same,
            Some(now) if now.created > created(release) => Standing::Newer(now.release.clone()),
            Some(_) | None => Standing::Older,
        }
    }

    /// Replaces what it says of the release's recipe; other recipes stay as they are.
    pub fn point_at(&mut self, release: &StreamRelease, now: Timestamp) {
        self.metadata = Metadata { last_modified: whole_seconds(now), generator: GENERATOR.to_owned() };
        let recipe = Recipe {
            summary: release.summary.clone(),
            release: release.version.clone(),
            candidate: release.candidate.clone(),
            created: created(release),
        };
        self.recipes.insert(release.recipe.clone(), recipe);
        for architecture in self.architectures.values_mut() {
            architecture.artifacts.remove(&release.recipe);
            architecture.images.remove(&release.recipe);
        }
        for publication in &release.publications {
            for uploaded in &publication.uploaded {
                self.add(release, publication, uploaded);
            }
        }
        self.architectures.retain(|_, there| !there.artifacts.is_empty() || !there.images.is_empty());
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        bytes(self)
    }

    fn add(&mut self, release: &StreamRelease, publication: &Publication, uploaded: &Uploaded) {
        let stream = self.stream.clone();
        let architecture = self.architectures.entry(uploaded.arch.clone()).or_default();
        let Uploaded { location, digest, size, .. } = uploaded;
        let (name, version) = (release.recipe.clone(), release.version.clone());
        match (publication.destination.kind, publication.destination.takes) {
            (DestinationKind::Mirror, form) => {
                let artifacts = architecture.artifacts.entry(name).or_default();
                artifacts.release = version;
                let disk = Disk {
                    location: location.clone(),
                    signature: layout::checksum_of(location),
                    sha256: digest.clone(),
                    size: *size,
                };
                artifacts.formats.insert(form.extension().to_owned(), Format { disk });
            }
            (DestinationKind::Registry, _) => {
                let repository =
                    location.split_once('@').map_or(location.as_str(), |(repository, _)| repository);
                let image = format!("{repository}:{stream}");
                let digest_ref = location.clone();
                architecture.images.insert(name, Image { release: version, image, digest_ref });
            }
            (DestinationKind::OstreeRepository, Form::Raw | Form::Qcow2 | Form::Oci | Form::OstreeCommit) => {
                let image = location.clone();
                let digest_ref = format!("{location}@{digest}");
                architecture.images.insert(name, Image { release: version, image, digest_ref });
            }
        }
    }
}

impl Releases {
    /// A stream without releases.
    pub fn new(stream: &str) -> Self {
        Releases { stream: stream.to_owned(), releases: Vec::new() }
    }

    /// Adds a release; says whether it was new.
    pub fn add(&mut self, release: &StreamRelease, now: Timestamp) -> bool {
        let last = self.releases.iter().rev().find(|past| past.recipe == release.recipe);
        if last.is_some_and(|past| past.candidate == release.candidate) {
            return false;
        }
        self.releases.push(Past {
            recipe: release.recipe.clone(),
            release: release.version.clone(),
            candidate: release.candidate.clone(),
            created: created(release),
            promoted: whole_seconds(now),
        });
        true
    }
}

/// JSON for people and programs, ended by a newline.
pub fn bytes<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn created(release: &StreamRelease) -> Timestamp {
    Timestamp::from_second(release.created).unwrap_or_default()
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
