//! What `muster config check` says about a hub.

use muster::adapters::koji::{self, Settings};
use muster_flow::recipe::{Builder, Recipe};

use crate::ground::{Ground, settings};

fn recipe() -> Recipe {
    let mut recipe = muster_specimen::recipe("lab");
    recipe.builder = Builder::Koji;
    recipe
}

async fn lines(settings: &Settings) -> Vec<String> {
    let lines = koji::check(settings, &[recipe(), muster_specimen::recipe("local")]).await;
    lines.into_iter().map(|(about, line)| format!("{}: {line}", about.unwrap_or_default())).collect()
}

#[tokio::test]
async fn a_hub_where_all_is_well_has_no_faults() {
    let ground = Ground::new().await;
    assert_eq!(lines(&settings(&ground.hub, &ground.folder)).await, Vec::<String>::new());
    assert_eq!(ground.hub.count("buildImageOz"), 0);
}

#[tokio::test]
async fn what_is_missing_is_said_in_words_that_help() {
    let ground = Ground::new().await;
    ground.hub.permit("imagebot", &["livemedia"]);
    ground.hub.arches("f43-build", "aarch64 s390x");
    ground.hub.list_packages("f43", &[]);
    let lines = lines(&settings(&ground.hub, &ground.folder)).await;
    insta::assert_snapshot!(lines.join("\n"), @r"
    : imagebot may not build images; an administrator of the hub can say: koji grant-permission image imagebot
    lab: the build tag f43-build has no architecture x86_64 (it has: aarch64 s390x)
    lab: the tag f43 does not list the package Lab; somebody who may can say: koji add-pkg --owner=WHO f43 Lab
    ");
}

#[tokio::test]
async fn a_hub_that_is_away_or_takes_no_login_is_said() {
    let ground = Ground::new().await;
    let settings = settings(&ground.hub, &ground.folder);
    std::fs::write(ground.folder.path().join("password"), "guess").unwrap();
    assert_eq!(lines(&settings).await, [": cannot log in to Koji: invalid username or password"]);
    ground.hub.stop();
    tokio::task::yield_now().await;
    let away = lines(&settings).await;
    assert!(away.len() == 1 && away[0].contains("no answer from Koji"), "{away:?}");
}

#[test]
fn a_section_with_a_key_that_nobody_knows_is_refused() {
    let text = "hub = \"https://k\"\ntopurl = \"https://k\"\nweburl = \"https://k\"\ninstall_tree = \"x\"\n";
    let login = "[login]\nkind = \"kerberos\"\n";
    let read = |more: &str, login: &str| toml::from_str::<Settings>(&format!("{text}{more}{login}"));
    assert!(read("", login).is_ok());
    assert!(read("hubb = \"x\"\n", login).unwrap_err().to_string().contains("hubb"));
    assert!(read("", "[login]\nkind = \"kerberos\"\nkeytap = \"x\"\n").is_err());
    let settings = read("mark = \"a/b\"\n", login).unwrap();
    assert_eq!(settings.faults(), ["mark: \"a/b\" must be letters, digits and any of - _"]);
}
