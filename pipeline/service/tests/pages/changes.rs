//! Changes, and the candidates they led to.

use muster_flow::candidate::Purpose;
use muster_flow::change::{Change, Origin, What};

use crate::site::{path, site};
use crate::tale::{Tale, recipe};

#[tokio::test]
async fn a_change_and_the_candidates_it_led_to_name_each_other() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    for number in 0..2 {
        let nvr = "bash-5.3-1.fc43".to_owned();
        let change = Change {
            // What each candidate of the tale has as its cause.
            id: format!("message-{number}"),
            at: tale.clock.now(),
            origin: Origin::Message { topic: "buildsys.tag".to_owned() },
            what: What::PackageTagged { package: "bash".to_owned(), nvr, tag: "f43".to_owned() },
        };
        tale.store.ask(&change).await.unwrap();
    }
    let one = tale.make(recipe("cloud-base"), 0, Purpose::Scratch).await;
    let other = tale.make(recipe("server"), 0, Purpose::Scratch).await;
    let link = |address: &str| format!("href=\"{address}\"");
    let list = site.get("/changes").await;
    for address in [&path(&one), &path(&other), "/changes/message-0", "/changes/message-1"] {
        assert!(list.body.contains(&link(address)), "{address}: {}", list.body);
    }
    let twin = site.get("/api/changes").await.json();
    let of = |id: &str| {
        let changes = twin["changes"].as_array().unwrap();
        changes.iter().find(|change| change["id"] == id).unwrap()["candidates"].clone()
    };
    assert_eq!(of("message-0"), serde_json::json!([one, other]));
    assert_eq!(of("message-1"), serde_json::json!([]), "it led nowhere");

    let page = site.get(&path(&one)).await;
    assert!(page.body.contains(&link("/changes/message-0")), "{}", page.body);
    let change = site.get("/changes/message-0").await;
    assert!(
        change.words().contains("It led to cloud-base/43.20261121.0, server/43.20261121.0"),
        "{}",
        change.words()
    );
    assert_eq!(site.get("/api/changes/message-0").await.json()["candidates"], of("message-0"));
    let gone = site.get("/changes/message-2").await;
    assert!(gone.status == 404 && gone.words().contains("kept for a while only"), "{}", gone.words());
}
