//! One step is one task, whatever dies when.

use muster::port::{Observation, Port};
use muster_flow::step::StepKey;
use muster_lab::death;
use muster_lab::koji::TaskState;
use muster_lab::seen;
use serde_json::json;

use crate::ground::{Ground, failed, given_up, image, kept, key, made, request, running};

#[tokio::test]
async fn an_image_is_asked_for_as_builders_need_it() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    let asked = ground.hub.task(ground.task()).unwrap().request;
    let folder = "cli-image/muster.1790000000.lab.43.20261121.0.build.x86_64_aarch64";
    assert_eq!(
        asked,
        json!(["Lab", "43", ["x86_64", "aarch64"], "f43", "https://m.example/43/$arch/os/", {
            "scratch": true, "kickstart": format!("work/{folder}/lab.ks"), "format": ["qcow2"],
            "distro": "Fedora-43", "disk_size": "10", "release": "20261121.0"
        }])
    );
    let kickstart = ground.hub.uploaded(&format!("{folder}/lab.ks")).unwrap();
    let kickstart = String::from_utf8(kickstart).unwrap();
    assert!(kickstart.contains("lang en_US") && !kickstart.contains("%include"), "{kickstart}");
}

#[tokio::test]
async fn asked_a_hundred_times_it_makes_one_task() {
    let ground = Ground::new().await;
    let first = seen::asked_a_hundred_times(|| ground.another(), &key(), &request()).await;
    assert_eq!((ground.hub.count("buildImageOz"), ground.hub.count("upload")), (1, 1));
    // And when it is over, too.
    ground.hub.finish(ground.task(), &image());
    assert_eq!(ground.ensure().await.unwrap(), first);
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn other_installations_and_candidates_have_tasks_of_their_own() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    let mut later = request();
    later.source_date_epoch += 1;
    ground.builder.ensure(&key(), &later).await.unwrap();
    ground.builder.ensure(&StepKey("lab/43.20261121.1/build/x86_64".to_owned()), &request()).await.unwrap();
    assert_eq!(ground.hub.tasks("image").len(), 3);
}

#[tokio::test]
async fn progress_names_the_task_and_its_children() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    let page = format!("{}/taskinfo?taskID=33", ground.hub.weburl());
    assert_eq!(running(ground.look(&handle).await), format!("Koji task 33 is free: {page}"));
    ground.hub.begin(33);
    ground.hub.finish_child(33, "aarch64", &image());
    let note = format!("Koji task 33 is open, x86_64 open (34), aarch64 closed (35): {page}");
    assert_eq!(running(ground.look(&handle).await), note);
}

#[tokio::test]
async fn what_the_children_made_is_fetched_and_checked() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    let output = made(ground.look(&handle).await);
    let names: Vec<_> = output.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["Lab-43-20261121.0.x86_64.qcow2", "Lab-43-20261121.0.aarch64.qcow2"]);
    for artifact in &output.artifacts {
        assert_eq!(std::fs::read(&artifact.path).unwrap(), image());
        assert_eq!((artifact.size, artifact.digest.len()), (1 << 18, 64));
    }
    let links: Vec<_> = output.links.iter().map(|link| link.text.as_str()).collect();
    assert_eq!(
        links,
        ["Koji task 33", "x86_64 on Koji", "oz-x86_64.log", "aarch64 on Koji", "oz-aarch64.log"]
    );
    assert!(std::fs::read_to_string(&output.log).unwrap().contains("the installer ran"));
    // Where the folder's key is, the reaper finds it.
    let folder = std::path::Path::new(&output.log).parent().unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("key")).unwrap(), key().0);
    // Looked at once more, it is the same, and nothing is fetched again.
    let fetched = ground.hub.downloads().len();
    assert_eq!(made(ground.look(&handle).await), output);
    assert_eq!(ground.hub.downloads().len(), fetched);
}

#[tokio::test]
async fn one_architecture_that_fails_fails_the_build_with_its_reason() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.begin(33);
    ground.hub.finish_child(33, "x86_64", &image());
    ground.hub.fail_child(33, "aarch64", (1018, "Image status is FAILED: no\nspace"));
    let why = failed(ground.look(&handle).await);
    let page = format!("{}/taskinfo?taskID=33", ground.hub.weburl());
    assert_eq!(
        why,
        format!(
            "Koji task 35 for aarch64 failed: Image status is FAILED: no space (fault 1018); done were: x86_64; {page}"
        )
    );
}

#[tokio::test]
async fn a_task_that_fails_before_it_has_children_says_why() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.fail(33, (1005, "Invalid arch for build tag: s390x"));
    let why = failed(ground.look(&handle).await);
    assert!(why.starts_with("Koji task 33 failed: Invalid arch for build tag: s390x (fault 1005);"), "{why}");
}

#[tokio::test]
async fn a_task_that_somebody_canceled_says_so() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.begin(33);
    ground.hub.cancel(33);
    let why = failed(ground.look(&handle).await);
    assert!(why.starts_with("somebody canceled Koji task 33: http://"), "{why}");
}

#[tokio::test]
async fn a_task_that_somebody_has_done_again_is_followed() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.fail(33, (1018, "a builder broke"));
    // By an administrator, so that it is not ours by its owner.
    let again = ground.hub.resubmit(33, "releng").unwrap();
    assert!(running(ground.look(&handle).await).starts_with(&format!("Koji task {again} is free")));
    ground.hub.finish(again, &image());
    assert_eq!(made(ground.look(&handle).await).artifacts.len(), 2);
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn a_further_try_takes_what_somebody_had_done_again_and_else_makes_its_own() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    ground.hub.fail(33, (1018, "a builder broke"));
    let second = StepKey(format!("{}#2", key()));
    let again = ground.hub.resubmit(33, "releng").unwrap();
    let handle = ground.builder.ensure(&second, &request()).await.unwrap();
    assert!(running(ground.look(&handle).await).contains(&format!("Koji task {again} ")));
    assert_eq!(ground.hub.count("buildImageOz"), 1);
    // That one fails too: the third try is a task of its own.
    ground.hub.fail(again, (1018, "it broke again"));
    let third = StepKey(format!("{}#3", key()));
    let handle = ground.builder.ensure(&third, &request()).await.unwrap();
    assert_eq!(ground.hub.count("buildImageOz"), 2);
    assert!(running(ground.look(&handle).await).starts_with("Koji task 35 is free"));
}

#[tokio::test]
async fn a_build_that_is_kept_records_its_packages_and_is_never_made_anew() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &kept()).await.unwrap();
    ground.hub.finish(33, &image());
    let output = made(ground.look(&handle).await);
    let packages: Vec<_> =
        output.packages.iter().map(|package| format!("{}.{}", package.nvr(), package.arch)).collect();
    assert_eq!(packages, ["bash-5.3.0-2.fc43.aarch64", "bash-5.3.0-2.fc43.x86_64"]);
    assert_eq!(output.warnings, Vec::<String>::new());
    // A further try, because what was fetched was lost: the name, version and release are taken.
    for generation in 2..5 {
        let key = StepKey::of_generation(&key().0, generation);
        let handle = ground.builder.ensure(&key, &kept()).await.unwrap();
        made(ground.look(&handle).await);
    }
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn a_build_that_is_kept_needs_its_package_in_the_tags_list() {
    let ground = Ground::new().await;
    ground.hub.list_packages("f43", &[]);
    let why = given_up(ground.builder.ensure(&key(), &kept()).await);
    assert!(why.contains("koji add-pkg --owner=WHO f43 Lab"), "{why}");
    ground.ensure().await.unwrap();
    assert_eq!(ground.hub.count("buildImageOz"), 1, "a scratch image needs no list");
}

#[tokio::test]
async fn killed_at_any_moment_it_makes_one_task() {
    let mut survived = false;
    let mut polls = 1;
    while !survived {
        let mut ground = Ground::new().await;
        survived = death::after(polls, ground.ensure()).await.is_some();
        ground.restart();
        let handle = ground.ensure().await.unwrap();
        running(ground.look(&handle).await);
        assert_eq!(ground.hub.tasks("image").len(), 1, "killed after {polls} polls");
        polls += 1;
    }
    assert!(polls > 10, "it was killed in between");
}

#[tokio::test]
async fn a_task_that_a_stranger_makes_to_look_like_ours_is_not_taken() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    let forged = ground.hub.task(33).unwrap().request;
    let other = Ground::new().await;
    other.hub.forge("releng", forged);
    other.ensure().await.unwrap();
    assert_eq!(other.hub.tasks("image").len(), 2, "ours is made beside it");
}

#[tokio::test]
async fn to_cancel_ends_the_task_with_its_children_and_removes_what_was_fetched() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.begin(33);
    running(ground.look(&handle).await);
    for _ in 0..3 {
        ground.builder.cancel(&handle).await.unwrap();
    }
    assert_eq!(ground.hub.task(33).unwrap().state, TaskState::Canceled);
    assert_eq!(ground.hub.child(33, "x86_64").unwrap().state, TaskState::Canceled);
    assert_eq!(ground.hub.count("cancelTask"), 1);
    let done = Ground::new().await;
    let handle = done.finished().await;
    let output = made(done.look(&handle).await);
    done.builder.cancel(&handle).await.unwrap();
    assert!(!std::path::Path::new(&output.artifacts[0].path).exists());
    assert_eq!(done.hub.count("cancelTask"), 0, "it was over");
}

#[tokio::test]
async fn a_task_that_the_hub_does_not_know_any_more_has_vanished() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.lose(33);
    let seen = ground.look(&handle).await.unwrap();
    assert_eq!(seen, Observation::Vanished("the hub knows no task 33".to_owned()));
}
