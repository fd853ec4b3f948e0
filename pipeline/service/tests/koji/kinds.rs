//! The further kinds of tasks: kiwi, osbuild, indirection, and kickstarts that builders read from git.

use std::collections::BTreeMap;

use muster::port::Port;
use muster_flow::build::BuildRequest;
use muster_flow::koji::{IndirectionTask, Input, KiwiTask, KojiTask, OsbuildTask, OzTask, RunrootTask};
use muster_flow::recipe::{Product, Repository};
use muster_flow::step::StepKey;
use muster_lab::death;
use muster_lab::koji::TaskState;
use muster_lab::koji::mishap::Mishap;
use serde_json::{Value, json};

use crate::ground::{Ground, failed, given_up, image, key, made, request, retried, running};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What stands behind a release that has to be known again: the key of `ground::key` as a word.
const WORD: &str = "m067f65a372";

fn of_kind(task: KojiTask, file: &str, text: &str) -> BuildRequest {
    let mut request = request();
    request.definition.file = file.to_owned();
    request.definition.commit = COMMIT.to_owned();
    request.definition.texts = BTreeMap::from([(file.to_owned(), text.to_owned())]);
    request.koji.as_mut().unwrap().kind = task;
    request
}

fn from_git(ksurl: &str) -> BuildRequest {
    let mut request = request();
    request.definition.commit = COMMIT.to_owned();
    let task = OzTask { ksurl: Some(ksurl.to_owned()), ..OzTask::default() };
    request.koji.as_mut().unwrap().kind = KojiTask::Image(task);
    request
}

fn kiwi() -> BuildRequest {
    let task = KiwiTask {
        description: "git+https://forge.example.org/descriptions?#$commit".to_owned(),
        path: "teams/cloud/".to_owned(),
        profile: Some("Cloud-Base".to_owned()),
        kind: Some("oem".to_owned()),
        type_attributes: Vec::new(),
        bundle_name: None,
        optional_arches: vec!["aarch64".to_owned()],
    };
    of_kind(KojiTask::Kiwi(task), "teams/cloud/cloud.kiwi", "<image/>")
}

fn osbuild() -> BuildRequest {
    let task = OsbuildTask { distro: "fedora-$version".to_owned(), image_type: "qcow2".to_owned() };
    of_kind(KojiTask::Osbuild(task), "cloud.json", "{ \"packages\": [{ \"name\": \"bash\" }] }")
}

fn indirection(ground: &Ground) -> BuildRequest {
    // A finished image of the lab is what it works with.
    let base = ground.hub.tasks("createImage")[0].id;
    let task = IndirectionTask {
        results_location: "/results/image.qcow2".to_owned(),
        template_url: Some("git+https://forge.example.org/templates#$commit".to_owned()),
        utility_image: Input::Task(base),
        base_image: Input::Task(base),
    };
    let mut request = of_kind(KojiTask::Indirection(task), "lab.tdl", "<template/>");
    request.koji.as_mut().unwrap().arches.truncate(1);
    request
}

fn kept(mut request: BuildRequest) -> BuildRequest {
    request.koji.as_mut().unwrap().scratch = false;
    request
}

/// What the one task of a kind was asked for.
fn asked(ground: &Ground, method: &str) -> Value {
    let tasks = ground.hub.tasks(method);
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks[0].request.clone()
}

#[tokio::test]
async fn a_kickstart_from_git_is_held_to_the_frozen_commit() {
    let ground = Ground::new().await;
    let url = "git+https://forge.example.org/kickstarts?#$commit";
    ground.builder.ensure(&key(), &from_git(url)).await.unwrap();
    let options = asked(&ground, "image")[5].clone();
    assert_eq!(options["ksurl"], json!(url.replace("$commit", COMMIT)));
    assert_eq!(
        (&options["kickstart"], &options["release"]),
        (&json!("lab.ks"), &json!(format!("20261121.0.{WORD}")))
    );
    assert_eq!(ground.hub.count("upload"), 0);
    ground.hub.finish(33, &image());
    let handle = ground.builder.ensure(&key(), &from_git(url)).await.unwrap();
    let names: Vec<_> = made(ground.look(&handle).await).artifacts.into_iter().map(|one| one.name).collect();
    assert_eq!(names[0], format!("Lab-43-20261121.0.{WORD}.x86_64.qcow2"));
}

#[tokio::test]
async fn an_address_that_is_not_held_to_a_commit_makes_no_task() {
    let ground = Ground::new().await;
    let cases = [
        ("git+https://forge.example.org/kickstarts#main", "may be another commit tomorrow"),
        ("git+https://forge.example.org/kickstarts", "names no commit"),
        ("https://forge.example.org/kickstarts#$commit", "no address that Koji's builders check out"),
        (
            "git+https://forge.example.org/kickstarts?elsewhere#$commit",
            "does not lie in the folder elsewhere",
        ),
    ];
    for (url, why) in cases {
        let said = given_up(ground.builder.ensure(&key(), &from_git(url)).await);
        assert!(said.contains(why), "{url}: {said}");
    }
    let mut loose = from_git("git+https://forge.example.org/kickstarts#$commit");
    loose.definition.commit = String::new();
    let said = given_up(ground.builder.ensure(&key(), &loose).await);
    assert!(said.contains("lies in no repository"), "{said}");
    assert_eq!(ground.hub.calls().iter().filter(|call| call.method == "getBuildTarget").count(), 0);
}

#[tokio::test]
async fn kiwi_is_asked_for_as_the_hub_stores_it() {
    let ground = Ground::new().await;
    ground.builder.ensure(&key(), &kiwi()).await.unwrap();
    assert_eq!(
        asked(&ground, "kiwiBuild"),
        json!(["f43", ["x86_64", "aarch64"], format!("git+https://forge.example.org/descriptions?#{COMMIT}"),
            "teams/cloud/", { "scratch": true, "profile": "Cloud-Base", "type": "oem", "version": "43",
            "release": format!("20261121.0.{WORD}"), "optional_arches": ["aarch64"], "use_buildroot_repo": true }])
    );
    let other = Ground::new().await;
    other.builder.ensure(&key(), &kept(kiwi())).await.unwrap();
    let options = asked(&other, "kiwiBuild")[4].clone();
    assert_eq!(options["repos"], json!([format!("{}/repos/f43-build/1/$arch/", other.hub.topurl())]));
    assert_eq!((&options["use_buildroot_repo"], &options["release"]), (&json!(false), &json!("20261121.0")));
}

#[tokio::test]
async fn what_kiwi_made_is_found_by_its_form_and_not_by_its_name() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &kiwi()).await.unwrap();
    ground.hub.finish(33, &image());
    let output = made(ground.look(&handle).await);
    let names: Vec<_> = output.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    let of_arch = |arch: &str| format!("Lab.{arch}-43-20261121.0.{WORD}.qcow2");
    assert_eq!(names, [of_arch("x86_64"), of_arch("aarch64")]);
    let other = Ground::new().await;
    let handle = other.builder.ensure(&key(), &kept(kiwi())).await.unwrap();
    other.hub.finish(33, &image());
    let output = made(other.look(&handle).await);
    assert_eq!(output.koji.unwrap().build.unwrap().nvr, "Lab-43-20261121.0");
    assert_eq!(other.hub.count("checkUpload"), 0);
}

#[tokio::test]
async fn an_architecture_that_may_fail_is_left_out_and_said() {
    for is_kept in [false, true] {
        let ground = Ground::new().await;
        let wanted = if is_kept { kept(kiwi()) } else { kiwi() };
        let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
        ground.hub.begin(33);
        ground.hub.fail_only(33, "aarch64", (1018, "no space"));
        ground.hub.finish(33, &image());
        let output = made(ground.look(&handle).await);
        assert_eq!(output.artifacts.len(), 1);
        let said = "there is no image for aarch64, which its recipe lets fail: Koji task 35 for aarch64 failed: no \
                    space (fault 1018)";
        assert!(output.warnings.iter().any(|line| line == said), "{:?}", output.warnings);
    }
}

#[tokio::test]
async fn an_architecture_that_must_not_fail_fails_the_build_and_says_which_were_done() {
    let ground = Ground::new().await;
    let mut wanted = kiwi();
    if let KojiTask::Kiwi(task) = &mut wanted.koji.as_mut().unwrap().kind {
        task.optional_arches = vec!["x86_64".to_owned()];
    }
    let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
    ground.hub.begin(33);
    ground.hub.finish_child(33, "x86_64", &image());
    ground.hub.fail_child(33, "aarch64", (1018, "no space"));
    let why = failed(ground.look(&handle).await);
    assert!(
        why.starts_with("Koji task 35 for aarch64 failed: no space (fault 1018); done were: x86_64; http"),
        "{why}"
    );
}

#[tokio::test]
async fn osbuild_is_never_scratch_and_what_only_proves_a_change_is_in_no_tag() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &osbuild()).await.unwrap();
    let release = format!("20261121.0.{WORD}");
    assert_eq!(
        asked(&ground, "osbuildImage"),
        json!(["Lab", "43", "fedora-43", ["qcow2"], "f43", ["x86_64", "aarch64"], { "release": release,
            "skip_tag": true, "customizations": { "packages": [{ "name": "bash" }] } }])
    );
    ground.hub.finish(33, &image());
    // A build that was taken in from outside need not name its task.
    ground.hub.spoil_builds(|build| build.task = None);
    let output = made(ground.look(&handle).await);
    assert_eq!(output.artifacts.len(), 2);
    assert_eq!(output.koji.unwrap().build.unwrap().nvr, format!("Lab-43-{release}"));
    assert_eq!(output.packages.len(), 2);
    let other = Ground::new().await;
    other.builder.ensure(&key(), &kept(osbuild())).await.unwrap();
    let options = asked(&other, "osbuildImage")[6].clone();
    assert_eq!(options["repo"], json!([format!("{}/repos/f43-build/1/$arch/", other.hub.topurl())]));
    assert_eq!((&options["skip_tag"], &options["release"]), (&json!(null), &json!("20261121.0")));
}

#[tokio::test]
async fn customizations_that_are_no_object_make_no_task() {
    let ground = Ground::new().await;
    for text in ["[]", "{", ""] {
        let mut wanted = osbuild();
        wanted.definition.texts.insert("cloud.json".to_owned(), text.to_owned());
        let said = given_up(ground.builder.ensure(&key(), &wanted).await);
        assert!(said.contains("cloud.json: "), "{text}: {said}");
    }
    assert_eq!(ground.hub.count("osbuildImage"), 0);
}

#[tokio::test]
async fn an_indirection_is_made_from_a_finished_image_and_leaves_its_files_with_itself() {
    let ground = Ground::new().await;
    ground.finished().await;
    let wanted = indirection(&ground);
    let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
    let options = asked(&ground, "indirectionimage")[0].clone();
    assert_eq!((&options["scratch"], &options["arch"]), (&json!(true), &json!("x86_64")));
    let template = options["indirection_template"].as_str().unwrap().strip_prefix("work/").unwrap();
    assert_eq!(ground.hub.uploaded(template).unwrap(), b"<template/>");
    let id = ground.hub.tasks("indirectionimage")[0].id;
    ground.hub.finish(id, &image());
    let output = made(ground.look(&handle).await);
    assert_eq!(output.artifacts[0].name, "Lab-43-20261121.0.x86_64.qcow2");
    assert!(std::fs::read_to_string(&output.log).unwrap().contains("it ran"));
    // A build that is kept reads its template from git.
    let second = StepKey("lab/43.20261121.1/build/x86_64".to_owned());
    let handle = ground.builder.ensure(&second, &kept(wanted)).await.unwrap();
    let task = ground.hub.tasks("indirectionimage").pop().unwrap();
    assert_eq!(
        task.request[0]["indirection_template_url"],
        json!(format!("git+https://forge.example.org/templates#{COMMIT}"))
    );
    assert_eq!(task.request[0]["indirection_template"], json!("lab.tdl"));
    ground.hub.finish(task.id, &image());
    let output = made(ground.look(&handle).await);
    assert_eq!(output.koji.unwrap().build.unwrap().nvr, "Lab-43-20261121.0");
}

#[tokio::test]
async fn an_indirection_whose_images_are_not_there_makes_no_task() {
    let ground = Ground::new().await;
    ground.finished().await;
    let mut wanted = indirection(&ground);
    let cases = [
        (Input::Task(33), "koji.base_image: task 33 is of the kind image: name a createImage task"),
        (Input::Task(99), "koji.base_image: the hub knows no task 99"),
        (Input::Build("Lab-43-9".to_owned()), "koji.base_image: the hub has no build Lab-43-9"),
        (Input::Build("Lab".to_owned()), "\"Lab\" is no name-version-release"),
    ];
    for (input, why) in cases {
        if let KojiTask::Indirection(task) = &mut wanted.koji.as_mut().unwrap().kind {
            task.base_image = input;
        }
        let said = given_up(ground.builder.ensure(&key(), &wanted).await);
        assert!(said.contains(why), "{why}: {said}");
    }
    wanted.koji.as_mut().unwrap().arches = vec!["x86_64".to_owned(), "aarch64".to_owned()];
    let said = given_up(ground.builder.ensure(&key(), &wanted).await);
    assert!(said.contains("makes the image of one architecture"), "{said}");
    assert_eq!(ground.hub.tasks("indirectionimage").len(), 0);
}

/// Every kind, the hub's call, and its tasks.
fn kinds(ground: &Ground) -> [(BuildRequest, &'static str, &'static str); 6] {
    [
        (runroot(), "runroot", "runroot"),
        (from_git("git+https://forge.example.org/kickstarts#$commit"), "buildImageOz", "image"),
        (kiwi(), "kiwiBuild", "kiwiBuild"),
        (kept(kiwi()), "kiwiBuild", "kiwiBuild"),
        (osbuild(), "osbuildImage", "osbuildImage"),
        (indirection(ground), "buildImageIndirection", "indirectionimage"),
    ]
}

/// A ground on which an indirection finds its images.
async fn with_images() -> Ground {
    let ground = with_chroots().await;
    let other = StepKey("other/43.20261121.0/build/x86_64".to_owned());
    ground.builder.ensure(&other, &request()).await.unwrap();
    ground.hub.finish(33, &image());
    ground
}

#[tokio::test]
async fn whatever_the_kind_and_whatever_goes_wrong_there_is_one_task() {
    for number in 0..6 {
        for mishap in [
            Mishap::AnswerLost,
            Mishap::Status(502),
            Mishap::Fault(1007, "expired".to_owned()),
            Mishap::Fault(1008, "5 > 4".to_owned()),
            Mishap::Fault(1009, "unable to retry".to_owned()),
            Mishap::Fault(1014, "offline".to_owned()),
        ] {
            let mut ground = with_images().await;
            let (wanted, call, method) = kinds(&ground)[number].clone();
            let before = ground.hub.tasks(method).len();
            ground.hub.mishap(call, mishap.clone());
            let mut tries = 0;
            let handle = loop {
                tries += 1;
                assert!(tries < 5, "{call} {mishap:?}");
                match ground.builder.ensure(&key(), &wanted).await {
                    Ok(handle) => break handle,
                    outcome => drop(retried(outcome)),
                }
            };
            ground.restart();
            for _ in 0..3 {
                assert_eq!(ground.builder.ensure(&key(), &wanted).await.unwrap(), handle);
            }
            assert_eq!(ground.hub.tasks(method).len(), before + 1, "{call} {mishap:?}");
            // A further try is a task of its own, and another candidate's too.
            let task = ground.hub.tasks(method).pop().unwrap();
            ground.hub.fail(task.id, (1018, "no"));
            failed(ground.look(&handle).await);
            let again = StepKey::of_generation(&key().0, 2);
            ground.builder.ensure(&again, &wanted).await.unwrap();
            assert_eq!(ground.hub.tasks(method).len(), before + 2, "{call} {mishap:?}");
        }
    }
}

#[tokio::test]
async fn whatever_the_kind_killed_at_any_moment_it_makes_one_task() {
    for number in 0..6 {
        let mut survived = false;
        let mut polls = 1;
        while !survived {
            let mut ground = with_images().await;
            let (wanted, _, method) = kinds(&ground)[number].clone();
            let before = ground.hub.tasks(method).len();
            survived = death::after(polls, ground.builder.ensure(&key(), &wanted)).await.is_some();
            ground.restart();
            let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
            running(ground.look(&handle).await);
            assert_eq!(ground.hub.tasks(method).len(), before + 1, "{method} killed after {polls} polls");
            polls += 2;
        }
    }
}

#[tokio::test]
async fn whatever_the_kind_to_cancel_ends_its_task() {
    for number in 0..6 {
        let ground = with_images().await;
        let (wanted, _, method) = kinds(&ground)[number].clone();
        let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
        ground.builder.cancel(&handle).await.unwrap();
        assert_eq!(ground.hub.tasks(method).pop().unwrap().state, TaskState::Canceled);
        // Somebody has it done again on Koji's own pages: it is followed.
        let id = ground.hub.tasks(method).pop().unwrap().id;
        let again = ground.hub.resubmit(id, "releng").unwrap();
        assert!(running(ground.look(&handle).await).starts_with(&format!("Koji task {again} is free")));
    }
}

pub fn runroot() -> BuildRequest {
    let task = RunrootTask {
        repository: "/mnt/koji/compose/repo".to_owned(),
        repository_url: "https://pkgs.example.org/compose/repo".to_owned(),
        mounts: vec!["/mnt/koji/compose".to_owned()],
        packages: vec!["rpm-ostree".to_owned()],
        channel: Some("runroot".to_owned()),
    };
    let text = "ref: lab/43/${basearch}/iot\nrepos: [\"fedora\"]\npackages: [\"bash\"]\n";
    let mut request = of_kind(KojiTask::Runroot(task), "lab.yaml", text);
    request.product = Product::Ostree;
    request.packages.repositories.push(Repository {
        name: "koji".to_owned(),
        baseurl: "https://m.example/43/$basearch/".to_owned(),
        gpgkeys: Vec::new(),
    });
    request.koji.as_mut().unwrap().arches.truncate(1);
    request
}

pub async fn with_chroots() -> Ground {
    let ground = Ground::new().await;
    ground.hub.permit("imagebot", &["image", "runroot"]);
    ground
}

#[tokio::test]
async fn a_treefile_goes_along_in_the_command_of_a_chroot() {
    let ground = with_chroots().await;
    ground.builder.ensure(&key(), &runroot()).await.unwrap();
    let request = asked(&ground, "runroot");
    assert_eq!((&request[0], &request[1]), (&json!("f43-build"), &json!("x86_64")));
    assert_eq!(
        request[3],
        json!({ "packages": ["rpm-ostree"], "mounts": ["/mnt/koji/compose"], "new_chroot": true,
            "upload_logs": ["/var/tmp/muster/compose.json"], "__starstar": true })
    );
    // The command is what a shell makes of it.
    let command = request[2].as_str().unwrap();
    let begins = ": muster cli-image/muster.1790000000.lab.43.20261121.0.build.x86_64_aarch64 \
                  'https://m.example/43/x86_64/' && ";
    assert!(command.starts_with(begins), "{command}");
    let folder = ground.folder.path().join("chroot");
    let here = command
        .replace("/var/tmp/muster", folder.to_str().unwrap())
        .replace("rpm-ostree compose", "echo compose");
    let finished =
        muster::program::Program::new("sh").args(["-c", &format!("{{ {here}; }}")]).run().await.unwrap();
    let top = folder.display();
    assert_eq!(
        finished.text().trim(),
        format!(
            "compose tree --unified-core --force-nocache --repo=/mnt/koji/compose/repo \
             --write-composejson-to={top}/compose.json --add-metadata-string=version=43.20261121.0 {top}/muster.json"
        )
    );
    let tree: Value = serde_json::from_slice(&std::fs::read(folder.join("muster.json")).unwrap()).unwrap();
    assert_eq!((&tree["repos"], &tree["packages"]), (&json!(["muster-0"]), &json!(["bash"])));
    let repository = std::fs::read_to_string(folder.join("muster.repo")).unwrap();
    assert!(repository.contains("baseurl=https://m.example/43/x86_64/\n"), "{repository}");
}

#[tokio::test]
async fn a_chroot_of_a_release_is_held_to_the_repository_that_its_packages_come_from() {
    let ground = with_chroots().await;
    let mut wanted = kept(runroot());
    wanted.packages.repositories[0].baseurl =
        format!("{}/repos/f43-build/latest/$basearch/", ground.hub.topurl());
    let handle = ground.builder.ensure(&key(), &wanted).await.unwrap();
    let request = asked(&ground, "runroot");
    assert_eq!(request[3]["repo_id"], json!(1));
    ground.hub.finish(33, composejson(&"ab".repeat(32)).as_bytes());
    let record = made(ground.look(&handle).await).koji.unwrap();
    assert_eq!((record.method.as_str(), record.repos[0].event), ("runroot", 31));
}

pub fn composejson(commit: &str) -> String {
    json!({ "ref": "lab/43/x86_64/iot", "ostree-commit": commit, "ostree-version": "43.20261121.0" })
        .to_string()
}

#[tokio::test]
async fn what_a_chroot_composed_is_told_by_what_it_left_and_not_by_its_text() {
    let ground = with_chroots().await;
    let handle = ground.builder.ensure(&key(), &runroot()).await.unwrap();
    ground.hub.begin(33);
    assert!(running(ground.look(&handle).await).starts_with("Koji task 33 is open"));
    let commit = "ab".repeat(32);
    ground.hub.finish(33, composejson(&commit).as_bytes());
    let output = made(ground.look(&handle).await);
    let artifact = &output.artifacts[0];
    assert_eq!((artifact.name.as_str(), &artifact.digest), ("lab/43/x86_64/iot", &commit));
    assert_eq!(artifact.path, "https://pkgs.example.org/compose/repo");
    assert!(std::fs::read_to_string(&output.log).unwrap().contains("rpm-ostree"));
    for left in ["{}", "no JSON", &composejson("../../etc/passwd")] {
        let other = with_chroots().await;
        let handle = other.builder.ensure(&key(), &runroot()).await.unwrap();
        other.hub.finish(33, left.as_bytes());
        assert!(failed(other.look(&handle).await).contains("compose.json"), "{left}");
    }
}

#[tokio::test]
async fn a_chroot_needs_its_own_permission_and_a_repository_that_outlives_it() {
    let ground = Ground::new().await;
    let why = given_up(ground.builder.ensure(&key(), &runroot()).await);
    assert!(why.contains("koji grant-permission runroot imagebot"), "{why}");
    let mut wanted = runroot();
    if let KojiTask::Runroot(task) = &mut wanted.koji.as_mut().unwrap().kind {
        task.mounts.clear();
        task.repository_url = "/mnt/koji/compose/repo".to_owned();
    }
    let why = given_up(ground.builder.ensure(&key(), &wanted).await);
    assert!(why.contains("koji.mounts: /mnt/koji/compose/repo is below none of them"), "{why}");
    assert!(why.contains("koji.repository_url: "), "{why}");
    assert_eq!(ground.hub.count("runroot"), 0);
}
