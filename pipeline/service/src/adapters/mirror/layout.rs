//! Where things lie in a mirror, and what a CHECKSUM file says. Pure.
//!
//! ```text
//! ROOT/linux/releases/43/Cloud/x86_64/images/NAME.qcow2             a published file, never changed
//!                                           /NAME.qcow2-CHECKSUM    its size and hash, clear-signed
//!                                           /...-latest...          a relative link to the newest of them
//! ROOT/fullfiletimelist-MIRROR                                      what mirrors of the mirror poll
//! ROOT/.staging/.CANDIDATE.DESTINATION.FORM.CONTENT.TOKEN/linux/... what is not public yet
//! ```
//!
//! There is one CHECKSUM per file, as its address then follows from the file's, and no published file ever changes
//! because a second recipe or a second form comes into the same folder.

use anyhow::{Context, Result, ensure};
use muster_flow::build::Artifact;
use muster_flow::publish::{UploadRequest, Uploaded};
use muster_flow::recipe::Form;
use sha2::{Digest, Sha256};

use crate::text;

/// The folder below the root that is not public.
pub const STAGING: &str = ".staging";

/// One file of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its folder below the root.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// Where the builder left it.
    pub source: String,
    /// SHA-256 in hex.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// The architecture.
    pub arch: String,
}

impl Placed {
    /// Its path below the root.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }

    /// The path of its CHECKSUM below the root.
    pub fn checksum_path(&self) -> String {
        checksum_of(&self.path())
    }

    /// What its CHECKSUM says, before it is signed.
    pub fn checksum_text(&self) -> String {
        let Placed { name, size, digest, .. } = self;
        format!("# {name}: {size} bytes\nSHA256 ({name}) = {digest}\n")
    }

    /// What `uploaded` says of it.
    pub fn uploaded(&self, url: &str) -> Uploaded {
        Uploaded {
            name: self.name.clone(),
            arch: self.arch.clone(),
            location: format!("{url}/{}", self.path()),
            digest: self.digest.clone(),
            size: self.size,
        }
    }

    /// The name of the link that follows the newest release: the release's number in the name becomes `latest`.
    pub fn latest_name(&self, version: &str) -> Option<String> {
        let (major, release) = version.split_once('.')?;
        let latest = self.name.replacen(&format!("-{major}-{release}"), &format!("-{major}-latest"), 1);
        (latest != self.name).then_some(latest)
    }
}

/// The path, or the address, of the CHECKSUM of a file.
pub fn checksum_of(file: &str) -> String {
    format!("{file}-CHECKSUM")
}

/// The start of the name of an upload's staging folder: a pure function of what is uploaded, so that a retry finds it
/// and a second build of the same release does not.
pub fn staging_stem(upload: &UploadRequest) -> String {
    let UploadRequest { candidate, destination, artifacts, .. } = upload;
    let mut hasher = Sha256::new();
    for artifact in artifacts {
        hasher.update(&artifact.digest);
    }
    let content = text::hex(&hasher.finalize()[..6]);
    format!("{}.{}.{}.{content}", flat(candidate), destination.name, destination.takes.extension())
}

/// Whether a staging folder, or a private ref, of this name belongs to a candidate.
pub fn is_staged_by(name: &str, candidate: &str) -> bool {
    let rest = name.strip_prefix(&flat(candidate));
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// A candidate's id as it may stand in a file name.
fn flat(candidate: &str) -> String {
    candidate.replace(['/', '#'], ".")
}

/// Where each artifact goes.
pub fn place(upload: &UploadRequest) -> Result<Vec<Placed>> {
    ensure!(!upload.artifacts.is_empty(), "there is nothing to upload");
    upload.artifacts.iter().map(|artifact| place_one(upload, artifact)).collect()
}

fn place_one(upload: &UploadRequest, artifact: &Artifact) -> Result<Placed> {
    let name = &artifact.name;
    match artifact.form {
        Form::Raw | Form::Qcow2 => {}
        Form::Oci | Form::OstreeCommit => {
            anyhow::bail!(
                "a mirror takes files, and {name} is a folder: give it to a registry or an OSTree repository"
            );
        }
    }
    ensure!(is_plain(name), "{name:?} cannot be the name of a published file");
    let folder = expand(&upload.destination.path, &artifact.arch, &upload.version)?;
    ensure!(folder.split('/').all(is_plain), "{folder:?} cannot be a folder of a mirror");
    Ok(Placed {
        folder,
        name: name.clone(),
        source: artifact.path.clone(),
        digest: artifact.digest.clone(),
        size: artifact.size,
        arch: artifact.arch.clone(),
    })
}

/// A destination's path with `{arch}` and `{version}` filled in.
pub fn expand(path: &str, arch: &str, version: &str) -> Result<String> {
    let path = path.trim_matches('/').replace("{arch}", arch).replace("{version}", version);
    let unknown = path.find(['{', '}']).map(|at| &path[at..]);
    unknown
        .map_or(Ok(()), |rest| Err(anyhow::anyhow!("{rest:?} is not known: write {{arch}} or {{version}}")))
        .context("cannot understand the path of the destination")?;
    Ok(path)
}

/// Whether a name is one visible component of a path and may stand in a line of a file list.
fn is_plain(name: &str) -> bool {
    let is_harmless = |letter: char| letter.is_ascii_alphanumeric() || "-_.+~:=@,".contains(letter);
    !name.is_empty() && !name.starts_with('.') && !name.ends_with('~') && name.chars().all(is_harmless)
}

#[cfg(test)]
mod tests {
    use muster_flow::recipe::{Destination, DestinationKind};

    use super::*;

    fn upload(path: &str, name: &str) -> UploadRequest {
        UploadRequest {
            candidate: "cloud-base/43.20261121.0".to_owned(),
            version: "43.20261121.0".to_owned(),
            artifacts: vec![Artifact {
                form: Form::Qcow2,
                arch: "x86_64".to_owned(),
                name: name.to_owned(),
                path: "/build/disk".to_owned(),
                size: 7,
                digest: "ab".to_owned(),
            }],
            destination: Destination {
                name: "mirror".to_owned(),
                kind: DestinationKind::Mirror,
                takes: Form::Qcow2,
                path: path.to_owned(),
            },
            source_date_epoch: 0,
        }
    }

    #[test]
    fn a_file_goes_where_fedora_would_put_it() {
        let upload =
            upload("linux/releases/43/Cloud/{arch}/images", "Murmur-Cloud-43-20261121.0.x86_64.qcow2");
        let placed = &place(&upload).unwrap()[0];
        let path = "linux/releases/43/Cloud/x86_64/images/Murmur-Cloud-43-20261121.0.x86_64.qcow2";
        assert_eq!(placed.path(), path);
        assert_eq!(placed.checksum_path(), format!("{path}-CHECKSUM"));
        assert_eq!(placed.latest_name(&upload.version).unwrap(), "Murmur-Cloud-43-latest.x86_64.qcow2");
        assert_eq!(staging_stem(&upload), "cloud-base.43.20261121.0.mirror.qcow2.fb8e20fc2e4c");
    }

    #[test]
    fn nothing_is_written_outside_the_tree_or_over_hidden_files() {
        for (path, name) in [
            ("../etc", "a"),
            ("linux/..", "a"),
            (".staging", "a"),
            ("linux//images", "a"),
            ("", "a"),
            ("linux/{flavour}", "a"),
            ("linux", "../a"),
            ("linux", ".a"),
            ("linux", "a\tb"),
            ("linux", ""),
        ] {
            assert!(place(&upload(path, name)).is_err(), "{path:?} {name:?}");
        }
    }
}
