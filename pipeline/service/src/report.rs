//! What one boot showed, written down for people and programs: a page, JUnit XML and JSON.
//!
//! It knows how results are told, and keeps apart what must not be confused: "could not find out" is never shown as
//! "failed". It decides nothing: whether a release stops is the gate's business.

mod html;
mod junit;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use muster_flow::build::Artifact;
use muster_flow::gate::Standing;
use muster_flow::recipe::{Budgets, Cell};
use muster_flow::smoketest::{SmoketestRequest, TestResult, Weight};
use serde::{Deserialize, Serialize};

use crate::job::write_whole;

pub use html::html;
pub use junit::junit;
pub use text::last_part;

/// The serial console's file in the job's folder.
pub const CONSOLE: &str = "console.log";
/// The last picture of the screen.
pub const SCREENSHOT: &str = "screenshot.png";
/// The page; it holds everything that it shows.
pub const PAGE: &str = "report.html";
/// The results for continuous integration.
pub const JUNIT: &str = "junit.xml";
/// Everything, for programs.
pub const JSON: &str = "report.json";

/// What one boot showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The candidate's id.
    pub candidate: String,
    /// The job's name: the step's key, fit for a file's name.
    pub job: String,
    /// What was booted.
    pub artifact: Artifact,
    /// How.
    pub cell: Cell,
    /// The packages it is made of, one `name-version-release.arch` each.
    pub packages: Vec<String>,
    /// The OSTree commit that it deploys, if it does.
    pub ostree_commit: Option<String>,
    /// The limits it was held to.
    pub budgets: Budgets,
    /// Where it ran, such as `qemu (tcg)`.
    pub place: String,
    /// When it began.
    pub started: Timestamp,
    /// Milliseconds from beginning to end.
    pub took_ms: u64,
    /// Milliseconds from power-on to the first login, or for unpacking; nothing when it did not come to that.
    pub boot_ms: Option<u64>,
    /// Whether it could be found out what there was to find out.
    pub knowledge: Knowledge,
    /// The tests, in the order they ran.
    pub tests: Vec<TestReport>,
}

/// Whether it could be found out what there was to find out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge {
    /// It could: the results speak about the image.
    Known,
    /// It could not, for this reason, which is not the image's.
    Unknown(String),
}

/// One test and its place in the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// What came out.
    #[serde(flatten)]
    pub result: TestResult,
    /// What it shows when it is green.
    pub summary: String,
    /// Seconds it was given.
    pub time_limit_s: u32,
    /// How many bytes the console had when it began.
    pub console_from: u64,
    /// How many bytes the console had when it ended.
    pub console_to: u64,
}

impl TestReport {
    /// How it stands at a time; waivers are the gate's and not known here.
    pub fn standing(&self, now: Timestamp) -> Standing {
        Standing::of(&self.result, now)
    }
}

impl Report {
    /// A report in which nothing has happened yet.
    pub fn begin(request: &SmoketestRequest, job: &str, started: Timestamp) -> Self {
        Report {
            candidate: request.candidate.clone(),
            job: job.to_owned(),
            artifact: request.artifact.clone(),
            cell: request.cell.clone(),
            packages: request.packages.clone(),
            ostree_commit: request.ostree_commit.clone(),
            budgets: request.budgets.clone(),
            place: "this computer".to_owned(),
            started,
            took_ms: 0,
            boot_ms: None,
            knowledge: Knowledge::Known,
            tests: Vec::new(),
        }
    }

    /// How the whole boot stands: a doubt about the boot outweighs everything, then the worst test that counts.
    pub fn standing(&self) -> Standing {
        if let Knowledge::Unknown(_) = self.knowledge {
            return Standing::InfraError;
        }
        let counting = self.tests.iter().filter(|test| test.result.weight == Weight::Gating);
        let worst = counting.map(|test| test.standing(self.started)).min();
        match worst {
            None => Standing::Missing,
            Some(Standing::ExpectedFailure) => Standing::Passed,
            Some(worst) => worst,
        }
    }

    /// The names of the tests that stand so.
    pub fn names(&self, standing: Standing) -> Vec<&str> {
        let such = self.tests.iter().filter(|test| test.standing(self.started) == standing);
        such.map(|test| test.result.name.as_str()).collect()
    }

    /// The whole result in one line.
    pub fn headline(&self) -> String {
        if let Knowledge::Unknown(why) = &self.knowledge {
            return format!("could not find out: {why}");
        }
        let count = self.tests.len();
        let parts: Vec<String> = [Standing::Failed, Standing::Missing, Standing::ExpectedFailure]
            .into_iter()
            .map(|standing| (standing.words(), self.names(standing)))
            .filter(|(_, names)| !names.is_empty())
            .map(|(words, names)| format!("{} {words} ({})", names.len(), names.join(", ")))
            .collect();
        match parts.as_slice() {
            [] => format!("all {count} tests passed"),
            parts => format!("of {count} tests {}", parts.join(", ")),
        }
    }
}

/// The file with what the screen showed when a test turned red.
pub fn screenshot_of(test: &str) -> String {
    format!("screenshot-{test}.png")
}

/// Removes what an earlier try left in a folder.
pub fn clear(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = [CONSOLE, PAGE, JUNIT, JSON].contains(&name) || name.starts_with("screenshot");
        if is_ours {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Writes page, JUnit XML and JSON into a folder that has the console and the screenshots already.
pub fn write(folder: &Path, report: &Report) -> Result<()> {
    write_whole(&folder.join(JSON), &serde_json::to_vec_pretty(report)?)?;
    write_whole(&folder.join(JUNIT), junit(report).as_bytes())?;
    write_whole(&folder.join(PAGE), html(report, folder)?.as_bytes())
}

#[cfg(test)]
mod tests;
