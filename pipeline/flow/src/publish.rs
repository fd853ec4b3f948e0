//! Publishing: upload privately, read back, then move pointers, the stream's pointer last.

use serde::{Deserialize, Serialize};

use crate::build::Artifact;
use crate::candidate::{Candidate, Life, Stage};
use crate::recipe::Destination;
use crate::step::{Wanted, Work};

/// The private upload of one artifact to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upload {}

impl Work for Upload {
    const NAME: &'static str = "upload";
    type Request = UploadRequest;
    type Output = UploadOutput;
}

/// What a destination is asked to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRequest {
    /// The candidate's id.
    pub candidate: String,
    /// The release's version, such as `43.20261121.0`.
    pub version: String,
    /// What is uploaded.
    pub artifacts: Vec<Artifact>,
    /// Where to.
    pub destination: Destination,
    /// Seconds since 1970 that files carry as their time.
    pub source_date_epoch: i64,
}

/// Where it lies now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadOutput {
    /// One per artifact, in the order of the request.
    pub uploaded: Vec<Uploaded>,
}

/// One artifact at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The artifact's published name.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// The address at which a stranger finds it once it is promoted: a URL, `registry/repository@sha256:...`, or
    /// `URL of the repository + ref`.
    pub location: String,
    /// Its identity there: SHA-256 of the file, manifest digest, commit id.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// The reading back of one upload, as a stranger would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {}

impl Work for Verify {
    const NAME: &'static str = "verify";
    type Request = VerifyRequest;
    type Output = VerifyOutput;
}

/// What must be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// What was uploaded.
    pub upload: UploadRequest,
    /// Where it is said to be.
    pub uploaded: Vec<Uploaded>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyOutput {
    /// What was looked at, one line each, for a person.
    pub checked: Vec<String>,
}

/// The move of one pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promote {}

impl Work for Promote {
    const NAME: &'static str = "promote";
    type Request = PromoteRequest;
    type Output = PromoteOutput;
}

/// The pointer that is to be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PromoteRequest {
    /// Makes what lies at a destination public, and moves its tags, refs and links.
    Destination {
        /// The upload that was verified.
        upload: UploadRequest,
        /// Where it lies.
        uploaded: Vec<Uploaded>,
        /// The stream.
        stream: String,
    },
    /// Moves the pointer of a stream.
    Stream {
        /// The stream.
        stream: String,
        /// What it points at from now on, for this recipe.
        release: StreamRelease,
    },
}

/// What a stream points at, for one recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRelease {
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's line for people who choose an image.
    pub summary: String,
    /// The release's version.
    pub version: String,
    /// The candidate's id.
    pub candidate: String,
    /// When the candidate was made, in seconds since 1970.
    pub created: i64,
    /// Everything published, by destination.
    pub publications: Vec<Publication>,
}

/// What lies at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Where.
    pub destination: Destination,
    /// What.
    pub uploaded: Vec<Uploaded>,
}

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteOutput {
    /// The pointers, one line each, for a person.
    pub pointers: Vec<String>,
}

/// The uploads a passed candidate needs: one per destination, each with the artifacts of every architecture.
pub fn wanted_uploads(candidate: &Candidate) -> Vec<Wanted<Upload>> {
    let artifacts: Vec<&Artifact> =
        candidate.builds().filter_map(|build| build.output()).flat_map(|output| &output.artifacts).collect();
    let mut wanted = Vec::new();
    for destination in &candidate.recipe.destinations {
        let taken: Vec<Artifact> = artifacts
            .iter()
            .filter(|artifact| artifact.form == destination.takes)
            .map(|&a| a.clone())
            .collect();
        if taken.is_empty() {
            continue;
        }
        wanted.push(Wanted {
            key: candidate.key(&format!("upload/{}/{}", destination.name, destination.takes.extension())),
            request: UploadRequest {
                candidate: candidate.id.to_string(),
                version: candidate.id.version().to_owned(),
                artifacts: taken,
                destination: destination.clone(),
                source_date_epoch: candidate.created.as_second(),
            },
        });
    }
    wanted
}

/// The verifications of what is uploaded so far.
pub fn wanted_verifications(candidate: &Candidate) -> Vec<Wanted<Verify>> {
    candidate
        .uploads()
        .filter_map(|upload| {
            let output = upload.output()?;
            let destination = &upload.request.destination;
            Some(Wanted {
                key: candidate.key(&format!("verify/{}/{}", destination.name, destination.takes.extension())),
                request: VerifyRequest { upload: upload.request.clone(), uploaded: output.uploaded.clone() },
            })
        })
        .collect()
}

/// The promotions of destinations, once everything is verified.
pub fn wanted_promotions(candidate: &Candidate) -> Vec<Wanted<Promote>> {
    candidate
        .verifications()
        .filter(|verification| verification.output().is_some())
        .map(|verification| {
            let VerifyRequest { upload, uploaded } = &verification.request;
            let destination = &upload.destination;
            Wanted {
                key: candidate.key(&format!(
                    "promote/{}/{}",
                    destination.name,
                    destination.takes.extension()
                )),
                request: PromoteRequest::Destination {
                    upload: upload.clone(),
                    uploaded: uploaded.clone(),
                    stream: candidate.recipe.stream.clone(),
                },
            }
        })
        .collect()
}

/// The promotion of the stream's pointer, once every destination is promoted.
pub fn wanted_stream_promotion(candidate: &Candidate) -> Option<Wanted<Promote>> {
    let destinations = wanted_promotions(candidate);
    let done = |wanted: &Wanted<Promote>| {
        candidate.promotions().any(|step| step.key == wanted.key && step.output().is_some())
    };
    if !destinations.iter().all(done) {
        return None;
    }
    Some(Wanted {
        key: candidate.key(&format!("promote/stream/{}", candidate.recipe.stream)),
        request: PromoteRequest::Stream {
            stream: candidate.recipe.stream.clone(),
            release: StreamRelease {
                recipe: candidate.recipe.name.clone(),
                summary: candidate.recipe.summary.clone(),
                version: candidate.id.version().to_owned(),
                candidate: candidate.id.to_string(),
                created: candidate.created.as_second(),
                publications: publications(candidate),
            },
        },
    })
}

/// Everything of this candidate that was read back.
pub fn publications(candidate: &Candidate) -> Vec<Publication> {
    candidate
        .verifications()
        .filter(|step| step.output().is_some())
        .map(|step| Publication {
            destination: step.request.upload.destination.clone(),
            uploaded: step.request.uploaded.clone(),
        })
        .collect()
}

/// Whether the stream points at this candidate's release.
pub fn is_promoted(candidate: &Candidate) -> bool {
    let stream = wanted_stream_promotion(candidate);
    stream.is_some_and(|wanted| {
        candidate.promotions().any(|step| step.key == wanted.key && step.output().is_some())
    })
}

/// The newer release of a candidate's recipe that its stream points at already: then it moves no pointer any more.
///
/// That holds also for one whose promotion failed half way and that is tried again: the newer one has moved since every
/// pointer that it left behind.
pub fn overtaken<'a>(candidate: &Candidate, releases: &'a [StreamRelease]) -> Option<&'a StreamRelease> {
    releases.iter().find(|release| {
        release.recipe == candidate.recipe.name && release.created > candidate.created.as_second()
    })
}

/// Whether a promotion of this candidate is on its way.
fn moves_pointers(candidate: &Candidate) -> bool {
    candidate.steps.promotions.iter().any(|step| !step.is_over())
}

/// Whether it is this candidate's turn to move pointers; otherwise why not.
///
/// A stream is promoted by one candidate at a time, the oldest first. One whose promotion failed is waited for until
/// nothing of it moves a pointer any more.
pub fn may_promote(candidate: &Candidate, open: &[Candidate]) -> Result<(), String> {
    if let Some(hold) = candidate.decisions.holds.first() {
        return Err(format!("{} holds it: {}", hold.who, hold.why));
    }
    let other = open.iter().find(|other| {
        let is_in_line = || {
            matches!(other.life, Life::Started { .. })
                && other.stage() == Stage::Promoting
                && other.decisions.holds.is_empty()
                && (other.promotions().next().is_some(), candidate.created, &candidate.id)
                    > (candidate.promotions().next().is_some(), other.created, &other.id)
        };
        other.id != candidate.id
            && other.recipe.stream == candidate.recipe.stream
            && (other.stage() != Stage::Promoting && moves_pointers(other) || is_in_line())
    });
    match other {
        Some(other) => Err(format!("{} moves pointers of {} first", other.id, candidate.recipe.stream)),
        None => Ok(()),
    }
}
