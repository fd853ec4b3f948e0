//! One push, or one checksum, by the service's own code: what `deploy/bench registry` measures beside its peers.
//!
//! ```text
//! publish_speed image FOLDER BYTES...              makes an OCI layout with layers of these sizes
//! publish_speed push LAYOUT HOST REPOSITORY        uploads it, moves its tags, reads the tags back
//! publish_speed checksum FILE...                   prints each SHA-256
//! ```
//!
//! The last two end with the bytes that they have read from files and sockets.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use muster::adapters::mirror::writing;
use muster::adapters::registry::{Registry, Settings};
use muster_flow::build::Artifact;
use muster_flow::publish::UploadRequest;
use muster_flow::recipe::{Destination, DestinationKind, Form};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match &words[..] {
        ["image", folder, sizes @ ..] => image(Path::new(folder), sizes),
        ["push", layout, host, repository] => {
            push(layout, host, repository).await?;
            tell_read()
        }
        ["checksum", files @ ..] => {
            for file in files {
                println!("{}  {file}", writing::sum(Path::new(file))?.sha256);
            }
            tell_read()
        }
        _ => bail!("image FOLDER BYTES... | push LAYOUT HOST REPOSITORY | checksum FILE..."),
    }
}

/// What this process has read so far, by the kernel's count.
fn tell_read() -> Result<()> {
    let counts = fs::read_to_string("/proc/self/io")?;
    let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    println!("read_bytes={}", read.context("cannot tell what was read")?);
    Ok(())
}

async fn push(layout: &str, host: &str, repository: &str) -> Result<()> {
    // It also sets up TLS, which the registry's client expects to be there.
    muster::http::client()?;
    let settings: Settings = serde_json::from_value(json!({ "host": host, "protocol": "http" }))?;
    let registry = Registry::new("registry", settings)?;
    let index: Value = serde_json::from_slice(&fs::read(Path::new(layout).join("index.json"))?)?;
    let digest = index["manifests"][0]["digest"].as_str().context("the layout has no manifest")?;
    let upload = UploadRequest {
        candidate: "bench/43.20261121.0".to_owned(),
        version: "43.20261121.0".to_owned(),
        artifacts: vec![Artifact {
            form: Form::Oci,
            arch: "x86_64".to_owned(),
            name: "bench".to_owned(),
            path: layout.to_owned(),
            size: 0,
            digest: digest.trim_start_matches("sha256:").to_owned(),
        }],
        destination: Destination {
            name: "registry".to_owned(),
            kind: DestinationKind::Registry,
            takes: Form::Oci,
            path: repository.to_owned(),
        },
        source_date_epoch: 0,
    };
    registry.upload(&upload).await?;
    registry.promote(&upload, "stable").await?;
    Ok(())
}

/// Layers of bytes that do not compress, as those of a real image do not: they are compressed already.
fn image(folder: &Path, sizes: &[&str]) -> Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let store = |bytes: &[u8]| -> Result<Value> {
        let digest = muster::text::hex(&Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes)?;
        Ok(json!({ "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };
    let mut layers = Vec::new();
    for (seed, size) in (1_u64..).zip(sizes) {
        layers.push(of_type(store(&noise(seed, size.parse()?))?, "layer.v1.tar+gzip"));
    }
    let diffs: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diffs } });
    let config = of_type(store(config.to_string().as_bytes())?, "config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers });
    let manifest = of_type(store(manifest.to_string().as_bytes())?, "manifest.v1+json");
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(folder.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}")?;
    Ok(())
}

fn of_type(mut descriptor: Value, name: &str) -> Value {
    descriptor["mediaType"] = json!(format!("application/vnd.oci.image.{name}"));
    descriptor
}

/// The same bytes for the same seed, by an xorshift generator.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
