//! The OSTree repository, pulled by `ostree` over HTTP.

use std::fs;
use std::path::{Path, PathBuf};

use muster::port::Fault;
use muster::program::Program;
use muster_flow::build::Artifact;
use muster_flow::publish::UploadRequest;
use muster_flow::recipe::{Destination, DestinationKind, Form};

use crate::ground::{EPOCH, Ground, Key};

pub const OSTREE: &str = "[destinations.ostree]\nkind = \"ostree_repository\"\n";
pub const REF: &str = "murmur/43/x86_64/base";

pub fn ostree(repository: &Path, command: &str) -> Program {
    Program::new("ostree").arg(command).arg(format!("--repo={}", repository.display()))
}

/// A builder's repository with one commit.
pub async fn commit(folder: &Path, version: &str, content: &str) -> UploadRequest {
    let (repository, tree) = (folder.join(format!("built-{version}")), folder.join("tree"));
    ostree(&repository, "init").arg("--mode=archive").run().await.unwrap();
    fs::create_dir_all(tree.join("usr")).unwrap();
    fs::write(tree.join("usr/content"), content).unwrap();
    fs::write(tree.join("usr/large"), vec![3; 200_000]).unwrap();
    let tree = format!("--tree=dir={}", tree.display());
    let made = ostree(&repository, "commit").args(["--branch", REF, &tree]).run().await.unwrap();
    UploadRequest {
        candidate: format!("murmur/{version}"),
        version: version.to_owned(),
        artifacts: vec![Artifact {
            form: Form::OstreeCommit,
            arch: "x86_64".to_owned(),
            name: format!("murmur-{version}.x86_64.ostree"),
            path: repository.display().to_string(),
            size: 200_000,
            digest: made.text().trim().to_owned(),
        }],
        destination: Destination {
            name: "ostree".to_owned(),
            kind: DestinationKind::OstreeRepository,
            takes: Form::OstreeCommit,
            path: "murmur/43/{arch}/base".to_owned(),
        },
        source_date_epoch: EPOCH,
    }
}

/// A machine that follows the ref: what it pulls must be signed when there is a key.
async fn follow(ground: &Ground, key: Option<&Key>) -> PathBuf {
    let repository = tempfile::tempdir_in(ground.folder.path()).unwrap().keep();
    ostree(&repository, "init").arg("--mode=archive").run().await.unwrap();
    let mut add = ostree(&repository, "remote").arg("add");
    match key {
        None => add = add.arg("--no-gpg-verify"),
        Some(key) => {
            let file = ground.path("key.asc");
            fs::write(&file, key.gpg().args(["--armor", "--export"]).run().await.unwrap().stdout).unwrap();
            add = add.args(["--set=gpg-verify=true", "--set=gpg-verify-summary=true"]);
            add = add.arg(format!("--gpg-import={}", file.display()));
        }
    }
    add.arg("origin").arg(format!("{}/pub/ostree", ground.url)).run().await.unwrap();
    repository
}

async fn pull(repository: &Path, what: &str) -> Result<String, String> {
    let pulled = ostree(repository, "pull").args(["origin", what]).run().await;
    pulled.map_err(|error| error.to_string())?;
    Ok(ostree(repository, "rev-parse")
        .arg(format!("origin:{what}"))
        .run()
        .await
        .unwrap()
        .text()
        .trim()
        .to_owned())
}

#[tokio::test]
async fn a_ref_moves_on_promotion_and_a_machine_that_checks_signatures_pulls_it() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + OSTREE)).await;
    let machine = follow(&ground, Some(&key)).await;
    let first = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let uploaded = ground.upload(&first).await.unwrap();
    assert_eq!(uploaded[0].location, format!("{}/pub/ostree {REF}", ground.url));
    ground.verify(&first, &uploaded).await.unwrap();
    assert!(pull(&machine, REF).await.is_err(), "the ref was public before promotion");
    let refs = ground.path("ostree/refs/heads");
    assert_eq!(fs::read_dir(&refs).unwrap().count(), 0, "an upload shows among the public refs");

    let pointers = ground.promote(&first, &uploaded, "stable").await.unwrap().pointers;
    let id = &uploaded[0].digest;
    assert_eq!(pointers, [format!("{}/pub/ostree {REF} -> {id}, signed by our key", ground.url)]);
    assert_eq!(&pull(&machine, REF).await.unwrap(), id);
    let offered = ground.get("/pub/ostree/SIGNING-KEY.asc").await.unwrap();
    let exported = key.gpg().args(["--armor", "--export"]).run().await.unwrap().stdout;
    assert_eq!(offered, exported, "whoever verifies finds another key");
    let seen = ostree(&machine, "cat").args([id.as_str(), "/usr/content"]).run().await.unwrap();
    assert_eq!(seen.text(), "one");

    let second = commit(ground.folder.path(), "43.20261122.0", "two").await;
    let (uploaded, _) = ground.publish(&second).await;
    assert_eq!(pull(&machine, REF).await.unwrap(), uploaded[0].digest);
    let private = ground.path("ostree/refs/remotes/muster-staging");
    let left = Program::new("find").arg(private).args(["-type", "f"]).run().await.unwrap().text();
    assert_eq!(left, "", "a private ref stayed behind");
}

#[tokio::test]
async fn strangers_find_no_upload_before_its_promotion() {
    let ground = Ground::new(OSTREE).await;
    let upload = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let uploaded = ground.upload(&upload).await.unwrap();
    let id = &uploaded[0].digest;
    let staged =
        fs::read_dir(ground.path("ostree/refs/remotes/muster-staging")).unwrap().next().unwrap().unwrap();
    let staged = staged.file_name().into_string().unwrap();
    let status = async |path: &str| ground.get(&format!("/pub/ostree/{path}")).await.map(drop);
    for path in [
        "refs",
        "refs/",
        "refs/remotes",
        "refs/remotes/",
        "refs/remotes/muster-staging/",
        &format!("refs/remotes/muster-staging/{staged}"),
        &format!("refs/remotes/muster-staging/{staged}/x86_64"),
        &format!("refs//remotes/muster-staging/{staged}/x86_64"),
        &format!("refs/%72emotes/muster-staging/{staged}/x86_64"),
        &format!("refs%2fremotes/muster-staging/{staged}/x86_64"),
        &format!("refs/heads/..%2fremotes/muster-staging/{staged}/x86_64"),
        &format!("refs/heads/%2e%2e/remotes/muster-staging/{staged}/x86_64"),
        "refs/heads/..%2fremotes%2fmuster-staging/",
        "tmp/",
        "state/",
        "extensions/",
        ".lock",
    ] {
        assert_eq!(status(path).await, Err(404), "{path} is served");
    }
    // Nothing that is listed from the start on names the candidate or its commit.
    for path in ["", "refs/heads/", "config"] {
        let shown = String::from_utf8(ground.get(&format!("/pub/ostree/{path}")).await.unwrap()).unwrap();
        for private in [id.as_str(), "43.20261121.0", "muster-staging", "remotes"] {
            assert!(!shown.contains(private), "{path} tells {private}: {shown}");
        }
    }
    // As the documentation says: by their hashes objects are served from the beginning.
    status(&format!("objects/{}/{}.commit", &id[..2], &id[2..])).await.unwrap();
    ground.promote(&upload, &uploaded, "stable").await.unwrap();
    assert_eq!(
        ground.get(&format!("/pub/ostree/refs/heads/{REF}")).await.unwrap(),
        format!("{id}\n").into_bytes()
    );
    status("summary").await.unwrap();
}

#[tokio::test]
async fn everything_may_be_done_twice() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + OSTREE)).await;
    let upload = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let (_, first) = ground.publish(&upload).await;
    let (_, again) = ground.publish(&upload).await;
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_damaged_object_is_found_by_a_stranger() {
    let ground = Ground::new(OSTREE).await;
    let upload = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let uploaded = ground.upload(&upload).await.unwrap();
    let objects = ground.path("ostree/objects");
    let found = Program::new("find").arg(objects).args(["-name", "*.filez"]).run().await.unwrap().text();
    let object = Path::new(found.lines().next().unwrap());
    let mut bytes = fs::read(object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(object, bytes).unwrap();
    let Err(fault) = ground.verify(&upload, &uploaded).await else { panic!("not seen") };
    assert!(matches!(fault, Fault::GiveUp(_)), "{fault:?}");
}

#[tokio::test]
async fn an_upload_that_is_withdrawn_keeps_no_private_ref() {
    use muster::port::Port;
    use muster_flow::publish::Upload;
    let ground = Ground::new(OSTREE).await;
    let upload = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let port: &dyn Port<Upload> = &ground.destinations;
    let handle = port.ensure(&muster_flow::step::StepKey("k".to_owned()), &upload).await.unwrap();
    let refs = async || ostree(&ground.path("ostree"), "refs").run().await.unwrap().text();
    let private = refs().await;
    assert!(private.starts_with("muster-staging:murmur.43.20261121.0.ostree.ostree."), "{private}");
    port.cancel(&handle).await.unwrap();
    assert_eq!(refs().await.trim(), "");
}

#[tokio::test]
async fn two_architectures_cannot_share_a_ref() {
    let ground = Ground::new(OSTREE).await;
    let mut upload = commit(ground.folder.path(), "43.20261121.0", "one").await;
    let mut other = upload.artifacts[0].clone();
    other.arch = "aarch64".to_owned();
    upload.artifacts.push(other);
    upload.destination.path = "murmur/43/base".to_owned();
    let Err(Fault::GiveUp(reason)) = ground.upload(&upload).await else { panic!("taken") };
    assert!(reason.contains("write {arch} into the path"), "{reason}");
}
