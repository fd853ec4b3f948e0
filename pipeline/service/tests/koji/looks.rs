//! Looks at running tasks: seldom, and many in one request.

use futures_util::future::join_all;
use muster::adapters::koji::KojiBuilder;
use muster::port::{Observation, Port};
use muster_flow::step::Handle;
use muster_lab::death;
use muster_lab::koji::TaskState;
use muster_lab::koji::mishap::Mishap;
use serde_json::{Value, json};

use crate::ground::{Ground, failed, given_up, image, made, retried, running};

/// A handle as of a step whose task is another.
fn of_task(handle: &Handle, task: i64) -> Handle {
    let text = handle.0.strip_prefix("koji:").unwrap();
    let mut watched: Value = serde_json::from_str(text).unwrap();
    (watched["task"], watched["key"]) = (json!(task), json!(format!("lab/43.{task}/build/x86_64")));
    Handle(format!("koji:{watched}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_running_tasks_are_looked_at_in_five_requests_at_the_most() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    let ids = ground.hub.make_many(2000);
    let before = ground.hub.requests();
    let looks = ids.iter().map(|id| {
        let handle = of_task(&handle, *id);
        let builder = &ground.builder;
        async move { running(builder.observe(&handle).await) }
    });
    let notes = join_all(looks).await;
    for (id, note) in ids.iter().zip(notes) {
        assert!(note.starts_with(&format!("Koji task {id} is free: ")), "{id}: {note}");
    }
    let requests = ground.hub.requests() - before;
    assert!(requests <= 5, "{requests} requests");
}

#[tokio::test]
async fn looks_that_share_a_request_have_each_an_answer_of_their_own() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    let ids = ground.hub.make_many(5);
    let [free, open, over, gone, canceled] = ids[..] else { panic!("{ids:?}") };
    ground.hub.begin(open);
    ground.hub.fail(over, (1018, "a builder broke"));
    ground.hub.lose(gone);
    ground.hub.cancel(canceled);
    let handles: Vec<Handle> = ids.iter().map(|id| of_task(&handle, *id)).collect();
    let mut seen = join_all(handles.iter().map(|handle| ground.look(handle))).await.into_iter();
    let mut next = || seen.next().unwrap();
    assert!(running(next()).starts_with(&format!("Koji task {free} is free")));
    assert!(running(next()).starts_with(&format!("Koji task {open} is open")));
    assert!(failed(next()).starts_with(&format!("Koji task {over} failed: a builder broke")));
    assert_eq!(next().unwrap(), Observation::Vanished(format!("the hub knows no task {gone}")));
    assert!(failed(next()).starts_with(&format!("somebody canceled Koji task {canceled}")));
}

#[tokio::test]
async fn a_request_that_fails_fails_the_looks_in_it_and_no_others() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    let ids = ground.hub.make_many(3);
    let handles: Vec<Handle> = ids.iter().map(|id| of_task(&handle, *id)).collect();
    let look = async || join_all(handles.iter().map(|handle| ground.look(handle))).await;
    ground.hub.mishap("multiCall", Mishap::Status(503));
    for seen in look().await {
        assert!(retried(seen).contains("HTTP 503"));
    }
    // One call in it that fails is that one task's.
    ground.hub.mishap("getTaskDescendents", Mishap::Fault(1, "deadlock detected".to_owned()));
    let mut seen = look().await.into_iter();
    assert!(retried(seen.next().unwrap()).contains("deadlock detected"));
    seen.for_each(|seen| drop(running(seen)));
    // A hub that tells of other tasks than were asked after is not believed.
    let nobody = "<?xml version='1.0'?><methodResponse><params><param><value><array><data><value><array><data>\
                  <value><array><data></data></array></value></data></array></value>";
    let no_child = "<value><array><data><value><struct></struct></value></data></array></value>".repeat(3);
    let end = "</data></array></value></param></params></methodResponse>";
    ground.hub.mishap("multiCall", Mishap::Raw(format!("{nobody}{no_child}{end}").into_bytes()));
    for seen in look().await {
        assert!(retried(seen).contains("it tells of 0 tasks, and 3 were asked after"));
    }
}

#[tokio::test]
async fn whoever_stops_waiting_keeps_nobody_else_from_an_answer() {
    for polls in 1..12 {
        let ground = Ground::new().await;
        let handle = ground.ensure().await.unwrap();
        let ids = ground.hub.make_many(2);
        let (first, second) = (of_task(&handle, ids[0]), of_task(&handle, ids[1]));
        let (_, seen) = tokio::join!(death::after(polls, ground.look(&first)), ground.look(&second));
        match seen {
            // It was in the request of the one that stopped, and the engine comes again.
            Err(_) => assert!(retried(seen).contains("it was not waited for"), "{polls}"),
            seen => drop(running(seen)),
        }
        running(ground.look(&second).await);
    }
}

#[tokio::test]
async fn a_task_that_is_over_is_looked_at_once_and_fetched() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    let before = ground.hub.count("getTaskInfo");
    made(ground.look(&handle).await);
    assert_eq!(ground.hub.count("getTaskInfo") - before, 2, "how it stands, and what was asked for");
}

#[tokio::test]
async fn how_seldom_the_hub_is_asked_is_said_with_each_look_at_a_running_task() {
    let ground = Ground::new().await;
    let mut settings = crate::ground::settings(&ground.hub, &ground.folder);
    settings.poll_s = 3600;
    let builder = KojiBuilder::new(settings, ground.folder.path().join("builds")).unwrap();
    let handle = ground.ensure().await.unwrap();
    let seen = builder.observe(&handle).await.unwrap();
    assert!(matches!(&seen, Observation::Slow { pause, .. } if pause.as_secs() == 3600), "{seen:?}");
    assert_eq!(ground.hub.task(33).unwrap().state, TaskState::Free);
}

/// Steps that began before there were kinds of tasks have handles without one.
#[tokio::test]
async fn what_an_older_muster_began_is_followed_to_its_end() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    let folder = "cli-image/muster.1790000000.lab.43.20261121.0.build.x86_64_aarch64";
    let older = Handle(format!(
        "koji:{{\"task\":33,\"key\":\"lab/43.20261121.0/build/x86_64+aarch64\",\"mark\":\"{folder}\",\
         \"made\":1790000000,\"version\":\"43\",\"name\":\"Lab\",\"release\":\"20261121.0\",\
         \"arches\":[\"x86_64\",\"aarch64\"],\"forms\":[\"qcow2\"],\"scratch\":true}}"
    ));
    assert!(running(ground.look(&older).await).starts_with("Koji task 33 is free"));
    let canceled = Ground::new().await;
    canceled.ensure().await.unwrap();
    canceled.builder.cancel(&older).await.unwrap();
    assert_eq!(canceled.hub.task(33).unwrap().state, TaskState::Canceled);
    ground.hub.finish(33, &image());
    let output = made(ground.look(&older).await);
    assert_eq!(output.artifacts[1].name, "Lab-43-20261121.0.aarch64.qcow2");
}

#[tokio::test]
async fn a_handle_that_nobody_can_read_is_given_up_and_names_what_it_lacks() {
    let ground = Ground::new().await;
    let why = given_up(ground.look(&Handle("koji:{\"task\":33}".to_owned())).await);
    assert!(why.contains("missing field"), "{why}");
}
