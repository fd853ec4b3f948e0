//! Where changes come from, and how much the bus lost.

use muster::ledger::{Heard, Kind, Note, Voice};
use muster::store::Recording;

use crate::site::site;
use crate::tale::Tale;

/// Sources as they are after a while.
async fn sources(tale: &mut Tale) {
    const TAG: &str = "tag f43 of https://koji.example.org/kojihub";
    const REPOSITORY: &str = "package repository https://r.example.org/43/x86_64/";
    let position = |source: &str, kind: Kind, position: &str| Note::Position {
        source: source.to_owned(),
        kind,
        position: position.to_owned(),
        since: String::new(),
        at: (kind == Kind::Koji).then(|| "2026-11-21T11:59:00Z".parse().unwrap()),
    };
    let heard = |name: &str, voice: Voice| Heard {
        source: TAG.to_owned(),
        name: format!("{name}/in/bash-{name}-1"),
        label: format!("in/bash-{name}-1"),
        at: "2026-11-21T11:58:00Z".parse().unwrap(),
        voice,
        change: name.to_owned(),
    };
    let notes = [
        position(TAG, Kind::Koji, "5103"),
        Note::Swept(TAG.to_owned()),
        position(REPOSITORY, Kind::Packages, "4be3d6b8d1f0a2c5e7f9"),
        Note::Swept(REPOSITORY.to_owned()),
        position("definitions at /srv/definitions", Kind::Git, "0123456789abcdef0123456789abcdef01234567"),
    ];
    let first = [
        heard("5100", Voice::Bus),
        heard("5101", Voice::Bus),
        heard("5102", Voice::Sweep),
        heard("5103", Voice::Sweep),
    ];
    let recording = Recording { heard: &first, notes: &notes, ..Recording::default() };
    tale.store.weighed(&tale.plan, recording).await.unwrap();
    tale.pass(60).await;
    let late = [heard("5103", Voice::Bus)];
    let reason = "cannot ask the repository <b>: no \"answer\"".to_owned();
    let fault =
        [Note::Fault { source: "definitions at /srv/definitions".to_owned(), kind: Kind::Git, reason }];
    let recording = Recording { heard: &late, notes: &fault, ..Recording::default() };
    tale.store.weighed(&tale.plan, recording).await.unwrap();
    tale.pass(900).await;
    let recording = Recording { heard: &[heard("5104", Voice::Sweep)], ..Recording::default() };
    tale.store.weighed(&tale.plan, recording).await.unwrap();
}

#[tokio::test]
async fn how_much_the_bus_lost_is_told_for_each_source() {
    let mut tale = Tale::begin().await;
    tale.settings.bus = Some(muster::adapters::fedora_messaging::Settings::default());
    let site = site(&tale).await;
    assert!(site.get("/sources").await.words().contains("No source was looked at yet."));
    sources(&mut tale).await;
    insta::assert_snapshot!("sources", site.get("/sources").await.words());
    let twin = site.get("/api/sources").await.json();
    assert_eq!((&twin["bus"], &twin["sources"][1]["lost"]), (&true.into(), &1.into()), "{twin}");
    let metrics = site.get("/metrics").await;
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    insta::assert_snapshot!("metrics", metrics.body);
}
