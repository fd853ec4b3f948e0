//! Smoketests: one step per artifact and cell. A red test is an output; a failed step means "could not find out".

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::build::{Artifact, BuildOutput};
use crate::candidate::Candidate;
use crate::recipe::{Budgets, Cell, Form};
use crate::step::{Wanted, Work};

/// One boot of one artifact in one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Smoketest {}

impl Work for Smoketest {
    const NAME: &'static str = "smoketest";
    type Request = SmoketestRequest;
    type Output = SmoketestOutput;
}

/// What a cloudlet is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmoketestRequest {
    /// The candidate's id, for reports.
    pub candidate: String,
    /// What is booted.
    pub artifact: Artifact,
    /// How.
    pub cell: Cell,
    /// The tests, frozen.
    pub tests: Vec<Test>,
    /// What the package list should be: one `name-version-release.arch` a line, sorted.
    pub packages: Vec<String>,
    /// The OSTree commit that should be deployed, if it is an OSTree image.
    pub ostree_commit: Option<String>,
    /// Limits of the budget tests.
    pub budgets: Budgets,
}

/// One smoketest as `smoketests/NAME.toml` defines it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Unique: the file's name without its ending.
    #[serde(default)]
    pub name: String,
    /// One line: what it shows when it is green.
    pub summary: String,
    /// Whether a red result stops a release.
    #[serde(default)]
    pub weight: Weight,
    /// The forms it fits.
    pub forms: Vec<Form>,
    /// Seconds it may take.
    #[serde(default = "default_limit")]
    pub time_limit_s: u32,
    /// The order: tests with a lower number run earlier.
    #[serde(default)]
    pub order: u32,
    /// On which images it is asked for. Where it is not asked for, it can neither fail nor be missing.
    #[serde(default)]
    pub applies: Applies,
    /// What is done before the script.
    #[serde(default)]
    pub before: Before,
    /// What runs in the guest; green when it ends with 0.
    pub script: String,
    /// Set while the test is known to be red.
    #[serde(default)]
    pub expected_failure: Option<ExpectedFailure>,
}

fn default_limit() -> u32 {
    60
}

/// Whether a red test stops a release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It does.
    #[default]
    Gating,
    /// It is only shown.
    Informative,
}

/// On which images a test is asked for, beside its forms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// On all.
    #[default]
    Always,
    /// On those that boot an OSTree commit.
    Ostree,
    /// On those with one of these packages.
    AnyPackage(Vec<String>),
    /// On those whose recipe sets this limit.
    Budget(Budget),
}

/// One limit of a recipe's budgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Size of what is downloaded.
    DownloadMib,
    /// Number of installed packages.
    Packages,
    /// Number of documentation files.
    DocumentationFiles,
    /// Number of locales beside C.
    Locales,
}

/// What is done to the guest before a test's script runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Nothing.
    #[default]
    Nothing,
    /// The guest is rebooted, and must come back.
    Reboot,
}

/// Why a red test is forgiven, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFailure {
    /// The address of the ticket.
    pub tracker: String,
    /// From this time on it counts as red again.
    pub until: Timestamp,
}

/// What a boot showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmoketestOutput {
    /// One result per test, in the order they ran.
    pub results: Vec<TestResult>,
    /// Milliseconds from power-on to the first login.
    pub boot_ms: u64,
    /// Where it ran, such as `qemu (tcg)`.
    pub place: String,
    /// The folder with console, screenshot and reports.
    pub folder: String,
}

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestResult {
    /// The test's name.
    pub name: String,
    /// Whether it counts for the gate.
    pub weight: Weight,
    /// What came out.
    pub colour: Colour,
    /// Milliseconds it took.
    pub duration_ms: u64,
    /// What the script wrote: at most the last 64 KiB.
    pub log: String,
    /// The known failure, if the test has one.
    pub expected_failure: Option<ExpectedFailure>,
}

/// What came out of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// It passed.
    Green,
    /// It failed: why, in one line.
    Red(String),
    /// It did not run: why, in one line.
    NotRun(String),
}

impl Colour {
    /// Why it is not green; empty when it is.
    pub fn why(&self) -> &str {
        match self {
            Colour::Green => "",
            Colour::Red(why) | Colour::NotRun(why) => why,
        }
    }
}

/// The smoketests a candidate needs, now that its builds are done.
pub fn wanted(candidate: &Candidate) -> Vec<Wanted<Smoketest>> {
    let mut wanted = Vec::new();
    for build in candidate.builds() {
        let Some(output) = build.output() else { continue };
        let mut packages: Vec<String> =
            output.packages.iter().map(|package| format!("{}.{}", package.nvr(), package.arch)).collect();
        packages.sort();
        let commit = output.artifacts.iter().find(|artifact| artifact.form == Form::OstreeCommit);
        for cell in &candidate.recipe.smoketests.cells {
            // One build may have made the images of several architectures: each is booted.
            let artifacts = output.artifacts.iter().filter(|artifact| artifact.form == cell.artifact);
            wanted.extend(artifacts.map(|artifact| Wanted {
                key: candidate.key(&format!("smoketest/{}/{}", artifact.arch, cell.name)),
                request: SmoketestRequest {
                    candidate: candidate.id.to_string(),
                    artifact: artifact.clone(),
                    cell: cell.clone(),
                    tests: tests_for(candidate, cell.artifact, output),
                    packages: packages.clone(),
                    ostree_commit: commit.map(|commit| commit.digest.clone()),
                    budgets: candidate.recipe.smoketests.budgets.clone(),
                },
            }));
        }
    }
    wanted
}

/// The names of the tests that its boots run; before it is built, of those that they may run. Each once.
pub fn names(candidate: &Candidate) -> BTreeSet<String> {
    let name = |test: &Test| test.name.clone();
    let boots = wanted(candidate);
    if !boots.is_empty() {
        return boots.iter().flat_map(|boot| &boot.request.tests).map(name).collect();
    }
    let cells = &candidate.recipe.smoketests.cells;
    let may_run = |test: &&Test| cells.iter().any(|cell| test.forms.contains(&cell.artifact));
    candidate.tests.iter().filter(may_run).map(name).collect()
}

fn tests_for(candidate: &Candidate, form: Form, output: &BuildOutput) -> Vec<Test> {
    let asked_for = |test: &&Test| test.forms.contains(&form) && applies(&test.applies, candidate, output);
    let mut tests: Vec<Test> = candidate.tests.iter().filter(asked_for).cloned().collect();
    tests.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    tests
}

fn applies(applies: &Applies, candidate: &Candidate, output: &BuildOutput) -> bool {
    let budgets = &candidate.recipe.smoketests.budgets;
    match applies {
        Applies::Always => true,
        Applies::Ostree => output.artifacts.iter().any(|artifact| artifact.form == Form::OstreeCommit),
        Applies::AnyPackage(names) => output.packages.iter().any(|package| names.contains(&package.name)),
        Applies::Budget(Budget::DownloadMib) => budgets.download_mib.is_some(),
        Applies::Budget(Budget::Packages) => budgets.packages.is_some(),
        Applies::Budget(Budget::DocumentationFiles) => budgets.documentation_files.is_some(),
        Applies::Budget(Budget::Locales) => budgets.locales.is_some(),
    }
}
