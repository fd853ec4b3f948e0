//! ImageFactory, over real HTTP, with the lab's factory on the other side.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;

use muster::adapters::imagefactory::{self, ImageFactory, Settings};
use muster::clock::Clock;
use muster::port::{Fault, Observation, Port};
use muster_flow::build::{BuildOutput, BuildRequest, FactoryImage};
use muster_flow::recipe::{Form, Product};
use muster_flow::step::{Handle, StepKey};
use muster_lab::death;
use muster_lab::imagefactory::{ImageFactory as Lab, Mishap};
use muster_lab::seen::{self, made, retried, running};
use tempfile::TempDir;

struct Ground {
    lab: Lab,
    folder: TempDir,
    builder: ImageFactory,
}

fn settings(lab: &Lab, more: &str) -> Settings {
    toml::from_str(&format!(
        "url = \"{}\"\ninstall_tree = \"https://m.example/$version/$arch/os/\"\npoll_s = 0\n{more}",
        lab.url()
    ))
    .unwrap()
}

fn builder(lab: &Lab, folder: &TempDir) -> ImageFactory {
    ImageFactory::new(settings(lab, ""), folder.path().join("builds"), Clock::system()).unwrap()
}

impl Ground {
    async fn new() -> Self {
        let lab = Lab::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Ground { builder: builder(&lab, &folder), lab, folder }
    }

    fn restart(&mut self) {
        self.builder = builder(&self.lab, &self.folder);
    }

    async fn ensure(&self) -> Result<Handle, Fault> {
        self.builder.ensure(&key(), &request()).await
    }

    async fn look(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        self.builder.observe(handle).await
    }

    /// The one base image there is.
    fn base(&self) -> String {
        let images = self.lab.images("base_image");
        assert_eq!(images.len(), 1, "{images:?}");
        images[0].id.clone()
    }
}

fn key() -> StepKey {
    StepKey("lab/43.20261121.0/build/x86_64".to_owned())
}

fn request() -> BuildRequest {
    let image = FactoryImage { forms: vec![Form::Raw, Form::Qcow2] };
    BuildRequest { imagefactory: Some(image), ..muster_specimen::build_request("x86_64") }
}

fn qcow2() -> Vec<u8> {
    let mut bytes = b"QFI\xfb".to_vec();
    bytes.resize(4096, 7);
    bytes
}

/// A build whose images are both done.
async fn finished(ground: &Ground) -> Handle {
    let handle = ground.ensure().await.unwrap();
    ground.lab.finish(&ground.base(), &[1; 8192]);
    running(ground.look(&handle).await);
    ground.lab.finish(&ground.lab.images("target_image")[0].id, &qcow2());
    handle
}

#[tokio::test]
async fn an_image_is_made_and_its_qcow2_of_it_and_both_are_fetched() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    assert!(imagefactory::is_ours(&handle));
    let base = ground.lab.images("base_image").remove(0);
    for part in [
        "<name>muster.1790000000.lab.43.20261121.0.build.x86_64</name>",
        "<url>https://m.example/43/x86_64/os/</url>",
        "<size>10</size>",
    ] {
        assert!(base.template.contains(part), "{part}: {}", base.template);
    }
    assert!(base.install_script.contains("lang en_US") && !base.install_script.contains("%include"));
    assert!(running(ground.look(&handle).await).ends_with(": Installing"));
    assert_eq!(ground.lab.images("target_image").len(), 0);
    let handle = finished(&ground).await;
    let output = made(ground.look(&handle).await);
    let names: Vec<_> = output.artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
    assert_eq!(names, ["Lab-43-20261121.0.x86_64.raw", "Lab-43-20261121.0.x86_64.qcow2"]);
    assert_eq!(fs::read(&output.artifacts[1].path).unwrap(), qcow2());
    assert_eq!((output.artifacts[0].size, output.artifacts[0].digest.len()), (8192, 64));
    assert_eq!(ground.lab.images("target_image").len(), 1);
}

#[tokio::test]
async fn asked_a_hundred_times_it_makes_one_image() {
    let ground = Ground::new().await;
    let another = || builder(&ground.lab, &ground.folder);
    seen::asked_a_hundred_times(another, &key(), &request()).await;
    assert_eq!(ground.lab.count("POST", "/base_images"), 1);
    // Another try, and another candidate, has its own.
    ground.builder.ensure(&StepKey(format!("{}#2", key())), &request()).await.unwrap();
    let later = BuildRequest { source_date_epoch: 1_790_000_001, ..request() };
    ground.builder.ensure(&key(), &later).await.unwrap();
    assert_eq!(ground.lab.images("base_image").len(), 3);
}

#[tokio::test]
async fn killed_at_any_moment_it_makes_one_image_of_each_kind() {
    let mut survived = false;
    let mut polls = 1;
    while !survived {
        let mut ground = Ground::new().await;
        survived = death::after(polls, ground.ensure()).await.is_some();
        ground.restart();
        let handle = ground.ensure().await.unwrap();
        ground.lab.finish(&ground.base(), &[1; 8192]);
        let _ = death::after(polls, ground.look(&handle)).await;
        ground.restart();
        running(ground.look(&handle).await);
        assert_eq!(ground.lab.images("target_image").len(), 1, "killed after {polls} polls");
        polls += 1;
    }
    assert!(polls > 3, "it was killed in between");
}

#[tokio::test]
async fn an_answer_that_was_lost_and_a_factory_that_is_away_make_nothing_twice() {
    let mut ground = Ground::new().await;
    ground.lab.mishap(Mishap::AnswerLost);
    retried(ground.ensure().await);
    ground.restart();
    let handle = ground.ensure().await.unwrap();
    ground.lab.mishap(Mishap::Breaks);
    // It answers 500 for what is gone, too: the list tells.
    assert!(matches!(ground.look(&handle).await, Err(Fault::Away(_))));
    running(ground.look(&handle).await);
    assert_eq!(ground.lab.images("base_image").len(), 1);
    ground.lab.stop();
    tokio::task::yield_now().await;
    for outcome in [ground.look(&handle).await.map(drop), ground.ensure().await.map(drop)] {
        assert!(matches!(&outcome, Err(Fault::Away(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_image_that_fails_says_why_and_one_that_is_gone_has_vanished() {
    let ground = Ground::new().await;
    let handle = ground.ensure().await.unwrap();
    ground.lab.fail(&ground.base(), "Installation failed: no space");
    let seen = ground.look(&handle).await.unwrap();
    assert!(
        matches!(&seen, Observation::Failed(why) if why.ends_with("Installation failed: no space")),
        "{seen:?}"
    );
    ground.lab.lose(&ground.base());
    assert!(matches!(ground.look(&handle).await, Ok(Observation::Vanished(_))));
}

#[tokio::test]
async fn a_file_that_breaks_off_or_is_no_image_is_not_kept() {
    let ground = Ground::new().await;
    let handle = finished(&ground).await;
    // The first requests only look how long the two are.
    ground.lab.mishap(Mishap::CutAfter(2, 1000));
    let why = retried(ground.look(&handle).await);
    assert!(why.contains("raw_image broke off at 1000 of 8192 bytes"), "{why}");
    assert_eq!(fs::read(&made(ground.look(&handle).await).artifacts[0].path).unwrap(), vec![1; 8192]);
    let broken = Ground::new().await;
    let handle = broken.ensure().await.unwrap();
    broken.lab.finish(&broken.base(), &[1; 8192]);
    running(broken.look(&handle).await);
    broken.lab.finish(&broken.lab.images("target_image")[0].id, b"<html>an error page</html>");
    let seen = broken.look(&handle).await.unwrap();
    assert!(matches!(&seen, Observation::Failed(why) if why.contains("it is no qcow2 image")), "{seen:?}");
}

#[tokio::test]
async fn to_cancel_deletes_the_images_and_what_was_fetched() {
    let ground = Ground::new().await;
    let handle = finished(&ground).await;
    let output = made(ground.look(&handle).await);
    for _ in 0..3 {
        ground.builder.cancel(&handle).await.unwrap();
    }
    assert_eq!((ground.lab.images("base_image").len(), ground.lab.images("target_image").len()), (0, 0));
    assert!(!std::path::Path::new(&output.artifacts[0].path).exists());
}

#[tokio::test]
async fn what_cannot_work_is_said_before_anything_is_asked_for() {
    let ground = Ground::new().await;
    let clock = Clock::system();
    assert_eq!(imagefactory::check(&settings(&ground.lab, ""), &clock).await, Vec::<String>::new());
    let secret = ground.folder.path().join("secret");
    let oauth = format!("[oauth]\nkey = \"muster\"\nsecret_file = \"{}\"\n", secret.display());
    let lines = imagefactory::check(&settings(&ground.lab, &oauth), &clock).await;
    assert!(lines[0].starts_with("oauth.secret_file: cannot read "), "{lines:?}");
    ground.lab.ask_for("muster");
    let lines = imagefactory::check(&settings(&ground.lab, ""), &clock).await;
    assert!(lines[0].contains("HTTP 401"), "{lines:?}");
    fs::write(&secret, "s3cret\n").unwrap();
    assert_eq!(imagefactory::check(&settings(&ground.lab, &oauth), &clock).await, Vec::<String>::new());
    let mut container = request();
    container.product = Product::Container;
    assert!(matches!(ground.builder.ensure(&key(), &container).await, Err(Fault::GiveUp(_))));
    assert_eq!(ground.lab.images("base_image").len(), 0);
    ground.lab.stop();
    tokio::task::yield_now().await;
    let lines = imagefactory::check(&settings(&ground.lab, ""), &clock).await;
    assert!(lines[0].contains("no answer from ImageFactory"), "{lines:?}");
}
