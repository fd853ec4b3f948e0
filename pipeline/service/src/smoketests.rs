//! Reads the smoketests of a folder: one TOML file each, named like the test.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use muster_flow::smoketest::Test;

/// The longest time a single test may ask for, in seconds: the rest of the boot waits for it.
const LONGEST_S: u32 = 3600;

/// Reads every `NAME.toml` in a folder. An error names the file, and the key or line in it.
pub fn read(folder: &Path) -> Result<Vec<Test>> {
    let mut paths = Vec::new();
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read the smoketests in {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    let tests: Result<Vec<Test>> = paths.iter().map(|path| read_one(path)).collect();
    let mut tests = tests?;
    tests.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    Ok(tests)
}

fn read_one(path: &Path) -> Result<Test> {
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", place()))?;
    let mut test: Test = toml::from_str(&text).with_context(|| format!("cannot understand {}", place()))?;
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    ensure!(
        test.name.is_empty() || test.name == name,
        "{}: name is `{}`, but the file's name says `{name}`: leave the key out",
        place(),
        test.name
    );
    let is_plain =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    ensure!(
        !name.is_empty() && name.chars().all(is_plain),
        "{}: a test's name has small letters, digits and dashes only",
        place()
    );
    ensure!(
        !test.summary.trim().is_empty(),
        "{}: summary says what a green test shows; it is empty",
        place()
    );
    ensure!(!test.forms.is_empty(), "{}: forms is empty, so the test would never run", place());
    ensure!(!test.script.trim().is_empty(), "{}: script is empty, so the test could not fail", place());
    ensure!(
        (1..=LONGEST_S).contains(&test.time_limit_s),
        "{}: time_limit_s is {}, but must be from 1 to {LONGEST_S}",
        place(),
        test.time_limit_s
    );
    if let Some(known) = &test.expected_failure {
        ensure!(!known.tracker.is_empty(), "{}: expected_failure.tracker is empty: name a ticket", place());
    }
    test.name = name.to_owned();
    Ok(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "summary = \"It is up.\"\nforms = [\"qcow2\"]\nscript = \"true\"\n";

    fn read_text(text: &str) -> Result<Vec<Test>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("up.toml"), text).unwrap();
        std::fs::write(folder.path().join("README.md"), "no test").unwrap();
        read(folder.path())
    }

    fn complaint(text: &str) -> String {
        format!("{:#}", read_text(text).unwrap_err())
    }

    #[test]
    fn a_test_is_named_by_its_file() {
        let tests = read_text(GOOD).unwrap();
        assert_eq!(tests.len(), 1);
        assert_eq!(tests[0].name, "up");
        assert_eq!(tests[0].time_limit_s, 60);
    }

    #[test]
    fn an_error_names_the_file_and_the_key() {
        let unknown = complaint(&format!("{GOOD}tiem_limit_s = 3\n"));
        assert!(unknown.contains("up.toml") && unknown.contains("tiem_limit_s"), "{unknown}");
        let missing = complaint("forms = [\"qcow2\"]\nscript = \"true\"\n");
        assert!(missing.contains("up.toml") && missing.contains("summary"), "{missing}");
        assert!(complaint(&format!("{GOOD}time_limit_s = 0\n")).contains("time_limit_s is 0"));
        assert!(complaint(&GOOD.replace("true", " ")).contains("script is empty"));
        assert!(complaint(&GOOD.replace("\"qcow2\"", "")).contains("forms is empty"));
        assert!(complaint(&format!("{GOOD}name = \"other\"\n")).contains("the file's name says `up`"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = read(Path::new("/nonexistent/smoketests")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the smoketests in /nonexistent/smoketests");
    }

    #[test]
    fn every_shipped_smoketest_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../smoketests");
        let names: Vec<String> = read(&folder).unwrap().into_iter().map(|test| test.name).collect();
        assert!(names.contains(&"boots".to_owned()), "{names:?}");
        assert!(names.len() >= 12, "{names:?}");
    }
}
