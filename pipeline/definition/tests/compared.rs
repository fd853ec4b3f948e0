//! Flattening is compared with pykickstart's, where a Python that has it is at hand.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::Files;
use muster_definition::kickstart::flatten;
use std::path::Path;

/// The Python whose pykickstart is the measure.
const PYTHON: &str = "MUSTER_TEST_PYTHON";

/// Flattens every job of a JSON list of [path, release] and prints a JSON list of texts; null where it fails.
const PROGRAM: &str = r#"
import json, sys, warnings
from pykickstart.parser import KickstartParser
from pykickstart.version import makeVersion
warnings.simplefilter("ignore")
results = []
for path, release in json.load(sys.stdin):
    handler = makeVersion(release)
    try:
        KickstartParser(handler).readKickstart(path)
        results.append(str(handler))
    except Exception:
        results.append(None)
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
        jobs.extend(some_releases(number, 2).map(|release| (path.clone(), release)));
    }
    compare(&jobs);
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
    for ((path, release), theirs) in jobs.iter().zip(pykickstart(Path::new(&python), jobs)) {
        let ours = flatten(path, &Files::from("/"), release.parse().unwrap()).map(|flat| flat.text).ok();
        accepted += usize::from(ours.is_some());
        assert_eq!(ours.as_deref().map(body), theirs.as_deref().map(body), "{path} as {release}");
    }
    assert!(accepted * 4 > jobs.len(), "only {accepted} of {} were accepted by both", jobs.len());
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
