//! The commands that people are shown, each run as a stranger runs it: with nothing but what they fetch.

use std::path::Path;
use std::time::Duration;

use muster::clock::Clock;
use muster::program::{self, Program};
use muster::store::Store;
use muster::story::image::{self, Image};
use muster::story::teller::Teller;
use muster_flow::publish::UploadRequest;

use crate::ground::{EPOCH, Ground, Key, MIRROR, release, stream_release};
use crate::ostree::{OSTREE, commit};
use crate::registry::{self, DockerRegistry, skopeo};

/// Publishes a release, and says how a page shows its image.
async fn shown(ground: &Ground, upload: &UploadRequest) -> Image {
    let (uploaded, _) = ground.publish(upload).await;
    let release = stream_release(upload, &uploaded, EPOCH);
    ground.point("stable", &release).await.unwrap();
    let url = format!("sqlite://{}/muster.db", ground.folder.path().display());
    let store = Store::open(&url, Clock::system()).await.unwrap();
    let trust = Teller::new(store, &ground.settings, Clock::system()).trust().await;
    image::of_release(&release, "stable", &trust).remove(0)
}

/// Runs every command in an empty folder, and returns what they said together, errors too.
async fn follow(image: &Image) -> String {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut said = String::new();
    for command in &image.verify {
        if command.starts_with("podman ") && program::find("podman").is_none() {
            // It is asked for the very thing that podman would ask for.
            let place = format!("docker://{}", command.rsplit(' ').next().unwrap());
            skopeo(&["inspect", "--tls-verify=false", &place]).await;
            continue;
        }
        let finished = Program::new("bash")
            .args(["-o", "pipefail", "-ec", command])
            .folder(folder.path())
            .env("GNUPGHOME", home.path())
            .limit(Duration::from_mins(1))
            .run_any()
            .await
            .unwrap();
        said.push_str(&finished.text());
        said.push_str(&String::from_utf8_lossy(&finished.stderr));
        assert_eq!(finished.code, Some(0), "{command}: {said}");
    }
    assert_is_what_was_tested(image, folder.path());
    said
}

/// What the commands have left in the folder is the image.
fn assert_is_what_was_tested(image: &Image, folder: &Path) {
    use muster_flow::recipe::DestinationKind::{Mirror, OstreeRepository, Registry};
    let digest = &image.digest;
    let path = match image.kind {
        Mirror => folder.join(&image.name),
        Registry => folder.join("base/blobs/sha256").join(digest),
        OstreeRepository => folder.join(format!("repo/objects/{}/{}.commit", &digest[..2], &digest[2..])),
    };
    assert!(path.exists(), "{} is not there", path.display());
}

/// gpg tells the fingerprint that is shown.
async fn assert_told(said: &str, image: &Image, key: &Key) {
    let list = key.gpg().args(["--with-colons", "--list-keys"]).run().await.unwrap().text();
    let known = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
    assert_eq!(image.signed_by.as_deref(), known.split(':').nth(9));
    let told = said.lines().find_map(|line| line.strip_prefix("Primary key fingerprint: ")).unwrap();
    let told: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(image.fingerprint().unwrap(), told.join(" "), "a person cannot compare them");
}

#[tokio::test]
async fn commands_for_a_container_get_it_by_digest_and_by_tag_and_find_it_in_the_signed_metadata() {
    let key = Key::new().await;
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&(key.settings() + MIRROR + &registry.settings(""))).await;
    let layers = registry::image(ground.folder.path(), "x86_64", &[vec![1; 70_000]]);
    let image = shown(&ground, &registry::release("43.20261121.0", vec![layers])).await;
    let place = format!("{}/murmur/base", registry.host);
    let pulls: Vec<&String> = image.verify.iter().filter(|line| line.starts_with("podman pull ")).collect();
    assert!(pulls[0].ends_with(&format!("{place}@sha256:{}", image.digest)), "{pulls:?}");
    assert!(pulls[1].ends_with(&format!("{place}:43-20261121.0")), "{pulls:?}");
    let said = follow(&image).await;
    assert_told(&said, &image, &key).await;
    // Once from the tag, once from the metadata.
    assert_eq!(said.matches(&format!("sha256:{}\n", image.digest)).count(), 2, "{said}");
}

#[tokio::test]
async fn commands_for_a_file_and_for_a_commit_get_it_and_check_the_signature_by_the_shown_key() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR + OSTREE)).await;
    let file = release(ground.folder.path(), "murmur", "43.20261121.0", b"an image");
    let image = shown(&ground, &file).await;
    assert!(image.verify.iter().any(|command| command.ends_with("| gpg --import")), "{:?}", image.verify);
    assert_told(&follow(&image).await, &image, &key).await;
    let commit = commit(ground.folder.path(), "43.20261121.1", "one").await;
    let image = shown(&ground, &commit).await;
    assert!(image.signed_by.is_some());
    assert!(follow(&image).await.contains("it is what was tested"));
}

#[tokio::test]
async fn where_nothing_is_signed_no_command_looks_for_a_key() {
    let registry = DockerRegistry::start("").await;
    let ground = Ground::new(&(MIRROR.to_owned() + OSTREE + &registry.settings(""))).await;
    let layers = registry::image(ground.folder.path(), "x86_64", &[vec![1; 10]]);
    for upload in [
        release(ground.folder.path(), "murmur", "43.20261121.0", b"an image"),
        commit(ground.folder.path(), "43.20261121.1", "one").await,
        registry::release("43.20261121.2", vec![layers]),
    ] {
        let image = shown(&ground, &upload).await;
        assert_eq!(image.signed_by, None);
        assert!(!image.verify.iter().any(|command| command.contains("KEY")), "{:?}", image.verify);
        follow(&image).await;
    }
}
