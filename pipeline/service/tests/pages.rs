//! Pages and their JSON twins, over real HTTP and the real store, with a made-up candidate in each stage.
#![expect(clippy::format_push_string, clippy::too_many_lines, reason = "a test")]
#![expect(clippy::unwrap_used, reason = "a test")]

mod tale;

use std::collections::BTreeMap;

use muster::adapters::destination::{Served, Shown};
use muster::ledger::{Heard, Kind, Note, Voice};
use muster::store::Recording;
use muster::web;
use muster_flow::candidate::{CandidateId, Hold, Purpose};
use muster_flow::change::{Change, Origin, What};
use muster_flow::gate::Waiver;
use serde_json::Value;
use tale::{Fate, Tale, recipe, tests};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An answer as it came over the wire.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    /// The words that a person reads, without markup.
    fn words(&self) -> String {
        let main = self.body.split("<main id=\"main\">").nth(1).unwrap().split("</main>").next().unwrap();
        let mut words = String::new();
        let mut is_tag = false;
        for c in main.chars() {
            match c {
                '<' => is_tag = true,
                '>' => is_tag = false,
                c if !is_tag => words.push(c),
                _ => {}
            }
        }
        let words = words
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#38;", "&");
        let lines: Vec<String> = words
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect();
        lines.join("\n")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The pages of a tale, on a port of their own.
struct Site {
    address: std::net::SocketAddr,
}

async fn site(tale: &Tale) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = web::router(tale.store.clone(), &tale.settings, tale.clock.clone());
    let folder = tale.settings.service.state.join("mirror");
    let mirror = Served { name: "mirror".to_owned(), folder, shown: Shown::Everything };
    let router = router.merge(web::mirror::published(vec![mirror]));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Site { address }
}

impl Site {
    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// Sends a request exactly as written: no client puts its path in order.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: muster\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let body = if headers.get("transfer-encoding").is_some_and(|kind| kind == "chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Answer { status, headers, body }
    }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
    body
}

fn path(id: &CandidateId) -> String {
    format!("/candidates/{id}")
}

/// A candidate in each stage, by what is said of it.
async fn everything(tale: &mut Tale) -> Vec<CandidateId> {
    let mut ids = Vec::new();
    let release = Purpose::Release;
    // Published.
    let id = tale.make(recipe("cloud-base"), 0, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Passed.
    let id = tale.make(recipe("cloud-base"), 1, Purpose::Scratch).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Rejected.
    let id = tale.make(recipe("cloud-base"), 2, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("uefi") {
            Fate::Red(&["hostname", "documentation"], "the name is localhost")
        } else {
            Fate::Well
        }
    })
    .await;
    ids.push(id);
    // Cannot tell.
    let id = tale.make(recipe("cloud-base"), 3, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("/smoketest/x86_64/uefi") { Fate::Fails("the accelerator hung") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Build failed.
    let id = tale.make(recipe("cloud-base"), 4, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("/build/") { Fate::Fails("nothing provides libfoo.so.1") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Publishing failed.
    let id = tale.make(recipe("cloud-base"), 5, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.ends_with("upload/mirror/qcow2") { Fate::Fails("the disk is full") } else { Fate::Well }
    })
    .await;
    ids.push(id);
    // Held.
    let id = tale.make(recipe("cloud-base"), 6, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.store
        .hold(&id, &Hold { who: "grace".to_owned(), why: "wait for the announcement".to_owned() })
        .await
        .unwrap();
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    // Publishing, and one destination is away.
    let id = tale.make(recipe("cloud-base"), 7, release.clone()).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| {
        if key.contains("upload/registry") {
            Fate::Stumbles("cannot reach 127.0.0.1:5000: connection refused")
        } else {
            Fate::Well
        }
    })
    .await;
    ids.push(id);
    // Testing: one boot runs, one is queued.
    let id = tale.make(recipe("cloud-base"), 8, release).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| match key {
        key if key.contains("smoketest/x86_64/bios") => Fate::Runs("waiting for ssh"),
        key if key.contains("smoketest/x86_64/uefi") => Fate::Queued,
        _ => Fate::Well,
    })
    .await;
    ids.push(id);
    // Building.
    let emergency = Purpose::Emergency { who: "ada".to_owned(), why: "CVE-2026-1234".to_owned() };
    let id = tale.make(recipe("cloud-base"), 9, emergency).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Runs("installing packages: 61 of 143")).await;
    ids.push(id);
    // Waiting.
    ids.push(tale.make(recipe("cloud-base"), 10, Purpose::Scratch).await);
    // Cancelled.
    let id = tale.make(recipe("server"), 0, Purpose::Scratch).await;
    tale.store.cancel(&id, "ada", "the wrong branch").await.unwrap();
    tale.live(&id, |_| Fate::Well).await;
    ids.push(id);
    ids
}

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
async fn each_candidate_says_why_it_is_not_out_and_who_must_act() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let mut told = String::new();
    for id in everything(&mut tale).await {
        let story = site.get(&format!("/api{}", path(&id))).await.json();
        let field = |name: &str| story[name].as_str().unwrap_or_default().to_owned();
        let next = |name: &str| story["next"][name].as_str().unwrap().to_owned();
        told.push_str(&format!(
            "{}: {}\n  {}\n  next: {}\n  who:  {}\n",
            field("stage"),
            id,
            field("headline"),
            next("what"),
            next("who")
        ));
        for command in story["next"]["commands"].as_array().unwrap() {
            told.push_str(&format!("  $ {}\n", command.as_str().unwrap()));
        }
        for wait in story["waits"].as_array().unwrap() {
            told.push_str(&format!(
                "  waits: {}: {} ({})\n",
                wait["what"].as_str().unwrap(),
                wait["why"].as_str().unwrap(),
                wait["who"].as_str().unwrap()
            ));
        }
        let page = site.get(&path(&id)).await;
        assert_eq!(page.status, 200, "{id}");
        assert!(
            page.words().contains(&field("headline").split_whitespace().collect::<Vec<_>>().join(" ")),
            "{id}: {}",
            page.words()
        );
    }
    insta::assert_snapshot!("why", told);
}

#[tokio::test]
async fn a_published_candidate_tells_its_way_from_the_change_to_the_image() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = everything(&mut tale).await.remove(0);
    insta::assert_snapshot!("published", site.get(&path(&id)).await.words());
    insta::assert_snapshot!("images", site.get("/images").await.words());
    let images = site.get("/api/images").await.json();
    assert_eq!(images["streams"][0]["name"], "stable");
    assert_eq!(images["streams"][0]["releases"][0]["version"], "43.20261121.0");
    assert_eq!(images["streams"][0]["releases"][0]["images"].as_array().unwrap().len(), 2);
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

#[tokio::test]
async fn a_boot_shows_each_test_and_the_files_it_left() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let ids = everything(&mut tale).await;
    let boot = format!("{}/smoketest/x86_64/uefi-q35", path(&ids[2]));
    insta::assert_snapshot!("boot", site.get(&boot).await.words());
    let twin = site.get(&format!("/api{boot}")).await.json();
    assert_eq!(twin["files"], serde_json::json!(["console.log", "junit.xml", "report.html"]));
    assert!(twin["boot"]["folder"].is_null(), "where files lie on this machine is nobody's business");
    let report = site.get(&format!("{boot}/files/report.html")).await;
    assert_eq!((report.status, report.body.as_str()), (200, "<h1>Report</h1>"));
    assert!(report.headers["content-security-policy"].starts_with("sandbox;"));
    assert_eq!(site.get(&format!("{}/build/x86_64/log", path(&ids[2]))).await.body, "installing bash\n");
    // A build that failed, or runs still, left its log where it was done.
    let failed = &ids[4];
    let log =
        tale.folder.path().join("state/jobs/build").join(format!("{failed}/build/x86_64").replace('/', "."));
    assert_eq!(site.get(&format!("{}/build/x86_64/log", path(failed))).await.status, 404);
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("build.log"), "nothing provides libfoo.so.1\n").unwrap();
    let shown = site.get(&format!("{}/build/x86_64/log", path(failed))).await;
    assert_eq!((shown.status, shown.body.as_str()), (200, "nothing provides libfoo.so.1\n"));
    // A boot that could not be done is never shown as a failed image.
    let doubt = site.get(&format!("{}/smoketest/x86_64/uefi-q35", path(&ids[3]))).await.words();
    assert!(
        doubt.contains("infra error") && doubt.contains("the accelerator hung") && !doubt.contains("failed"),
        "{doubt}"
    );
}

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

#[tokio::test]
async fn the_mirror_is_served_with_ranges_and_validators() {
    let mut tale = Tale::begin().await;
    let root = tale.settings.service.state.join("mirror");
    let mirror: BTreeMap<_, _> = toml::from_str("mirror = { kind = \"mirror\" }").unwrap();
    tale.settings.destinations = mirror;
    std::fs::create_dir_all(root.join("streams")).unwrap();
    std::fs::create_dir_all(root.join("releases/43")).unwrap();
    std::fs::write(root.join("streams/stable.json"), "{\"stream\":\"stable\"}").unwrap();
    std::fs::write(root.join("releases/43/image.qcow2"), "0123456789").unwrap();
    std::fs::write(root.join(".hidden"), "").unwrap();
    let site = site(&tale).await;
    let stream = site.get("/streams/stable.json").await;
    assert_eq!((stream.status, stream.body.as_str()), (200, "{\"stream\":\"stable\"}"));
    assert_eq!(stream.headers["content-type"], "application/json");
    let validator = format!("If-None-Match: {}\r\n", stream.headers["etag"]);
    assert_eq!(site.ask("GET", "/streams/stable.json", &validator).await.status, 304);
    assert!(stream.headers.contains_key("last-modified"));
    let part = site.ask("GET", "/pub/mirror/releases/43/image.qcow2", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    let folder = site.get("/pub/mirror/releases/").await;
    assert!(folder.words().contains("43/"), "{}", folder.words());
    assert!(site.get("/pub/mirror/releases/43/").await.words().contains("image.qcow2 10 bytes"));
    assert_eq!(site.get("/pub/mirror/releases/44/").await.status, 404);
}

#[tokio::test]
async fn health_is_whether_the_store_can_be_read() {
    let tale = Tale::begin().await;
    let site = site(&tale).await;
    assert_eq!(site.get("/healthz").await.status, 200);
    tale.store.close().await;
    let sick = site.get("/healthz").await;
    assert_eq!(sick.status, 503);
    assert!(sick.body.contains("the store cannot be read"));
    let page = site.get("/").await;
    assert_eq!(page.status, 500);
    assert!(page.words().contains("Try again in a moment"));
}
