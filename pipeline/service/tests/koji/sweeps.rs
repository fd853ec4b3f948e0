//! What the bus did not say is read from the hub, in few requests.

use std::collections::BTreeMap;

use muster::adapters::koji::changes::{self, Moved, OVERLAP};
use muster::adapters::koji::client::Hub;
use muster::adapters::koji::error::code;

use crate::ground::Ground;

fn hub(ground: &Ground) -> Hub {
    Hub::new(&ground.hub.url()).unwrap()
}

fn tags(tags: &[(&str, Option<i64>)]) -> BTreeMap<String, Option<i64>> {
    tags.iter().map(|(tag, event)| ((*tag).to_owned(), *event)).collect()
}

#[tokio::test]
async fn what_came_and_went_since_an_event_is_told_in_order_and_in_one_request() {
    let ground = Ground::new().await;
    let began = ground.hub.jump_to_event(5000);
    let bash = ground.hub.tag("f43", ["bash", "5.3.0", "2.fc43"]);
    ground.hub.tag("f42", ["bash", "5.2", "1"]);
    ground.hub.tag("f43-updates", ["python3-dns", "2.7.0", "1.fc43"]);
    ground.hub.untag("f43", "bash-5.3.0-2.fc43");
    let asked = tags(&[("f43", Some(began)), ("f43-updates", Some(began))]);
    let seen = changes::changes_since(&hub(&ground), &asked).await.unwrap();
    let told = |tag: &str| -> Vec<_> {
        let taggings = seen.tags[tag].as_ref().unwrap().iter();
        taggings.map(|tagging| (tagging.event, tagging.nvr(), tagging.what)).collect()
    };
    let nvr = "bash-5.3.0-2.fc43".to_owned();
    assert_eq!(told("f43"), [(bash, nvr.clone(), Moved::In), (bash + 3, nvr, Moved::Out)]);
    assert_eq!(told("f43-updates"), [(bash + 2, "python3-dns-2.7.0-1.fc43".to_owned(), Moved::In)]);
    assert_eq!(seen.event, bash + 3);
    assert!(seen.tags["f43"].as_ref().unwrap().iter().all(|tagging| tagging.at.is_some()));
    assert_eq!(ground.hub.requests(), 1);
}

#[tokio::test]
async fn what_was_committed_late_is_not_missed() {
    let ground = Ground::new().await;
    ground.hub.jump_to_event(5000);
    let late = ground.hub.tag("f43", ["late", "1", "1"]);
    let seen = async |event: i64| {
        let seen = changes::changes_since(&hub(&ground), &tags(&[("f43", Some(event))])).await.unwrap();
        seen.tags["f43"].as_ref().unwrap().len()
    };
    // Another transaction with a higher number was seen before: the next sweep asks from that one.
    assert_eq!(seen(late + 5).await, 1);
    // And for ever it is not told again.
    assert_eq!(seen(late + OVERLAP).await, 0);
}

#[tokio::test]
async fn a_tag_that_is_new_to_us_tells_of_its_last_events_only() {
    let ground = Ground::new().await;
    ground.hub.tag("f43", ["old", "1", "1"]);
    ground.hub.jump_to_event(5000);
    ground.hub.tag("f43", ["lately", "1", "1"]);
    let seen = changes::changes_since(&hub(&ground), &tags(&[("f43", None)])).await.unwrap();
    let names: Vec<&str> =
        seen.tags["f43"].as_ref().unwrap().iter().map(|tagging| tagging.name.as_str()).collect();
    assert_eq!((names.as_slice(), ground.hub.requests()), (&["lately"][..], 2));
}

#[tokio::test]
async fn a_tag_that_the_hub_does_not_know_keeps_no_other_from_being_read() {
    let ground = Ground::new().await;
    ground.hub.tag("f43", ["bash", "1", "1"]);
    let asked = tags(&[("f43", Some(0)), ("nosuch", Some(0))]);
    let seen = changes::changes_since(&hub(&ground), &asked).await.unwrap();
    assert_eq!(seen.tags["f43"].as_ref().unwrap().len(), 1);
    let error = seen.tags["nosuch"].as_ref().unwrap_err();
    assert!(error.is(code::GENERIC), "{error}");
}

#[tokio::test]
async fn a_tag_of_25000_builds_is_read_in_one_request() {
    let ground = Ground::new().await;
    ground.hub.tag_many("f43", 25_000);
    let seen = changes::changes_since(&hub(&ground), &tags(&[("f43", Some(0))])).await.unwrap();
    assert_eq!(seen.tags["f43"].as_ref().unwrap().len(), 25_000);
    assert_eq!(ground.hub.requests(), 1);
}

#[tokio::test]
async fn builds_are_looked_for_in_their_tags_by_their_whole_names_a_hundred_in_a_request() {
    let ground = Ground::new().await;
    let tagged = ground.hub.tag("f43", ["python3-dns", "2.7.0", "1.fc43"]);
    let again = ground.hub.untag("f43", "python3-dns-2.7.0-1.fc43") + 1;
    ground.hub.tag("f43", ["python3-dns", "2.7.0", "1.fc43"]);
    let place = |tag: &str, nvr: &str| (tag.to_owned(), nvr.to_owned());
    let mut places = vec![
        place("f43", "python3-dns-2.7.0-1.fc43"),
        place("f43", "python3-dns-2.7.0-2.fc43"),
        place("f43", "nonsense"),
        place("nosuch", "python3-dns-2.7.0-1.fc43"),
    ];
    places.extend((0..96).map(|number| place("f43", &format!("x-{number}-1"))));
    let known = changes::histories(&hub(&ground), &places).await;
    let events = |number: usize| -> Vec<i64> {
        known[&places[number]].as_ref().unwrap().iter().map(|tagging| tagging.event).collect()
    };
    assert_eq!(events(0), [tagged, again - 1, again]);
    assert_eq!((known.len(), events(1), events(2), events(3)), (100, vec![], vec![], vec![]));
    assert_eq!(ground.hub.requests(), 1);
    ground.hub.stop();
    let known = changes::histories(&hub(&ground), &places[..1]).await;
    assert!(
        known[&places[0]].is_err(),
        "a hub that is away says nothing, which is not that there is nothing"
    );
}
