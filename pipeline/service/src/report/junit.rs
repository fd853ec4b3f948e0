//! JUnit XML, for whatever shows test results elsewhere.
//!
//! A failed test is a `failure`, what could not be found out an `error`, and what did not run or is known to fail is
//! `skipped`: so none of them is taken for another.

use muster_flow::gate::Standing;

use super::{Knowledge, Report, TestReport};
use crate::text::plain;

/// The report as one test suite.
pub fn junit(report: &Report) -> String {
    let mut cases: Vec<String> = report.tests.iter().map(|test| case(report, test)).collect();
    if let Knowledge::Unknown(why) = &report.knowledge {
        let class = text(&class(report));
        let why = text(why);
        cases.push(format!(
            "    <testcase classname=\"{class}\" name=\"could not find out\" time=\"0\">\n      <error message=\"{why}\"/>\n    </testcase>\n"
        ));
    }
    let count = |standing| report.names(standing).len();
    let skipped = count(Standing::Missing) + count(Standing::ExpectedFailure);
    let errors = usize::from(report.knowledge != Knowledge::Known);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" hostname=\"{}\" timestamp=\"{:.0}\" tests=\"{}\" failures=\"{}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{}\">\n{}  </testsuite>\n</testsuites>\n",
        text(&class(report)),
        text(&report.place),
        report.started,
        cases.len(),
        count(Standing::Failed),
        seconds(report.took_ms),
        cases.concat(),
    )
}

fn class(report: &Report) -> String {
    format!("{}.{}.{}", report.candidate, report.artifact.arch, report.cell.name)
}

fn case(report: &Report, test: &TestReport) -> String {
    let why = text(test.result.colour.why());
    let outcome = match test.standing(report.started) {
        Standing::Failed => format!("      <failure message=\"{why}\"/>\n"),
        Standing::Missing => format!("      <skipped message=\"it did not run: {why}\"/>\n"),
        Standing::ExpectedFailure => {
            let tracker = test.result.expected_failure.as_ref().map(|known| known.tracker.as_str());
            let tracker = text(tracker.unwrap_or_default());
            format!("      <skipped message=\"expected failure, {tracker}: {why}\"/>\n")
        }
        Standing::InfraError | Standing::Queued | Standing::Running | Standing::Waived | Standing::Passed => {
            String::new()
        }
    };
    let log = if test.result.log.is_empty() {
        String::new()
    } else {
        format!("      <system-out>{}</system-out>\n", text(&test.result.log))
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\">\n{outcome}{log}    </testcase>\n",
        text(&class(report)),
        text(&test.result.name),
        seconds(test.result.duration_ms),
    )
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Text for XML, which knows no control characters at all, nor two others.
fn text(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for character in plain(raw).chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\n' => text.push_str("&#10;"),
            '\t' => text.push('\t'),
            '\u{fffe}'..='\u{ffff}' => {}
            character => text.push(character),
        }
    }
    text
}
