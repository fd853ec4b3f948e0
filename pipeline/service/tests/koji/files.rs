//! Files that break off, lie, change and go away.

use std::path::PathBuf;

use muster::port::{Observation, Port};
use muster_lab::koji::mishap::FileMishap;

use crate::ground::{Ground, failed, given_up, image, made, retried, running};

/// The part of the first image that is there.
fn part(ground: &Ground) -> PathBuf {
    let folder = "builds/lab.43.20261121.0.build.x86_64+aarch64";
    ground.folder.path().join(folder).join("Lab-43-20261121.0.x86_64.qcow2.part")
}

#[tokio::test]
async fn a_file_that_breaks_off_is_taken_up_where_it_ended_also_by_the_next_process() {
    let mut ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::CutAfter(100_000));
    let why = retried(ground.look(&handle).await);
    assert!(why.contains("broke off at 100000 of 262144 bytes"), "{why}");
    ground.restart();
    ground.hub.file_mishap(FileMishap::CutAfter(50_000));
    retried(ground.look(&handle).await);
    let output = made(ground.look(&handle).await);
    assert_eq!(std::fs::read(&output.artifacts[0].path).unwrap(), image());
    let downloads = ground.hub.downloads();
    assert!(downloads[1].starts_with("bytes=100000- "), "{downloads:?}");
    assert!(downloads[2].starts_with("bytes=150000- "), "{downloads:?}");
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_sends_it_from_the_start() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::CutAfter(100_000));
    retried(ground.look(&handle).await);
    ground.hub.file_mishap(FileMishap::IgnoresRange);
    let output = made(ground.look(&handle).await);
    assert_eq!(std::fs::read(&output.artifacts[0].path).unwrap(), image());
}

#[tokio::test]
async fn a_length_that_lies_is_believed_no_more_than_the_hub() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::SaysLength(1000));
    let why = retried(ground.look(&handle).await);
    assert!(why.contains("broke off at 1000 of 262144 bytes: it ended"), "{why}");
    ground.hub.file_mishap(FileMishap::SaysLength(900_000));
    // Everything came, and it is what the hub says: nothing else counts.
    made(ground.look(&handle).await);
}

#[tokio::test]
async fn a_file_that_is_not_what_the_hub_says_is_never_kept() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::Corrupt);
    let why = retried(ground.look(&handle).await);
    assert!(why.contains(" and the hub says "), "{why}");
    assert!(!part(&ground).exists(), "a bad part must not be taken up");
    made(ground.look(&handle).await);
}

#[tokio::test]
async fn a_part_that_was_spoilt_on_our_own_disk_is_found_out() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::CutAfter(100_000));
    retried(ground.look(&handle).await);
    let mut bytes = std::fs::read(part(&ground)).unwrap();
    bytes[17] ^= 1;
    std::fs::write(part(&ground), &bytes).unwrap();
    retried(ground.look(&handle).await);
    made(ground.look(&handle).await);
    // Longer than the file can be.
    let longer = Ground::new().await;
    let handle = longer.finished().await;
    longer.hub.file_mishap(FileMishap::CutAfter(0));
    retried(longer.look(&handle).await);
    std::fs::write(part(&longer), vec![0; 300_000]).unwrap();
    made(longer.look(&handle).await);
}

#[tokio::test]
async fn files_that_are_gone_fail_the_build_and_say_so() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.clean_away(34);
    let why = failed(ground.look(&handle).await);
    assert_eq!(why, "Lab-43-20261121.0.x86_64.qcow2 of Koji task 34 is not kept there any more");
    let between = Ground::new().await;
    let handle = between.finished().await;
    between.hub.file_mishap(FileMishap::Gone);
    assert!(given_up(between.look(&handle).await).contains("is gone (HTTP 404"));
}

#[tokio::test]
async fn a_web_server_that_is_away_is_waited_for() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::Status(503));
    assert!(retried(ground.look(&handle).await).contains("HTTP 503"));
    made(ground.look(&handle).await);
}

#[tokio::test]
async fn a_file_that_comes_slowly_says_how_far_it_is_and_is_fetched_by_one_process() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::StallAfter(131_072));
    let page = format!("{}/taskinfo?taskID=33", ground.hub.weburl());
    let far = format!("Koji task 33 is closed, fetching its files, 0.1 of 0.5 MiB are here: {page}");
    assert_eq!(running(ground.look(&handle).await), far);
    let other = ground.another();
    let note = running(other.observe(&handle).await);
    assert_eq!(note, format!("Koji task 33 is closed, another process fetches its files: {page}"));
    let output = loop {
        match ground.look(&handle).await {
            Ok(Observation::Running(_)) => {}
            over => break made(over),
        }
    };
    assert_eq!(std::fs::read(&output.artifacts[0].path).unwrap(), image());
    assert_eq!(ground.hub.downloads().len(), 4, "two images and two logs, once each");
    assert_eq!(ground.hub.count("getTaskDescendents"), 2, "once for each process");
}

#[tokio::test]
async fn what_is_being_fetched_can_be_stopped() {
    let ground = Ground::new().await;
    let handle = ground.finished().await;
    ground.hub.file_mishap(FileMishap::StallAfter(131_072));
    running(ground.look(&handle).await);
    ground.builder.cancel(&handle).await.unwrap();
    assert!(!part(&ground).exists());
    assert!(!ground.folder.path().join("builds/lab.43.20261121.0.build.x86_64+aarch64").exists());
}
