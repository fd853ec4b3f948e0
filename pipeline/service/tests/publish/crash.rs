//! A process that is killed while it publishes, at any moment, and a disk that is full.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muster::program::Program;
use muster_flow::publish::UploadRequest;

use crate::ground::{EPOCH, Ground, Key, MIRROR, release, stream_release};
use crate::mirror::staged_files;
use crate::registry::DockerRegistry;
use crate::{ostree, registry};

/// What the tests below run in processes of its own: publishes what `request.json` says, to where `settings.toml` says.
#[tokio::test]
#[ignore = "it is the child of other tests"]
async fn child_that_publishes() {
    let Some(folder) = std::env::var_os("MUSTER_TEST_FOLDER").map(PathBuf::from) else { return };
    let ground = Ground::new(&fs::read_to_string(folder.join("settings.toml")).unwrap()).await;
    let upload: UploadRequest =
        serde_json::from_slice(&fs::read(folder.join("request.json")).unwrap()).unwrap();
    match ground.upload(&upload).await {
        Ok(uploaded) => {
            ground.verify(&upload, &uploaded).await.unwrap();
            ground.promote(&upload, &uploaded, "stable").await.unwrap();
            println!("published");
        }
        Err(fault) => println!("{fault:?}"),
    }
}

/// Lets a stream point at one release after the other, in a process of its own, until it is killed.
#[tokio::test]
#[ignore = "it is the child of other tests"]
async fn child_that_points() {
    let Some(folder) = std::env::var_os("MUSTER_TEST_FOLDER").map(PathBuf::from) else { return };
    let ground = Ground::new(&fs::read_to_string(folder.join("settings.toml")).unwrap()).await;
    let done = fs::read_to_string(folder.join("mirror/streams/stable/releases.json")).unwrap_or_default();
    for number in done.matches("\"promoted\"").count().. {
        let upload = release(ground.folder.path(), "murmur", &format!("43.20261121.{number}"), b"x");
        let created = EPOCH + i64::try_from(number).unwrap();
        ground.point("stable", &stream_release(&upload, &[], created)).await.unwrap();
    }
}

fn child(folder: &Path) -> Program {
    let this = std::env::current_exe().unwrap();
    Program::new(this).args(CHILD).env("MUSTER_TEST_FOLDER", folder)
}

/// A document with its signature, as both lay there at one moment.
type Pair = (Vec<u8>, Vec<u8>);

/// The pointer and its signature at one moment; nothing where no pointer is, or when it moved meanwhile.
fn pair(streams: &Path) -> Option<Pair> {
    let [document, signature] = ["stable.json", "stable.json.sig"].map(|name| streams.join(name));
    let read = |path: &Path| fs::read(path).unwrap_or_default();
    let (first, second) = ((read(&signature), read(&document)), (read(&signature), read(&document)));
    // What was the same before and after lay there in between.
    (first == second && !second.1.is_empty()).then_some((second.1, second.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_and_its_signature_agree_at_every_moment_and_whenever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new().await;
    let root = folder.path().join("mirror");
    let settings = format!("{}{MIRROR}root = \"{}\"\n", key.settings(), root.display());
    fs::write(folder.path().join("settings.toml"), settings).unwrap();
    let mut seen: BTreeSet<Pair> = BTreeSet::new();
    for round in 0..6_u64 {
        let this = std::env::current_exe().unwrap();
        let points = Program::new(this)
            .args(["--exact", "crash::child_that_points", "--ignored", "--nocapture"])
            .env("MUSTER_TEST_FOLDER", folder.path())
            .log(folder.path().join("log"));
        let mut running = points.spawn().unwrap();
        let streams = root.join("streams");
        let watch = tokio::task::spawn_blocking(move || {
            let begun = std::time::Instant::now();
            let mut seen = BTreeSet::new();
            while begun.elapsed() < Duration::from_millis(2000 + 137 * round) {
                seen.extend(pair(&streams));
            }
            seen
        });
        seen.extend(watch.await.unwrap());
        assert!(!running.has_ended(), "{}", fs::read_to_string(folder.path().join("log")).unwrap());
        running.kill().await;
        seen.extend(pair(&root.join("streams")));
    }
    assert!(seen.len() > 6, "the stream hardly moved: {}", seen.len());
    let (data, sig) = (folder.path().join("data"), folder.path().join("sig"));
    for (document, signature) in seen {
        fs::write(&data, &document).unwrap();
        fs::write(&sig, signature).unwrap();
        let checked = key.gpg().arg("--verify").arg(&sig).arg(&data).run().await;
        checked.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&document)));
    }
}

const CHILD: [&str; 4] = ["--exact", "crash::child_that_publishes", "--ignored", "--nocapture"];

/// Kills one process after the other, each a little later, until one ends by itself; looks after each kill; then
/// lets one publish undisturbed.
async fn kill_again_and_again(folder: &Path, settings: &str, upload: &UploadRequest, look: impl AsyncFn()) {
    fs::write(folder.join("settings.toml"), settings).unwrap();
    fs::write(folder.join("request.json"), serde_json::to_vec(upload).unwrap()).unwrap();
    let mut cut_short = 0;
    let mut delay = Duration::from_millis(15);
    loop {
        let mut running = child(folder).spawn().unwrap();
        tokio::time::sleep(delay).await;
        let has_ended = running.has_ended();
        running.kill().await;
        look().await;
        if has_ended {
            break;
        }
        cut_short += 1;
        delay = delay.mul_f32(1.4);
    }
    assert!(cut_short > 3, "no process was killed at work");
    let said = child(folder).run().await.unwrap().text();
    assert!(said.contains("published"), "{said}");
}

#[tokio::test]
async fn no_reader_of_a_mirror_sees_half_a_file_whenever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..6_000_000_u32).flat_map(|number| (number ^ 0x5a5a).to_le_bytes()).collect();
    let upload = release(folder.path(), "Murmur", "43.20261121.0", &content);
    let root = folder.path().join("mirror");
    let settings = format!("{MIRROR}root = \"{}\"\n", root.display());
    let public = root.join("linux/releases/43/Cloud/x86_64/images/Murmur-43-20261121.0.x86_64.qcow2");
    let is_over = Arc::new(AtomicBool::new(false));
    // A kill in the instant in which half a file is there would be luck; a reader who looks all the time needs none.
    let reader = {
        let (public, is_over) = (public.clone(), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                seen.extend(fs::metadata(&public).map(|found| found.len()).ok());
                std::thread::yield_now();
            }
            seen
        })
    };
    kill_again_and_again(folder.path(), &settings, &upload, async || {}).await;
    is_over.store(true, Ordering::Relaxed);
    let seen = reader.join().unwrap();
    assert_eq!(seen, [content.len() as u64].into(), "a reader saw half a file");
    assert_eq!(fs::read(&public).unwrap(), content);
    assert!(staged_files(folder.path()).is_empty());
    for (path, count) in [(public.parent().unwrap(), 4), (&root, 3)] {
        let left: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), count, "something was left in {}: {left:?}", path.display());
    }
}

#[tokio::test]
async fn a_ref_leads_to_a_whole_commit_whenever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let upload = ostree::commit(folder.path(), "43.20261121.0", "one").await;
    let repository = folder.path().join("ostree");
    let settings = format!("{}repository = \"{}\"\n", ostree::OSTREE, repository.display());
    kill_again_and_again(folder.path(), &settings, &upload, async || {
        if repository.join("refs/heads").join(ostree::REF).exists() {
            ostree::ostree(&repository, "fsck").run().await.unwrap();
            let whole =
                ostree::ostree(&repository, "ls").args(["-R", ostree::REF]).run().await.unwrap().text();
            assert!(whole.contains("/usr/large"), "{whole}");
        }
    })
    .await;
    let refs = ostree::ostree(&repository, "refs").run().await.unwrap().text();
    assert_eq!(refs.trim(), ostree::REF);
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_makes_the_repository_leaves_nothing_in_the_way_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let upload = ostree::commit(folder.path(), "43.20261121.0", "one").await;
    let settings = format!("{}repository = \"{}\"\n", ostree::OSTREE, folder.path().join("ostree").display());
    fs::write(folder.path().join("settings.toml"), settings).unwrap();
    fs::write(folder.path().join("request.json"), serde_json::to_vec(&upload).unwrap()).unwrap();
    // An `ostree init` in the middle of which whoever runs it is killed.
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let real = muster::program::find("ostree").unwrap();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = init ] || exec {} \"$@\"\nmkdir -p \"${{2#--repo=}}/objects\"\nkill -KILL $PPID\n",
        real.display()
    );
    fs::write(programs.join("ostree"), script).unwrap();
    fs::set_permissions(programs.join("ostree"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let killed = child(folder.path()).env("PATH", path).run_any().await.unwrap();
    assert_eq!(killed.code, None, "nobody was killed: {}", killed.text());
    let said = child(folder.path()).run().await.unwrap().text();
    assert!(said.contains("published"), "{said}");
}

#[tokio::test]
async fn a_tag_leads_to_a_whole_image_whenever_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let registry = DockerRegistry::start("").await;
    let image = registry::image(folder.path(), "x86_64", &[vec![5; 3_000_000], vec![6; 1_000_000]]);
    let upload = registry::release("43.20261121.0", vec![image]);
    let copy = async |tag: &str| {
        let (place, copy) =
            (format!("docker://{}/murmur/base:{tag}", registry.host), folder.path().join(tag));
        let to = format!("dir:{}", copy.display());
        registry::skopeo(&["copy", "--src-tls-verify=false", &place, &to]).await;
        fs::read_dir(copy).unwrap().count()
    };
    kill_again_and_again(folder.path(), &registry.settings(""), &upload, async || {
        for tag in registry.tags("murmur/base").await {
            // Two layers, the configuration, the manifest and skopeo's own file.
            assert_eq!(copy(&tag).await, 5, "{tag} leads to half an image");
        }
    })
    .await;
    assert_eq!(registry.tags("murmur/base").await, ["43", "43-20261121.0", "latest", "stable"]);
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mirror");
    fs::create_dir(&root).unwrap();
    let upload = release(folder.path(), "Murmur", "43.20261121.0", &vec![7; 3 << 20]);
    fs::write(folder.path().join("settings.toml"), format!("{MIRROR}root = \"{}\"\n", root.display()))
        .unwrap();
    fs::write(folder.path().join("request.json"), serde_json::to_vec(&upload).unwrap()).unwrap();
    // The mirror lies on a disk of 2 MiB, and afterwards what lies there is listed.
    let this = std::env::current_exe().unwrap();
    let finished = Program::new("bwrap")
        .args(["--dev-bind", "/", "/", "--size", "2097152", "--tmpfs"])
        .arg(&root)
        .args(["--", "sh", "-c", "root=$1; shift; \"$@\"; find \"$root\" -type f", "sh"])
        .args([root.as_os_str(), this.as_os_str()])
        .args(CHILD)
        .env("MUSTER_TEST_FOLDER", folder.path())
        .run()
        .await
        .unwrap();
    let said = finished.text();
    assert!(said.contains("Retry(\"cannot copy"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!said.lines().any(|line| line.starts_with('/')), "half a file stayed behind: {said}");
}
