//! What strangers send and write: addresses that lead nowhere, words that would run.
#![expect(clippy::too_many_lines, reason = "a test")]

use muster::ledger::{Kind, Note};
use muster::store::Recording;
use muster_flow::candidate::{Hold, Purpose};
use muster_flow::change::{Change, Origin, What};
use muster_flow::gate::Waiver;

use crate::site::{path, site};
use crate::stages::everything;
use crate::tale::{Fate, Tale, recipe, tests};

#[tokio::test]
async fn no_address_leads_out_of_a_boots_folder() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let ids = everything(&mut tale).await;
    let files = format!("{}/smoketest/x86_64/uefi-q35/files", path(&ids[2]));
    for name in [
        "link.log",
        "id_ed25519",
        "result.json",
        "..%2f..%2f..%2fsecret.log",
        "%2e%2e%2f%2e%2e%2fsecret.log",
        "../../../secret.log",
        "%2fetc%2fpasswd",
        ".",
        "..",
        "report.html%00",
        "%ff",
        "",
    ] {
        let answer = site.get(&format!("{files}/{name}")).await;
        assert!((400..500).contains(&answer.status), "{name}: {}", answer.status);
        assert!(!answer.body.contains("secret\n") && answer.body != "secret", "{name}");
    }
}

#[tokio::test]
async fn what_messages_and_people_write_is_shown_and_never_run() {
    const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>";
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let mut evil = recipe("cloud-base");
    for field in [
        &mut evil.summary,
        &mut evil.owner,
        &mut evil.image,
        &mut evil.stream,
        &mut evil.destinations[0].name,
    ] {
        *field = EVIL.to_owned();
    }
    evil.smoketests.cells[0].name = "bios".to_owned();
    evil.gate.required.push(EVIL.to_owned());
    let id = tale
        .make_because(evil, 0, Purpose::Emergency { who: EVIL.to_owned(), why: EVIL.to_owned() }, EVIL)
        .await;
    let mut evil_tests = tests();
    evil_tests[1].name = EVIL.to_owned();
    evil_tests[1].summary = EVIL.to_owned();
    tale.start(&id, evil_tests).await;
    tale.store.hold(&id, &Hold { who: EVIL.to_owned(), why: EVIL.to_owned() }).await.unwrap();
    let waiver = Waiver {
        id: EVIL.to_owned(),
        recipe: "cloud-base".to_owned(),
        candidate: None,
        test: EVIL.to_owned(),
        cell: None,
        reason: EVIL.to_owned(),
        author: EVIL.to_owned(),
        expires: "2026-12-01T00:00:00Z".parse().unwrap(),
        ended: None,
    };
    tale.store.waive(&waiver).await.unwrap();
    tale.live(&id, |key| if key.contains("smoketest") { Fate::Red(&[EVIL], EVIL) } else { Fate::Well }).await;
    let other = tale.make(recipe("server"), 0, Purpose::Scratch).await;
    tale.start(&other, tests()).await;
    tale.live(&other, |_| Fate::Fails(EVIL)).await;
    let change = Change {
        id: EVIL.to_owned(),
        at: tale.clock.now(),
        origin: Origin::Message { topic: EVIL.to_owned() },
        what: What::PackageTagged { package: EVIL.to_owned(), nvr: EVIL.to_owned(), tag: EVIL.to_owned() },
    };
    tale.store.ask(&change).await.unwrap();
    let parked = muster_message::Parked {
        id: EVIL.to_owned(),
        topic: EVIL.to_owned(),
        reason: EVIL.to_owned(),
        headers: "{}".to_owned(),
        body: EVIL.as_bytes().to_vec(),
        received: tale.clock.now(),
    };
    tale.store.park(&[parked]).await.unwrap();
    let fault = [Note::Fault { source: EVIL.to_owned(), kind: Kind::Packages, reason: EVIL.to_owned() }];
    let recording = Recording { notes: &fault, ..Recording::default() };
    tale.store.weighed(&tale.plan, recording).await.unwrap();
    let boot = format!("{}/smoketest/x86_64/bios", path(&id));
    for address in [
        "/",
        "/waits",
        "/changes",
        &muster::web::page::change(EVIL),
        "/sources",
        "/parked",
        &path(&id),
        &path(&other),
        &boot,
        "/candidates/%22%3E%3Cscript%3E/1",
        "/%3Cscript%3E",
        "/?recipe=%22%3E%3Cscript%3E",
    ] {
        let page = site.get(address).await;
        assert!(
            !page.body.contains("<script") && !page.body.contains("<img src=x"),
            "{address}:\n{}",
            page.body
        );
        assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"), "{address}");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        if page.status == 200 && !address.starts_with("/?") {
            assert!(
                page.words().contains("alert(1)"),
                "{address} does not show what was written:\n{}",
                page.words()
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_helpfully() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Scratch).await;
    let missing = site.get("/candidates/cloud-base/43.19700101.0").await;
    assert_eq!(missing.status, 404);
    assert!(missing.words().contains("There is no candidate cloud-base/43.19700101.0."));
    assert!(missing.words().contains("Look for it in the list of candidates"));
    let twin = site.get("/api/candidates/cloud-base/43.19700101.0").await;
    assert_eq!(twin.status, 404);
    assert_eq!(twin.json()["error"], "There is no candidate cloud-base/43.19700101.0.");
    assert!(twin.json()["next"].is_string());
    let unknown = site.get("/api/nothing/at/all").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["error"], "There is nothing at /api/nothing/at/all.");
    let boot = site.get(&format!("{}/smoketest/x86_64/bios-q35", path(&id))).await;
    assert_eq!(boot.status, 404);
    assert!(boot.words().contains("Nothing of cloud-base/43.20261121.0 was booted yet"));
    for garbage in [
        "/nothing",
        "/candidates",
        "/candidates//",
        "/candidates/%00/%00",
        "/candidates/%ff/%fe",
        "/candidates/a/b/c/d/e/f",
        "/..%2f..%2fetc%2fpasswd",
        "/pub/mirror/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/pub/mirror/../../../../../etc/",
        "/pub/mirror/%2e%2e/",
        "/pub/mirror//etc/",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/streams/none.json",
        "/api/nothing",
        "/?stage=%ff",
        "/api/journal?after=soon",
    ] {
        let answer = site.get(garbage).await;
        assert!((200..500).contains(&answer.status), "{garbage}: {}", answer.status);
        assert!(!answer.body.contains("root:"), "{garbage}");
    }
}

#[tokio::test]
async fn pages_only_read() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Scratch).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for address in ["/", &path(&id), &format!("/api{}", path(&id)), "/parked", "/pub/mirror/a"] {
            let status = site.ask(method, address, "Content-Length: 0\r\n").await.status;
            assert_eq!(status, 405, "{method} {address}");
        }
    }
}
