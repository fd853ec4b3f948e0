#![expect(clippy::format_push_string, clippy::format_collect, reason = "a test")]

use std::fs;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::adapters::definitions;
use crate::adapters::fedora_messaging::Settings;
use crate::planner::untold::untold;
use crate::program::Program;
use crate::store::{Recording, Store};
use crate::upstream::Ledger;

/// A git repository with one recipe, a package repository, a database, and what is known.
struct World {
    folder: tempfile::TempDir,
    store: Store,
    intake: Intake,
    knowledge: Knowledge,
    clock: Clock,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, text) in [
            ("defs/kickstarts/base.ks", "%include common.ks\n%packages\nbash\n%end\n"),
            ("defs/kickstarts/common.ks", "timezone UTC\n"),
            ("defs/README", "hello\n"),
        ] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        }
        let recipe = format!(
            "name = \"base\"\nimage = \"Base\"\nversion = \"43\"\nproduct = \"disk\"\n\
             [definition]\nfile = \"kickstarts/base.ks\"\nrepository = \"murmur\"\n\
             [packages]\ntags = [\"f43\"]\nrepositories = [{{ name = \"r\", baseurl = \"file://{}/repo/\" }}]\n",
            root.display()
        );
        fs::write(root.join("defs/kickstarts/base.toml"), recipe).unwrap();
        let world_git = root.join("defs");
        git(&world_git, &["init", "-q", "-b", "main"]).await;
        git(&world_git, &["add", "."]).await;
        git(&world_git, &["commit", "-qm", "one"]).await;
        write_repository(root, &[("bash-core", "bash-5-1")]);
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let settings = definitions::Settings {
            path: world_git.display().to_string(),
            branch: "main".to_owned(),
            ..definitions::Settings::default()
        };
        let definitions = Definitions::new(settings, &root.join("state"), clock.clone()).unwrap();
        let recipes = definitions.recipes().await.unwrap();
        let files = definitions.files(&recipes[0]).await.unwrap();
        let knowledge = Knowledge {
            installed: [("bash-core".to_owned(), recorded("bash-core-5-0"))].into(),
            settled: ["base".to_owned()].into(),
            files: [("base".to_owned(), files)].into(),
            recipes,
            ..Knowledge::default()
        };
        let intake = Intake::new(definitions, None, &root.join("state"), clock.clone()).unwrap();
        let database = format!("sqlite://{}", root.join("facts.db").display());
        let store = Store::open(&database, clock.clone()).await.unwrap();
        World { folder, store, intake, knowledge, clock }
    }

    fn repository(&self, packages: &[(&str, &str)]) {
        write_repository(self.folder.path(), packages);
    }

    /// The service starts anew on the same state.
    fn restart(&mut self) {
        let state = self.folder.path().join("state");
        let definitions = Definitions::new(self.settings(), &state, self.clock.clone()).unwrap();
        self.intake = Intake::new(definitions, None, &state, self.clock.clone()).unwrap();
    }

    fn settings(&self) -> definitions::Settings {
        definitions::Settings {
            path: self.folder.path().join("defs").display().to_string(),
            branch: "main".to_owned(),
            ..definitions::Settings::default()
        }
    }

    async fn push(&self, file: &str) {
        let defs = self.folder.path().join("defs");
        let text = fs::read_to_string(defs.join(file)).unwrap();
        fs::write(defs.join(file), text + "# more\n").unwrap();
        git(&defs, &["commit", "-qam", "more"]).await;
    }

    async fn digest(&self, messages: Vec<Incoming>) -> Digest {
        let positions = self.store.positions().await.unwrap();
        self.intake.digest(messages, &self.knowledge, &positions).await.unwrap()
    }

    async fn weigh(&self, messages: Vec<Incoming>) -> Vec<Weighed> {
        let count = messages.len();
        let digest = self.digest(messages).await;
        assert!(digest.parked.is_empty(), "{:?}", digest.parked);
        let weighed = self.record(digest).await;
        assert_eq!(weighed.len(), count);
        weighed
    }

    /// Records it as the planner does, save that nothing is admitted.
    async fn record(&self, digest: Digest) -> Vec<Weighed> {
        let plan = self.store.plan().await.unwrap().unwrap();
        let happenings = digest.weighed.iter().flat_map(|weighed| &weighed.happenings);
        let told = self.store.told(happenings).await.unwrap();
        let (weighed, heard) = untold(digest.weighed, told);
        let recording = Recording { weighed: &weighed, admitted: &[], heard: &heard, notes: &digest.notes };
        self.store.weighed(&plan, recording).await.unwrap();
        self.clock.advance(jiff::SignedDuration::from_secs(1));
        weighed
    }

    /// Reads every source; what it read is to be weighed.
    async fn read(&self) -> Swept {
        let positions = self.store.positions().await.unwrap();
        self.intake.sweep(&self.knowledge.recipes, &positions, 0).await;
        self.intake.take_swept().unwrap()
    }

    async fn news(&self, swept: &Swept) -> Digest {
        let mut ledger = Ledger { positions: self.store.positions().await.unwrap(), ..Ledger::default() };
        for source in &swept.changed {
            ledger.held.insert(source.clone(), self.store.held(source).await.unwrap());
        }
        self.intake.news(swept, &self.knowledge, &ledger).await.unwrap()
    }

    async fn explain(&self, dump: &str, bus: &Settings) -> Result<Explanation> {
        let positions = self.store.positions().await?;
        self.intake.explain(dump, Some(bus), (&self.knowledge, &positions), &[]).await
    }

    async fn sweep(&self) -> Vec<String> {
        let swept = self.read().await;
        let weighed = self.record(self.news(&swept).await).await;
        weighed.iter().filter_map(|weighed| Some(weighed.change.as_ref()?.summary())).collect()
    }
}

async fn git(root: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
    Program::new("git").args(identity).args(args).folder(root).run().await.unwrap();
}

/// What the last build of the recipe recorded of a package.
fn recorded(nvr: &str) -> BTreeMap<String, Option<String>> {
    [("base".to_owned(), Some(nvr.to_owned()))].into()
}

/// Packages by name and the build they come from, which gives them their version.
fn write_repository(root: &Path, packages: &[(&str, &str)]) {
    let mut primary = "<metadata xmlns:rpm=\"r\">".to_owned();
    for (name, build) in packages {
        let mut parts = build.rsplitn(3, '-');
        let (release, version) = (parts.next().unwrap(), parts.next().unwrap());
        primary.push_str(&format!(
            "<package type=\"rpm\"><name>{name}</name><version epoch=\"0\" ver=\"{version}\" rel=\"{release}\"/>\
             <format><rpm:sourcerpm>{build}.src.rpm</rpm:sourcerpm></format></package>"
        ));
    }
    primary.push_str("</metadata>");
    let sum: String = Sha256::digest(primary.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    fs::create_dir_all(root.join("repo/repodata")).unwrap();
    fs::write(root.join("repo/repodata/primary.xml"), primary).unwrap();
    let repomd = format!(
        "<repomd><data type=\"primary\"><checksum type=\"sha256\">{sum}</checksum>\
         <location href=\"repodata/primary.xml\"/></data></repomd>"
    );
    fs::write(root.join("repo/repodata/repomd.xml"), repomd).unwrap();
}

fn message(id: &str, topic: &str, body: &Value) -> Incoming {
    let (id, topic, body) = (id.to_owned(), topic.to_owned(), body.to_string());
    Incoming { id, topic, headers: "{}".to_owned(), body, sent_at: None }
}

fn tag(id: &str, nvr: &str) -> Incoming {
    let parts: Vec<&str> = nvr.rsplitn(3, '-').collect();
    let body = json!({"name": parts[2], "version": parts[1], "release": parts[0], "tag": "f43"});
    message(id, "buildsys.tag", &body)
}

fn push(id: &str, file: &str) -> Incoming {
    let body = json!({"repo": {"name": "murmur"}, "branch": "main", "end_commit": "1", "changed_files": {file: "M"}});
    message(id, "pagure.git.receive", &body)
}

fn why_not(weighed: &Weighed) -> &str {
    weighed.touches.as_ref().unwrap_err()
}

#[tokio::test]
async fn a_tagged_build_that_is_in_the_repository_touches_the_images_that_its_packages_are_on() {
    let mut world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    let touches = weighed[0].touches.as_ref().unwrap();
    assert_eq!(touches[0].recipe, "base");
    assert_eq!(weighed[0].message.as_deref(), Some("1"));
    assert_eq!(world.sweep().await, Vec::<String>::new(), "the sweep told it again");
    world.restart();
    assert_eq!(world.sweep().await, Vec::<String>::new(), "after a restart the sweep told it again");
}

#[tokio::test]
async fn a_build_that_the_image_was_made_with_starts_nothing_whoever_tells_of_it() {
    let mut world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    world.knowledge.installed.insert("bash-core".to_owned(), recorded("bash-core-5-2"));
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    assert_eq!(why_not(&weighed[0]), "the last build of base recorded this very build of bash");
    assert_eq!(world.sweep().await, Vec::<String>::new(), "a sweep started what a message did not");
    // It goes, an image is made without it, and it comes back.
    world.repository(&[("bash-core", "bash-5-1")]);
    let body = json!({"name": "bash", "version": "5", "release": "2", "tag": "f43"});
    let weighed = world.weigh(vec![message("2", "buildsys.untag", &body)]).await;
    assert!(weighed[0].touches.is_ok(), "{weighed:?}");
    world.knowledge.installed.insert("bash-core".to_owned(), recorded("bash-core-5-1"));
    world.repository(&[("bash-core", "bash-5-2")]);
    let weighed = world.weigh(vec![tag("3", "bash-5-2")]).await;
    assert!(weighed[0].touches.is_ok(), "{weighed:?}");
    // It comes back before the image without it is made.
    world.knowledge.installed.insert("bash-core".to_owned(), recorded("bash-core-5-2"));
    world.knowledge.settled.clear();
    world.repository(&[]);
    assert!(world.weigh(vec![message("4", "buildsys.untag", &body)]).await[0].touches.is_ok());
    world.repository(&[("bash-core", "bash-5-2")]);
    let weighed = world.weigh(vec![tag("5", "bash-5-2")]).await;
    assert!(weighed[0].touches.is_ok(), "{weighed:?}");
}

#[tokio::test]
async fn a_tagged_build_that_is_not_there_yet_is_found_once_it_is() {
    let world = World::new().await;
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    assert!(why_not(&weighed[0]).contains("bash-5-2 is not in file://"), "{}", why_not(&weighed[0]));
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2"), ("zsh", "zsh-1-1")]);
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"], "zsh is on no image");
    assert_eq!(world.sweep().await, Vec::<String>::new(), "it was told twice");
}

#[tokio::test]
async fn a_message_that_comes_after_the_sweep_found_its_build_starts_nothing_again() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"]);
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    assert!(why_not(&weighed[0]).contains("found it before the message came"), "{}", why_not(&weighed[0]));
    let weighed = world.weigh(vec![tag("2", "bash-5-2"), tag("3", "bash-5-2")]).await;
    for again in &weighed {
        assert!(
            why_not(again).contains("has nothing of it that was not weighed before"),
            "{}",
            why_not(again)
        );
    }
}

#[tokio::test]
async fn a_build_that_went_and_came_back_is_news_whoever_tells() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    for round in ["1", "2"] {
        world.repository(&[("bash-core", "bash-5-2")]);
        assert!(
            world.weigh(vec![tag(&format!("in {round}"), "bash-5-2")]).await[0].touches.is_ok(),
            "{round}"
        );
        world.repository(&[("bash-core", "bash-5-1")]);
        assert_eq!(world.sweep().await, ["bash-5-2 was untagged from f43"], "{round}");
    }
    world.repository(&[("bash-core", "bash-5-2")]);
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"]);
}

#[tokio::test]
async fn what_a_sweep_read_before_a_message_was_weighed_is_no_news_any_more() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    world.push("kickstarts/common.ks").await;
    let swept = world.read().await;
    assert!(world.weigh(vec![tag("1", "bash-5-2")]).await[0].touches.is_ok());
    assert!(world.weigh(vec![push("2", "x")]).await[0].touches.is_ok());
    let weighed = world.record(world.news(&swept).await).await;
    assert_eq!(weighed.iter().filter(|weighed| weighed.change.is_some()).count(), 0, "{weighed:?}");
    // The other way round, and what was read is older than what is there by now.
    world.repository(&[("bash-core", "bash-5-3")]);
    let swept = world.read().await;
    world.repository(&[("bash-core", "bash-5-4")]);
    assert!(world.weigh(vec![tag("3", "bash-5-4")]).await[0].touches.is_ok());
    let weighed = world.record(world.news(&swept).await).await;
    assert_eq!(weighed.iter().filter(|weighed| weighed.change.is_some()).count(), 0, "{weighed:?}");
    assert_eq!(world.sweep().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_earlier_version_knew_of_a_repository_is_where_the_database_begins() {
    let mut world = World::new().await;
    let baseurl = world.knowledge.recipes[0].packages.repositories[0].baseurl.clone();
    let seen = json!({ baseurl: {"revision": "abc", "builds": ["bash-5-0"], "said": [], "swept": []} });
    fs::create_dir_all(world.folder.path().join("state")).unwrap();
    fs::write(world.folder.path().join("state/packages.json"), seen.to_string()).unwrap();
    world.restart();
    assert_eq!(world.sweep().await, ["bash-5-1 was tagged into f43"], "it came while the versions changed");
    world.restart();
    assert_eq!(world.sweep().await, Vec::<String>::new(), "the file was believed a second time");
}

#[tokio::test]
async fn a_repository_that_is_away_is_made_up_for_by_the_sweep_and_by_nobody_twice() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    let (repo, away) = (world.folder.path().join("repo"), world.folder.path().join("away"));
    fs::rename(&repo, &away).unwrap();
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    assert!(why_not(&weighed[0]).contains("the sweep takes it up"), "{}", why_not(&weighed[0]));
    assert_eq!(world.sweep().await, Vec::<String>::new());
    fs::rename(&away, &repo).unwrap();
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"]);
    assert_eq!(world.sweep().await, Vec::<String>::new());
}

#[tokio::test]
async fn recipes_that_share_a_repository_are_found_by_the_tags_of_each() {
    let mut world = World::new().await;
    let mut other = world.knowledge.recipes[0].clone();
    other.name = "other".to_owned();
    other.packages.tags = vec!["f43-updates".to_owned()];
    world.knowledge.recipes.push(other);
    world.knowledge.installed.entry("bash-core".to_owned()).or_default().insert("other".to_owned(), None);
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43", "bash-5-2 was tagged into f43-updates"]);
}

#[tokio::test]
async fn what_the_bus_never_said_is_found_also_after_a_restart() {
    let mut world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new(), "the first look is the ground to compare with");
    world.repository(&[("bash-core", "bash-5-2")]);
    world.restart();
    let ids = |digest: &Digest| -> Vec<String> {
        digest.weighed.iter().map(|weighed| weighed.change.as_ref().unwrap().id.clone()).collect()
    };
    let swept = world.read().await;
    let first = world.news(&swept).await;
    // It dies before anything is recorded.
    world.restart();
    let again = world.news(&world.read().await).await;
    assert_eq!(ids(&again), ids(&first), "what was not recorded is found again, by the same name");
    world.record(again).await;
    world.repository(&[]);
    assert_eq!(world.sweep().await, ["bash-5-2 was untagged from f43"]);
}

#[tokio::test]
async fn a_build_is_untagged_when_the_repository_has_let_it_go() {
    let world = World::new().await;
    let untag = |id| {
        message(id, "buildsys.untag", &json!({"name": "bash", "version": "5", "release": "1", "tag": "f43"}))
    };
    let weighed = world.weigh(vec![untag("1")]).await;
    assert!(why_not(&weighed[0]).contains("still"), "{}", why_not(&weighed[0]));
    world.repository(&[("bash-core", "bash-5-0")]);
    assert!(world.weigh(vec![untag("2")]).await[0].touches.is_ok());
}

#[tokio::test]
async fn a_package_on_no_image_starts_nothing_and_asks_nobody() {
    let world = World::new().await;
    fs::remove_dir_all(world.folder.path().join("repo")).unwrap();
    let mut other = tag("1", "zsh-1-1");
    other.body = other.body.replace("f43", "f99");
    let weighed = world.weigh(vec![other, tag("2", "zsh-1-1"), tag("3", "bash-core-5-1")]).await;
    assert_eq!(why_not(&weighed[0]), "no recipe takes packages from f99");
    assert_eq!(why_not(&weighed[1]), "zsh is on no image");
    let touch = &weighed[2].touches.as_ref().unwrap()[0];
    assert!(touch.why.contains("not confirmed: cannot read the package repository"), "{}", touch.why);
}

#[tokio::test]
async fn a_push_is_weighed_by_what_git_says_and_not_by_what_the_message_says() {
    let world = World::new().await;
    world.push("README").await;
    let weighed = world.weigh(vec![push("1", "kickstarts/base.ks")]).await;
    assert_eq!(why_not(&weighed[0]), "no definition, and nothing that one includes, was changed");
    world.push("kickstarts/common.ks").await;
    let weighed = world.weigh(vec![push("2", "README")]).await;
    let touch = &weighed[0].touches.as_ref().unwrap()[0];
    assert_eq!(touch.why, "kickstarts/common.ks, which its definition includes, was changed");
}

#[tokio::test]
async fn a_push_is_told_of_once_whoever_tells() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.push("kickstarts/common.ks").await;
    let unread = world.digest(vec![push("1", "x")]).await;
    assert!(unread.weighed[0].touches.is_ok());
    let weighed = world.weigh(vec![push("1", "x"), push("2", "x")]).await;
    assert!(weighed[0].touches.is_ok(), "what was not recorded is not dealt with");
    assert!(why_not(&weighed[1]).contains("has nothing of it that was not weighed before"));
    assert_eq!(world.sweep().await, Vec::<String>::new(), "a message spoke of it");
    let weighed = world.weigh(vec![push("3", "x")]).await;
    assert_eq!(why_not(&weighed[0]), "murmur main has nothing that was not weighed before");
    world.push("kickstarts/base.ks").await;
    let found = world.sweep().await;
    assert!(found.len() == 1 && found[0].starts_with("murmur main was pushed to"), "{found:?}");
    assert_eq!(world.sweep().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_branch_that_goes_to_and_fro_is_news_each_time() {
    let world = World::new().await;
    let defs = world.folder.path().join("defs");
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.push("kickstarts/common.ks").await;
    assert_eq!(world.sweep().await.len(), 1);
    for _ in 0..2 {
        git(&defs, &["reset", "-q", "--hard", "HEAD~1"]).await;
        assert_eq!(world.sweep().await.len(), 1, "it went back");
        git(&defs, &["reset", "-q", "--hard", "HEAD@{1}"]).await;
        assert_eq!(world.sweep().await.len(), 1, "it came forth again");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_parked_and_what_is_not_ours_is_passed_over() {
    let world = World::new().await;
    let messages = vec![
        message("1", "buildsys.tag", &json!({"tag": 1})),
        message("2", "bodhi.update.comment", &json!({})),
        message("3", "buildsys.build.state.change", &json!({"new": 3})),
    ];
    let digest = world.digest(messages).await;
    assert_eq!(digest.parked.len(), 1);
    assert_eq!((digest.parked[0].id.as_str(), digest.parked[0].body.as_slice()), ("1", &b"{\"tag\":1}"[..]));
    assert!(digest.parked[0].reason.contains("needs name, version and release"));
    assert_eq!(digest.weighed.len(), 2);
    assert!(digest.weighed.iter().all(|weighed| weighed.change.is_none() && weighed.message.is_some()));
}

#[tokio::test]
async fn a_message_that_the_service_never_sees_is_said_to_be_one() {
    let world = World::new().await;
    world.repository(&[("bash-core", "bash-5-2")]);
    let dump = |topic: &str| {
        let body = json!({"name": "bash", "version": "5", "release": "2", "tag": "f43"});
        json!({"topic": topic, "id": "7", "body": body}).to_string()
    };
    let binding =
        toml::from_str("exchange = \"amq.topic\"\nrouting_keys = [\"org.example.test.#\"]").unwrap();
    let topic_prefix = "org.example.test".to_owned();
    let narrow = Settings { topic_prefix, bindings: vec![binding], ..Settings::default() };
    let explained = world.explain(&dump("org.other.prod.buildsys.tag"), &narrow).await.unwrap();
    insta::assert_snapshot!(explained.to_string(), @r"
    message 7 on org.other.prod.buildsys.tag
      the running service would never see it: no queue of ours is bound to org.other.prod.buildsys.tag, which does not begin with our prefix org.example.test
      if it did:
      bash-5-2 was tagged into f43
        touches base: bash is in the package set that its last build recorded
          makes a scratch candidate
    ");
    let explained = world.explain(&dump("org.example.test.buildsys.tag"), &narrow).await.unwrap();
    assert_eq!((explained.unseen, explained.foreign), (None, None));
    let wide = Settings { bindings: Vec::new(), ..narrow };
    let explained = world.explain(&dump("org.other.prod.buildsys.tag"), &wide).await.unwrap();
    assert_eq!(explained.unseen, None);
    assert!(
        explained
            .foreign
            .unwrap()
            .ends_with("our prefix org.example.test; the binding #.buildsys.tag lets it in")
    );
    let positions = world.store.positions().await.unwrap();
    let known = (&world.knowledge, &positions);
    let explained = world.intake.explain(&dump("buildsys.tag"), None, known, &[]).await.unwrap();
    assert!(explained.unseen.unwrap().starts_with("no bus is configured"));
}

#[tokio::test]
async fn a_message_is_explained_without_a_trace() {
    let mut world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    let bus = Settings { topic_prefix: "org.example.test".to_owned(), ..Settings::default() };
    let dump = json!({"topic": "org.example.test.buildsys.tag", "id": "7", "headers": {},
        "body": {"name": "bash", "version": "5", "release": "2", "tag": "f43"}, "queue": "q"});
    let explained = world.explain(&dump.to_string(), &bus).await.unwrap();
    insta::assert_snapshot!(explained.to_string(), @r"
    message 7 on buildsys.tag
      bash-5-2 was tagged into f43
        touches base: bash is in the package set that its last build recorded
          makes a scratch candidate
    ");
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"], "explaining it left a trace");
    world.knowledge.installed.insert("bash-core".to_owned(), recorded("bash-core-5-2"));
    let explained = world.explain(&dump.to_string(), &bus).await.unwrap();
    insta::assert_snapshot!(explained.to_string(), @r"
    message 7 on buildsys.tag
      bash-5-2 was tagged into f43
        touches no image: the last build of base recorded this very build of bash
    ");
    assert_eq!(explained.changes[0].up_to_date, ["base"]);
    let mut other = world.knowledge.recipes[0].clone();
    other.name = "other".to_owned();
    world.knowledge.recipes.push(other);
    let installed = world.knowledge.installed.get_mut("bash-core").unwrap();
    installed.insert("other".to_owned(), Some("bash-core-5-1".to_owned()));
    let explained = world.explain(&dump.to_string(), &bus).await.unwrap();
    insta::assert_snapshot!(explained.to_string(), @r"
    message 7 on buildsys.tag
      bash-5-2 was tagged into f43
        touches other: bash is in the package set that its last build recorded
          makes a scratch candidate
        leaves base alone: its last build recorded this very build
    ");
    let dump = json!({"topic": "buildsys.tag", "body": {"tag": "f43"}}).to_string();
    let explained = world.explain(&dump, &bus).await.unwrap();
    assert!(explained.parked.unwrap().contains("does not fit the schema"));
    let error = world.explain("[1]", &bus).await.unwrap_err();
    assert!(error.to_string().contains("topic, id, headers and body"));
}
