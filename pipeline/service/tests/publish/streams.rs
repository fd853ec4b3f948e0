//! The pointers of streams.

use std::fs;

use muster::port::Fault;
use serde_json::Value;

use crate::ground::{EPOCH, Ground, Key, MIRROR, release, stream_release};

#[tokio::test]
async fn a_stream_points_at_what_was_published_and_gpg_agrees() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let upload = release(ground.folder.path(), "murmur", "43.20261121.0", b"an image");
    let (uploaded, _) = ground.publish(&upload).await;
    let pointers = ground.point("stable", &stream_release(&upload, &uploaded, EPOCH)).await.unwrap().pointers;
    let url = format!("{}/pub/mirror/streams/stable.json", ground.url);
    assert_eq!(pointers, [format!("{url} -> murmur 43.20261121.0, signed by our key")]);

    let document = ground.get("/pub/mirror/streams/stable.json").await.unwrap();
    let disk = &serde_json::from_slice::<Value>(&document).unwrap()["architectures"]["x86_64"]["artifacts"]["murmur"]
        ["formats"]["qcow2"]["disk"];
    assert_eq!(disk["sha256"], uploaded[0].digest);
    let below = |address: &Value| address.as_str().unwrap().strip_prefix(&ground.url).unwrap().to_owned();
    assert_eq!(ground.get(&below(&disk["location"])).await.unwrap(), b"an image");
    let checksum = ground.get(&below(&disk["signature"])).await.unwrap();
    assert!(checksum.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----"));

    let signature = ground.get("/pub/mirror/streams/stable.json.sig").await.unwrap();
    let (data, sig) = (ground.path("data"), ground.path("sig"));
    fs::write(&data, &document).unwrap();
    fs::write(&sig, signature).unwrap();
    key.gpg().arg("--verify").arg(&sig).arg(&data).run().await.unwrap();
}

#[tokio::test]
async fn an_older_release_never_replaces_a_newer_one() {
    let ground = Ground::new(MIRROR).await;
    let of = |version: &str, created| {
        stream_release(&release(ground.folder.path(), "murmur", version, b"x"), &[], created)
    };
    let (old, new) = (of("43.20261120.0", EPOCH - 86_400), of("43.20261121.0", EPOCH));
    ground.point("stable", &new).await.unwrap();
    let Err(Fault::GiveUp(reason)) = ground.point("stable", &old).await else { panic!("it went back") };
    assert_eq!(reason, "stable points at 43.20261121.0 of murmur, which is newer than 43.20261120.0");
    // Each stream goes its own way.
    ground.point("candidate", &old).await.unwrap();
}

#[tokio::test]
async fn a_promotion_done_twice_changes_no_byte_and_makes_good_what_is_missing() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let upload = release(ground.folder.path(), "murmur", "43.20261121.0", b"x");
    let release = stream_release(&upload, &[], EPOCH);
    ground.point("stable", &release).await.unwrap();
    let read = || {
        ["stable.json", "stable.json.sig", "stable/releases.json"]
            .map(|name| fs::read(ground.path("mirror/streams").join(name)).unwrap())
    };
    let before = read();
    ground.point("stable", &release).await.unwrap();
    assert_eq!(read(), before);
    // As a process leaves it that dies after the first, or the second, of the three.
    for lost in [&["stable.json", "stable.json.sig"][..], &["stable.json"], &["stable.json.sig"]] {
        for name in lost {
            fs::remove_file(ground.path("mirror/streams").join(name)).unwrap();
        }
        ground.point("stable", &release).await.unwrap();
        assert_eq!(read()[0], before[0]);
        assert_eq!(read()[2], before[2], "the history has it twice");
    }
}

#[tokio::test]
async fn a_pointer_that_lies_there_as_two_files_is_taken_in() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let of = |version: &str, created| {
        stream_release(&release(ground.folder.path(), "murmur", version, b"x"), &[], created)
    };
    ground.point("stable", &of("43.20261120.0", EPOCH - 86_400)).await.unwrap();
    let streams = ground.path("mirror/streams");
    // As it was laid down before there were links.
    for name in ["stable.json", "stable.json.sig"] {
        let path = streams.join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    fs::remove_dir_all(streams.join("stable/pointers")).unwrap();
    fs::remove_file(streams.join("stable/current")).unwrap();
    let moved = ground.point("stable", &of("43.20261121.0", EPOCH)).await.unwrap().pointers;
    assert!(moved[0].ends_with("murmur 43.20261121.0, signed by our key"), "{moved:?}");
    for name in ["stable.json", "stable.json.sig"] {
        let leads_to = fs::read_link(streams.join(name)).unwrap();
        assert_eq!(
            leads_to.to_str().unwrap(),
            format!("stable/current/{name}"),
            "a link leads out of the tree"
        );
    }
    let Err(Fault::GiveUp(_)) = ground.point("stable", &of("43.20261119.0", EPOCH - 99_999)).await else {
        panic!("what the two files said is forgotten")
    };
    for day in 1..5 {
        ground.point("stable", &of(&format!("43.2026112{day}.1"), EPOCH + day)).await.unwrap();
    }
    assert_eq!(fs::read_dir(streams.join("stable/pointers")).unwrap().count(), 2, "old pointers pile up");
    let listed = ground.get("/pub/mirror/streams/").await.unwrap();
    assert!(String::from_utf8(listed).unwrap().contains("stable.json.sig"), "the links are not listed");
}

#[tokio::test]
async fn two_recipes_promoted_at_once_both_stay_in_the_stream() {
    let ground = Ground::new(MIRROR).await;
    let promote = async |recipe: &str| {
        for number in 0..5 {
            let version = format!("43.20261121.{number}");
            let upload = release(ground.folder.path(), recipe, &version, recipe.as_bytes());
            let (uploaded, _) = ground.publish(&upload).await;
            ground.point("stable", &stream_release(&upload, &uploaded, EPOCH + number)).await.unwrap();
        }
    };
    tokio::join!(promote("murmur"), promote("thrum"), promote("whirr"));
    let document: Value =
        serde_json::from_slice(&ground.get("/pub/mirror/streams/stable.json").await.unwrap()).unwrap();
    for recipe in ["murmur", "thrum", "whirr"] {
        assert_eq!(document["recipes"][recipe]["release"], "43.20261121.4");
        assert_eq!(document["architectures"]["x86_64"]["artifacts"][recipe]["release"], "43.20261121.4");
    }
    let releases: Value =
        serde_json::from_slice(&ground.get("/pub/mirror/streams/stable/releases.json").await.unwrap())
            .unwrap();
    assert_eq!(releases["releases"].as_array().unwrap().len(), 15, "a release was lost from the history");
    let list = String::from_utf8(ground.get("/pub/mirror/fullfiletimelist-mirror").await.unwrap()).unwrap();
    // Whoever copies the mirror by its list gets the two links and what they lead to.
    let size = document_size(&ground).await;
    assert!(
        list.lines().any(|line| line.contains("\tl\t") && line.ends_with("\tstreams/stable.json")),
        "{list}"
    );
    assert!(
        list.lines().any(|line| line.contains("\tl\t") && line.ends_with("\tstreams/stable/current")),
        "{list}"
    );
    let holds = format!("\t{size}\tstreams/stable/pointers/");
    assert!(list.lines().any(|line| line.contains(&holds) && line.ends_with("/stable.json")), "{list}");
    assert_eq!(list.lines().filter(|line| line.ends_with(".4.x86_64.qcow2")).count(), 3);
}

async fn document_size(ground: &Ground) -> usize {
    ground.get("/pub/mirror/streams/stable.json").await.unwrap().len()
}
