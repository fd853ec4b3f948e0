use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(topic: &str, body: &Value) -> What {
    let mut whats = decode(topic, body).unwrap();
    assert_eq!(whats.len(), 1, "{topic} {body}");
    whats.remove(0)
}

fn pushed(repository: &str, branch: &str, commit: &str, files: &[&str]) -> What {
    What::Pushed {
        repository: repository.to_owned(),
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    }
}

#[test]
fn koji_says_what_was_tagged_and_untagged_in_all_its_shapes() {
    let bash = json!({"name": "bash", "version": "5.3.0", "release": "2.fc43", "tag": "f43"});
    let (package, nvr, tag) = ("bash".to_owned(), "bash-5.3.0-2.fc43".to_owned(), "f43".to_owned());
    let tagged = What::PackageTagged { package: package.clone(), nvr: nvr.clone(), tag: tag.clone() };
    assert_eq!(one("buildsys.tag", &bash), tagged);
    assert_eq!(one("org.example.prod.buildsys.untag", &bash), What::PackageUntagged { package, nvr, tag });
    let mut whole = bash.clone();
    whole["tag"] = json!({"name": "f43", "id": 1});
    assert_eq!(one("buildsys.tag", &whole), tagged);
    let bridged = json!({"msg_id": "2018-1", "topic": "buildsys.tag", "msg": bash});
    assert_eq!(one("buildsys.tag", &bridged), tagged);
}

#[test]
fn only_a_completed_build_of_a_package_is_one() {
    let build = |new: i64| json!({"name": "bash", "version": "5", "release": "1", "new": new, "old": null});
    let topic = "buildsys.build.state.change";
    let built = What::PackageBuilt { package: "bash".to_owned(), nvr: "bash-5-1".to_owned() };
    assert_eq!(one(topic, &build(1)), built);
    for state in [0, 2, 3, 4] {
        assert_eq!(decode(topic, &build(state)), Ok(vec![]));
    }
    let mut image = build(1);
    image["task"] = json!({"method": "livemedia"});
    assert_eq!(decode(topic, &image), Ok(vec![]));
    let mut image = build(1);
    image["request"] = json!(["Cloud", "43", "f43", "https://x", ["x86_64"], {"kickstart": "cloud.ks"}]);
    assert_eq!(decode(topic, &image), Ok(vec![]));
    assert_eq!(decode(topic, &json!({"new": 0})), Ok(vec![]), "a build that began needs no name");
}

#[test]
fn a_push_is_read_in_the_words_of_every_forge() {
    let commit = json!({"repo": "bash", "namespace": "rpms", "branch": "f43", "rev": "abc",
        "stats": {"files": {"bash.spec": {"lines": 1}}}});
    assert_eq!(
        one("git.receive", &json!({"commit": commit})),
        pushed("rpms/bash", "f43", "abc", &["bash.spec"])
    );
    let old = json!({"commit": {"repo": {"name": "hubs", "parent": {"name": "hubs"}, "user": {"name": "ann"}},
        "branch": "refs/heads/develop", "rev": "def", "stats": {"files": {"a.py": {}}}}});
    let topic = "io.pagure.prod.pagure.git.receive";
    assert_eq!(one(topic, &old), pushed("forks/ann/hubs", "develop", "def", &["a.py"]));
    let new = json!({"repo": {"name": "kickstarts", "fullname": "kickstarts"}, "branch": "f43",
        "end_commit": "123", "changed_files": {"base.ks": "M", "old.ks": "D"}});
    assert_eq!(one(topic, &new), pushed("kickstarts", "f43", "123", &["base.ks", "old.ks"]));
    let hook = json!({"ref": "refs/heads/main", "after": "456", "total_commits": 2,
        "repository": {"name": "kickstarts", "full_name": "releng/kickstarts"},
        "commits": [{"added": ["a.ks"], "removed": [], "modified": ["b.ks"]}, {"removed": ["c.ks"]}]});
    let expected = pushed("releng/kickstarts", "main", "456", &["a.ks", "b.ks", "c.ks"]);
    assert_eq!(one("forgejo.push", &json!({"headers": {}, "body": hook, "agent": "ann"})), expected);
    assert_eq!(one("github.push", &hook), expected);
}

#[test]
fn a_push_that_may_not_name_every_file_names_none() {
    let hook = |extra: Value| {
        let mut hook = json!({"ref": "refs/heads/main", "after": "4", "repository": {"name": "k"},
            "commits": [{"modified": ["a.ks"]}]});
        hook.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        hook
    };
    let blind = pushed("k", "main", "4", &[]);
    assert_eq!(one("forgejo.push", &hook(json!({"total_commits": 30}))), blind);
    assert_eq!(one("github.push", &hook(json!({"forced": true}))), blind);
    assert_eq!(one("github.push", &hook(json!({"commits": [{"id": "1"}]}))), blind);
    assert_eq!(decode("github.push", &hook(json!({"deleted": true}))), Ok(vec![]));
    assert_eq!(decode("github.push", &hook(json!({"after": "0000"}))), Ok(vec![]));
    assert_eq!(decode("github.push", &hook(json!({"ref": "refs/tags/v1"}))), Ok(vec![]));
}

#[test]
fn a_compose_counts_when_it_is_over() {
    let topic = "pungi.compose.status.change";
    let body = |status: &str| json!({"compose_id": "Murmur-43-20261121.0", "status": status});
    assert_eq!(decode(topic, &body("STARTED")), Ok(vec![]));
    for status in ["FINISHED", "FINISHED_INCOMPLETE", "DOOMED"] {
        let compose = "Murmur-43-20261121.0".to_owned();
        assert_eq!(one(topic, &body(status)), What::ComposeFinished { compose, status: status.to_owned() });
    }
}

#[test]
fn what_lacks_what_we_need_says_so() {
    for (topic, body, expected) in [
        ("buildsys.tag", json!({"tag": null}), "a tag message needs name, version and release of the build"),
        ("buildsys.untag", json!({}), "an untag message needs name, version and release of the build"),
        ("buildsys.repo.done", json!({"instance": "arm"}), "a repository message needs the tag's name"),
        (
            "buildsys.build.state.change",
            json!({"new": "1"}),
            "a build state message needs the new state, a number",
        ),
        ("forgejo.push", json!({}), "a Forgejo push message needs the ref that was pushed"),
        ("pagure.git.receive", json!({"repo": 1}), "a pagure push message needs the repository's name"),
        ("git.receive", json!({"commit": []}), "a dist-git message needs the commit's repository"),
    ] {
        assert_eq!(decode(topic, &body).unwrap_err().to_string(), expected);
    }
    assert_eq!(decode("buildsys.task.state.change", &json!(null)), Ok(vec![]));
}

/// Every word that any decoder looks for, so that random bodies get deep into them.
const KEYS: [&str; 28] = [
    "name",
    "version",
    "release",
    "tag",
    "new",
    "attribute",
    "task",
    "method",
    "request",
    "kickstart",
    "msg",
    "msg_id",
    "commit",
    "repo",
    "namespace",
    "branch",
    "rev",
    "stats",
    "files",
    "fullname",
    "parent",
    "user",
    "end_commit",
    "changed_files",
    "body",
    "ref",
    "after",
    "repository",
];

fn body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..6).prop_map(Value::from),
        Just(json!("refs/heads/main")),
        Just(json!("")),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = prop_oneof![proptest::sample::select(&KEYS[..]).prop_map(str::to_owned), "\\PC{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_message_holds_there_is_an_answer(topic in 0usize..10, prefix in "(org\\.a\\.prod\\.)?", body in body()) {
        let topic = format!("{prefix}{}", topic::KNOWN[topic].0);
        if let Ok(whats) = decode(&topic, &body) {
            for what in whats {
                let text = serde_json::to_string(&what).unwrap();
                prop_assert_eq!(serde_json::from_str::<What>(&text).unwrap(), what);
            }
        }
    }

    #[test]
    fn what_fits_the_schema_can_be_decoded(topic in 0usize..10, body in body()) {
        let topic = topic::KNOWN[topic].0;
        if crate::schemas::check(topic, &body).is_ok() && body.is_object() {
            prop_assert!(decode(topic, &body).is_ok(), "{} {}", topic, body);
        }
    }
}
