//! The registry, with Debian's docker-registry on one side and skopeo on the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster::port::Fault;
use muster::program::{Program, Running};
use muster_flow::build::Artifact;
use muster_flow::publish::UploadRequest;
use muster_flow::recipe::{Destination, DestinationKind, Form};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::ground::{EPOCH, Ground, sha256};

/// A registry of its own on a free port. Dropping it ends it.
pub struct DockerRegistry {
    folder: tempfile::TempDir,
    pub host: String,
    running: Running,
}

impl DockerRegistry {
    pub async fn start(auth: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let storage = folder.path().join("storage");
        fs::write(
            folder.path().join("config.yml"),
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: \
                 {{addr: {host}}}\n{auth}",
                storage.display()
            ),
        )
        .unwrap();
        let running = DockerRegistry::run(folder.path());
        let registry = DockerRegistry { folder, host, running };
        registry.wait().await;
        registry
    }

    fn run(folder: &Path) -> Running {
        let serve = Program::new("docker-registry").arg("serve").arg(folder.join("config.yml"));
        serve.log(folder.join("log")).spawn().unwrap()
    }

    async fn wait(&self) {
        for _ in 0..200 {
            if TcpStream::connect(&self.host).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap());
    }

    pub fn settings(&self, more: &str) -> String {
        settings(&self.host, more)
    }

    /// The tags of a repository, in order.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let url = format!("http://{}/v2/{repository}/tags/list", self.host);
        let listed: Value = crate::ground::reqwest_get(&url).await.json().await.unwrap();
        let tags =
            listed["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap().to_owned());
        let mut tags: Vec<String> = tags.collect();
        tags.sort();
        tags
    }

    /// Where the registry keeps a blob.
    fn blob(&self, digest: &str) -> PathBuf {
        let blobs = self.folder.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&digest[..2]).join(digest).join("data")
    }
}

fn settings(host: &str, more: &str) -> String {
    format!("[destinations.registry]\nkind = \"registry\"\nhost = \"{host}\"\nprotocol = \"http\"\n{more}")
}

pub async fn skopeo(args: &[&str]) -> Vec<u8> {
    Program::new("skopeo").args(args).run().await.unwrap().stdout
}

/// An OCI layout with layers of the given content.
pub fn image(folder: &Path, arch: &str, layers: &[Vec<u8>]) -> Artifact {
    let path = folder.join(format!("image-{arch}-{}", sha256(layers.last().unwrap())));
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    let store = |bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(path.join("blobs/sha256").join(&digest), bytes).unwrap();
        (format!("sha256:{digest}"), bytes.len())
    };
    let architecture = if arch == "x86_64" { "amd64" } else { "arm64" };
    let diffs: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    let config = json!({ "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diffs } });
    let (digest, size) = store(config.to_string().as_bytes());
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let (digest, size) = store(layer);
            json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size })
        })
        .collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size },
        "layers": layers });
    // Spaces that no serializer would write: the bytes of a manifest are its identity.
    let manifest = format!("  {manifest}\n");
    let (digest, size) = store(manifest.as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [{ "digest": digest, "size": size,
        "mediaType": "application/vnd.oci.image.manifest.v1+json" }] });
    fs::write(path.join("index.json"), index.to_string()).unwrap();
    fs::write(path.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").unwrap();
    Artifact {
        form: Form::Oci,
        arch: arch.to_owned(),
        name: format!("murmur.{arch}.oci"),
        path: path.display().to_string(),
        size: 1,
        digest: digest.trim_start_matches("sha256:").to_owned(),
    }
}

pub fn release(version: &str, artifacts: Vec<Artifact>) -> UploadRequest {
    UploadRequest {
        candidate: format!("murmur/{version}"),
        version: version.to_owned(),
        artifacts,
        destination: Destination {
            name: "registry".to_owned(),
            kind: DestinationKind::Registry,
            takes: Form::Oci,
            path: "murmur/base".to_owned(),
        },
        source_date_epoch: EPOCH,
    }
}

#[tokio::test]
async fn an_index_of_two_architectures_is_pushed_by_digest_and_then_tagged() {
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&registry.settings("")).await;
    let shared = vec![1; 70_000];
    let images = vec![
        image(ground.folder.path(), "x86_64", &[shared.clone(), vec![2; 1_500_000]]),
        image(ground.folder.path(), "aarch64", &[shared, vec![3; 10]]),
    ];
    let upload = release("43.20261121.0", images.clone());
    let uploaded = ground.upload(&upload).await.unwrap();
    assert_eq!(uploaded[0].location, format!("{}/murmur/base@sha256:{}", registry.host, images[0].digest));
    let tagged = async || registry.tags("murmur/base").await;
    assert_eq!(tagged().await, [""; 0], "a tag names an upload");
    let checked = ground.verify(&upload, &uploaded).await.unwrap().checked;
    assert_eq!(checked.len(), 3, "{checked:?}");
    assert_eq!(tagged().await, [""; 0], "a tag names a verified upload");

    let pointers = ground.promote(&upload, &uploaded, "stable").await.unwrap().pointers;
    assert_eq!(pointers.len(), 4, "{pointers:?}");
    assert_eq!(tagged().await, ["43", "43-20261121.0", "latest", "stable"]);

    let place = format!("docker://{}/murmur/base:stable", registry.host);
    let index = skopeo(&["inspect", "--raw", "--tls-verify=false", &place]).await;
    assert!(pointers[3].ends_with(&format!(":stable -> sha256:{}", sha256(&index))), "{pointers:?}");
    let index: Value = serde_json::from_slice(&index).unwrap();
    let architectures: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["platform"]["architecture"])
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for (architecture, image) in ["amd64", "arm64"].iter().zip(&images) {
        let copy = ground.path(&format!("copy-{architecture}"));
        let to = format!("oci:{}:x", copy.display());
        let copied = [
            "--override-arch",
            architecture,
            "copy",
            "--preserve-digests",
            "--src-tls-verify=false",
            &place,
            &to,
        ];
        skopeo(&copied).await;
        assert!(copy.join("blobs/sha256").join(&image.digest).exists(), "skopeo got another manifest");
    }
}

#[tokio::test]
async fn everything_may_be_done_twice_and_a_version_never_means_another_image() {
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&registry.settings("")).await;
    let upload = release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", &[vec![1; 10]])]);
    let (_, first) = ground.publish(&upload).await;
    let (_, again) = ground.publish(&upload).await;
    assert_eq!(first, again);

    let other = release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", &[vec![2; 10]])]);
    let uploaded = ground.upload(&other).await.unwrap();
    let Err(Fault::GiveUp(reason)) = ground.promote(&other, &uploaded, "stable").await else {
        panic!("moved")
    };
    assert!(reason.starts_with("the tag 43-20261121.0 is sha256:"), "{reason}");
    assert_eq!(ground.promote(&upload, &[], "stable").await.unwrap(), first, "a tag moved");

    let next = release("43.20261122.0", other.artifacts.clone());
    let uploaded = ground.upload(&next).await.unwrap();
    let pointers = ground.promote(&next, &uploaded, "candidate").await.unwrap().pointers;
    assert_eq!(pointers.len(), 2, "another stream moved the tags of the stable one: {pointers:?}");
}

#[tokio::test]
async fn a_damaged_blob_is_found_by_reading_back() {
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&registry.settings("")).await;
    let layer = vec![7; 5000];
    let upload =
        release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", std::slice::from_ref(&layer))]);
    let uploaded = ground.upload(&upload).await.unwrap();
    let mut damaged = layer.clone();
    damaged[4000] = 8;
    fs::write(registry.blob(&sha256(&layer)), damaged).unwrap();
    let Err(Fault::GiveUp(reason)) = ground.verify(&upload, &uploaded).await else { panic!("not seen") };
    assert!(reason.starts_with(&format!("a reader of sha256:{}", sha256(&layer))), "{reason}");
}

#[tokio::test]
async fn a_layer_that_changed_since_the_build_is_not_pushed() {
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&registry.settings("")).await;
    let layer = vec![7; 5000];
    let upload =
        release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", std::slice::from_ref(&layer))]);
    let file = Path::new(&upload.artifacts[0].path).join("blobs/sha256").join(sha256(&layer));
    fs::write(file, vec![8; 5000]).unwrap();
    let fault = ground.upload(&upload).await.unwrap_err();
    assert!(!registry.blob(&sha256(&layer)).exists());
    assert!(!registry.blob(&sha256(&[8; 5000])).exists());
    assert!(fault.to_string().contains("any more"), "{fault}");
}

/// Passes bytes on to a registry; while it is set to cut, a connection ends after 100 kB from the client.
async fn cutting_proxy(to: String) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let cuts = Arc::new(AtomicBool::new(true));
    let cut = cuts.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (to, cut) = (to.clone(), cut.clone());
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(to).await else { return };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let answers = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
                let (mut passed, mut piece) = (0, vec![0; 1 << 14]);
                while let Ok(length @ 1..) = from_client.read(&mut piece).await {
                    passed += length;
                    let is_cut = cut.load(Ordering::Relaxed) && passed > 100_000;
                    if is_cut || to_server.write_all(&piece[..length]).await.is_err() {
                        break;
                    }
                }
                answers.abort();
            });
        }
    });
    (host, cuts)
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_blob_is_made_good_by_the_next_try() {
    let registry = DockerRegistry::start("").await;
    let (host, cuts) = cutting_proxy(registry.host.clone()).await;
    let ground = Ground::new(&settings(&host, "")).await;
    let layer = vec![7; 3_000_000];
    let upload =
        release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", std::slice::from_ref(&layer))]);
    let Err(Fault::Retry(_)) = ground.upload(&upload).await else { panic!("not cut") };
    assert!(!registry.blob(&sha256(&layer)).exists(), "half a blob became a blob");
    cuts.store(false, Ordering::Relaxed);
    ground.publish(&upload).await;
}

#[tokio::test]
async fn a_registry_that_stops_between_upload_and_promotion_is_waited_for() {
    let mut registry = DockerRegistry::start("").await;
    let ground = Ground::new(&registry.settings("")).await;
    let upload = release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", &[vec![1; 10]])]);
    let uploaded = ground.upload(&upload).await.unwrap();
    registry.running.kill().await;
    let Err(Fault::Retry(_)) = ground.verify(&upload, &uploaded).await else { panic!("no fault") };
    let Err(Fault::Retry(_)) = ground.promote(&upload, &uploaded, "stable").await else { panic!("no fault") };
    let missing = ground.destinations.check().await;
    assert!(
        missing.iter().any(|line| line.contains(&format!("{} does not answer", registry.host))),
        "{missing:?}"
    );
    registry.running = DockerRegistry::run(registry.folder.path());
    registry.wait().await;
    ground.publish(&upload).await;
}

#[tokio::test]
async fn an_account_pushes_where_strangers_may_not() {
    let passwords = tempfile::tempdir().unwrap();
    let htpasswd = passwords.path().join("htpasswd");
    fs::write(&htpasswd, HTPASSWD).unwrap();
    fs::write(passwords.path().join("good"), "open sesame\n").unwrap();
    fs::write(passwords.path().join("bad"), "open poppy\n").unwrap();
    let auth = format!("auth: {{htpasswd: {{realm: x, path: {}}}}}\n", htpasswd.display());
    let registry = DockerRegistry::start(&auth).await;
    let account = |file: &str| {
        let path = passwords.path().join(file);
        format!("username = \"muster\"\npassword_file = \"{}\"\n", path.display())
    };
    let ground = Ground::new(&registry.settings(&(account("good") + "readers = \"account\"\n"))).await;
    let upload = release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", &[vec![1; 10]])]);
    let (uploaded, _) = ground.publish(&upload).await;

    let strangers = Ground::new(&registry.settings(&account("good"))).await;
    let Err(Fault::GiveUp(reason)) = strangers.verify(&upload, &uploaded).await else { panic!("it read") };
    assert!(reason.starts_with("Not authorized"), "{reason}");
    let wrong = Ground::new(&registry.settings(&account("bad"))).await;
    let other = release("43.20261122.0", vec![image(ground.folder.path(), "x86_64", &[vec![2; 10]])]);
    let fault = wrong.upload(&other).await.unwrap_err();
    assert!(matches!(fault, Fault::GiveUp(_)), "{fault:?}");
}

const HTPASSWD: &str = "muster:$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";
