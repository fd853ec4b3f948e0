//! What the tests stand on: a folder, a signing key, destinations, and an HTTP server over them.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster::adapters::destination::Destinations;
use muster::clock::Clock;
use muster::config::Settings;
use muster::port::{Fault, Observation, Port};
use muster::program::Program;
use muster_flow::build::Artifact;
use muster_flow::publish::{
    Promote, PromoteOutput, PromoteRequest, Publication, StreamRelease, Upload, UploadRequest, Uploaded,
    Verify, VerifyOutput, VerifyRequest,
};
use muster_flow::recipe::{Destination, DestinationKind, Form};
use muster_flow::step::{StepKey, Work};
use sha2::Digest as _;
use tempfile::TempDir;

pub const EPOCH: i64 = 1_795_219_200;

/// A throw-away signing key. Its agent ends with it.
pub struct Key {
    pub home: TempDir,
}

impl Key {
    pub async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = Key { home };
        let make = key.gpg().args(["--passphrase", "", "--quick-gen-key"]);
        make.args(["Murmur <murmur@example.invalid>", "ed25519", "sign", "never"]).run().await.unwrap();
        key
    }

    pub fn gpg(&self) -> Program {
        Program::new("gpg").args(["--batch", "--quiet", "--homedir"]).arg(self.home.path())
    }

    pub fn settings(&self) -> String {
        let home = self.home.path().display();
        format!("[signing]\nkind = \"gpg\"\nkey = \"murmur@example.invalid\"\nhomedir = \"{home}\"\n")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "a drop cannot wait for the runner")]
        let ended = std::process::Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "gpg-agent"])
            .status();
        drop(ended);
    }
}

pub struct Ground {
    pub folder: TempDir,
    pub destinations: Destinations,
    pub url: String,
    pub settings: Settings,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Ground {
    /// Destinations as `settings` has them, `FOLDER` and `URL` filled in, served on a free port.
    pub async fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Ground::in_folder(folder, settings).await
    }

    pub async fn in_folder(folder: TempDir, settings: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service =
            format!("[service]\nstate = \"{}\"\nurl = \"{url}\"\n{settings}", folder.path().display());
        let settings: Settings = toml::from_str(&service).unwrap();
        let clock = Clock::set(Timestamp::from_second(EPOCH).unwrap());
        let destinations = Destinations::new(&settings, clock).unwrap();
        let router = muster::web::mirror::published(destinations.served());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Ground { folder, destinations, url, settings, server }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub async fn get(&self, path: &str) -> Result<Vec<u8>, u16> {
        let response = reqwest_get(&format!("{}{path}", self.url)).await;
        if response.status().is_success() {
            Ok(response.bytes().await.unwrap().to_vec())
        } else {
            Err(response.status().as_u16())
        }
    }

    pub async fn upload(&self, request: &UploadRequest) -> Result<Vec<Uploaded>, Fault> {
        let port: &dyn Port<Upload> = &self.destinations;
        finish(port, request).await.map(|output| output.uploaded)
    }

    pub async fn verify(&self, upload: &UploadRequest, uploaded: &[Uploaded]) -> Result<VerifyOutput, Fault> {
        let port: &dyn Port<Verify> = &self.destinations;
        let request = VerifyRequest { upload: upload.clone(), uploaded: uploaded.to_vec() };
        finish(port, &request).await
    }

    pub async fn promote(
        &self,
        upload: &UploadRequest,
        uploaded: &[Uploaded],
        stream: &str,
    ) -> Result<PromoteOutput, Fault> {
        let port: &dyn Port<Promote> = &self.destinations;
        let (upload, uploaded, stream) = (upload.clone(), uploaded.to_vec(), stream.to_owned());
        finish(port, &PromoteRequest::Destination { upload, uploaded, stream }).await
    }

    pub async fn point(&self, stream: &str, release: &StreamRelease) -> Result<PromoteOutput, Fault> {
        let port: &dyn Port<Promote> = &self.destinations;
        let request = PromoteRequest::Stream { stream: stream.to_owned(), release: release.clone() };
        finish(port, &request).await
    }

    /// Upload, verification and promotion, one after the other.
    pub async fn publish(&self, upload: &UploadRequest) -> (Vec<Uploaded>, PromoteOutput) {
        let uploaded = self.upload(upload).await.unwrap();
        self.verify(upload, &uploaded).await.unwrap();
        let promoted = self.promote(upload, &uploaded, "stable").await.unwrap();
        (uploaded, promoted)
    }
}

async fn finish<W: Work>(port: &dyn Port<W>, request: &W::Request) -> Result<W::Output, Fault> {
    let handle = port.ensure(&StepKey("test".to_owned()), request).await?;
    match port.observe(&handle).await? {
        Observation::Succeeded(output) => Ok(output),
        other @ (Observation::Running(_)
        | Observation::Slow { .. }
        | Observation::Failed(_)
        | Observation::Vanished(_)) => panic!("{other:?}"),
    }
}

pub async fn reqwest_get(url: &str) -> reqwest::Response {
    muster::http::client().unwrap().get(url).send().await.unwrap()
}

pub const MIRROR: &str = "[destinations.mirror]\nkind = \"mirror\"\n";

pub const IMAGES: &str = "linux/releases/43/Cloud/{arch}/images";

/// A release of one qcow2 file of `content` for the mirror.
pub fn release(folder: &Path, recipe: &str, version: &str, content: &[u8]) -> UploadRequest {
    let artifacts = vec![file(folder, recipe, version, content)];
    UploadRequest {
        candidate: format!("{recipe}/{version}"),
        version: version.to_owned(),
        artifacts,
        destination: Destination {
            name: "mirror".to_owned(),
            kind: DestinationKind::Mirror,
            takes: Form::Qcow2,
            path: IMAGES.to_owned(),
        },
        source_date_epoch: EPOCH,
    }
}

fn file(folder: &Path, recipe: &str, version: &str, content: &[u8]) -> Artifact {
    let name = format!("{recipe}-{}.x86_64.qcow2", version.replacen('.', "-", 1));
    let path = folder.join(format!("built-{name}"));
    std::fs::write(&path, content).unwrap();
    Artifact {
        form: Form::Qcow2,
        arch: "x86_64".to_owned(),
        name,
        path: path.display().to_string(),
        size: content.len() as u64,
        digest: sha256(content),
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    muster::text::hex(&sha2::Sha256::digest(bytes))
}

pub fn stream_release(upload: &UploadRequest, uploaded: &[Uploaded], created: i64) -> StreamRelease {
    StreamRelease {
        recipe: upload.candidate.split('/').next().unwrap().to_owned(),
        summary: "A test".to_owned(),
        version: upload.version.clone(),
        candidate: upload.candidate.clone(),
        created,
        publications: vec![Publication {
            destination: upload.destination.clone(),
            uploaded: uploaded.to_vec(),
        }],
    }
}
