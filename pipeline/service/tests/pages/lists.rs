//! The lists: candidates, waits.

use crate::site::site;
use crate::stages::everything;
use crate::tale::Tale;

#[tokio::test]
async fn the_list_tells_of_every_stage_in_plain_words() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    assert!(site.get("/").await.words().contains("A change upstream"), "an empty list says what starts one");
    everything(&mut tale).await;
    insta::assert_snapshot!("list", site.get("/").await.words());
    let narrowed = site.get("/?recipe=server&stage=cancelled").await.words();
    assert!(narrowed.contains("server/43.20261121.0") && !narrowed.contains("cloud-base/43"), "{narrowed}");
    let twin = site.get("/api/candidates?stage=rejected").await.json();
    let only = &twin["candidates"].as_array().unwrap()[..];
    assert_eq!(only.len(), 1);
    assert_eq!(only[0]["candidate"], "cloud-base/43.20261121.2");
    assert_eq!((&only[0]["mark"], &only[0]["finished"]), (&"failed".into(), &true.into()));
}

#[tokio::test]
async fn the_list_says_of_each_candidate_what_its_own_page_says() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let ids = everything(&mut tale).await;
    let list = site.get("/api/candidates").await.json();
    let list = list["candidates"].as_array().unwrap();
    assert_eq!(list.len(), ids.len());
    for line in list {
        let story =
            site.get(&format!("/api/candidates/{}", line["candidate"].as_str().unwrap())).await.json();
        for (field, value) in line.as_object().unwrap() {
            assert_eq!(*value, story[field], "{field} of {}", line["candidate"]);
        }
    }
}

#[tokio::test]
async fn every_wait_is_shown_with_its_reason_owner_and_deadline() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    everything(&mut tale).await;
    insta::assert_snapshot!("waits", site.get("/waits").await.words());
    let waits = site.get("/api/waits").await.json();
    for wait in waits["waits"].as_array().unwrap() {
        for field in ["candidate", "what", "why", "who"] {
            assert_ne!(wait[field].as_str().unwrap(), "", "{field} of {wait}");
        }
    }
}
