//! `muster parked`.

use crate::desk::Desk;

#[tokio::test]
async fn a_parked_message_is_shown_replayed_and_dropped() {
    let desk = Desk::new().await;
    let parked = |id: &str, body: &[u8]| muster_message::Parked {
        id: id.to_owned(),
        topic: "buildsys.tag".to_owned(),
        reason: "its body is not JSON".to_owned(),
        headers: "{}".to_owned(),
        body: body.to_vec(),
        received: desk.tale.clock.now(),
    };
    desk.tale
        .store
        .park(&[parked("aa11", b"{\x1b[2J"), parked("aa22", b"{}"), parked("bb33", b"\xff")])
        .await
        .unwrap();
    let listed = desk.says(&["parked"]).await;
    assert!(listed.contains("aa11") && listed.contains("its body is not JSON"), "{listed}");
    assert!(
        !desk.says(&["parked", "show", "aa11"]).await.contains('\u{1b}'),
        "it must not drive the terminal"
    );
    assert_eq!(desk.fails(&["parked", "drop", "aa"]).await.0, 1, "two ids begin so");
    assert_eq!(desk.fails(&["parked", "drop", "zz"]).await.0, 3);
    assert!(desk.fails(&["parked", "replay", "bb33"]).await.1.contains("is not text"));
    desk.says(&["parked", "replay", "aa22"]).await;
    assert_eq!(desk.tale.store.unread(10).await.unwrap()[0].id, "aa22");
    desk.says(&["parked", "drop", "bb"]).await;
    assert_eq!(desk.json(&["parked"]).await["parked"].as_array().unwrap().len(), 1);
}
