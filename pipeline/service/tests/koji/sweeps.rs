//! What the bus did not say is read from the hub, in few requests.

use muster::adapters::koji::changes::{self, Moved, Tagged};
use muster::adapters::koji::client::Hub;
use muster::adapters::koji::error::code;
use muster::adapters::koji::task::State;

use crate::ground::Ground;

fn hub(ground: &Ground) -> Hub {
    Hub::new(&ground.hub.url()).unwrap()
}

#[tokio::test]
async fn what_came_and_went_since_an_event_is_told_in_order_and_in_one_request() {
    let ground = Ground::new().await;
    let began = ground.hub.jump_to_event(5000);
    let (bash, _) =
        (ground.hub.tag("f43", ["bash", "5.3.0", "2.fc43"]), ground.hub.tag("f42", ["bash", "5.2", "1"]));
    ground.hub.tag("f43-updates", ["python3-dns", "2.7.0", "1.fc43"]);
    ground.hub.untag("f43", "bash-5.3.0-2.fc43");
    let seen = changes::changes_since(&hub(&ground), &["f43", "f43-updates"], began).await.unwrap();
    let told: Vec<_> = seen
        .taggings
        .iter()
        .map(|tagging| (tagging.tag.as_str(), tagging.name.as_str(), tagging.version.as_str(), tagging.what))
        .collect();
    assert_eq!(
        told,
        [
            ("f43", "bash", "5.3.0", Moved::In),
            ("f43-updates", "python3-dns", "2.7.0", Moved::In),
            ("f43", "bash", "5.3.0", Moved::Out)
        ]
    );
    assert_eq!((seen.taggings[0].event, seen.event), (bash, bash + 3));
    assert_eq!(ground.hub.requests(), 1);
}

#[tokio::test]
async fn what_was_committed_late_is_not_missed() {
    let ground = Ground::new().await;
    ground.hub.jump_to_event(5000);
    let late = ground.hub.tag("f43", ["late", "1", "1"]);
    // Another transaction with a higher number was seen before: the next sweep asks from that one.
    let seen = changes::changes_since(&hub(&ground), &["f43"], late + 5).await.unwrap();
    assert_eq!(seen.taggings.len(), 1);
    // And for ever it is not told again.
    let seen = changes::changes_since(&hub(&ground), &["f43"], late + 5000).await.unwrap();
    assert_eq!(seen.taggings, []);
}

#[tokio::test]
async fn a_tag_of_25000_builds_and_2000_tasks_are_read_in_a_request_each() {
    let ground = Ground::new().await;
    ground.hub.tag_many("f43", 25_000);
    let ids = ground.hub.make_many(2000);
    let hub = hub(&ground);
    let seen = changes::changes_since(&hub, &["f43"], 0).await.unwrap();
    assert_eq!(seen.taggings.len(), 25_000);
    assert_eq!(ground.hub.requests(), 1);
    assert_eq!(changes::tagged(&hub, "f43").await.unwrap().len(), 25_000);
    assert_eq!(ground.hub.requests(), 2);
    let tasks = changes::tasks(&hub, &ids).await.unwrap();
    assert_eq!(tasks.iter().filter(|task| task.state == State::Free).count(), 2000);
    assert_eq!(ground.hub.requests(), 3);
}

#[tokio::test]
async fn one_build_is_found_in_a_tag_by_its_whole_name() {
    let ground = Ground::new().await;
    let build_id = ground.hub.tag("f43", ["python3-dns", "2.7.0", "1.fc43"]);
    let hub = hub(&ground);
    let nvr = "python3-dns-2.7.0-1.fc43".to_owned();
    assert_eq!(changes::find_tagged(&hub, "f43", &nvr).await, Ok(Some(Tagged { build_id, nvr })));
    assert_eq!(changes::find_tagged(&hub, "f43", "python3-dns-2.7.0-2.fc43").await, Ok(None));
    assert_eq!(changes::find_tagged(&hub, "f43", "nonsense").await, Ok(None));
    let error = changes::find_tagged(&hub, "nosuch", "a-1-1").await.unwrap_err();
    assert!(error.is(code::GENERIC), "{error}");
}
