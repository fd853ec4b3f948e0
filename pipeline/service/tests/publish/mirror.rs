//! The mirror, read by gpg, sha256sum and an HTTP client.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster::adapters::mirror::{layout, moves};
use muster::port::Fault;
use muster::program::Program;

use crate::ground::{Ground, IMAGES, Key, MIRROR, release};

const FOLDER: &str = "/pub/mirror/linux/releases/43/Cloud/x86_64/images";

#[tokio::test]
async fn a_release_is_private_until_promoted_and_then_gpg_and_sha256sum_agree() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"an image");
    let name = "Murmur-43-20261121.0.x86_64.qcow2";

    let uploaded = ground.upload(&upload).await.unwrap();
    assert_eq!(uploaded[0].location, format!("{}{FOLDER}/{name}", ground.url));
    assert_eq!(ground.get(&format!("{FOLDER}/{name}")).await, Err(404), "an upload was public");
    let checked = ground.verify(&upload, &uploaded).await.unwrap().checked;
    assert!(checked[0].ends_with("CHECKSUM signed by our key"), "{checked:?}");
    assert_eq!(ground.get(&format!("{FOLDER}/{name}")).await, Err(404), "a verified upload was public");

    let pointers = ground.promote(&upload, &uploaded, "stable").await.unwrap().pointers;
    assert!(pointers[1].ends_with(&format!("Murmur-43-latest.x86_64.qcow2 -> {name}")), "{pointers:?}");
    assert_eq!(ground.get(&format!("{FOLDER}/Murmur-43-latest.x86_64.qcow2")).await.unwrap(), b"an image");

    // A stranger with nothing but the addresses.
    let stranger = tempfile::tempdir().unwrap();
    for (path, to) in [
        (format!("{FOLDER}/{name}"), name.to_owned()),
        (format!("{FOLDER}/{name}-CHECKSUM"), "CHECKSUM".to_owned()),
        ("/pub/mirror/SIGNING-KEY.asc".to_owned(), "key".to_owned()),
    ] {
        fs::write(stranger.path().join(to), ground.get(&path).await.unwrap()).unwrap();
    }
    let home = stranger.path().join("gnupg");
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&home).unwrap();
    let gpg = |args: &[&str]| {
        let gpg = Program::new("gpg").folder(stranger.path()).args(["--batch", "--homedir"]);
        gpg.arg(&home).args(args)
    };
    gpg(&["--import", "key"]).run().await.unwrap();
    let seen = gpg(&["--verify", "CHECKSUM"]).run().await.unwrap();
    assert!(String::from_utf8_lossy(&seen.stderr).contains("Good signature"));
    let summed = Program::new("sha256sum").folder(stranger.path()).args(["-c", "CHECKSUM"]).run().await;
    assert_eq!(summed.unwrap().text(), format!("{name}: OK\n"));
}

#[tokio::test]
async fn the_file_list_names_what_is_public_and_nothing_else() {
    let ground = Ground::new(MIRROR).await;
    let first = release(ground.folder.path(), "Murmur", "43.20261121.0", b"one");
    let second = release(ground.folder.path(), "Murmur", "43.20261122.0", b"two");
    ground.publish(&first).await;
    ground.upload(&second).await.unwrap();
    let list = String::from_utf8(ground.get("/pub/mirror/fullfiletimelist-mirror").await.unwrap()).unwrap();
    assert!(list.starts_with("[Version]\n2\n\n[Files]\n"), "{list}");
    assert!(list.ends_with("\n[End]\n"), "{list}");
    let images = "linux/releases/43/Cloud/x86_64/images";
    let paths: Vec<_> = list.lines().filter_map(|line| line.split('\t').nth(3)).collect();
    let of = |name: &str| format!("{images}/{name}");
    assert_eq!(
        paths,
        [
            "linux".to_owned(),
            "linux/releases".to_owned(),
            "linux/releases/43".to_owned(),
            "linux/releases/43/Cloud".to_owned(),
            "linux/releases/43/Cloud/x86_64".to_owned(),
            images.to_owned(),
            of("Murmur-43-20261121.0.x86_64.qcow2"),
            of("Murmur-43-20261121.0.x86_64.qcow2-CHECKSUM"),
            of("Murmur-43-latest.x86_64.qcow2"),
            of("Murmur-43-latest.x86_64.qcow2-CHECKSUM"),
        ]
    );
    let size = list.lines().find(|line| line.ends_with("1.0.x86_64.qcow2")).unwrap().split('\t').nth(2);
    assert_eq!(size, Some("3"));
}

#[tokio::test]
async fn a_tampered_upload_is_never_promoted() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"an image");
    let uploaded = ground.upload(&upload).await.unwrap();
    let staged = staged_files(ground.folder.path());
    let (image, checksum) = (&staged[0], &staged[1]);

    fs::write(image, b"an imagE").unwrap();
    let Err(Fault::GiveUp(reason)) = ground.verify(&upload, &uploaded).await else { panic!("not seen") };
    assert!(reason.contains("a reader gets Murmur-43-20261121.0.x86_64.qcow2 with SHA-256"), "{reason}");
    fs::write(image, b"an image").unwrap();

    // Signed by our key, but about something else: gpg itself is content with it.
    let forged = key.gpg().arg("--clearsign").input("SHA256 (other) = 00\n").run().await.unwrap().stdout;
    let good = fs::read(checksum).unwrap();
    fs::write(checksum, forged).unwrap();
    let Err(Fault::GiveUp(reason)) = ground.verify(&upload, &uploaded).await else { panic!("not seen") };
    assert!(reason.contains("says something else"), "{reason}");

    // The right text, signed by somebody else.
    let stranger = Key::new().await;
    let text = key.gpg().arg("--decrypt").input(good.clone()).run().await.unwrap().stdout;
    let forged = stranger.gpg().arg("--clearsign").input(text).run().await.unwrap().stdout;
    fs::write(checksum, forged).unwrap();
    let Err(Fault::GiveUp(reason)) = ground.verify(&upload, &uploaded).await else { panic!("not seen") };
    assert!(reason.contains("no valid signature by our key"), "{reason}");

    fs::write(checksum, good).unwrap();
    ground.verify(&upload, &uploaded).await.unwrap();
}

#[tokio::test]
async fn what_stands_before_a_signed_text_is_not_believed() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let signer = muster::adapters::signer::Signer::new(ground.settings.signing.clone());
    let message = signer.clearsign(b"truth\n").await.unwrap().unwrap();
    let public = signer.public_key().await.unwrap().unwrap();
    let framed = [b"a lie\n\n", message.as_slice(), b"\nmore lies\n"].concat();
    let text = public.signed_text(&framed).await;
    assert!(text.as_ref().is_err() || text.as_ref().unwrap() == b"truth\n", "{text:?}");
    assert_eq!(public.signed_text(&message).await.unwrap(), b"truth\n");
}

#[tokio::test]
async fn a_promotion_that_is_cut_short_at_any_move_is_finished_by_the_next() {
    let key = Key::new().await;
    let ground = Ground::new(&(key.settings() + MIRROR)).await;
    let root = ground.path("mirror");
    for cut in 0.. {
        let version = format!("43.20261121.{cut}");
        let upload = release(ground.folder.path(), "Murmur", &version, version.as_bytes());
        let uploaded = ground.upload(&upload).await.unwrap();
        ground.verify(&upload, &uploaded).await.unwrap();
        let staging = staging(ground.folder.path());
        let placed = layout::place(&upload).unwrap();
        let plan = moves::plan(&root, "mirror", &staging, &placed, Some(&version));
        for planned in &plan[..cut] {
            planned.perform().unwrap();
        }
        let name = &uploaded[0].name;
        let promised = || {
            let list = fs::read_to_string(root.join("fullfiletimelist-mirror")).unwrap_or_default();
            let latest =
                fs::read_link(root.join(placed[0].folder.clone()).join("Murmur-43-latest.x86_64.qcow2"));
            (list.contains(name.as_str()), latest.is_ok_and(|target| target == Path::new(name)))
        };
        if cut < plan.len() {
            assert!(!promised().0, "the list names files before all are there, after {cut} moves");
        }
        ground.promote(&upload, &uploaded, "stable").await.unwrap();
        assert_eq!(promised(), (true, true), "after {cut} moves");
        // The answer was lost: the same again, with nothing staged.
        ground.promote(&upload, &uploaded, "stable").await.unwrap();
        assert!(staged_files(ground.folder.path()).is_empty(), "something stayed behind after {cut} moves");
        if cut == plan.len() {
            assert_eq!(plan.len(), 6, "tidying, a file, its CHECKSUM, their links, the list");
            break;
        }
    }
}

#[tokio::test]
async fn what_a_killed_process_left_is_tidied_away_by_the_next_promotion() {
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"one");
    let (root, images) =
        (ground.path("mirror"), ground.path(&format!("mirror/{IMAGES}").replace("{arch}", "x86_64")));
    fs::create_dir_all(&images).unwrap();
    // Half a file under the name that it has until it is whole, and the folder of a link that was about to be moved.
    let left = [
        images.join(".Murmur-43-20261121.0.x86_64.qcow2-CHECKSUM.Ab3dEf~"),
        images.join(".Murmur-43-latest.x86_64.qcow2.Xy9zQw~/link"),
        root.join(".fullfiletimelist-mirror.Kl2mNo~"),
    ];
    for path in &left {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half").unwrap();
    }
    ground.publish(&upload).await;
    for path in &left {
        assert!(!path.exists(), "{} is left", path.display());
    }
}

#[tokio::test]
async fn a_published_file_is_never_changed() {
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"one");
    ground.publish(&upload).await;
    let other = release(ground.folder.path(), "Murmur", "43.20261121.0", b"two");
    let uploaded = ground.upload(&other).await.unwrap();
    let Err(Fault::GiveUp(reason)) = ground.promote(&other, &uploaded, "stable").await else {
        panic!("done")
    };
    assert!(reason.contains("is public already, with other content"), "{reason}");
    assert_eq!(ground.get(&format!("{FOLDER}/Murmur-43-20261121.0.x86_64.qcow2")).await.unwrap(), b"one");
}

#[tokio::test]
async fn another_stream_does_not_move_the_links_of_the_stable_one() {
    let ground = Ground::new(MIRROR).await;
    let stable = release(ground.folder.path(), "Murmur", "43.20261121.0", b"stable");
    ground.publish(&stable).await;
    let next = release(ground.folder.path(), "Murmur", "43.20261122.0", b"next");
    let uploaded = ground.upload(&next).await.unwrap();
    ground.promote(&next, &uploaded, "candidate").await.unwrap();
    assert_eq!(ground.get(&format!("{FOLDER}/Murmur-43-latest.x86_64.qcow2")).await.unwrap(), b"stable");
    assert_eq!(ground.get(&format!("{FOLDER}/Murmur-43-20261122.0.x86_64.qcow2")).await.unwrap(), b"next");
}

#[tokio::test]
async fn a_second_build_of_the_same_size_does_not_take_the_first_ones_upload() {
    let ground = Ground::new(MIRROR).await;
    ground.upload(&release(ground.folder.path(), "Murmur", "43.20261121.0", b"one")).await.unwrap();
    let second = release(ground.folder.path(), "Murmur", "43.20261121.0", b"two");
    ground.publish(&second).await;
    assert_eq!(ground.get(&format!("{FOLDER}/Murmur-43-20261121.0.x86_64.qcow2")).await.unwrap(), b"two");
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_uploaded_again() {
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"an image");
    ground.upload(&upload).await.unwrap();
    fs::write(&staged_files(ground.folder.path())[0], b"an im").unwrap();
    let uploaded = ground.upload(&upload).await.unwrap();
    ground.verify(&upload, &uploaded).await.unwrap();

    let built = PathBuf::from(&upload.artifacts[0].path);
    let other = release(ground.folder.path(), "Murmur", "43.20261122.0", b"an image");
    fs::write(&built, b"an image").unwrap();
    fs::write(&other.artifacts[0].path, b"an im").unwrap();
    let fault = ground.upload(&other).await.unwrap_err();
    assert!(fault.to_string().contains("has changed since it was built"), "{fault}");
}

#[tokio::test]
async fn a_withdrawn_upload_leaves_nothing() {
    use muster::port::Port;
    use muster_flow::publish::Upload;
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", b"an image");
    let port: &dyn Port<Upload> = &ground.destinations;
    let handle = port.ensure(&muster_flow::step::StepKey("k".to_owned()), &upload).await.unwrap();
    port.cancel(&handle).await.unwrap();
    assert!(staged_files(ground.folder.path()).is_empty());
    port.cancel(&handle).await.unwrap();
    let seen = port.observe(&handle).await.unwrap();
    assert!(matches!(seen, muster::port::Observation::Vanished(_)), "{seen:?}");
}

#[tokio::test]
async fn two_processes_that_upload_the_same_do_not_harm_each_other() {
    let ground = Ground::new(MIRROR).await;
    let upload = release(ground.folder.path(), "Murmur", "43.20261121.0", &vec![7; 3 << 20]);
    let (one, other) = tokio::join!(ground.upload(&upload), ground.upload(&upload));
    for outcome in [one, other] {
        assert!(matches!(outcome, Ok(_) | Err(Fault::Retry(_))), "{outcome:?}");
    }
    let all = fs::read_dir(ground.path("mirror/.staging")).unwrap().count();
    assert_eq!(all, 1, "one upload, two staging folders");
    ground.publish(&upload).await;
}

#[tokio::test]
async fn private_uploads_of_candidates_that_are_over_are_swept_away() {
    use std::time::SystemTime;
    let ground = Ground::new(MIRROR).await;
    for version in ["43.20261121.1", "43.20261121.10"] {
        ground.upload(&release(ground.folder.path(), "Murmur", version, b"x")).await.unwrap();
    }
    let open = ["Murmur/43.20261121.10".to_owned()];
    let sweep = async |born| -> Vec<String> {
        ground.destinations.sweep(&open, born).await.into_iter().map(Result::unwrap).collect()
    };
    assert_eq!(sweep(SystemTime::UNIX_EPOCH).await.len(), 0, "a young upload was swept away");
    let removed = sweep(in_an_hour(&ground)).await;
    assert_eq!(removed.len(), 1);
    assert!(removed[0].contains("/.staging/.Murmur.43.20261121.1.mirror.qcow2."), "{removed:?}");
    assert_eq!(staged_files(ground.folder.path()).len(), 2, "an open candidate lost its upload");
}

#[tokio::test]
async fn what_cannot_be_swept_away_is_said_and_keeps_nothing_else_from_it() {
    let ground = Ground::new(MIRROR).await;
    for day in 0..3 {
        ground
            .upload(&release(ground.folder.path(), "Murmur", &format!("43.2026112{day}.0"), b"x"))
            .await
            .unwrap();
        // A file is no folder that could be removed; in what order they are found nobody knows.
        fs::write(ground.path("mirror/.staging").join(format!("{day}")), "").unwrap();
    }
    let later = in_an_hour(&ground);
    let swept = ground.destinations.sweep(&[], later).await;
    let faults: Vec<String> =
        swept.iter().filter_map(|one| one.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!((swept.len(), faults.len()), (6, 3), "{swept:?}");
    assert!(faults.iter().all(|fault| fault.starts_with("cannot remove ")), "{faults:?}");
    assert_eq!(staged_files(ground.folder.path()).len(), 3, "an upload stayed");
}

#[tokio::test]
async fn a_sweep_keeps_the_task_that_asks_for_it_free() {
    let ground = Ground::new(MIRROR).await;
    ground.upload(&release(ground.folder.path(), "Murmur", "43.20261121.0", b"x")).await.unwrap();
    let large = staging(ground.folder.path());
    for number in 0..3000 {
        fs::write(large.join(number.to_string()), "").unwrap();
    }
    let mut sweep = Box::pin(ground.destinations.sweep(&[], in_an_hour(&ground)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sweep.as_mut().poll(&mut context).is_pending(), "a large folder was removed in one go");
    assert_eq!(sweep.await.len(), 1);
    assert!(!large.exists());
}

#[tokio::test]
async fn what_is_missing_is_said_in_plain_words() {
    let ground = Ground::new(&format!(
        "[signing]\nkind = \"gpg\"\nkey = \"nobody@example.invalid\"\nhomedir = \"/nonexistent\"\n{MIRROR}root = \
         \"/proc/nowhere\"\n"
    ))
    .await;
    let missing = ground.destinations.check().await;
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert_eq!(missing[0], "signing: gpg has no secret key nobody@example.invalid in /nonexistent");
    assert!(missing[1].starts_with("destination mirror: folder /proc/nowhere: cannot make"), "{missing:?}");
}

/// By the clock of the file system.
fn in_an_hour(ground: &Ground) -> std::time::SystemTime {
    fs::metadata(ground.path("mirror")).unwrap().modified().unwrap() + Duration::from_hours(1)
}

fn staging(folder: &Path) -> PathBuf {
    let all = folder.join("mirror/.staging");
    fs::read_dir(all).unwrap().next().unwrap().unwrap().path()
}

pub fn staged_files(folder: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut files = Vec::new();
    walk(&folder.join("mirror/.staging"), &mut files);
    files.sort();
    files
}
