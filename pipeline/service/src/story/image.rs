//! Published images: where they lie, what they are, and how a stranger gets them and sees that they are what was tested.

use muster_flow::candidate::Candidate;
use muster_flow::publish::{self, Publication, StreamRelease, Uploaded};
use muster_flow::recipe::{Destination, DestinationKind};
use serde::Serialize;

use super::next_action::shell;
use crate::adapters::mirror::layout::{checksum_of, expand};
use crate::adapters::registry;
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
    /// Commands that get it and verify it, ready to be copied; a line that begins with `#` says what follows. Empty
    /// before its promotion, when a stranger finds nothing.
    pub verify: Vec<String>,
    /// The fingerprint in hex of the key that must have made the signature which these commands look at; none when they
    /// look at none.
    pub signed_by: Option<String>,
}

impl Image {
    /// The fingerprint as gpg shows it, in groups of four.
    pub fn fingerprint(&self) -> Option<String> {
        let digits = |group: &[u8]| String::from_utf8_lossy(group).into_owned();
        self.signed_by.as_ref().map(|key| key.as_bytes().chunks(4).map(digits).collect::<Vec<_>>().join(" "))
    }
}

/// What strangers check with, beside what lies at an image's own address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whether anything is signed.
    pub signs: bool,
    /// The fingerprint in hex of the key that signs; none when nothing is signed, or nobody can tell just now.
    pub fingerprint: Option<String>,
    /// The address of the mirror that holds the streams, without a slash at the end; none when there is no mirror.
    pub mirror: Option<String>,
}

/// A release as strangers know it.
#[derive(Clone, Copy)]
struct Known<'a> {
    version: &'a str,
    /// The stream that points at it; none when it points at another by now.
    stream: Option<&'a str>,
    trust: &'a Trust,
}

/// What was read back from the destinations of a candidate. `is_current` says whether its stream points at it.
pub fn of_candidate(candidate: &Candidate, trust: &Trust, is_current: bool) -> Vec<Image> {
    let stream = is_current.then_some(candidate.recipe.stream.as_str());
    let known = Known { version: candidate.id.version(), stream, trust };
    let mut images: Vec<Image> =
        publish::publications(candidate).iter().flat_map(|publication| images(publication, known)).collect();
    if !publish::is_promoted(candidate) {
        for image in &mut images {
            image.verify.clear();
            image.signed_by = None;
        }
    }
    images
}

/// What a stream's pointer names.
pub fn of_release(release: &StreamRelease, stream: &str, trust: &Trust) -> Vec<Image> {
    let known = Known { version: &release.version, stream: Some(stream), trust };
    release.publications.iter().flat_map(|publication| images(publication, known)).collect()
}

fn images(publication: &Publication, known: Known<'_>) -> Vec<Image> {
    let destination = &publication.destination;
    let image = |uploaded: &Uploaded| {
        let verify = verify(destination, uploaded, known);
        let is_checked = known.trust.signs && verify.iter().any(|command| command.contains("gpg"));
        Image {
            destination: destination.name.clone(),
            kind: destination.kind,
            name: uploaded.name.clone(),
            arch: uploaded.arch.clone(),
            location: uploaded.location.clone(),
            digest: uploaded.digest.clone(),
            size: uploaded.size,
            verify,
            signed_by: known.trust.fingerprint.clone().filter(|_| is_checked),
        }
    };
    publication.uploaded.iter().map(image).collect()
}

fn verify(destination: &Destination, uploaded: &Uploaded, known: Known<'_>) -> Vec<String> {
    match destination.kind {
        DestinationKind::Mirror => mirror(destination, uploaded, known),
        DestinationKind::Registry => registry(uploaded, known),
        DestinationKind::OstreeRepository => ostree(uploaded, known.trust),
    }
}

fn import(root: &str) -> String {
    format!("curl -f {} | gpg --import", shell(&format!("{root}/{KEY_FILE}")))
}

/// The image, its signed checksum, and the key that lies at the root of the tree.
fn mirror(destination: &Destination, uploaded: &Uploaded, known: Known<'_>) -> Vec<String> {
    let address = &uploaded.location;
    let checksum = checksum_of(&uploaded.name);
    let mut commands =
        vec![format!("curl -fO {}", shell(address)), format!("curl -fO {}", shell(&checksum_of(address)))];
    if known.trust.signs {
        let folder = expand(&destination.path, &uploaded.arch, known.version).unwrap_or_default();
        commands.extend(address.strip_suffix(&format!("/{folder}/{}", uploaded.name)).map(import));
        commands.push(format!("gpg --verify {}", shell(&checksum)));
    }
    commands.push(format!("sha256sum -c {}", shell(&checksum)));
    commands
}

/// The image by its digest, by its tag, and what the signed metadata of its stream says of it.
fn registry(uploaded: &Uploaded, known: Known<'_>) -> Vec<String> {
    let image = uploaded.location.trim_start_matches("docker://");
    let Some((repository, digest)) = image.split_once('@') else { return Vec::new() };
    // Only a registry on this machine speaks plain HTTP.
    let is_here = image.starts_with("127.") || image.starts_with("localhost");
    let (tls, source_tls) =
        if is_here { ("--tls-verify=false ", "--src-tls-verify=false ") } else { ("", "") };
    let tag = registry::tag_of(known.version);
    let tagged = format!("{repository}:{tag}");
    let folder = repository.rsplit('/').next().unwrap_or(repository);
    let mut commands = vec![
        "# By its digest: no other image can have it.".to_owned(),
        format!("podman pull {tls}{}", shell(image)),
        format!(
            "skopeo copy --preserve-digests {source_tls}{} {}",
            shell(&format!("docker://{image}")),
            shell(&format!("oci:{folder}:{tag}"))
        ),
        "# By its tag: the list of all architectures must name the digest.".to_owned(),
        format!("podman pull {tls}{}", shell(&tagged)),
        format!(
            "skopeo inspect --raw {tls}{} | grep -oF {}",
            shell(&format!("docker://{tagged}")),
            shell(digest)
        ),
    ];
    if let (true, Some(root), Some(stream)) = (known.trust.signs, &known.trust.mirror, known.stream) {
        let pointer = shell(&format!("{root}/streams/{stream}.json"));
        let (file, signature) = (shell(&format!("{stream}.json")), shell(&format!("{stream}.json.sig")));
        commands.extend([
            format!("# The signed metadata of {} must name it too.", shell(stream)),
            format!("curl -fO {pointer}"),
            format!("curl -fO {}", shell(&format!("{root}/streams/{stream}.json.sig"))),
            import(root),
            format!("gpg --verify {signature} {file}"),
            format!("grep -oF {} {file}", shell(image)),
        ]);
    }
    commands
}

fn ostree(uploaded: &Uploaded, trust: &Trust) -> Vec<String> {
    let Some((url, reference)) = uploaded.location.split_once(' ') else { return Vec::new() };
    let mut commands = Vec::new();
    let mut check = "--no-gpg-verify".to_owned();
    if trust.signs {
        commands.push(format!("curl -fO {}", shell(&format!("{url}/{KEY_FILE}"))));
        check = format!("--gpg-import={KEY_FILE}");
    }
    commands.extend([
        "ostree init --repo=repo --mode=bare-user".to_owned(),
        format!("ostree --repo=repo remote add {check} muster {}", shell(url)),
        format!("ostree --repo=repo pull muster {}", shell(reference)),
        format!(
            "test \"$(ostree --repo=repo rev-parse {})\" = {} && echo it is what was tested",
            shell(&format!("muster:{reference}")),
            shell(&uploaded.digest)
        ),
    ]);
    commands
}
