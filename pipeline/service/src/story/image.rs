//! Published images: where they lie, what they are, and how a stranger sees that they are what was tested.

use muster_flow::candidate::Candidate;
use muster_flow::publish::{self, Publication, StreamRelease, Uploaded};
use muster_flow::recipe::{Destination, DestinationKind};
use serde::Serialize;

use super::next_action::shell;
use crate::adapters::mirror::layout::checksum_of;
use crate::adapters::signer::KEY_FILE;

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
        verify: verify(destination, uploaded),
    };
    publication.uploaded.iter().map(image).collect()
}

fn verify(destination: &Destination, uploaded: &Uploaded) -> Vec<String> {
    match destination.kind {
        DestinationKind::Mirror => mirror(uploaded, &destination.path.replace("$basearch", &uploaded.arch)),
        DestinationKind::Registry => registry(uploaded),
        DestinationKind::OstreeRepository => ostree(uploaded),
    }
}

/// The image, its signed checksum, and the key that lies at the root of the tree.
fn mirror(uploaded: &Uploaded, path: &str) -> Vec<String> {
    let address = &uploaded.location;
    let checksum = checksum_of(&uploaded.name);
    let mut commands =
        vec![format!("curl -fO {}", shell(address)), format!("curl -fO {}", shell(&checksum_of(address)))];
    if let Some(root) = address.strip_suffix(&format!("/{path}/{}", uploaded.name)) {
        commands.push(format!("curl -f {} | gpg --import", shell(&format!("{root}/{KEY_FILE}"))));
    }
    commands.push(format!("gpg --verify {}", shell(&checksum)));
    commands.push(format!("sha256sum -c {}", shell(&checksum)));
    commands
}

fn registry(uploaded: &Uploaded) -> Vec<String> {
    let address = uploaded.location.trim_start_matches("docker://");
    // Only a registry on this machine speaks plain HTTP.
    let is_here = address.starts_with("127.") || address.starts_with("localhost");
    let tls = if is_here { "--tls-verify=false " } else { "" };
    vec![format!("skopeo inspect {tls}{}", shell(&format!("docker://{address}")))]
}

fn ostree(uploaded: &Uploaded) -> Vec<String> {
    let Some((url, reference)) = uploaded.location.split_once(' ') else { return Vec::new() };
    vec![
        format!("curl -fO {}", shell(&format!("{url}/{KEY_FILE}"))),
        "ostree init --repo=repo --mode=bare-user".to_owned(),
        format!("ostree --repo=repo remote add --gpg-import={KEY_FILE} muster {}", shell(url)),
        format!("ostree --repo=repo pull muster {}", shell(reference)),
        format!(
            "test \"$(ostree --repo=repo rev-parse {})\" = {} && echo it is what was tested",
            shell(&format!("muster:{reference}")),
            shell(&uploaded.digest)
        ),
    ]
}
