//! Hubs that are away, come back, and lose what they answered.

use std::time::Duration;

use muster::port::{Fault, Port};
use muster_lab::koji::mishap::Mishap;

use crate::ground::{Ground, given_up, image, made, retried, running};

#[tokio::test]
async fn a_hub_that_restarts_in_the_middle_is_waited_for_and_loses_nothing() {
    let mut ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.hub.stop();
    retried(ground.look(&handle).await);
    retried(ground.ensure().await);
    retried(ground.builder.cancel(&handle).await);
    ground.hub.forget_sessions();
    ground.hub.come_back().await.unwrap();
    assert_eq!(ground.ensure().await.unwrap(), handle);
    running(ground.look(&handle).await);
    ground.hub.finish(ground.task(), &image());
    assert_eq!(made(ground.look(&handle).await).artifacts.len(), 2);
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn whatever_call_goes_wrong_however_there_is_one_task() {
    let calls = [
        "login",
        "getLoggedInUser",
        "listTasks",
        "getPerms",
        "getBuildTarget",
        "getBuildConfig",
        "multiCall",
        "upload",
        "buildImageOz",
    ];
    let faults = [1001, 1007, 1008, 1009, 1014];
    let mut mishaps: Vec<Mishap> =
        faults.into_iter().map(|code| Mishap::Fault(code, "as told".to_owned())).collect();
    mishaps.extend([Mishap::Status(502), Mishap::Status(503), Mishap::AnswerLost]);
    for call in calls {
        for mishap in &mishaps {
            let mut ground = Ground::new().await;
            ground.hub.mishap(call, mishap.clone());
            let mut tries = 0;
            let handle = loop {
                tries += 1;
                assert!(tries < 5, "{call} {mishap:?}");
                match ground.ensure().await {
                    Ok(handle) => break handle,
                    Err(Fault::NotYet(_) | Fault::Retry(_) | Fault::Away(_)) => {}
                    Err(Fault::GiveUp(why)) => panic!("{call} {mishap:?}: {why}"),
                }
            };
            assert_eq!(ground.hub.mishaps_left(), 0, "{call} {mishap:?}");
            ground.restart();
            assert_eq!(ground.ensure().await.unwrap(), handle, "{call} {mishap:?}");
            assert_eq!(ground.hub.tasks("image").len(), 1, "{call} {mishap:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_by_the_next_process_too() {
    let mut ground = Ground::new().await;
    ground.hub.mishap("buildImageOz", Mishap::AnswerLost);
    retried(ground.ensure().await);
    ground.restart();
    ground.ensure().await.unwrap();
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}

#[tokio::test]
async fn a_bomb_and_a_flood_are_said_and_the_build_goes_on() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    let bomb = b"<?xml version='1.0'?><!DOCTYPE b [<!ENTITY a \"ha\">]><methodResponse/>".to_vec();
    ground.hub.mishap("multiCall", Mishap::Raw(bomb));
    assert!(retried(ground.look(&handle).await).contains("document type"));
    ground.hub.mishap("multiCall", Mishap::Huge(100 << 20));
    assert!(retried(ground.look(&handle).await).contains("it has a text of more than 16 MiB"));
    running(ground.look(&handle).await);
}

#[tokio::test]
async fn what_the_hub_would_let_pass_is_found_before_a_task_is_made() {
    type Spoil = fn(&Ground);
    let cases: [(Spoil, &str); 3] = [
        (|ground| ground.hub.permit("imagebot", &[]), "koji grant-permission image imagebot"),
        (
            |ground| ground.hub.arches("f43-build", "x86_64"),
            "the build tag f43-build has no architecture aarch64",
        ),
        (|ground| ground.hub.forget_targets(), "the hub has no build target f43"),
    ];
    for (spoil, why) in cases {
        let ground = Ground::new().await;
        spoil(&ground);
        let said = given_up(ground.ensure().await);
        assert!(said.contains(why), "{why}: {said}");
        assert_eq!((ground.hub.count("buildImageOz"), ground.hub.count("upload")), (0, 0));
    }
}

#[tokio::test]
async fn what_koji_cannot_build_is_said_without_asking_it() {
    let ground = Ground::new().await;
    let mut request = crate::ground::request();
    request.version = "43-beta".to_owned();
    request.product = muster_flow::recipe::Product::Container;
    let said = given_up(ground.builder.ensure(&crate::ground::key(), &request).await);
    assert!(said.contains("no containers are built") && said.contains("hyphen"), "{said}");
    assert_eq!(ground.hub.count("getBuildTarget"), 0);
}

#[tokio::test]
async fn a_kickstart_that_cannot_be_read_makes_no_task() {
    let ground = Ground::new().await;
    let mut request = crate::ground::request();
    request.definition.texts.remove("base.ks");
    let said = given_up(ground.builder.ensure(&crate::ground::key(), &request).await);
    assert!(said.contains("base.ks"), "{said}");
    assert_eq!(ground.hub.tasks("image").len(), 0);
}

#[tokio::test]
async fn a_hub_whose_broker_is_away_takes_its_time_and_makes_one_task() {
    let ground = Ground::new().await;
    // So long a real hub waits for its broker, in each call that has something to say there.
    ground.hub.mishap("buildImageOz", Mishap::Late(Duration::from_secs(31)));
    let handle = ground.ensure().await.unwrap();
    assert_eq!(ground.ensure().await.unwrap(), handle);
    assert_eq!(ground.hub.count("buildImageOz"), 1);
}
