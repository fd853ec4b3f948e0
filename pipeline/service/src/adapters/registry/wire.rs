//! The registry's protocol, by `oci-client`: content in one request per blob, hashed while it is sent.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::http::HeaderValue;
use futures_util::{Stream, TryStreamExt, stream};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::layout::{Descriptor, INDEX};
use super::{Protocol, layout};
use crate::port::Fault;
use crate::text::hex;

/// Bytes per piece: large enough that system calls do not show.
const PIECE: usize = 1 << 20;

/// Pieces that wait for the network: reading and hashing go on beside sending.
const AHEAD: usize = 2;

/// Configurations of images are small; a larger one is not believed.
const SMALL: u64 = 4 << 20;

/// One account's, or a stranger's, view of one repository.
#[derive(Clone)]
pub struct Repository {
    client: Client,
    auth: RegistryAuth,
    host: String,
    name: String,
}

/// Makes the client of one account.
pub fn client(protocol: Protocol) -> anyhow::Result<Client> {
    let protocol = match protocol {
        Protocol::Http => ClientProtocol::Http,
        Protocol::Https => ClientProtocol::Https,
    };
    let config = ClientConfig {
        protocol,
        use_monolithic_push: true,
        connect_timeout: Some(Duration::from_secs(10)),
        read_timeout: Some(Duration::from_mins(1)),
        user_agent: concat!("muster/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    // `Client::new` would fall back to its defaults in silence.
    Client::try_from(config).context("cannot make a client for registries")
}

impl Repository {
    /// A repository, for reading and writing.
    pub async fn for_pushing(
        client: Client,
        auth: RegistryAuth,
        host: &str,
        name: &str,
    ) -> Result<Self, Fault> {
        let repository = Repository::for_reading(client, auth, host, name);
        let any = repository.tag("any");
        let granted = repository.client.auth(&any, &repository.auth, RegistryOperation::Push).await;
        granted.map_err(fault)?;
        Ok(repository)
    }

    /// A repository, for reading only.
    pub fn for_reading(client: Client, auth: RegistryAuth, host: &str, name: &str) -> Self {
        Repository { client, auth, host: host.to_owned(), name: name.to_owned() }
    }

    /// Sends a blob of a layout unless it is there.
    pub async fn push_blob(&self, layout: &Path, blob: &Descriptor) -> Result<(), Fault> {
        let repository = self.digest(&blob.digest);
        if self.client.blob_exists(&repository, &blob.digest).await.map_err(fault)? {
            return Ok(());
        }
        let path = layout::blob_path(layout, &blob.digest).map_err(Fault::give_up)?;
        let pieces = hashed(path, blob.clone());
        let pushed = self.client.push_blob_stream(&repository, pieces, &blob.digest, Some(blob.size)).await;
        pushed.map(drop).map_err(fault)
    }

    /// Writes a manifest, or an index, under its digest.
    pub async fn push_manifest(&self, digest: &str, media_type: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.put(&self.digest(digest), media_type, bytes).await
    }

    /// Lets a tag point at an index.
    pub async fn push_tag(&self, tag: &str, index: &[u8]) -> Result<(), Fault> {
        self.put(&self.tag(tag), INDEX, index).await
    }

    /// What a tag points at.
    pub async fn find_tag(&self, tag: &str) -> Result<Option<String>, Fault> {
        found(self.client.fetch_manifest_digest(&self.tag(tag), &self.auth).await)
    }

    /// Whether a manifest is there.
    pub async fn has_manifest(&self, digest: &str) -> Result<bool, Fault> {
        let seen = self.client.fetch_manifest_digest(&self.digest(digest), &self.auth).await;
        found(seen).map(|found| found.is_some())
    }

    /// The bytes of a manifest or an index, checked against its digest.
    pub async fn manifest(&self, digest: &str) -> Result<Vec<u8>, Fault> {
        let pulled =
            self.client.pull_manifest_raw(&self.digest(digest), &self.auth, &layout::MEDIA_TYPES).await;
        let bytes = pulled.map_err(fault)?.0.to_vec();
        let is = layout::digest_of(&bytes);
        if is != digest {
            return Err(Fault::GiveUp(format!("a reader of {digest} gets {is}")));
        }
        Ok(bytes)
    }

    /// Reads a whole blob and checks its size and hash.
    pub async fn read_blob(&self, blob: &Descriptor) -> Result<(), Fault> {
        self.each_piece(blob, |_| {}).await
    }

    /// A small blob, checked against its digest.
    pub async fn small_blob(&self, blob: &Descriptor) -> Result<Vec<u8>, Fault> {
        if blob.size > SMALL {
            return Err(Fault::GiveUp(format!(
                "{} is larger than an image's configuration can be",
                blob.digest
            )));
        }
        let mut bytes = Vec::new();
        self.each_piece(blob, |piece| bytes.extend_from_slice(piece)).await?;
        Ok(bytes)
    }

    async fn each_piece(&self, blob: &Descriptor, mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        let Descriptor { digest, size, .. } = blob;
        // Without an earlier question for a token the registry would refuse the blob.
        let repository = self.digest(digest);
        self.client.auth(&repository, &self.auth, RegistryOperation::Pull).await.map_err(fault)?;
        let mut stream =
            self.client.pull_blob_stream(&repository, digest.as_str()).await.map_err(fault)?.stream;
        let mut hasher = Sha256::new();
        let mut read = 0;
        // Our own hash decides: what the client does about a wrong one is its own affair.
        let outcome = loop {
            match stream.try_next().await {
                Ok(Some(piece)) => {
                    hasher.update(&piece);
                    read += piece.len() as u64;
                    take(&piece);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let is = format!("sha256:{}", hex(&hasher.finalize()));
        if read == *size && is == *digest {
            return Ok(());
        }
        if let (Err(error), true) = (outcome, read < *size) {
            return Err(Fault::Retry(format!("cannot read {digest}: {error}")));
        }
        Err(Fault::GiveUp(format!("a reader of {digest} ({size} bytes) gets {is} ({read} bytes)")))
    }

    async fn put(&self, place: &Reference, media_type: &str, bytes: &[u8]) -> Result<(), Fault> {
        let media_type = HeaderValue::from_str(media_type).map_err(Fault::give_up)?;
        let pushed = self.client.push_manifest_raw(place, bytes.to_vec(), media_type).await;
        pushed.map(drop).map_err(fault)
    }

    fn tag(&self, tag: &str) -> Reference {
        Reference::with_tag(self.host.clone(), self.name.clone(), tag.to_owned())
    }

    fn digest(&self, digest: &str) -> Reference {
        Reference::with_digest(self.host.clone(), self.name.clone(), digest.to_owned())
    }
}

/// The pieces of a file, hashed on a thread of their own. The last piece is held back when the hash is wrong, so that
/// no registry can take the blob for whole.
fn hashed(
    path: PathBuf,
    blob: Descriptor,
) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reader = sender.clone();
    spawn_blocking(move || {
        if let Err(error) = read(&path, &blob, &reader) {
            // Nobody listens any more when the upload was given up.
            let _ = reader.blocking_send(Err(OciDistributionError::IoError(error)));
        }
    });
    drop(sender);
    stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|piece| (piece, receiver)))
}

fn read(
    path: &Path,
    blob: &Descriptor,
    pieces: &mpsc::Sender<Result<Bytes, OciDistributionError>>,
) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut left = blob.size;
    loop {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; length];
        file.read_exact(&mut piece)?;
        hasher.update(&piece);
        left -= length as u64;
        let is_last = left == 0;
        if is_last && format!("sha256:{}", hex(&hasher.finalize_reset())) != blob.digest {
            let changed = format!("{} is not {} any more", path.display(), blob.digest);
            return Err(std::io::Error::other(changed));
        }
        if pieces.blocking_send(Ok(Bytes::from(piece))).is_err() || is_last {
            return Ok(());
        }
    }
}

fn found(seen: Result<String, OciDistributionError>) -> Result<Option<String>, Fault> {
    match seen {
        Ok(digest) => Ok(Some(digest)),
        Err(
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. },
        ) => Ok(None),
        Err(OciDistributionError::RegistryError { envelope, .. })
            if envelope.errors.iter().all(is_unknown) =>
        {
            Ok(None)
        }
        Err(error) => Err(fault(error)),
    }
}

fn is_unknown(error: &oci_client::errors::OciError) -> bool {
    matches!(error.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
}

/// Whether another try may help is told by the answer; addresses lose their signed queries.
fn fault(error: OciDistributionError) -> Fault {
    let is_certain = matches!(
        &error,
        OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::DigestError(_)
    );
    let is_final = is_certain || status_of(&error).is_some_and(is_refusal);
    let text = redact(&format!("{:#}", anyhow::Error::from(error)));
    if is_final { Fault::GiveUp(text) } else { Fault::Retry(text) }
}

fn status_of(error: &OciDistributionError) -> Option<u16> {
    if let OciDistributionError::RequestError(error) = error {
        return error.status().map(|status| status.as_u16());
    }
    if let OciDistributionError::ServerError { code, .. } = error { Some(*code) } else { None }
}

/// Asking again changes nothing about such an answer.
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && ![404, 408, 429].contains(&code)
}

fn redact(text: &str) -> String {
    let words = text.split(' ').map(|word| match (word.contains("://"), word.split_once('?')) {
        (true, Some((address, _signature))) => address,
        (true, None) | (false, _) => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_addresses_are_not_shown() {
        let said =
            redact("error sending request for url (https://r.example/v2/u/1?_state=secret&sig=x) now?");
        assert_eq!(said, "error sending request for url (https://r.example/v2/u/1 now?");
    }
}
