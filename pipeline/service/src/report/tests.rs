use muster_flow::recipe::{Firmware, Form, Machine, Metadata};
use muster_flow::smoketest::{Colour, ExpectedFailure};

use super::*;

fn report(tests: Vec<TestReport>) -> Report {
    Report {
        candidate: "cloud-base/43.20261121.0".to_owned(),
        job: "cloud-base.43.20261121.0.smoketest.x86_64.bios-pc".to_owned(),
        artifact: Artifact {
            form: Form::Qcow2,
            arch: "x86_64".to_owned(),
            name: "Murmur-Cloud-Base-43-20261121.0.x86_64.qcow2".to_owned(),
            path: "/srv/a.qcow2".to_owned(),
            size: 40_982_528,
            digest: "49e3".to_owned(),
        },
        cell: Cell {
            name: "bios-pc".to_owned(),
            artifact: Form::Qcow2,
            firmware: Firmware::Bios,
            machine: Machine::Pc,
            metadata: Metadata::NoCloud,
            memory_mib: 512,
            disk_mib: 1024,
        },
        packages: vec!["bash-5.2.15-1.mm43.x86_64".to_owned()],
        ostree_commit: None,
        budgets: Budgets::default(),
        place: "qemu (tcg)".to_owned(),
        started: "2026-11-21T12:00:00Z".parse().unwrap(),
        took_ms: 21_400,
        boot_ms: Some(9100),
        knowledge: Knowledge::Known,
        tests,
    }
}

fn test(name: &str, colour: Colour) -> TestReport {
    TestReport {
        result: TestResult {
            name: name.to_owned(),
            weight: Weight::Gating,
            colour,
            duration_ms: 1250,
            log: String::new(),
            expected_failure: None,
        },
        summary: format!("{name} is fine."),
        time_limit_s: 60,
        console_from: 0,
        console_to: 0,
    }
}

fn red(name: &str, why: &str) -> TestReport {
    test(name, Colour::Red(why.to_owned()))
}

fn known(name: &str, until: &str) -> TestReport {
    let mut known = red(name, "it is slow");
    let until = until.parse().unwrap();
    known.result.expected_failure =
        Some(ExpectedFailure { tracker: "https://tickets.invalid/7".to_owned(), until });
    known
}

fn page(report: &Report) -> String {
    html(report, Path::new("/nonexistent")).unwrap()
}

#[test]
fn junit_keeps_failed_skipped_and_unknown_apart() {
    let mut hostname = red("hostname", "the name is '<none>'");
    hostname.result.log = "\u{1b}[1mthe name\u{0} is '<none>'\n".to_owned();
    let mut report = report(vec![
        test("boots", Colour::Green),
        hostname,
        known("fast", "2027-01-01T00:00:00Z"),
        test("survives-reboot", Colour::NotRun("the guest was gone".to_owned())),
    ]);
    report.knowledge = Knowledge::Unknown("this computer's disk is full".to_owned());
    insta::assert_snapshot!(junit(&report), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites>
      <testsuite name="cloud-base/43.20261121.0.x86_64.bios-pc" hostname="qemu (tcg)" timestamp="2026-11-21T12:00:00Z" tests="5" failures="1" errors="1" skipped="2" time="21.400">
        <testcase classname="cloud-base/43.20261121.0.x86_64.bios-pc" name="boots" time="1.250">
        </testcase>
        <testcase classname="cloud-base/43.20261121.0.x86_64.bios-pc" name="hostname" time="1.250">
          <failure message="the name is '&lt;none&gt;'"/>
          <system-out>the name is '&lt;none&gt;'&#10;</system-out>
        </testcase>
        <testcase classname="cloud-base/43.20261121.0.x86_64.bios-pc" name="fast" time="1.250">
          <skipped message="expected failure, https://tickets.invalid/7: it is slow"/>
        </testcase>
        <testcase classname="cloud-base/43.20261121.0.x86_64.bios-pc" name="survives-reboot" time="1.250">
          <skipped message="it did not run: the guest was gone"/>
        </testcase>
        <testcase classname="cloud-base/43.20261121.0.x86_64.bios-pc" name="could not find out" time="0">
          <error message="this computer's disk is full"/>
        </testcase>
      </testsuite>
    </testsuites>
    "#);
}

#[test]
fn the_json_holds_every_fact() {
    let report = report(vec![red("hostname", "the name is wrong")]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "candidate": "cloud-base/43.20261121.0",
      "job": "cloud-base.43.20261121.0.smoketest.x86_64.bios-pc",
      "artifact": {
        "form": "qcow2",
        "arch": "x86_64",
        "name": "Murmur-Cloud-Base-43-20261121.0.x86_64.qcow2",
        "path": "/srv/a.qcow2",
        "size": 40982528,
        "digest": "49e3"
      },
      "cell": {
        "name": "bios-pc",
        "artifact": "qcow2",
        "firmware": "bios",
        "machine": "pc",
        "metadata": "no_cloud",
        "memory_mib": 512,
        "disk_mib": 1024
      },
      "packages": [
        "bash-5.2.15-1.mm43.x86_64"
      ],
      "ostree_commit": null,
      "budgets": {
        "download_mib": null,
        "packages": null,
        "documentation_files": null,
        "locales": null
      },
      "place": "qemu (tcg)",
      "started": "2026-11-21T12:00:00Z",
      "took_ms": 21400,
      "boot_ms": 9100,
      "knowledge": "known",
      "tests": [
        {
          "name": "hostname",
          "weight": "gating",
          "colour": {
            "red": "the name is wrong"
          },
          "duration_ms": 1250,
          "log": "",
          "expected_failure": null,
          "summary": "hostname is fine.",
          "time_limit_s": 60,
          "console_from": 0,
          "console_to": 0
        }
      ]
    }
    "#);
    let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(again, report);
}

#[test]
fn the_headline_counts_what_is_not_green() {
    let headline = |tests| report(tests).headline();
    assert_eq!(headline(vec![test("boots", Colour::Green)]), "all 1 tests passed");
    let tests = vec![
        test("boots", Colour::Green),
        red("hostname", "no"),
        test("reboot", Colour::NotRun("gone".to_owned())),
        known("fast", "2027-01-01T00:00:00Z"),
    ];
    assert_eq!(
        headline(tests),
        "of 4 tests 1 failed (hostname), 1 missing (reboot), 1 expected failure (fast)"
    );
}

#[test]
fn what_could_not_be_found_out_is_not_shown_as_failed() {
    let mut report = report(Vec::new());
    report.knowledge = Knowledge::Unknown("QEMU ended with 1: no memory".to_owned());
    assert_eq!(report.standing(), Standing::InfraError);
    let page = page(&report);
    assert!(page.contains("<p class=\"verdict\">could not find out</p>"), "{page}");
    assert!(page.contains("This says nothing about the image"), "{page}");
    let body = page.split_once("<body>").unwrap().1;
    assert!(!body.contains("failed"), "{body}");
}

#[test]
fn a_boot_without_a_single_test_has_not_passed() {
    assert_eq!(report(Vec::new()).standing(), Standing::Missing);
}

#[test]
fn an_expected_failure_is_forgiven_until_it_runs_out() {
    let forgiven = report(vec![known("fast", "2027-01-01T00:00:00Z")]);
    assert_eq!(forgiven.standing(), Standing::Passed);
    assert!(page(&forgiven).contains("Known as https://tickets.invalid/7 and forgiven until"));
    let over = report(vec![known("fast", "2026-11-21T12:00:00Z")]);
    assert_eq!(over.standing(), Standing::Failed);
    assert!(page(&over).contains("ran out on"));
}

#[test]
fn an_informative_test_is_shown_and_does_not_count() {
    let mut fast = red("fast", "it is slow");
    fast.result.weight = Weight::Informative;
    let report = report(vec![test("boots", Colour::Green), fast]);
    assert_eq!(report.standing(), Standing::Passed);
    assert!(page(&report).contains("only shown, does not count"));
}

#[test]
fn the_page_shows_the_console_at_the_time_of_the_red_test_and_no_markup_of_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let before = "one\n<script>alert(1)</script>\n";
    std::fs::write(folder.path().join(CONSOLE), format!("{before}oops: unit died\nlater\n")).unwrap();
    let mut hostname = red("hostname", "wrong");
    hostname.console_from = before.len() as u64;
    hostname.console_to = hostname.console_from + "oops: unit died\n".len() as u64;
    write(folder.path(), &report(vec![hostname])).unwrap();
    let page = std::fs::read_to_string(folder.path().join(PAGE)).unwrap();
    let excerpt = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
    assert!(excerpt.ends_with("</span>\noops: unit died"), "{excerpt}");
    assert!(!page.contains("<script"), "a guest wrote markup into the page");
}

#[test]
fn what_an_earlier_try_left_is_cleared_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in [CONSOLE, PAGE, "screenshot-boots.png", "request.json"] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    clear(folder.path()).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["request.json"]);
}
