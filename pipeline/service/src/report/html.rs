//! The page about one boot: one file that holds everything it shows, without a script.

use std::path::Path;

use anyhow::{Context, Result};
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_flow::gate::Standing;
use muster_flow::recipe::Form;
use muster_flow::smoketest::Weight;

use super::text::{Excerpt, excerpt, last_part};
use super::{CONSOLE, JSON, JUNIT, Knowledge, Report, SCREENSHOT, TestReport, screenshot_of};
use crate::cell;
use crate::text::plain;

/// How much of the console's end is on the page; all of it is beside it.
const CONSOLE_END: u64 = 24 * 1024;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    standing: Standing,
    title: String,
    headline: String,
    facts: Vec<(&'static str, String)>,
    rows: Vec<Row<'a>>,
    screenshot: Option<String>,
    console_end: String,
    files: Vec<(&'static str, &'static str)>,
}

struct Row<'a> {
    test: &'a TestReport,
    standing: Standing,
    took: String,
    log: String,
    note: String,
    console: Excerpt,
    screenshot: Option<String>,
}

impl Page<'_> {
    fn style(&self) -> &'static str {
        style(self.standing)
    }

    fn words(&self) -> &'static str {
        if self.standing == Standing::InfraError { "could not find out" } else { self.standing.words() }
    }
}

impl Row<'_> {
    fn style(&self) -> &'static str {
        style(self.standing)
    }

    /// Whether a person should read it without asking for it.
    fn is_open(&self) -> bool {
        matches!(self.standing, Standing::Failed | Standing::InfraError)
    }
}

/// The page about a report; console and screenshots are read from `folder`.
pub fn html(report: &Report, folder: &Path) -> Result<String> {
    let console = folder.join(CONSOLE);
    let rows = report.tests.iter().map(|test| row(report, test, folder)).collect();
    let has_console = std::fs::metadata(&console).is_ok_and(|metadata| metadata.len() > 0);
    let mut files = vec![(JSON, "everything, as JSON"), (JUNIT, "the results, as JUnit XML")];
    if has_console {
        files.insert(0, (CONSOLE, "the whole serial console"));
    }
    let page = Page {
        report,
        standing: report.standing(),
        title: format!("{} in {}", report.artifact.name, report.cell.name),
        headline: sentence(&report.headline()),
        facts: facts(report),
        rows,
        screenshot: picture(&folder.join(SCREENSHOT)),
        console_end: last_part(&console, CONSOLE_END),
        files,
    };
    page.render().context("cannot write the page")
}

fn row<'a>(report: &'a Report, test: &'a TestReport, folder: &Path) -> Row<'a> {
    let standing = test.standing(report.started);
    let note = match &test.result.expected_failure {
        Some(known) if standing == Standing::ExpectedFailure => {
            format!("Known as {} and forgiven until {:.0}.", known.tracker, known.until)
        }
        Some(known) if standing == Standing::Failed => {
            format!("The expected failure {} ran out on {:.0}.", known.tracker, known.until)
        }
        Some(known) if standing == Standing::Passed => {
            format!("It was expected to fail ({}): the expectation can go.", known.tracker)
        }
        Some(_) | None => String::new(),
    };
    let shows_console = matches!(standing, Standing::Failed | Standing::ExpectedFailure);
    Row {
        test,
        standing,
        took: took(test.result.duration_ms),
        log: plain(&test.result.log),
        note,
        console: if shows_console {
            excerpt(&folder.join(CONSOLE), test.console_from, test.console_to)
        } else {
            Excerpt::default()
        },
        screenshot: picture(&folder.join(screenshot_of(&test.result.name))),
    }
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let (artifact, cell) = (&report.artifact, &report.cell);
    let mut facts = vec![
        ("Candidate", report.candidate.clone()),
        ("Artifact", format!("{} ({})", artifact.name, size(artifact.size))),
        ("SHA-256", artifact.digest.clone()),
    ];
    if let Some(commit) = &report.ostree_commit {
        facts.push(("OSTree commit", commit.clone()));
    }
    facts.push(("Cell", cell.name.clone()));
    facts.push(("Where", report.place.clone()));
    if artifact.form != Form::Oci {
        facts.push(("Machine", cell::words(cell)));
    }
    facts.push(("Began", format!("{:.0}", report.started)));
    facts.push(("Took", how_long(report)));
    facts
}

fn how_long(report: &Report) -> String {
    let all = took(report.took_ms);
    match report.boot_ms {
        Some(boot) if report.artifact.form == Form::Oci => {
            format!("{all}, {} of it for unpacking", took(boot))
        }
        Some(boot) => format!("{all}, {} of it from power-on to the first login", took(boot)),
        None => format!("{all}; nobody ever logged in"),
    }
}

fn took(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

fn sentence(line: &str) -> String {
    let mut characters = line.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

/// A picture as it is written into a page.
fn picture(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}

/// The name of a standing among the page's styles.
fn style(standing: Standing) -> &'static str {
    match standing {
        Standing::Failed => "failed",
        Standing::Missing => "missing",
        Standing::InfraError | Standing::Queued | Standing::Running => "unknown",
        Standing::Waived | Standing::ExpectedFailure => "forgiven",
        Standing::Passed => "passed",
    }
}
