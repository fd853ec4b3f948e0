#![expect(clippy::format_push_string, clippy::format_collect, reason = "a test")]

use std::fs;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::adapters::definitions;
use crate::adapters::fedora_messaging::Settings;
use crate::program::Program;

/// A git repository with one recipe, a package repository, and what is known.
struct World {
    folder: tempfile::TempDir,
    intake: Intake,
    knowledge: Knowledge,
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
            installed: [("bash-core".to_owned(), BTreeSet::from(["base".to_owned()]))].into(),
            files: [("base".to_owned(), files)].into(),
            recipes,
            ..Knowledge::default()
        };
        let intake = Intake::new(definitions, &root.join("state"), clock).unwrap();
        World { folder, intake, knowledge }
    }

    fn repository(&self, packages: &[(&str, &str)]) {
        write_repository(self.folder.path(), packages);
    }

    /// What a service knows that starts anew on the same state.
    fn restarted(&self) -> Intake {
        let clock = Clock::system();
        let settings = definitions::Settings {
            path: self.folder.path().join("defs").display().to_string(),
            ..definitions::Settings::default()
        };
        let state = self.folder.path().join("state");
        let definitions = Definitions::new(settings, &state, clock.clone()).unwrap();
        Intake::new(definitions, &state, clock).unwrap()
    }

    async fn push(&self, file: &str) {
        let defs = self.folder.path().join("defs");
        let text = fs::read_to_string(defs.join(file)).unwrap();
        fs::write(defs.join(file), text + "# more\n").unwrap();
        git(&defs, &["commit", "-qam", "more"]).await;
    }

    async fn weigh(&self, messages: Vec<Incoming>) -> Vec<Weighed> {
        let count = messages.len();
        let digest = self.intake.digest(messages, &self.knowledge).await.unwrap();
        assert!(digest.parked.is_empty(), "{:?}", digest.parked);
        assert_eq!(digest.weighed.len(), count);
        digest.weighed
    }

    async fn sweep(&self) -> Vec<String> {
        let swept = self.intake.sweep(&self.knowledge).await.unwrap();
        let found = swept.changes.iter().map(Change::summary).collect();
        self.intake.settle(swept).await.unwrap();
        found
    }
}

async fn git(root: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
    Program::new("git").args(identity).args(args).folder(root).run().await.unwrap();
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
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    let weighed = world.weigh(vec![tag("1", "bash-5-2")]).await;
    let touches = weighed[0].touches.as_ref().unwrap();
    assert_eq!(touches[0].recipe, "base");
    assert_eq!(weighed[0].message.as_deref(), Some("1"));
    let restarted = world.restarted().sweep(&world.knowledge).await.unwrap();
    assert_eq!(restarted.changes, [], "after a restart the sweep told it again");
    assert_eq!(world.sweep().await, Vec::<String>::new(), "the sweep told it again");
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
    assert!(why_not(&weighed[0]).contains("found in file://"), "{}", why_not(&weighed[0]));
    assert!(why_not(&weighed[0]).contains("by a sweep before the message came"));
    let weighed = world.weigh(vec![tag("2", "bash-5-2")]).await;
    assert!(weighed[0].touches.is_ok(), "a second message is a second tagging, and no sweep told of that");
}

#[tokio::test]
async fn recipes_that_share_a_repository_are_found_by_the_tags_of_each() {
    let mut world = World::new().await;
    let mut other = world.knowledge.recipes[0].clone();
    other.name = "other".to_owned();
    other.packages.tags = vec!["f43-updates".to_owned()];
    world.knowledge.recipes.push(other);
    world.knowledge.installed.entry("bash-core".to_owned()).or_default().insert("other".to_owned());
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43", "bash-5-2 was tagged into f43-updates"]);
}

#[tokio::test]
async fn what_the_bus_never_said_is_found_also_after_a_restart() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new(), "the first look is the ground to compare with");
    world.repository(&[("bash-core", "bash-5-2")]);
    let again = world.restarted();
    let swept = again.sweep(&world.knowledge).await.unwrap();
    assert_eq!(swept.changes.len(), 1);
    let same = again.sweep(&world.knowledge).await.unwrap();
    assert_eq!(
        same.changes[0].id, swept.changes[0].id,
        "what was not settled is found again, by the same name"
    );
    world.repository(&[]);
    again.settle(swept).await.unwrap();
    let gone = again.sweep(&world.knowledge).await.unwrap();
    assert!(matches!(&gone.changes[0].what, What::PackageUntagged { nvr, .. } if nvr == "bash-5-2"));
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
async fn a_push_is_dealt_with_only_once_its_message_is_read() {
    let world = World::new().await;
    world.push("kickstarts/common.ks").await;
    assert!(world.weigh(vec![push("1", "x")]).await[0].touches.is_ok());
    assert!(world.weigh(vec![push("1", "x")]).await[0].touches.is_ok(), "it is unread, so it counts");
    assert_eq!(world.sweep().await, Vec::<String>::new(), "a message speaks of it");
    let weighed = world.weigh(vec![push("2", "x")]).await;
    assert_eq!(why_not(&weighed[0]), "murmur main has nothing that was not weighed before");
    world.push("kickstarts/base.ks").await;
    let found = world.sweep().await;
    assert!(found.len() == 1 && found[0].starts_with("murmur main was pushed to"), "{found:?}");
    assert_eq!(world.sweep().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_decoded_is_parked_and_what_is_not_ours_is_passed_over() {
    let world = World::new().await;
    let messages = vec![
        message("1", "buildsys.tag", &json!({"tag": 1})),
        message("2", "bodhi.update.comment", &json!({})),
        message("3", "buildsys.build.state.change", &json!({"new": 3})),
    ];
    let digest = world.intake.digest(messages, &world.knowledge).await.unwrap();
    assert_eq!(digest.parked.len(), 1);
    assert_eq!((digest.parked[0].id.as_str(), digest.parked[0].body.as_slice()), ("1", &b"{\"tag\":1}"[..]));
    assert!(digest.parked[0].reason.contains("needs name, version and release"));
    assert_eq!(digest.weighed.len(), 2);
    assert!(digest.weighed.iter().all(|weighed| weighed.change.is_none() && weighed.message.is_some()));
}

#[tokio::test]
async fn a_message_is_explained_without_a_trace() {
    let world = World::new().await;
    assert_eq!(world.sweep().await, Vec::<String>::new());
    world.repository(&[("bash-core", "bash-5-2")]);
    let bus = Settings { topic_prefix: "org.example.test".to_owned(), ..Settings::default() };
    let dump = json!({"topic": "org.example.test.buildsys.tag", "id": "7", "headers": {},
        "body": {"name": "bash", "version": "5", "release": "2", "tag": "f43"}, "queue": "q"});
    let explained = world.intake.explain(&dump.to_string(), &bus, &world.knowledge, &[]).await.unwrap();
    insta::assert_snapshot!(explained.to_string(), @r"
    message 7 on buildsys.tag
      bash-5-2 was tagged into f43
        touches base: bash is in the package set that its last build recorded
          makes a scratch candidate
    ");
    assert_eq!(world.sweep().await, ["bash-5-2 was tagged into f43"], "explaining it left a trace");
    let dump = json!({"topic": "buildsys.tag", "body": {"tag": "f43"}}).to_string();
    let explained = world.intake.explain(&dump, &bus, &world.knowledge, &[]).await.unwrap();
    assert!(explained.parked.unwrap().contains("does not fit the schema"));
    let error = world.intake.explain("[1]", &bus, &world.knowledge, &[]).await.unwrap_err();
    assert!(error.to_string().contains("topic, id, headers and body"));
}
