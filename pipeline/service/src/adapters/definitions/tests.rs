use std::fs;

use jiff::SignedDuration;

use super::*;
use crate::program::Program;

const RECIPE: &str = r#"
name = "cloud-base"
image = "Murmur-Cloud-Base"
version = "43"
product = "disk"
[definition]
file = "kickstarts/cloud-base.ks"
repository = "murmur-kickstarts"
"#;

fn write(root: &Path, name: &str, text: &str) {
    fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
    fs::write(root.join(name), text).unwrap();
}

fn fill(root: &Path) {
    write(root, "kickstarts/cloud-base.toml", RECIPE);
    write(root, "kickstarts/cloud-base.ks", "%include common.ks\n%packages\nbash\n%end\n");
    write(root, "kickstarts/common.ks", "timezone UTC\n");
    write(root, "kickstarts/other.ks", "lang C\n");
}

async fn git(root: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"];
    Program::new("git").args(identity).args(args).folder(root).run().await.unwrap();
}

fn definitions(path: &Path, branch: &str, state: &Path) -> (Definitions, Clock) {
    let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
    let settings =
        Settings { path: path.display().to_string(), branch: branch.to_owned(), ..Settings::default() };
    (Definitions::new(settings, state, clock.clone()).unwrap(), clock)
}

#[tokio::test]
async fn a_plain_folder_is_read_as_it_stands() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    let (definitions, _) = definitions(folder.path(), "", state.path());
    let recipes = definitions.recipes().await.unwrap();
    let frozen = definitions.freeze(&recipes[0]).await.unwrap();
    assert_eq!(frozen.commit, "");
    let files: Vec<&str> = frozen.texts.keys().map(String::as_str).collect();
    assert_eq!(files, ["kickstarts/cloud-base.ks", "kickstarts/common.ks"]);
    assert!(frozen.texts["kickstarts/common.ks"].contains("timezone"));
    definitions.look().await.unwrap();
    assert_eq!(definitions.pushed_since(None).await.unwrap(), None);
}

#[tokio::test]
async fn a_branch_is_read_at_its_tip_and_says_what_was_pushed_since() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    git(folder.path(), &["init", "-q"]).await;
    git(folder.path(), &["add", "."]).await;
    git(folder.path(), &["commit", "-qm", "one"]).await;
    let (definitions, clock) = definitions(folder.path(), "main", state.path());
    let recipes = definitions.recipes().await.unwrap();
    let first = definitions.freeze(&recipes[0]).await.unwrap();
    assert_eq!(first.commit.len(), 40);
    let since = async |commit: Option<&str>| {
        definitions.look().await.unwrap();
        definitions.pushed_since(commit).await.unwrap().unwrap()
    };
    assert_eq!(since(None).await.to, first.commit, "the first look is where it begins");

    write(folder.path(), "kickstarts/common.ks", "timezone Europe/Berlin\n");
    assert_eq!(definitions.freeze(&recipes[0]).await.unwrap(), first, "what is not committed is not read");
    git(folder.path(), &["commit", "-qam", "two"]).await;
    let pushed = since(None).await;
    assert_eq!((pushed.from.as_str(), pushed.branch.as_str()), (first.commit.as_str(), "main"));
    assert_eq!(pushed.files, ["kickstarts/common.ks"]);
    assert_eq!(since(Some(&first.commit)).await.files, ["kickstarts/common.ks"]);
    let nothing = since(Some(&pushed.to)).await;
    assert_eq!((&nothing.from, nothing.files.len()), (&nothing.to, 0));
    let gone = since(Some("0123456789012345678901234567890123456789")).await;
    assert_eq!(gone.files, Vec::<String>::new(), "nobody can tell what differs from a commit that is gone");
    let second = definitions.freeze(&recipes[0]).await.unwrap();
    assert!(second.texts["kickstarts/common.ks"].contains("Berlin"));

    // A repository that is away is a nuisance, not an outage.
    fs::rename(folder.path().join(".git"), folder.path().join("away")).unwrap();
    clock.advance(SignedDuration::from_hours(1));
    assert_eq!(definitions.freeze(&recipes[0]).await.unwrap(), second);
}

#[tokio::test]
async fn an_error_in_a_recipe_names_the_file_and_the_key() {
    let state = tempfile::tempdir().unwrap();
    for (text, expected) in [
        (RECIPE.replace("product = \"disk\"", "product = \"disc\""), "disc"),
        (RECIPE.replace("version", "verison"), "verison"),
        (RECIPE.replace("cloud-base\"", "cloud base\""), "name: \"cloud base\""),
        (RECIPE.replace("cloud-base.ks", "cloud-base.yaml"), "definition.file"),
        (format!("{RECIPE}\n[[recipe]]"), "unknown field"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        write(folder.path(), "kickstarts/cloud-base.toml", &text);
        let (definitions, _) = definitions(folder.path(), "", state.path());
        let error = format!("{:#}", definitions.recipes().await.unwrap_err());
        assert!(error.contains("kickstarts/cloud-base.toml") && error.contains(expected), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    write(folder.path(), "kickstarts/again.toml", RECIPE);
    let (definitions, _) = definitions(folder.path(), "", state.path());
    let error = format!("{:#}", definitions.recipes().await.unwrap_err());
    assert!(error.contains("there is a recipe cloud-base in"), "{error}");
}

#[tokio::test]
async fn a_repository_is_fetched_only_when_its_branch_has_moved() {
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(folder.path());
    git(folder.path(), &["init", "-q"]).await;
    git(folder.path(), &["add", "."]).await;
    git(folder.path(), &["commit", "-qm", "one"]).await;
    let (definitions, _) = definitions(folder.path(), "main", state.path());
    definitions.look().await.unwrap();
    // Git notes each fetch in a file of its own.
    let fetched = state.path().join("mirror.git/FETCH_HEAD");
    let fetched =
        if fetched.exists() { fetched } else { state.path().join("definitions/mirror.git/FETCH_HEAD") };
    fs::remove_file(&fetched).unwrap();
    for _ in 0..3 {
        definitions.look().await.unwrap();
    }
    assert!(!fetched.exists(), "it was fetched although nothing had moved");
    git(folder.path(), &["commit", "-q", "--allow-empty", "-m", "two"]).await;
    definitions.look().await.unwrap();
    assert!(fetched.exists());
}
