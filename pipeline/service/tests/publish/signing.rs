//! Signing by a program that asks somebody else, and what happens when nobody signs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use muster::adapters::signer::{Settings, Signer};

use crate::ground::{Ground, Key, MIRROR, release, stream_release};

/// A signing server's client, as far as muster sees it: text in, signature out.
fn script(folder: &Path, name: &str, body: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

async fn settings(key: &Key, folder: &Path) -> String {
    let public = folder.join("public.asc");
    fs::write(&public, key.gpg().args(["--armor", "--export"]).run().await.unwrap().stdout).unwrap();
    let gpg = format!("exec gpg --batch --quiet --homedir {}", key.home.path().display());
    let clearsign = script(folder, "clearsign", &format!("{gpg} --clearsign"));
    let detach = script(folder, "detach", &format!("{gpg} --armor --detach-sign"));
    format!(
        "[signing]\nkind = \"command\"\nclearsign = [\"{clearsign}\"]\ndetach = [\"{detach}\"]\npublic_key = \"{}\"\n",
        public.display()
    )
}

#[tokio::test]
async fn a_signing_command_signs_checksums_and_pointers() {
    let (key, folder) = (Key::new().await, tempfile::tempdir().unwrap());
    let ground = Ground::new(&(settings(&key, folder.path()).await + MIRROR)).await;
    assert_eq!(ground.destinations.check().await, Vec::<String>::new());
    let upload = release(ground.folder.path(), "murmur", "43.20261121.0", b"an image");
    let (uploaded, promoted) = ground.publish(&upload).await;
    assert!(promoted.pointers[0].ends_with("CHECKSUM signed by our key"), "{promoted:?}");
    let pointers = ground.point("stable", &stream_release(&upload, &uploaded, 0)).await.unwrap().pointers;
    assert!(pointers[0].ends_with("signed by our key"), "{pointers:?}");
}

#[tokio::test]
async fn a_signer_with_another_key_than_the_published_one_is_found_before_promotion() {
    let (key, other, folder) = (Key::new().await, Key::new().await, tempfile::tempdir().unwrap());
    let settings = settings(&key, folder.path()).await;
    let foreign = other.gpg().args(["--armor", "--export"]).run().await.unwrap().stdout;
    fs::write(folder.path().join("public.asc"), foreign).unwrap();
    let ground = Ground::new(&(settings + MIRROR)).await;
    let upload = release(ground.folder.path(), "murmur", "43.20261121.0", b"an image");
    let uploaded = ground.upload(&upload).await.unwrap();
    let fault = ground.verify(&upload, &uploaded).await.unwrap_err();
    assert!(fault.to_string().contains("no valid signature by our key"), "{fault}");
}

#[tokio::test]
async fn a_signer_that_hangs_fails_or_says_nothing_stops_the_upload() {
    let folder = tempfile::tempdir().unwrap();
    for (body, said) in [
        ("sleep 60", "was killed after 1 s"),
        ("echo the token has expired >&2; exit 1", "the token has expired"),
        ("exit 0", "the signer ended well but wrote no signature"),
    ] {
        let signer = Signer::new(Settings::Command {
            clearsign: vec![script(folder.path(), "sign", body)],
            detach: Vec::new(),
            public_key: "/dev/null".into(),
            limit_s: 1,
        });
        let error = signer.clearsign(b"text").await.unwrap_err();
        assert!(format!("{error:#}").contains(said), "{error:#}");
    }
}

#[tokio::test]
async fn what_nobody_signs_says_so_and_still_checks_sizes_and_hashes() {
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "murmur", "43.20261121.0", b"an image");
    let (uploaded, promoted) = ground.publish(&upload).await;
    assert!(promoted.pointers[0].ends_with("CHECKSUM NOT SIGNED"), "{promoted:?}");
    let streams = ground.path("mirror/streams");
    fs::create_dir_all(&streams).unwrap();
    fs::write(streams.join("stable.json.sig"), "of another day").unwrap();
    ground.point("stable", &stream_release(&upload, &uploaded, 0)).await.unwrap();
    assert!(!streams.join("stable.json.sig").exists(), "an old signature calls the new pointer forged");
}
