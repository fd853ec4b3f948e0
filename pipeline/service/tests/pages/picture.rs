//! The picture of a candidate's page that the documentation shows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster::program::Program;
use muster::smoketests;
use muster_flow::candidate::Purpose;
use muster_flow::recipe::{Firmware, Machine, Metadata, Recipe};
use muster_specimen::cell;

use crate::site::{path, site};
use crate::tale::{Fate, Tale, recipe};

/// The width and height of the picture, in pixels.
const SIZE: &str = "1200,1500";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The recipe of the tale, booted as the one that is shipped.
fn booted_twice() -> Recipe {
    let mut recipe = recipe("cloud-base");
    let mut cells = [cell("bios-pc-nocloud", Firmware::Bios), cell("uefi-q35-ec2", Firmware::Uefi)];
    cells[0].machine = Machine::Pc;
    cells[1].metadata = Metadata::Ec2;
    recipe.smoketests.cells = cells.to_vec();
    recipe
}

#[tokio::test]
#[ignore = "it makes docs/candidate.png anew, and needs Chromium"]
async fn the_picture_of_the_documentation_is_taken() {
    let mut tale = Tale::begin().await;
    let site = site(&tale).await;
    let id = tale.make(booted_twice(), 0, Purpose::Release).await;
    tale.start(&id, smoketests::read(&root().join("smoketests")).unwrap()).await;
    tale.live(&id, |_| Fate::Well).await;
    let picture = tale.folder.path().join("candidate.png");
    let profile = tale.folder.path().join("profile");
    Program::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--window-size={SIZE}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(site.url(&path(&id)))
        .limit(Duration::from_mins(1))
        .run()
        .await
        .unwrap();
    let bytes = std::fs::read(&picture).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "it is no picture");
    std::fs::write(root().join("docs/candidate.png"), bytes).unwrap();
}
