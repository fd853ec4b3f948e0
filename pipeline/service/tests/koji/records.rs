//! Builds that Koji keeps: held to one package set, and recorded.

use std::collections::BTreeSet;

use muster::adapters::koji;
use muster::port::Port;
use muster_flow::build::{BuildRequest, Package};
use muster_flow::koji::{KojiBuild, KojiRepo};
use muster_flow::recipe::Repository;
use muster_flow::step::StepKey;
use muster_lab::koji::build::BuildState;
use serde_json::json;

use crate::ground::{Ground, failed, given_up, image, kept, key, made, retried, settings};

fn with_repositories(urls: &[&str]) -> BuildRequest {
    let mut request = kept();
    let repository = |(number, url): (usize, &&str)| Repository {
        name: format!("r{number}"),
        baseurl: (*url).to_owned(),
        gpgkeys: Vec::new(),
    };
    request.packages.repositories = urls.iter().enumerate().map(repository).collect();
    request
}

fn asked(ground: &Ground) -> serde_json::Value {
    ground.hub.tasks("image").last().unwrap().request[5]["repo"].clone()
}

#[tokio::test]
async fn a_build_that_is_kept_is_held_to_the_repository_of_its_build_tag() {
    let ground = Ground::new().await;
    let newest = ground.hub.make_repo("f43-build");
    let handle = ground.builder.ensure(&key(), &kept()).await.unwrap();
    assert_eq!(asked(&ground), json!([format!("{}/repos/f43-build/{newest}/$arch/", ground.hub.topurl())]));
    // What comes into the tag later is no part of it.
    ground.hub.make_repo("f43-build");
    ground.hub.finish(33, &image());
    let record = made(ground.look(&handle).await).koji.unwrap();
    assert_eq!(record.task, 33);
    assert_eq!(record.build, Some(KojiBuild { id: 1, nvr: "Lab-43-20261121.0".to_owned() }));
    assert_eq!(record.repos, [KojiRepo { id: newest, tag: "f43-build".to_owned(), event: 41 }]);
}

#[tokio::test]
async fn a_scratch_image_takes_what_there_is_and_records_no_build() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    assert_eq!(asked(&ground), json!(null));
    let record = made(ground.look(&handle).await).koji.unwrap();
    assert_eq!((record.task, record.build, record.repos), (33, None, Vec::new()));
    assert_eq!((ground.hub.count("getRepo"), ground.hub.count("listBuilds")), (0, 0));
}

#[tokio::test]
async fn the_latest_repository_of_a_tag_is_frozen_and_what_cannot_be_is_said() {
    let ground = Ground::new().await;
    let top = ground.hub.topurl();
    let latest = format!("{top}/repos/f43/latest/$basearch/");
    let request = with_repositories(&[&latest, "https://m.example/43/$basearch/"]);
    let missing = given_up(ground.builder.ensure(&key(), &request).await);
    assert!(missing.contains("koji regen-repo f43"), "{missing}");
    let repo = ground.hub.make_repo("f43");
    let handle = ground.builder.ensure(&key(), &request).await.unwrap();
    assert_eq!(
        asked(&ground),
        json!([format!("{top}/repos/f43/{repo}/$arch/"), "https://m.example/43/$arch/"])
    );
    ground.hub.finish(33, &image());
    let output = made(ground.look(&handle).await);
    assert_eq!(output.koji.unwrap().repos[0].id, repo);
    assert_eq!(output.warnings, ["nobody froze what these repositories had: https://m.example/43/$arch/"]);
}

#[tokio::test]
async fn a_further_try_is_held_to_the_same_repository_while_that_is_there() {
    let ground = Ground::new().await;
    ground.builder.ensure(&key(), &kept()).await.unwrap();
    let first = asked(&ground);
    ground.hub.fail(33, (1018, "a builder broke"));
    let newer = ground.hub.make_repo("f43-build");
    let again = |generation| StepKey::of_generation(&key().0, generation);
    ground.builder.ensure(&again(2), &kept()).await.unwrap();
    assert_eq!(asked(&ground), first);
    ground.hub.fail(34, (1018, "it broke again"));
    ground.hub.delete_repo(1);
    ground.builder.ensure(&again(3), &kept()).await.unwrap();
    assert_eq!(asked(&ground), json!([format!("{}/repos/f43-build/{newer}/$arch/", ground.hub.topurl())]));
    assert_eq!(ground.hub.count("buildImageOz"), 3);
}

#[tokio::test]
async fn every_build_of_a_batch_is_held_to_the_repositories_that_were_frozen_for_it() {
    let ground = Ground::new().await;
    ground.hub.tag("f43-build", ["bash", "5.3.0", "2.fc43"]);
    let id = ground.hub.make_repo("f43-build");
    ground.hub.tag("f43-build", ["hello", "2.10", "1.fc43"]);
    let settings = settings(&ground.hub, &ground.folder);
    let frozen = koji::freeze(&settings, &BTreeSet::new(), "43").await.unwrap();
    assert_eq!(frozen.set.text(), "bash-0:5.3.0-2.fc43.src\tbash-5.3.0-2.fc43\n", "hello came later");
    assert_eq!(
        frozen.repos.iter().map(|repo| (repo.id, repo.tag.as_str())).collect::<Vec<_>>(),
        [(id, "f43-build")]
    );

    ground.hub.make_repo("f43-build");
    let held = |mut request: BuildRequest| {
        request.koji.as_mut().unwrap().held.clone_from(&frozen.repos);
        request
    };
    ground.builder.ensure(&key(), &held(kept())).await.unwrap();
    let address = json!([format!("{}/repos/f43-build/{id}/$arch/", ground.hub.topurl())]);
    assert_eq!(asked(&ground), address, "a newer repository is none of the batch's");
    ground.hub.fail(33, (1018, "a builder broke"));
    ground.hub.delete_repo(id);
    let again = StepKey::of_generation(&key().0, 2);
    let why = given_up(ground.builder.ensure(&again, &held(kept())).await);
    assert!(why.contains("its batch must be frozen again"), "{why}");
}

#[tokio::test]
async fn koji_refuses_what_it_cannot_keep_out() {
    let ground = Ground::new().await;
    let mut request = kept();
    request.allowed.without.push(Package::of_nevra("bash-5.3.0-2.fc43.x86_64").unwrap());
    let why = given_up(ground.builder.ensure(&key(), &request).await);
    assert!(why.contains("cannot be kept from any"), "{why}");
    assert_eq!(ground.hub.count("buildImageOz"), 0);
}

#[tokio::test]
async fn files_of_a_kept_build_are_checked_against_its_archives_and_outlive_the_tasks_folder() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &kept()).await.unwrap();
    ground.hub.finish(33, &image());
    for task in [34, 35] {
        ground.hub.clean_away(task);
    }
    let output = made(ground.look(&handle).await);
    assert_eq!(output.artifacts.len(), 2);
    assert_eq!(ground.hub.count("checkUpload"), 0, "the hub hashed them when it took them in");
    let downloads = ground.hub.downloads();
    assert!(
        downloads[0].starts_with("packages/Lab/43/20261121.0/images/Lab-43-20261121.0.x86_64.qcow2"),
        "{downloads:?}"
    );
    let packages: Vec<_> = output.packages.iter().map(Package::nvr).collect();
    assert_eq!(packages, ["bash-5.3.0-2.fc43", "bash-5.3.0-2.fc43"]);
    assert_eq!(ground.hub.count("listRPMs"), 2, "one per architecture");
}

#[tokio::test]
async fn a_file_that_is_not_what_the_archive_says_is_never_kept() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &kept()).await.unwrap();
    ground.hub.finish(33, &image());
    ground.hub.file_mishap(muster_lab::koji::mishap::FileMishap::Corrupt);
    assert!(retried(ground.look(&handle).await).contains(" and the hub says "));
    made(ground.look(&handle).await);
}

#[tokio::test]
async fn a_build_that_was_deleted_or_is_unknown_fails_and_says_so() {
    let ground = Ground::new().await;
    let handle = ground.builder.ensure(&key(), &kept()).await.unwrap();
    ground.hub.finish(33, &image());
    ground.hub.spoil_builds(|build| build.state = BuildState::Deleted);
    let why = failed(ground.look(&handle).await);
    assert_eq!(why, "Koji task 33 is closed, and its build Lab-43-20261121.0 is not complete");
    ground.hub.spoil_builds(|build| build.task = None);
    let why = failed(ground.look(&handle).await);
    assert_eq!(why, "Koji task 33 is closed, and the hub knows no build of it");
}

#[tokio::test]
async fn a_name_that_somebody_else_has_taken_is_found_before_a_task_is_made() {
    for (state, is_taken) in [
        (BuildState::Complete, true),
        (BuildState::Building, true),
        (BuildState::Deleted, true),
        (BuildState::Failed, false),
    ] {
        let ground = Ground::new().await;
        ground.hub.take_nvr(["Lab", "43", "20261121.0"], state);
        let outcome = ground.builder.ensure(&key(), &kept()).await;
        assert_eq!(ground.hub.count("buildImageOz"), usize::from(!is_taken), "{state:?}");
        if is_taken {
            let why = given_up(outcome);
            assert!(why.contains("has a build Lab-43-20261121.0 already by task 7"), "{why}");
        }
        // A scratch image takes nobody's name.
        ground.ensure().await.unwrap();
    }
}
