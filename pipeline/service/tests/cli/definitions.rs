//! `muster kickstart`, `muster config` and `muster completions`.

use muster::program::Program;
use serde_json::Value;

use crate::desk::{Desk, run, wait_for};
use crate::tale::muster;

#[tokio::test]
async fn kickstarts_are_flattened_and_errors_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.ks", "lang C.UTF-8\n%packages\nbash\n%end\n");
    write("cloud.ks", "%include base.ks\ntimezone Etc/UTC\n%packages\ncloud-init\n%end\n");
    write("bad.ks", "lang C.UTF-8\nfrobnicate\n");
    write("muster.toml", "");
    let flat = run(folder.path(), &["kickstart", "flatten", "cloud.ks", "--version", "F43"]).await;
    assert_eq!(flat.code, Some(0), "{}", String::from_utf8_lossy(&flat.stderr));
    let text = flat.text();
    assert!(text.contains("cloud-init") && text.contains("bash") && !text.contains("%include"), "{text}");
    let written =
        run(folder.path(), &["kickstart", "flatten", "cloud.ks", "-v", "F43", "-o", "flat.ks"]).await;
    assert_eq!((written.code, written.text().as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(folder.path().join("flat.ks")).unwrap(), text);
    let bad = run(folder.path(), &["kickstart", "flatten", "bad.ks", "--version", "F43"]).await;
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(bad.code == Some(1) && said.contains("bad.ks:2:"), "{said}");
    let missing = run(folder.path(), &["kickstart", "flatten", "none.ks", "--version", "F43"]).await;
    assert_eq!(missing.code, Some(3));
    let version = run(folder.path(), &["kickstart", "flatten", "cloud.ks", "--version", "X1"]).await;
    assert!(String::from_utf8_lossy(&version.stderr).contains("F7 to F46"));
}

#[tokio::test]
async fn completions_know_every_command() {
    let desk = Desk::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.says(&["completions", shell]).await;
        assert!(script.contains("until-finished") && script.contains("flatten"), "{shell}");
    }
}

/// A folder with a recipe that cannot work, and one that cannot be read.
fn faulty() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let recipes = folder.path().join("kickstarts");
    std::fs::create_dir_all(folder.path().join("smoketests")).unwrap();
    std::fs::create_dir_all(&recipes).unwrap();
    std::fs::write(folder.path().join("muster.toml"), "[definitions]\nrecipes = [\"kickstarts\"]\n").unwrap();
    let recipe = "name = \"tiny\"\nimage = \"Tiny\"\nproduct = \"disk\"\nversion = \"43\"\n\
                  definition = { file = \"kickstarts/tiny.ks\" }\n\
                  destinations = [{ name = \"mirror\", kind = \"mirror\", takes = \"oci\", path = \"a\" }]\n";
    std::fs::write(recipes.join("tiny.toml"), recipe).unwrap();
    std::fs::write(recipes.join("broken.toml"), "nmae = \"broken\"\n").unwrap();
    folder
}

/// What is found there.
const FAULTS: [&str; 5] =
    ["never booted", "add [destinations.mirror]", "takes the form oci", "tiny.ks", "broken.toml"];

#[tokio::test]
async fn config_check_names_what_cannot_work() {
    let folder = faulty();
    let checked = run(folder.path(), &["config", "check", "--json"]).await;
    assert_eq!(checked.code, Some(4), "{}", String::from_utf8_lossy(&checked.stderr));
    let checked: Value = serde_json::from_str(&checked.text()).unwrap();
    let faults = checked["faults"].to_string();
    for fault in FAULTS {
        assert!(faults.contains(fault), "{fault} is not among {faults}");
    }
}

#[tokio::test]
async fn the_service_warns_at_its_start_of_what_cannot_work_and_serves_all_the_same() {
    let folder = faulty();
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = std::fs::read_to_string(folder.path().join("muster.toml")).unwrap();
    let settings = format!("{settings}[service]\nlisten = \"{listen}\"\nstate = \"state\"\n");
    std::fs::write(folder.path().join("muster.toml"), settings).unwrap();
    let log = folder.path().join("log");
    let program =
        Program::new(muster()).args(["serve"]).folder(folder.path()).env("MUSTER_CONFIG", "muster.toml");
    let mut service = program.log(&log).spawn().unwrap();
    wait_for(&log, "serving on").await;
    for fault in FAULTS {
        wait_for(&log, fault).await;
    }
    let text = std::fs::read_to_string(&log).unwrap();
    for fault in FAULTS.iter().filter(|fault| **fault != "broken.toml") {
        assert!(
            text.lines().any(|line| line.contains(fault) && line.contains("\"WARN\"")),
            "{fault}: {text}"
        );
    }
    let page = muster::http::client().unwrap().get(format!("http://{listen}/healthz")).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    service.kill().await;
}
