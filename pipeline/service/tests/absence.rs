//! What is deliberately not there, read from the sources themselves. See `docs/ARCHITECTURE.md`.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The sources below a folder of this package, by path.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 10, "there is nothing to look at in {folder}");
    found
}

/// The lines of some sources that hold any of some words.
fn lines_with<'a>(sources: &'a [(PathBuf, String)], words: &[&str]) -> Vec<(&'a Path, &'a str)> {
    let lines = sources.iter().flat_map(|(path, text)| text.lines().map(move |line| (path.as_path(), line)));
    lines.filter(|(_, line)| words.iter().any(|word| line.contains(word))).collect()
}

#[test]
fn nothing_but_the_store_knows_sql() {
    let sources = sources("src");
    let (store, others): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|(path, _)| path.to_string_lossy().contains("/src/store"));
    assert!(!lines_with(&store, &["sqlx::"]).is_empty(), "the store does not use sqlx any more");
    assert_eq!(lines_with(&others, &["sqlx::"]), []);
}

#[test]
fn every_write_of_the_store_has_its_moments() {
    let sources = sources("src");
    let store: Vec<_> =
        sources.into_iter().filter(|(path, _)| path.to_string_lossy().contains("/src/store")).collect();
    // Each of the three ways to write stands once, in the function that tells the witness.
    for way in [".commit().await", ".execute(&self.pool)"] {
        assert_eq!(lines_with(&store, &[way]).len(), 1, "{way}");
    }
    let returning = lines_with(&store, &["RETURNING"]).len();
    assert!(returning > 0);
    assert_eq!(lines_with(&store, &["self.write_returning("]).len(), returning);
    // And there is no fourth: the pool itself is used to read, to begin, to open and to close.
    let known = ["fetch_all(", "fetch_one(", "fetch_optional(", "execute(&self.pool)", ".begin", ".close()"];
    let others = lines_with(&store, &["&self.pool", "self.pool.", ".acquire("]);
    let others: Vec<_> =
        others.into_iter().filter(|(_, line)| !known.iter().any(|way| line.contains(way))).collect();
    assert_eq!(others.len(), 1, "only what lays the tables holds a connection of its own: {others:?}");
}

#[test]
fn adapters_know_neither_engine_nor_planner_nor_store() {
    let adapters = sources("src/adapters");
    let forbidden = ["engine", "planner", "web", "store"];
    let by_path = forbidden.map(|module| format!("crate::{module}"));
    let words: Vec<&str> = by_path.iter().map(String::as_str).collect();
    assert_eq!(lines_with(&adapters, &words), []);
    // Nor among several in one line.
    for (path, line) in lines_with(&adapters, &["use crate::{", "use super::super::{"]) {
        let named = line
            .split(['{', '}', ',', ' ', ';'])
            .any(|word| forbidden.contains(&word.split(':').next().unwrap()));
        assert!(!named && line.ends_with("};"), "{}: {line}", path.display());
    }
}

#[test]
fn pages_and_stories_change_nothing_in_the_store() {
    let all = sources("src");
    let tells =
        |path: &Path| ["/src/web", "/src/story"].iter().any(|part| path.to_string_lossy().contains(part));
    let readers: Vec<_> = all.into_iter().filter(|(path, _)| tells(path)).collect();
    assert!(readers.len() > 10);
    let writing = writing();
    let words: Vec<&str> = writing.iter().map(String::as_str).collect();
    assert_eq!(lines_with(&readers, &words), []);
}

/// How the store's functions are called that write, as its sources have them.
fn writing() -> Vec<String> {
    let store: Vec<_> = sources("src")
        .into_iter()
        .filter(|(path, _)| path.to_string_lossy().contains("/src/store/"))
        .collect();
    let functions = store.iter().flat_map(|(_, text)| text.split("\n    pub async fn ").skip(1));
    // Whoever claims does it in a function that both ways share.
    let writes = ["self.write(", "self.write_returning(", "self.commit(", "self.claim("];
    let writing = functions.filter(|text| {
        let body = text.split("\n    }\n").next().unwrap();
        let body: String = body.split_whitespace().collect();
        writes.iter().any(|write| body.contains(write))
    });
    let calls: Vec<String> =
        writing.map(|text| format!(".{}(", text.split(['(', '<']).next().unwrap())).collect();
    for known in
        [".ask(", ".cancel(", ".waive(", ".park_deliveries(", ".intend(", ".claim_wanted(", ".ended("]
    {
        assert!(calls.iter().any(|call| call == known), "{known} is not among {calls:?}");
    }
    calls
}

/// The crates that one of ours depends on.
fn dependencies_of(name: &str) -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).unwrap().split('[').next().unwrap();
    let names = dependencies.lines().filter_map(|line| line.split('.').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn flow_depends_on_serde_and_a_time_type_only() {
    assert_eq!(dependencies_of("flow"), ["jiff", "serde"]);
}

#[test]
fn the_readers_know_no_service() {
    assert_eq!(dependencies_of("definition"), ["serde", "serde_json", "serde_yaml_ng", "thiserror"]);
    let of_messages = ["jiff", "jsonschema", "muster-flow", "serde", "serde_json", "thiserror"];
    assert_eq!(dependencies_of("message"), of_messages);
}

#[test]
fn flow_does_no_io() {
    let flow = sources("../flow/src");
    let outside =
        ["fs", "net", "env", "process", "io", "thread", "time", "os"].map(|module| format!("std::{module}"));
    let words: Vec<&str> = outside.iter().map(String::as_str).collect();
    assert_eq!(lines_with(&flow, &words), []);
    // Nor by names that are in reach without a path.
    let macros =
        ["println!", "eprintln!", "print!(", "eprint!(", "dbg!", "env!(", "include_str!", "include_bytes!"];
    assert_eq!(lines_with(&flow, &macros), []);
    assert_eq!(lines_with(&flow, &["use std::{", "use std;", "extern crate"]), [], "write std's modules out");
}
