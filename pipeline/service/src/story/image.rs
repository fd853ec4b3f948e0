//! Published images: where they lie, what they are, and how a stranger sees that they are what was tested.

use muster_flow::candidate::Candidate;
use muster_flow::publish::{self, Publication, StreamRelease, Uploaded};
use muster_flow::recipe::DestinationKind;
use serde::Serialize;

use super::next_action::shell;

/// One published image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Image {
    /// The destination's name, such as `mirror`.
    pub destination: String,
    /// What kind of place it is.
    pub kind: DestinationKind,
    /// Its published name.
    pub name: String,
    /// Its architecture.
    pub arch: String,
    /// The address at which a stranger finds it.
    pub location: String,
    /// Its identity there: SHA-256 of the file, manifest digest, commit id.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Commands that get it and verify it, ready to be copied.
    pub verify: Vec<String>,
}

/// What was read back from the destinations of a candidate.
pub fn of_candidate(candidate: &Candidate) -> Vec<Image> {
    publish::publications(candidate).iter().flat_map(images).collect()
}

/// What a stream's pointer names.
pub fn of_release(release: &StreamRelease) -> Vec<Image> {
    release.publications.iter().flat_map(images).collect()
}

fn images(publication: &Publication) -> Vec<Image> {
    let destination = &publication.destination;
    let image = |uploaded: &Uploaded| Image {
        destination: destination.name.clone(),
        kind: destination.kind,
        name: uploaded.name.clone(),
        arch: uploaded.arch.clone(),
        location: uploaded.location.clone(),
        digest: uploaded.digest.clone(),
        size: uploaded.size,
        verify: verify(destination.kind, uploaded),
    };
    publication.uploaded.iter().map(image).collect()
}

fn verify(kind: DestinationKind, uploaded: &Uploaded) -> Vec<String> {
    match kind {
        DestinationKind::Mirror => mirror(uploaded),
        DestinationKind::Registry => registry(uploaded),
        DestinationKind::OstreeRepository => ostree(uploaded),
    }
}

fn mirror(uploaded: &Uploaded) -> Vec<String> {
    let Some((folder, file)) = uploaded.location.rsplit_once('/') else { return Vec::new() };
    vec![
        format!("curl -fO {}", shell(&uploaded.location)),
        format!("echo {} | sha256sum -c", shell(&format!("{}  {file}", uploaded.digest))),
        format!("curl -f {} | gpg --verify", shell(&format!("{folder}/CHECKSUM"))),
    ]
}

fn registry(uploaded: &Uploaded) -> Vec<String> {
    // Only a registry on this machine speaks plain HTTP.
    let plain = uploaded.location.starts_with("127.") || uploaded.location.starts_with("localhost");
    let tls = if plain { "--tls-verify=false " } else { "" };
    vec![format!("skopeo inspect {tls}{}", shell(&format!("docker://{}", uploaded.location)))]
}

fn ostree(uploaded: &Uploaded) -> Vec<String> {
    let Some((url, reference)) = uploaded.location.split_once(" + ").or(uploaded.location.split_once(' '))
    else {
        return Vec::new();
    };
    vec![
        "ostree init --repo=repo --mode=archive".to_owned(),
        format!("ostree --repo=repo remote add --no-gpg-verify muster {}", shell(url)),
        format!("ostree --repo=repo pull muster {}", shell(reference)),
        format!(
            "test \"$(ostree --repo=repo rev-parse {})\" = {}",
            shell(&format!("muster:{reference}")),
            shell(&uploaded.digest)
        ),
    ]
}
