//! What people ask for, and as whom: `muster trigger` and `muster release`.

use std::path::Path;
use std::time::Duration;

use muster::program::Program;
use muster_flow::candidate::Purpose;
use muster_flow::change::{Origin, What, Wish};

use crate::desk::Desk;
use crate::tale::{muster, recipe};

#[tokio::test]
async fn a_request_is_recorded_as_a_fact_with_its_author() {
    let desk = Desk::new().await;
    let settings = desk.tale.folder.path().join("muster.toml");
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let text = format!("[definitions]\npath = \"{}\"\n", definitions.display());
    std::fs::write(&settings, std::fs::read_to_string(&settings).unwrap() + &text).unwrap();
    let said = desk.says(&["trigger", "cloud-base", "--reason", "prove it"]).await;
    assert!(said.contains("cloud-base: a scratch candidate, for it was asked for by name"), "{said}");
    let (code, advice) = desk.fails(&["trigger", "cloud-bsae", "--reason", "a slip"]).await;
    assert!(code == 3 && advice.contains("there is no recipe cloud-bsae; there are: "), "{advice}");
    let emergency =
        ["release", "--recipe", "cloud-base", "--emergency", "--reason", "CVE-2026-1234", "--as", "grace"];
    let said = desk.says(&emergency).await;
    assert!(said.contains("cloud-base: an emergency candidate, for it was asked for by name"), "{said}");
    for args in [&["release", "nope"][..], &["release", "--recipe", "nope"]] {
        assert_eq!(desk.fails(args).await.0, 3, "{args:?}");
    }
    desk.says(&["release"]).await;
    let asked: Vec<(String, What)> = desk
        .tale
        .store
        .unweighed(10)
        .await
        .unwrap()
        .into_iter()
        .map(|change| {
            let Origin::Person { name } = change.origin else { panic!("nobody asked for it") };
            (name, change.what)
        })
        .collect();
    let wish = |recipe: Option<&str>, stream: Option<&str>, purpose, reason: &str| What::Requested {
        recipe: recipe.map(str::to_owned),
        stream: stream.map(str::to_owned),
        purpose,
        reason: reason.to_owned(),
    };
    let expected = [
        ("ada", wish(Some("cloud-base"), None, Wish::Scratch, "prove it")),
        ("grace", wish(Some("cloud-base"), None, Wish::Emergency, "CVE-2026-1234")),
        ("ada", wish(None, Some("stable"), Wish::Release, "no reason was given")),
    ];
    for (name, what) in expected {
        assert!(asked.contains(&(name.to_owned(), what.clone())), "{what:?} is not among {asked:?}");
    }
}

#[tokio::test]
async fn whoever_sets_no_name_is_known_by_the_user_database() {
    let mut desk = Desk::new().await;
    let id = desk.tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    let held = Program::new(muster())
        .args(["hold", &id.0, "--reason", "wait"])
        .folder(desk.tale.folder.path())
        .env("USER", "")
        .env("LOGNAME", "")
        .limit(Duration::from_secs(30))
        .run_any()
        .await
        .unwrap();
    assert_eq!(held.code, Some(0), "{}", String::from_utf8_lossy(&held.stderr));
    let known = Program::new("id").arg("-un").limit(Duration::from_secs(30)).run_any().await.unwrap();
    assert_eq!(desk.tale.candidate(&id).await.decisions.holds[0].who, known.text().trim());
}
