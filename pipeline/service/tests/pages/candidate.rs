//! One candidate, and one boot of it.
#![expect(clippy::format_push_string, reason = "a test")]

use muster::program::Program;
use muster_flow::candidate::Purpose;
use serde_json::Value;

use crate::site::{path, site};
use crate::stages::everything;
use crate::tale::{Fate, Tale, recipe, tests};

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

#[tokio::test]
async fn the_fingerprint_of_the_signing_key_stands_beside_the_commands_once_there_is_something_to_get() {
    let home = tempfile::tempdir().unwrap();
    let gpg = |args: &[&str]| {
        let home = Program::new("gpg").arg("--homedir").arg(home.path());
        home.args(["--batch", "--quiet", "--passphrase", ""]).args(args)
    };
    gpg(&["--quick-gen-key", "Murmur <murmur@example.invalid>", "ed25519", "sign", "never"])
        .run()
        .await
        .unwrap();
    let list = gpg(&["--with-colons", "--list-keys"]).run().await.unwrap().text();
    let key = list.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().trim_matches(':').to_owned();
    let groups: Vec<&str> = (0..key.len()).step_by(4).map(|at| &key[at..at + 4]).collect();
    let mut tale = Tale::begin().await;
    let home = home.path().display();
    let signing = format!("kind = \"gpg\"\nkey = \"murmur@example.invalid\"\nhomedir = \"{home}\"\n");
    tale.settings.signing = toml::from_str(&signing).unwrap();
    let site = site(&tale).await;
    let ids = everything(&mut tale).await;
    for address in [&path(&ids[0]), "/images"] {
        let words = site.get(address).await.words();
        assert!(words.contains(&format!("The signature must be by the key {}", groups.join(" "))), "{words}");
    }
    let images = async |id| site.get(&format!("/api{}", path(id))).await.json()["images"].clone();
    assert_eq!(images(&ids[0]).await[0]["signed_by"], key);
    let held = images(&ids[6]).await;
    assert_eq!(
        (&held[0]["verify"], &held[0]["signed_by"]),
        (&Value::from(Vec::<String>::new()), &Value::Null)
    );
    Program::new("gpgconf")
        .arg("--homedir")
        .arg(home.to_string())
        .args(["--kill", "all"])
        .run()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_red_candidate_says_what_made_it_red() {
    let mut tale = Tale::begin().await;
    let good = tale.make(recipe("cloud-base"), 0, Purpose::Release).await;
    tale.start(&good, tests()).await;
    tale.live(&good, |_| Fate::Well).await;
    let red = tale.make(recipe("cloud-base"), 1, Purpose::Scratch).await;
    tale.installs[0] = ("bash", "5.3", "2.fc43");
    tale.start(&red, tests()).await;
    let by_chance = |key: &str| {
        let is_red = key.contains(".1/smoketest/x86_64/uefi");
        if is_red { Fate::Red(&["hostname"], "the name is localhost") } else { Fate::Well }
    };
    tale.live(&red, by_chance).await;
    let candidate = tale.candidate(&red).await;
    let begun = muster::blame::begin(&tale.store, &candidate, 12, None).await.unwrap();
    assert_eq!(begun, muster::blame::Begun::Now);
    tale.find_out(&red, by_chance).await;
    let site = site(&tale).await;
    let words = site.get(&path(&red)).await.words();
    let found =
        "△ infra error could not reproduce it: likely a flaky test (red once, green twice) (2 probes).";
    assert!(words.contains(found), "{words}");
    assert!(
        words.contains("Red: hostname in x86_64/uefi-q35. Good was cloud-base/43.20261121.0."),
        "{words}"
    );
    assert!(
        words.contains("cloud-base/43.20261121.1_probe2 boots the red image again: it is green"),
        "{words}"
    );
    let json = site.get(&format!("/api{}", path(&red))).await.json();
    assert_eq!(json["blame"]["conclusion"]["kind"], "not_reproduced");
    assert_eq!(json["blame"]["suspects"][0]["standing"], "cleared");
    let probe = site.get(&format!("{}_probe1", path(&red))).await.words();
    assert!(probe.contains("What is red in cloud-base/43.20261121.1 is green here."), "{probe}");
}
