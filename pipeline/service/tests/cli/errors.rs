//! What is said when something cannot be done.

use std::path::Path;

use crate::desk::{Desk, advice, run};

#[tokio::test]
async fn every_error_says_what_to_do_next() {
    let empty = tempfile::tempdir().unwrap();
    let configure = |text: &str| std::fs::write(empty.path().join("muster.toml"), text).unwrap();
    configure("");
    let (code, _, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && next.contains("Start `muster serve` first"), "{next}");
    assert!(!empty.path().join(".muster").exists(), "a question makes no state");
    let words = run(empty.path(), &["status"]).await;
    assert!(String::from_utf8_lossy(&words.stderr).contains("Start `muster serve` first"), "{words:?}");

    configure("[servise]\n");
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(
        code == 1 && error.contains("servise") && next.contains("Correct muster.toml"),
        "{error}: {next}"
    );
    let (code, error, next) = advice(empty.path(), &["status", "--config", "/none.toml"]).await;
    assert!(code == 1 && error.contains("/none.toml") && next.contains("--config"), "{error}: {next}");

    configure("[service]\ndatabase = \"sqlite://notes\"\n");
    std::fs::create_dir(empty.path().join("notes")).unwrap();
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && error.contains("database") && next.contains("[service]"), "{error}: {next}");
    configure("[service]\ndatabase = \"postgres//typo\"\n");
    let (code, error, next) = advice(empty.path(), &["status"]).await;
    assert!(code == 1 && error.contains("database") && next.contains("[service]"), "{error}: {next}");

    // What clap refuses it says in its own way.
    let typed = run(empty.path(), &["relaese"]).await;
    assert!(typed.code == Some(2) && String::from_utf8_lossy(&typed.stderr).contains("release"), "{typed:?}");
    let refused = run(empty.path(), &["release", "--emergency"]).await;
    assert_eq!(refused.code, Some(2), "an emergency needs a reason");

    let desk = Desk::new().await;
    let folder = desk.tale.folder.path();
    let (code, _, next) = advice(folder, &["show", "cloud-base"]).await;
    assert!(code == 3 && next.contains("muster trigger"), "{next}");
    for (args, expected) in [
        (&["show", "cloud-base/43.20260101.0"][..], 3),
        (&["parked", "drop", "zz"], 3),
        (&["cancel", "cloud-base", "--reason", "no"], 3),
        (&["retry", "cloud-base"], 3),
        (&["kickstart", "flatten", "none.ks", "--version", "F43"], 3),
    ] {
        assert_eq!(advice(folder, args).await.0, expected, "{args:?}");
    }
}

#[tokio::test]
async fn advice_fits_what_went_wrong() {
    let desk = Desk::new().await;
    let folder = desk.tale.folder.path();
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let definitions = format!("[definitions]\npath = \"{}\"\n", definitions.display());
    let settings = std::fs::read_to_string(folder.join("muster.toml")).unwrap() + &definitions;
    std::fs::write(folder.join("muster.toml"), settings).unwrap();
    let (code, _, next) = advice(folder, &["explain", "/nope.json"]).await;
    assert!(code == 3 && next.contains("Name a file"), "{next}");
    std::fs::write(folder.join("bad.json"), "[1]").unwrap();
    let (code, error, next) = advice(folder, &["explain", "bad.json"]).await;
    assert!(code == 1 && error.contains("a JSON object with topic"), "{error}");
    assert!(next.contains("as fedora-messaging dumps it"), "{next}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let text = format!("[service]\nstate = \"state\"\nlisten = \"{listen}\"\n{definitions}");
    std::fs::write(folder.join("taken.toml"), text).unwrap();
    let finished = run(folder, &["serve", "--config", "taken.toml"]).await;
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert_eq!(finished.code, Some(1), "{said}");
    assert!(
        said.contains("set `listen` in [service] to a free port") && !said.contains("Try again"),
        "{said}"
    );
}
