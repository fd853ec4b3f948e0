//! What has changed in the packages of an image: told by the command, by the page and by its JSON twin, and ordered as
//! RPM itself orders versions.
#![expect(clippy::unwrap_used, reason = "a test")]

mod tale;

use std::cmp::Ordering;
use std::time::Duration;

use muster::program::Program;
use muster::web;
use muster_flow::candidate::{CandidateId, Purpose};
use muster_flow::difference::order_versions;
use serde_json::Value;
use tale::{Fate, Tale, muster, recipe, tests};
use tokio::net::TcpListener;

/// A release with the packages of the day, a scratch build on the way, and a newer release.
async fn three_candidates() -> (Tale, Vec<CandidateId>) {
    let mut tale = Tale::begin().await;
    let mut ids = Vec::new();
    let days = [
        (
            Purpose::Release,
            vec![("bash", "5.2", "9"), ("glibc", "2.40", "1"), ("nano", "8", "1"), ("vim", "9", "2")],
        ),
        (Purpose::Scratch, vec![("bash", "5.3~rc1", "1"), ("glibc", "2.40", "1"), ("vim", "9", "2")]),
        (
            Purpose::Release,
            vec![("bash", "5.2", "10"), ("crun", "1", "1"), ("glibc", "2.40", "1"), ("vim", "9", "1")],
        ),
    ];
    for (number, (purpose, installs)) in (0_u32..).zip(days) {
        tale.installs = installs;
        let id = tale.make(recipe("cloud-base"), number, purpose).await;
        tale.start(&id, tests()).await;
        tale.live(&id, |_| Fate::Well).await;
        tale.pass(3600).await;
        ids.push(id);
    }
    (tale, ids)
}

async fn said(tale: &Tale, args: &[&str]) -> String {
    let settings = tale.folder.path().join("muster.toml");
    let state = tale.settings.service.state.display().to_string();
    std::fs::write(&settings, format!("[service]\nstate = \"{state}\"\n")).unwrap();
    let program = Program::new(muster()).args(args).env("MUSTER_CONFIG", settings.display().to_string());
    let finished = program.limit(Duration::from_secs(30)).run_any().await.unwrap();
    assert_eq!(finished.code, Some(0), "{}", String::from_utf8_lossy(&finished.stderr));
    finished.text()
}

#[tokio::test]
async fn a_release_is_compared_with_the_release_before_it() {
    let (tale, ids) = three_candidates().await;
    insta::assert_snapshot!("diff", said(&tale, &["diff", "cloud-base"]).await);
    let against_scratch = said(&tale, &["diff", &ids[2].0, "--since", &ids[1].0]).await;
    assert!(against_scratch.contains("downgraded  bash"), "{against_scratch}");
    let first = said(&tale, &["diff", &ids[0].0]).await;
    assert!(first.contains("4 packages; there is no earlier build to compare with."), "{first}");
}

#[tokio::test]
async fn the_page_and_its_twin_tell_the_same() {
    let (tale, ids) = three_candidates().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = format!("http://{}", listener.local_addr().unwrap());
    let router = web::router(tale.store.clone(), &tale.settings, tale.clock.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let get = async |path: &str| {
        let answer = muster::http::client().unwrap().get(format!("{site}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let page = format!("/candidates/{}/packages", ids[2]);
    let (status, html) = get(&page).await;
    assert_eq!(status, 200);
    for part in ["<th scope=\"row\">crun</th><td>added</td>", "<td>5.2-9.x86_64</td><td>5.2-10.x86_64</td>"] {
        assert!(html.contains(part), "{html}");
    }
    let twin: Value = serde_json::from_str(&get(&format!("/api{page}")).await.1).unwrap();
    let told: Value = serde_json::from_str(&said(&tale, &["diff", &ids[2].0, "--json"]).await).unwrap();
    assert_eq!(twin, told);
    assert_eq!(twin["since"], ids[0].0);
    let (_, other) = get(&format!("/api{page}?since={}", ids[1].version())).await;
    assert_eq!(serde_json::from_str::<Value>(&other).unwrap()["since"], ids[1].0);
    assert_eq!(get(&format!("{page}?since=43.1")).await.0, 404);
    // One chooses from what there is; what is shown is chosen.
    let option = |id: &CandidateId, more: &str, words: &str| {
        let version = id.version();
        format!("<option value=\"{version}\"{more}>{version} ({words})</option>")
    };
    for part in [option(&ids[0], " selected", "release, published"), option(&ids[1], "", "scratch, passed")] {
        assert!(html.contains(&part), "{part}: {html}");
    }
    assert!(!html.contains(&format!("value=\"{}\"", ids[2].version())), "it is compared with itself");
    let (_, other) = get(&format!("{page}?since={}", ids[1].version())).await;
    assert!(other.contains(&option(&ids[1], " selected", "scratch, passed")), "{other}");
    assert!(get(&format!("/candidates/{}", ids[2])).await.1.contains(&page));
}

#[tokio::test]
async fn versions_are_ordered_as_rpm_orders_them() {
    let versions = [
        "0",
        "1",
        "1.0",
        "1.0.0",
        "1.0~",
        "1.0~rc1",
        "1.0~rc1^git",
        "1.0^",
        "1.0^git1",
        "1.0^git2~pre",
        "1.0.a",
        "1.0a",
        "1a",
        "1_1",
        "a",
        "A",
        "a1",
        "aa",
        "a.b",
        "00012",
        "12",
        "9",
        "99999999999999999999999",
        "1..2",
        "1.2",
        "~",
        "^",
        "1.é.2",
        "5.fc43",
        "5.mm43",
        "2.10-3",
    ];
    let pairs: Vec<(&str, &str)> =
        versions.iter().flat_map(|one| versions.iter().map(move |other| (*one, *other))).collect();
    let print = |(one, other): &(_, _)| format!("print(rpm.vercmp(\"{one}\", \"{other}\")..\" \")");
    let script = pairs.iter().map(print).collect::<Vec<_>>().concat();
    let finished = Program::new("rpm").arg("--eval").arg(format!("%{{lua: {script}}}")).run().await.unwrap();
    let answers = finished.text();
    let answers: Vec<&str> = answers.split_whitespace().collect();
    assert_eq!(answers.len(), pairs.len());
    for ((one, other), answer) in pairs.iter().zip(answers) {
        let expected = match answer {
            "-1" => Ordering::Less,
            "0" => Ordering::Equal,
            _ => Ordering::Greater,
        };
        assert_eq!(order_versions(one, other), expected, "{one} and {other}");
    }
}

#[tokio::test]
async fn what_the_last_build_recorded_is_known_of_every_architecture_or_not_at_all() {
    let mut tale = Tale::begin().await;
    tale.installs = vec![("bash", "5.3", "1.fc43"), ("kernel", "6.1", "1"), ("kernel", "6.2", "1")];
    let id = tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    assert!(tale.store.in_the_making().await.unwrap().contains("cloud-base"));
    tale.start(&id, tests()).await;
    tale.live(&id, |key| if key.contains("/build/") { Fate::Runs("installing") } else { Fate::Well }).await;
    assert!(tale.store.in_the_making().await.unwrap().contains("cloud-base"));
    assert!(tale.store.installed().await.unwrap().is_empty());
    tale.store.cancel(&id, "ada", "too slow").await.unwrap();

    let id = tale.make(recipe("cloud-base"), 1, Purpose::Release).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |key| if key.contains("/upload/") { Fate::Queued } else { Fate::Well }).await;
    let installed = tale.store.installed().await.unwrap();
    assert_eq!(installed["bash"]["cloud-base"].as_deref(), Some("bash-5.3-1.fc43"));
    assert_eq!(installed["kernel"]["cloud-base"], None, "there are two of it");
    assert!(tale.store.recorded_arches().await.unwrap()["cloud-base"].contains("x86_64"));

    // A build that records nothing leaves the names, and nobody takes them for its own.
    tale.installs = Vec::new();
    let id = tale.make(recipe("cloud-base"), 2, Purpose::Scratch).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    assert!(tale.store.installed().await.unwrap().contains_key("bash"));
    assert!(!tale.store.recorded_arches().await.unwrap()["cloud-base"].contains("x86_64"));

    tale.installs = vec![("bash", "5.4", "1.fc43")];
    let id = tale.make(recipe("cloud-base"), 3, Purpose::Scratch).await;
    tale.start(&id, tests()).await;
    tale.live(&id, |_| Fate::Well).await;
    let installed = tale.store.installed().await.unwrap();
    assert_eq!(installed["bash"]["cloud-base"].as_deref(), Some("bash-5.4-1.fc43"));
    assert!(
        !installed.contains_key("kernel")
            && tale.store.recorded_arches().await.unwrap()["cloud-base"].contains("x86_64")
    );
}
