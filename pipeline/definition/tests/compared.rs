//! Flattening is compared with pykickstart's, where a Python that has it is at hand.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::Files;
use muster_definition::kickstart::{Syntax, flatten};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The Python whose pykickstart is the measure.
const PYTHON: &str = "MUSTER_TEST_PYTHON";

/// A folder of kickstarts that are none of ours; those below a folder with the name of a release are read as that, too.
const KICKSTARTS: &str = "MUSTER_TEST_KICKSTARTS";

/// Flattens every job of a JSON list of [path, release] and prints a JSON list of texts; null where it fails. Making a
/// handler takes far longer than reading a line, so each job gets a copy of the process.
const PROGRAM: &str = r#"
import json, os, sys, warnings
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion
warnings.simplefilter("ignore")
handlers = {}
results = []
for path, release in json.load(sys.stdin):
    if release not in handlers:
        handlers[release] = makeVersion(release)
    handler = handlers[release]
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            KickstartParser(handler).readKickstart(path)
            text = str(handler)
        except Exception:
            text = None
        with os.fdopen(write, "w") as pipe:
            json.dump(text, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        results.append(json.load(pipe))
    os.wait()
json.dump(results, sys.stdout)
"#;

const RELEASES: [&str; 16] = [
    "F8", "F12", "RHEL6", "F14", "F17", "F20", "RHEL7", "F23", "F28", "RHEL8", "F33", "RHEL9", "F39",
    "RHEL10", "F43", "F46",
];

#[test]
fn whole_kickstarts_flatten_as_pykickstart_flattens_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kickstarts");
    let files = ["base.ks", "repos.ks", "cloud.ks", "container.ks", "ostree.ks", "old-cloud.ks"];
    let mut jobs = Vec::new();
    for (number, file) in files.iter().enumerate() {
        jobs.extend(some_releases(number, 5).map(|release| (format!("{folder}/{file}"), release)));
    }
    compare(&jobs);
}

#[test]
fn single_lines_flatten_as_pykickstart_flattens_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    for (number, line) in include_str!("lines.txt").lines().enumerate() {
        let path = folder.path().join(format!("{number}.ks"));
        // The table has a line each; sections need several.
        std::fs::write(&path, line.replace("\\n", "\n") + "\n").unwrap();
        let path = path.to_str().unwrap().to_owned();
        let knowing: Vec<&str> =
            RELEASES.into_iter().filter(|release| ours(&path, release).is_some()).collect();
        // The ends of the time in which we read it, so that what we read is compared, and some in between or outside.
        let ends = [knowing.first(), knowing.last()].into_iter().flatten().copied();
        let releases: BTreeSet<&str> = some_releases(number, 2).chain(ends).collect();
        jobs.extend(releases.into_iter().map(|release| (path.clone(), release)));
    }
    compare(&jobs);
}

#[test]
fn kickstarts_of_others_flatten_as_pykickstart_flattens_them() {
    let Some(folder) = std::env::var_os(KICKSTARTS) else {
        // They are nobody's to pass on, so there is nothing to set this to where only the repository is.
        eprintln!("NOT COMPARED: {KICKSTARTS} names no folder of kickstarts");
        return;
    };
    let mut jobs = Vec::new();
    for (number, path) in kickstarts(Path::new(&folder)).into_iter().enumerate() {
        let of_folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap();
        let named = of_folder.to_uppercase();
        let releases = some_releases(number, 3).map(str::to_owned);
        let named = named.parse::<Syntax>().ok().map(|_| named);
        let path = path.to_str().unwrap().to_owned();
        jobs.extend(releases.chain(named).map(|release| (path.clone(), release)));
    }
    assert!(!jobs.is_empty(), "there are no kickstarts in {}", folder.display());
    let jobs: Vec<(String, &str)> =
        jobs.iter().map(|(path, release)| (path.clone(), release.as_str())).collect();
    compare(&jobs);
}

/// Every file below a folder whose name ends with `.ks`.
fn kickstarts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(kickstarts(&path));
        } else if path.extension().is_some_and(|ending| ending == "ks") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Some releases for each piece of work, far apart and not the same ones for the next.
fn some_releases(number: usize, count: usize) -> impl Iterator<Item = &'static str> {
    (0..count).map(move |step| RELEASES[(number * 5 + step * RELEASES.len() / count) % RELEASES.len()])
}

fn compare(jobs: &[(String, &str)]) {
    let Some(python) = std::env::var_os(PYTHON) else {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{PYTHON} is not set: nothing was compared");
        eprintln!("NOT COMPARED with pykickstart: set {PYTHON} to a Python that has pykickstart 3.78");
        return;
    };
    let mut accepted = 0;
    let mut different = Vec::new();
    for ((path, release), theirs) in jobs.iter().zip(pykickstart(Path::new(&python), jobs)) {
        let ours = ours(path, release);
        accepted += usize::from(ours.is_some());
        let (ours, theirs) = (ours.as_deref().map(body), theirs.as_deref().map(body));
        if ours != theirs {
            different.push(format!("{path} as {release}\n  ours: {ours:?}\ntheirs: {theirs:?}"));
        }
    }
    let (all, differ) = (jobs.len(), different.len());
    eprintln!(
        "{all} compared: {accepted} read and {} refused by us, {differ} otherwise by pykickstart",
        all - accepted
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(accepted * 4 > all, "only {accepted} of {all} were accepted by both");
}

/// What we make of a file; nothing where we refuse it.
fn ours(path: &str, release: &str) -> Option<String> {
    flatten(path, &Files::from("/"), release.parse().unwrap()).map(|flat| flat.text).ok()
}

/// The text without the line that says who wrote it.
fn body(text: &str) -> &str {
    text.split_once('\n').unwrap().1
}

#[expect(clippy::disallowed_methods, reason = "the crate has no program runner, and the test no time limit")]
fn pykickstart(python: &Path, jobs: &[(String, &str)]) -> Vec<Option<String>> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(python)
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(jobs).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{PYTHON} cannot run pykickstart");
    serde_json::from_slice(&output.stdout).unwrap()
}
