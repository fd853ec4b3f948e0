//! A tree as an OCI image layout: one gzipped layer, a configuration, a manifest, an index.
//!
//! The layer is read once: compressed, hashed before and after, and written in one go. The same tree gives the same
//! digests. Must not know registries.

mod layer;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::text::hex;

/// What is said about an image beside its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The image's name.
    pub title: String,
    /// Its version, which is also its tag within the layout.
    pub version: String,
    /// The architecture in RPM's spelling.
    pub arch: String,
    /// The moment it is said to be made at.
    pub created: jiff::Timestamp,
}

/// What was written: the manifest's SHA-256 in hex, and the bytes of everything in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the manifest, in hex.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes the tree at `root` as an image layout into the new folder `layout`.
pub fn write(root: &Path, layout: &Path, about: &About) -> Result<Written> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
    let layer = layer::write(root, &blobs)?;
    let config = put(&blobs, CONFIG, &config(root, about, &layer.diff_id))?;
    let blob =
        json!({ "mediaType": LAYER, "digest": format!("sha256:{}", layer.digest), "size": layer.size });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [blob] });
    let mut listed = put(&blobs, MANIFEST, &manifest)?;
    let digest = listed["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:").to_owned();
    listed["platform"] = json!({ "architecture": architecture(&about.arch), "os": "linux" });
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": about.version });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] });
    save(&layout.join("index.json"), &index)?;
    save(&layout.join("oci-layout"), &json!({ "imageLayoutVersion": "1.0.0" }))?;
    Ok(Written { digest, size: size(layout)? })
}

fn config(root: &Path, about: &About, diff_id: &str) -> Value {
    let created = about.created.to_string();
    let shell = if super::place::exists(root, "/bin/bash") { "/bin/bash" } else { "/bin/sh" };
    json!({
        "created": created,
        "architecture": architecture(&about.arch),
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "container=oci"],
            "Cmd": [shell],
            "Labels": {
                "name": about.title,
                "version": about.version,
                "org.opencontainers.image.title": about.title,
                "org.opencontainers.image.version": about.version,
                "org.opencontainers.image.created": created,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        "history": [{ "created": created, "created_by": "muster" }],
    })
}

/// The architecture as OCI spells it.
fn architecture(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Stores a document under its digest and describes it.
fn put(blobs: &Path, kind: &str, document: &Value) -> Result<Value> {
    let bytes = serde_json::to_vec(document)?;
    let digest = hex(&Sha256::digest(&bytes));
    fs::write(blobs.join(&digest), &bytes).with_context(|| format!("cannot write the blob {digest}"))?;
    Ok(json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

fn save(path: &Path, document: &Value) -> Result<()> {
    fs::write(path, serde_json::to_vec(document)?).with_context(|| format!("cannot write {}", path.display()))
}

/// The bytes of all files in a folder.
pub fn size(folder: &Path) -> Result<u64> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn about() -> About {
        About {
            title: "Murmur-Container-Base".to_owned(),
            version: "43".to_owned(),
            arch: "x86_64".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    /// The same tree, its files made in an order of its own.
    fn tree(names: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(root.path().join(name), format!("this is {name}")).unwrap();
        }
        fs::hard_link(root.path().join("a"), root.path().join("z")).unwrap();
        symlink("a", root.path().join("link")).unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d").join("n".repeat(180)), "").unwrap();
        crate::adapters::local::settle::hold_all_to(root.path(), 1_000_000_000).unwrap();
        root
    }

    #[test]
    fn the_same_tree_gives_the_same_image_in_whatever_order_it_was_made() {
        let digests = [["a", "b", "c"], ["c", "b", "a"]].map(|names| {
            let (root, layout) = (tree(&names), tempfile::tempdir().unwrap());
            write(root.path(), layout.path(), &about()).unwrap()
        });
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn every_blob_is_what_its_name_says_and_the_layer_unpacks_to_the_tree() {
        let (root, layout) = (tree(&["a", "b"]), tempfile::tempdir().unwrap());
        let written = write(root.path(), layout.path(), &about()).unwrap();
        let blobs = layout.path().join("blobs/sha256");
        for blob in fs::read_dir(&blobs).unwrap() {
            let blob = blob.unwrap();
            let digest = hex(&Sha256::digest(fs::read(blob.path()).unwrap()));
            assert_eq!(blob.file_name().to_str().unwrap(), digest);
        }
        let read =
            |name: &str| -> Value { serde_json::from_slice(&fs::read(blobs.join(name)).unwrap()).unwrap() };
        let manifest = read(&written.digest);
        let name = |value: &Value| value["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        let config = read(&name(&manifest["config"]));
        let mut layer = Vec::new();
        let gz = fs::read(blobs.join(name(&manifest["layers"][0]))).unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gz[..]), &mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&Sha256::digest(&layer))));
        let unpacked = tempfile::tempdir().unwrap();
        tar::Archive::new(&layer[..]).unpack(unpacked.path()).unwrap();
        assert_eq!(fs::read_to_string(unpacked.path().join("z")).unwrap(), "this is a");
        assert_eq!(fs::read_link(unpacked.path().join("link")).unwrap(), Path::new("a"));
        assert!(unpacked.path().join("d").join("n".repeat(180)).exists());
    }
}
