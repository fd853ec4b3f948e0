//! What a stranger finds, and what must be true of it at any moment and at the end.

use std::collections::BTreeMap;
use std::fs;

use muster::store::Store;
use muster_flow::candidate::Candidate;
use muster_flow::gate::Ruling;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::site::{Site, release_of};

/// Manifests as we push them.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";

/// What is out: the registry's tags with the digests they lead to, and the version at the stream's pointer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Public {
    pub tags: BTreeMap<String, String>,
    pub pointer: Option<String>,
}

impl Site {
    /// Reads everything that is public. Whatever a tag leads to must be there as a whole.
    pub async fn public(&self) -> Public {
        let url = format!("http://{}/v2/{}", self.registry, self.repository);
        let client = muster::http::client().unwrap();
        let listed: Value =
            client.get(format!("{url}/tags/list")).send().await.unwrap().json().await.unwrap();
        let mut tags = BTreeMap::new();
        for tag in listed["tags"].as_array().into_iter().flatten().map(|tag| tag.as_str().unwrap()) {
            tags.insert(tag.to_owned(), whole(&client, &url, tag).await);
        }
        let pointer = fs::read(self.state().join("mirror/streams/stable.json")).ok().map(|bytes| {
            let pointer: Value = serde_json::from_slice(&bytes).unwrap();
            pointer["recipes"]["container-base"]["candidate"].as_str().unwrap().to_owned()
        });
        Public { tags, pointer }
    }

    /// What is true whenever one looks, whoever was killed and whatever is away.
    pub async fn look(&self, store: &Store) {
        let public = self.public().await;
        // Read afterwards: the facts run ahead of what is outside, and never behind it.
        let Some(candidate) = release_of(store).await else {
            assert_eq!(public, Public::default(), "something is public without a candidate");
            return;
        };
        expect_told_once(store, &candidate).await;
        if !public.tags.is_empty() {
            let ruling = candidate.verdict().map(|verdict| verdict.ruling);
            assert_eq!(ruling, Some(Ruling::Pass), "public without a passing verdict: {public:?}");
            assert!(
                public.tags.values().all(|digest| Some(digest) == public.tags.values().next()),
                "{public:?}"
            );
        }
        if let Some(pointer) = public.pointer {
            assert_eq!(pointer, candidate.id.to_string());
            assert_eq!(
                public.tags.len(),
                4,
                "the stream's pointer was not the last to move: {:?}",
                public.tags
            );
        }
    }

    /// What is true of a release that was published: it happened once, and what was announced is what a stranger finds.
    pub async fn expect_published_once(&self, store: &Store, candidate: &Candidate) {
        self.look(store).await;
        let public = self.public().await;
        let version = candidate.id.version().replacen('.', "-", 1);
        let tags: Vec<&str> = public.tags.keys().map(String::as_str).collect();
        assert_eq!(tags, ["43", &version, "latest", "stable"]);
        assert_eq!(public.pointer, Some(candidate.id.to_string()));
        let moved: Vec<&String> =
            candidate.promotions().flat_map(|step| &step.output().unwrap().pointers).collect();
        assert_eq!(candidate.promotions().count(), 2, "the registry and the stream: {moved:?}");
        for (tag, digest) in &public.tags {
            let told = format!("/{}:{tag} -> {digest}", self.repository);
            assert!(moved.iter().any(|pointer| pointer.ends_with(&told)), "{told} was not told: {moved:?}");
        }
        assert_eq!(candidate.uploads().count(), 1);
        assert_ne!(candidate.announcements().count(), 0);
        assert!(candidate.announcements().all(|step| step.output().is_some()), "a message is lost");
    }

    /// What is true when nothing had to be tried again by a person: each step was made once, and went well.
    pub async fn expect_no_second_try(&self, store: &Store, candidate: &Candidate) {
        let rows = store.step_rows(&candidate.id).await.unwrap();
        assert!(rows.len() >= 6, "a build, a boot, an upload, its reading back and two promotions: {rows:?}");
        for row in rows {
            assert_eq!(
                (row.state.as_str(), row.key.generation()),
                ("succeeded", 1),
                "{}: {}",
                row.key,
                row.note
            );
        }
    }
}

/// The digest of what a tag leads to. Every manifest and every blob behind it has to be there.
async fn whole(client: &reqwest::Client, url: &str, tag: &str) -> String {
    let mut wanted = vec![tag.to_owned()];
    let mut first = None;
    while let Some(reference) = wanted.pop() {
        let manifest = client.get(format!("{url}/manifests/{reference}")).header("accept", MANIFESTS);
        let bytes = manifest.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        let digest = format!("sha256:{}", muster::text::hex(&Sha256::digest(&bytes)));
        assert!(first.is_none() || digest == reference, "{tag} leads to {digest} instead of {reference}");
        first.get_or_insert(digest);
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let digests = |key: &str| -> Vec<String> {
            let of = |part: &Value| part["digest"].as_str().unwrap().to_owned();
            manifest[key].as_array().into_iter().flatten().map(of).collect()
        };
        wanted.extend(digests("manifests"));
        for blob in
            digests("layers").into_iter().chain(manifest["config"]["digest"].as_str().map(str::to_owned))
        {
            let status = client.head(format!("{url}/blobs/{blob}")).send().await.unwrap().status();
            assert!(status.is_success(), "{tag} leads to {blob}, which is not there: {status}");
        }
    }
    first.unwrap()
}

/// That no step's end stands twice in the journal.
async fn expect_told_once(store: &Store, candidate: &Candidate) {
    let journal = store.journal(Some(&candidate.id), 0, 1000).await.unwrap();
    for row in store.step_rows(&candidate.id).await.unwrap() {
        let purpose = row.key.0.strip_prefix(&format!("{}/", candidate.id)).unwrap();
        let told = journal.iter().filter(|line| line.text.starts_with(&format!("{purpose} is done"))).count();
        assert_eq!(told, usize::from(row.state == "succeeded"), "{purpose} is {}: {journal:#?}", row.state);
    }
}
