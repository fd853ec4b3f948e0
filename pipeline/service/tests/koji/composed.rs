//! What a chroot on Koji composed, made to boot on this machine: the lab's hub, a real OSTree repository over HTTP, and
//! the program's own jobs.
//!
//! The tree is a few files and no distribution, so that the disk holds what a boot loader needs and starts nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::Router;
use muster::adapters::builders::Builders;
use muster::adapters::local::LocalBuilder;
use muster::clock::Clock;
use muster::config::Settings;
use muster::job::Jobs;
use muster::port::{Fault, Observation, Port};
use muster::program::Program;
use muster_flow::build::{BuildOutput, BuildRequest};
use muster_flow::koji::KojiTask;
use muster_flow::recipe::Form;
use muster_flow::step::Handle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tower_http::services::ServeDir;

use crate::ground::{Ground, failed, key, made};
use crate::kinds::{composejson, runroot, with_chroots};

const REF: &str = "lab/43/x86_64/iot";

async fn ostree(arguments: &[&str]) -> String {
    Program::new("ostree").args(arguments).run().await.unwrap().text().trim().to_owned()
}

/// The repository that builders compose into, as strangers read it.
struct Composed {
    folder: TempDir,
    url: String,
    /// The commit of the tree.
    commit: String,
}

impl Composed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        for (path, text) in [
            ("usr/lib/os-release", "ID=murmur\nVERSION_ID=43\nPRETTY_NAME='Murmur 43'\n"),
            ("usr/lib/modules/6.1.0/vmlinuz", "a kernel"),
            ("usr/lib/modules/6.1.0/initramfs.img", "what it begins with"),
            ("usr/etc/hostname", "lab\n"),
        ] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), text).unwrap();
        }
        let repository = folder.path().join("repo").display().to_string();
        let to = format!("--repo={repository}");
        ostree(&["init", &to, "--mode=archive"]).await;
        // As rpm-ostree says it.
        let packages = "--add-metadata=rpmostree.rpmdb.pkglist=[('bash', '0', '5.3.0', '2.mm43', 'x86_64')]";
        let from = format!("--tree=dir={}", tree.display());
        let commit = ostree(&["commit", &to, "--branch", REF, "--bootable", packages, &from]).await;
        ostree(&["summary", &to, "--update"]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/repo", listener.local_addr().unwrap());
        let files = Router::new().fallback_service(ServeDir::new(folder.path()));
        tokio::spawn(async move { axum::serve(listener, files).await });
        Composed { folder, url, commit }
    }

    fn request(&self) -> BuildRequest {
        let mut request = runroot();
        request.arch = "x86_64".to_owned();
        request.file_stem = "Lab-43-20261121.0.x86_64".to_owned();
        if let KojiTask::Runroot(task) = &mut request.koji.as_mut().unwrap().kind {
            task.repository_url.clone_from(&self.url);
        }
        request
    }
}

/// A process's builders. Its jobs outlive it.
fn builders(ground: &Ground) -> Builders {
    let root = ground.folder.path().join("builds");
    fs::create_dir_all(&root).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_muster")).to_owned();
    let jobs = Jobs { kind: "build", root, program, config: None, ended: unbounded_channel().0 };
    let koji = Some(crate::ground::settings(&ground.hub, &ground.folder));
    let settings = Settings { koji, ..Settings::default() };
    Builders::new(LocalBuilder { jobs }, &settings, &Clock::system()).unwrap()
}

/// Looks, each time as a process that remembers nothing, until it is over.
async fn over(ground: &Ground, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
    let begun = Instant::now();
    loop {
        match builders(ground).observe(handle).await {
            Ok(Observation::Running(note) | Observation::Slow { note, .. }) => {
                assert!(begun.elapsed() < Duration::from_mins(5), "it hangs: {note}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            over => return over,
        }
    }
}

#[tokio::test]
async fn what_koji_composed_becomes_an_archive_and_disks_on_this_machine() {
    let (ground, composed) = (with_chroots().await, Composed::new().await);
    let handle = builders(&ground).ensure(&key(), &composed.request()).await.unwrap();
    ground.hub.finish(33, composejson(&composed.commit).as_bytes());
    let output = made(over(&ground, &handle).await);
    let of_form = |form| output.artifacts.iter().find(|artifact| artifact.form == form).unwrap();
    let archive = of_form(Form::OstreeCommit);
    assert_eq!(archive.digest, composed.commit);
    let repository = format!("--repo={}", archive.path);
    assert_eq!(ostree(&["rev-parse", &repository, REF]).await, composed.commit);
    ostree(&["fsck", &repository]).await;
    assert!(
        ostree(&["remote", "list", &repository]).await.is_empty(),
        "where it came from is nobody's business"
    );
    let raw = of_form(Form::Raw);
    assert!(raw.size > 1 << 20 && of_form(Form::Qcow2).size > 1 << 16, "{:?}", output.artifacts);
    let packages: Vec<String> = output.packages.iter().map(muster_flow::build::Package::nvr).collect();
    assert_eq!(packages, ["bash-5.3.0-2.mm43"]);
    let record = output.koji.unwrap();
    assert_eq!((record.task, record.method.as_str()), (33, "runroot"));
    assert_eq!((ground.hub.count("runroot"), ground.hub.tasks("runroot").len()), (1, 1));
    // The task may be gone from the hub by the time that somebody looks once more.
    ground.hub.lose(33);
    assert_eq!(made(over(&ground, &handle).await).artifacts.len(), output.artifacts.len());
}

#[tokio::test]
async fn a_repository_without_the_commit_or_with_another_content_fails_the_build_and_says_so() {
    let (ground, composed) = (with_chroots().await, Composed::new().await);
    let handle = builders(&ground).ensure(&key(), &composed.request()).await.unwrap();
    ground.hub.finish(33, composejson(&"ab".repeat(32)).as_bytes());
    let why = failed(over(&ground, &handle).await);
    assert!(why.contains("ostree") && why.contains(&"ab".repeat(32)), "{why}");

    let (ground, composed) = (with_chroots().await, Composed::new().await);
    let handle = builders(&ground).ensure(&key(), &composed.request()).await.unwrap();
    let objects = composed.folder.path().join("repo/objects");
    let find =
        Program::new("find").arg(&objects).args(["-name", "*.filez", "-size", "+0"]).run().await.unwrap();
    let object = find.text().lines().next().unwrap().to_owned();
    let mut bytes = fs::read(&object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&object, bytes).unwrap();
    ground.hub.finish(33, composejson(&composed.commit).as_bytes());
    let why = failed(over(&ground, &handle).await);
    assert!(why.contains("ostree"), "{why}");
}
