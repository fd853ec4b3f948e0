//! One job of the cloudlet, from the request to the reports.
//!
//! What it returns as an error is what could not be found out. Whatever is wrong with the image is a red test.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use muster_flow::recipe::{Form, Metadata};
use muster_flow::smoketest::{
    Colour, ExpectedFailure, SmoketestOutput, SmoketestRequest, Test, TestResult, Weight,
};
use sha2::{Digest, Sha256};

use super::accelerator::Accelerator;
use super::console::Console;
use super::guest::{Boot, Guest, Patience};
use super::identity::{self, Identity};
use super::machine::{self, Machine, Plan};
use super::place::{Next, Place, Ran, Script};
use super::sandbox::{self, Sandbox};
use super::{Choice, Settings, accelerator, imds, layout, ssh};
use crate::cell;
use crate::clock::Clock;
use crate::digest;
use crate::job::Desk;
use crate::report::{self, Knowledge, Report, TestReport};
use crate::text;

/// The test that is red when a guest never lets us in.
const BOOTS: &str = "boots";

/// The exit code by which a script says that it has nothing to say about this image.
const NOT_APPLICABLE: i32 = 77;

/// How much of what a script wrote is kept.
const LOG_KEPT: u64 = 64 * 1024;

/// Does the job, and leaves the reports in its folder.
pub async fn run(
    desk: &Desk,
    request: &SmoketestRequest,
    settings: &Settings,
    clock: &Clock,
) -> Result<SmoketestOutput> {
    let begun = Instant::now();
    let job = desk.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    report::clear(&desk.folder)?;
    let mut report = Report::begin(request, &job, clock.now());
    let mut session = Session { desk, request, settings, job: &job, report: &mut report };
    let ran = session.run().await;
    report.took_ms = milliseconds(begun.elapsed());
    if let Err(error) = &ran {
        report.knowledge = Knowledge::Unknown(format!("{error:#}"));
    }
    let written = report::write(&desk.folder, &report).context("cannot write the report");
    // Disks and unpacked files are large, and nobody asks for them again.
    let _ = fs::remove_dir_all(desk.work());
    ran?;
    written?;
    desk.say(&report.headline());
    Ok(SmoketestOutput {
        results: report.tests.iter().map(|test| test.result.clone()).collect(),
        boot_ms: report.boot_ms.unwrap_or_default(),
        place: report.place,
        folder: desk.folder.display().to_string(),
    })
}

struct Session<'a> {
    desk: &'a Desk,
    request: &'a SmoketestRequest,
    settings: &'a Settings,
    job: &'a str,
    report: &'a mut Report,
}

/// A place that scripts can run in, or why the image did not let it come to that.
struct Opened {
    place: Option<Place>,
    standing: Result<(), String>,
    identity: Identity,
}

/// What is written down about one test.
struct Entry {
    colour: Colour,
    took: Duration,
    log: String,
    console: std::ops::Range<u64>,
}

impl Entry {
    /// Of a test that never began, with the console up to a length.
    fn bare(colour: Colour, console: u64) -> Self {
        Entry { colour, took: Duration::ZERO, log: String::new(), console: 0..console }
    }
}

impl Session<'_> {
    async fn run(&mut self) -> Result<()> {
        let opened = match self.request.artifact.form {
            Form::Raw | Form::Qcow2 => self.open_guest().await?,
            Form::Oci => self.open_sandbox().await?,
            Form::OstreeCommit => anyhow::bail!("an OSTree commit is not booted itself: its disk image is"),
        };
        let Opened { mut place, standing, identity } = opened;
        match (&mut place, standing) {
            (Some(place), Ok(())) => self.run_tests(place, &identity).await?,
            (_, Err(why)) => self.nothing_ran(place.as_ref().map_or(0, Place::console_length), &why),
            (None, Ok(())) => anyhow::bail!("there is no place to run tests in"),
        }
        if let Some(place) = place {
            place.screenshot(&self.desk.folder.join(report::SCREENSHOT)).await;
            place.end().await;
        }
        Ok(())
    }

    async fn open_guest(&mut self) -> Result<Opened> {
        let (request, work) = (self.request, self.desk.work());
        ensure!(
            request.artifact.arch == "x86_64",
            "this cloudlet boots x86_64, not {}",
            request.artifact.arch
        );
        self.desk.say("looking at the artifact");
        check_digest(request).await?;
        let identity = Identity::new(self.job, &ssh::make_key(&work).await?);
        match request.cell.metadata {
            Metadata::NoCloud => identity.write_seed(&work.join("seed.img")).await?,
            Metadata::Ec2 => {
                let secret = text::hex(&Sha256::digest(fs::read(work.join("key"))?));
                machine::write_imds(&work, &imds::Service { identity: identity.clone(), secret })?;
            }
        }
        if let Err(why) = machine::check_image(&request.artifact).await? {
            return Ok(Opened { place: None, standing: Err(why), identity });
        }
        let (guest, standing) = self.boot().await?;
        if standing.is_ok() {
            self.report.boot_ms = Some(milliseconds(guest.machine.since.elapsed()));
            guest.write(super::place::PACKAGES, &self.package_list()).await?;
        }
        Ok(Opened { place: Some(Place::Guest(Box::new(guest))), standing, identity })
    }

    /// Boots under the accelerator that is set. Where it was left to us and a guest does not come up under KVM, QEMU's
    /// own translator has the last word: a host that is itself a guest may run a boot sector and no kernel.
    async fn boot(&mut self) -> Result<(Guest, Result<(), String>)> {
        let root = self.desk.folder.parent().context("a job's folder lies in a folder")?.to_owned();
        let accelerator = accelerator::choose(self.settings, &root).await?;
        let first = self.boot_under(accelerator).await;
        let is_certain = accelerator == Accelerator::Tcg || self.settings.accelerator != Choice::Auto;
        let doubt = match first {
            first if is_certain => return first,
            Ok((guest, Ok(()))) => return Ok((guest, Ok(()))),
            Ok((guest, Err(why))) => {
                guest.machine.end().await;
                why
            }
            Err(error) => format!("{error:#}"),
        };
        self.desk.say(&format!("no guest came up under {accelerator} ({doubt}); once more without it"));
        let second = self.boot_under(Accelerator::Tcg).await?;
        if second.1.is_ok() {
            tracing::warn!(
                doubt,
                "a guest came up without {accelerator} only: it is not used until the next boot"
            );
            accelerator::remember(self.settings, &root, Accelerator::Tcg)?;
        }
        Ok(second)
    }

    async fn boot_under(&mut self, accelerator: Accelerator) -> Result<(Guest, Result<(), String>)> {
        let (desk, request, work) = (self.desk, self.request, self.desk.work());
        self.report.place = format!("qemu ({accelerator})");
        machine::write_disk(&request.artifact, &request.cell, &work).await?;
        let machine = cell::machine(&request.cell);
        desk.say(&format!("switching on: {} on {machine}", request.artifact.name));
        let path = desk.folder.join(report::CONSOLE);
        let plan = Plan { name: self.job, cell: &request.cell, accelerator, work: &work, console: &path };
        let machine = Machine::start(&plan, self.settings).await?;
        let mut guest = Guest::new(machine, Console::new(&path), &work, self.settings);
        if accelerator == Accelerator::Kvm && self.settings.accelerator == Choice::Auto {
            guest.patience = Patience::Short;
        }
        match guest.come_up(Boot::First, desk).await {
            Ok(standing) => Ok((guest, standing)),
            Err(error) => {
                // Its disk is free only when it is really gone.
                guest.machine.end().await;
                Err(error)
            }
        }
    }

    async fn open_sandbox(&mut self) -> Result<Opened> {
        let (request, work) = (self.request, self.desk.work());
        self.report.place = "sandbox".to_owned();
        sandbox::probe(sandbox::PROGRAM).await?;
        self.desk.say("unpacking the container image");
        let since = Instant::now();
        let packages = work.join("packages");
        fs::write(&packages, self.package_list())?;
        let (layout, root) = (PathBuf::from(&request.artifact.path), work.join("root"));
        let (digest, target) = (request.artifact.digest.clone(), root.clone());
        let image = tokio::task::spawn_blocking(move || layout::unpack(&layout, &digest, &target)).await??;
        let identity = Identity::new(self.job, "");
        let image = match image {
            Ok(image) => image,
            Err(why) => return Ok(Opened { place: None, standing: Err(why), identity }),
        };
        self.report.boot_ms = Some(milliseconds(since.elapsed()));
        let sandbox = Sandbox::new(&root, &packages, image, &identity.hostname);
        Ok(Opened { place: Some(Place::Sandbox(sandbox)), standing: Ok(()), identity })
    }

    async fn run_tests(&mut self, place: &mut Place, identity: &Identity) -> Result<()> {
        let variables = self.variables(identity);
        let count = self.request.tests.len();
        let mut gone: Option<String> = None;
        for (number, test) in self.request.tests.iter().enumerate() {
            if let Some(why) = &gone {
                self.record(test, Entry::bare(Colour::NotRun(why.clone()), 0));
                continue;
            }
            let title = format!("test {} of {count}: {}", number + 1, test.name);
            self.desk.say(&title);
            let (begun, from) = (Instant::now(), place.console_length());
            let packages = self.package_list();
            let next = Next { title: &title, before: test.before, packages: &packages };
            let (colour, log) = match place.prepare(next, self.desk).await? {
                Err(why) => {
                    gone = Some(format!("the guest was gone: {why}"));
                    (Colour::Red(why), String::new())
                }
                Ok(()) => self.run_test(place, test, &variables).await?,
            };
            let mut took = begun.elapsed();
            if test.name == BOOTS {
                took += Duration::from_millis(self.report.boot_ms.unwrap_or_default());
            }
            let from = if test.name == BOOTS { 0 } else { from };
            if let Colour::Red(_) = colour {
                let name = report::screenshot_of(&test.name);
                place.screenshot(&self.desk.folder.join(name)).await;
            }
            self.record(test, Entry { colour, took, log, console: from..place.console_length() });
        }
        Ok(())
    }

    async fn run_test(
        &self,
        place: &mut Place,
        test: &Test,
        variables: &[(String, String)],
    ) -> Result<(Colour, String)> {
        let path = self.desk.work().join(format!("{}.test.log", test.name));
        let limit = Duration::from_secs(test.time_limit_s.into());
        let ran = place.run(&Script { variables, text: &test.script, limit, log: &path }).await?;
        let log = report::last_part(&path, LOG_KEPT);
        let last = last_words(&log);
        let colour = match ran {
            Ran::Ended(0) => Colour::Green,
            Ran::Ended(NOT_APPLICABLE) => {
                Colour::NotRun(last.unwrap_or_else(|| "it does not apply".to_owned()))
            }
            Ran::Ended(code) => {
                Colour::Red(last.unwrap_or_else(|| format!("it ended with {code} and no word")))
            }
            Ran::TimedOut => Colour::Red(format!("it was not over after {} s", test.time_limit_s)),
            Ran::Flooded => Colour::Red("it wrote more than 16 MiB".to_owned()),
            Ran::Lost => Colour::Red("the guest went away in the middle of it".to_owned()),
        };
        Ok((colour, log))
    }

    /// The results when the image did not come so far that a test could run.
    fn nothing_ran(&mut self, console: u64, why: &str) {
        if !self.request.tests.iter().any(|test| test.name == BOOTS) {
            let boots = Test {
                name: BOOTS.to_owned(),
                summary: "The image comes up and lets us in.".to_owned(),
                weight: Weight::Gating,
                forms: vec![self.request.artifact.form],
                time_limit_s: 0,
                order: 0,
                applies: muster_flow::smoketest::Applies::Always,
                before: muster_flow::smoketest::Before::Nothing,
                script: String::new(),
                expected_failure: None,
            };
            self.record(&boots, Entry::bare(Colour::Red(why.to_owned()), console));
        }
        for test in &self.request.tests {
            let colour = if test.name == BOOTS {
                Colour::Red(why.to_owned())
            } else {
                Colour::NotRun("the image did not come up".to_owned())
            };
            let console = if test.name == BOOTS { console } else { 0 };
            self.record(test, Entry::bare(colour, console));
        }
    }

    fn record(&mut self, test: &Test, entry: Entry) {
        let Entry { colour, took, log, console } = entry;
        let expected_failure: Option<ExpectedFailure> = test.expected_failure.clone();
        self.report.tests.push(TestReport {
            result: TestResult {
                name: test.name.clone(),
                weight: test.weight,
                colour,
                duration_ms: milliseconds(took),
                log,
                expected_failure,
            },
            summary: test.summary.clone(),
            time_limit_s: test.time_limit_s,
            console_from: console.start,
            console_to: console.end,
        });
    }

    fn package_list(&self) -> Vec<u8> {
        self.request.packages.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
    }

    /// What scripts are told.
    fn variables(&self, identity: &Identity) -> Vec<(String, String)> {
        let request = self.request;
        let mut variables = vec![
            ("MUSTER_HOSTNAME", identity.hostname.clone()),
            ("MUSTER_SSH_KEY", identity.key.clone()),
            ("MUSTER_USER_DATA_MARK", identity::USER_DATA_MARK.to_owned()),
            ("MUSTER_PACKAGES", super::place::PACKAGES.to_owned()),
            ("MUSTER_ARTIFACT_BYTES", request.artifact.size.to_string()),
            ("MUSTER_DISK_MIB", request.cell.disk_mib.to_string()),
        ];
        let budgets = &request.budgets;
        let limits = [
            ("MUSTER_BUDGET_DOWNLOAD_MIB", budgets.download_mib),
            ("MUSTER_BUDGET_PACKAGES", budgets.packages),
            ("MUSTER_BUDGET_DOCUMENTATION_FILES", budgets.documentation_files),
            ("MUSTER_BUDGET_LOCALES", budgets.locales),
        ];
        variables.extend(limits.into_iter().filter_map(|(name, limit)| Some((name, limit?.to_string()))));
        variables.extend(request.ostree_commit.iter().map(|commit| ("MUSTER_OSTREE_COMMIT", commit.clone())));
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Fails unless the artifact's file is what was built.
async fn check_digest(request: &SmoketestRequest) -> Result<()> {
    let digest = &request.artifact.digest;
    let (found, _) = digest::of_file(PathBuf::from(&request.artifact.path)).await?;
    ensure!(found == *digest, "the artifact is not what was built: its SHA-256 is {found}, not {digest}");
    Ok(())
}

/// The last line that says anything.
fn last_words(log: &str) -> Option<String> {
    let log = text::plain(log);
    let line = log.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(300).collect())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
