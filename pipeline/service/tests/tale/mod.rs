//! Made-up candidates, brought to any stage over the real store: the rules say what is wanted, and a tale says what
//! came of it.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test")]
#![allow(dead_code, reason = "each test uses its own part of it")]

use std::path::PathBuf;

use jiff::SignedDuration;
use muster::clock::Clock;
use muster::config::Settings;
use muster::store::{Admitted, Claimed, Ending, Plan, Recording, Store};
use muster::{decode, encode};
use muster_flow::announce::Announced;
use muster_flow::blame::{self, Inquiry, Next};
use muster_flow::build::{Artifact, BuildOutput, BuildRequest, Package};
use muster_flow::candidate::{Candidate, CandidateId, Cause, Life, Purpose};
use muster_flow::publish::{
    PromoteOutput, PromoteRequest, UploadOutput, UploadRequest, Uploaded, VerifyOutput, VerifyRequest,
};
use muster_flow::recipe::{
    Definition, DefinitionFile, Destination, DestinationKind, Firmware, Form, Matrix, Recipe,
};
use muster_flow::smoketest::{Colour, SmoketestOutput, SmoketestRequest, Test, TestResult, Weight};
use muster_flow::step::Handle;
use muster_specimen::{cell, destination};
use tempfile::TempDir;

/// What comes of a step.
pub enum Fate {
    /// It goes well.
    Well,
    /// It is a boot, and these tests are red, with the reason.
    Red(&'static [&'static str], &'static str),
    /// It cannot be done.
    Fails(&'static str),
    /// It runs, and says how far it is.
    Runs(&'static str),
    /// It could not be begun, and is tried again.
    Stumbles(&'static str),
    /// Nobody has begun it.
    Queued,
}

/// A store of its own, with a folder for what boots leave.
pub struct Tale {
    pub store: Store,
    pub clock: Clock,
    pub settings: Settings,
    pub folder: TempDir,
    /// What builds install: name, version, release.
    pub installs: Vec<(&'static str, &'static str, &'static str)>,
    pub plan: Plan,
}

impl Tale {
    pub async fn begin() -> Self {
        Tale::on(None).await
    }

    /// A tale on a database of somebody else's.
    pub async fn on(database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::set("2026-11-21T12:00:00Z".parse().unwrap());
        let mut settings = Settings::default();
        settings.service.state = folder.path().join("state");
        settings.service.database = database;
        let store = Store::open(&settings.database(), clock.clone()).await.unwrap();
        let plan = store.plan().await.unwrap().unwrap();
        let installs = ["bash", "glibc", "kernel"].map(|name| (name, "5.3", "1.fc43")).to_vec();
        Tale { store, clock, settings, folder, installs, plan }
    }

    /// Lets time pass, and keeps the right to plan.
    pub async fn pass(&mut self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
        self.plan = self.store.plan().await.unwrap().unwrap();
    }

    /// Makes a candidate that waits.
    pub async fn make(&mut self, recipe: Recipe, number: u32, purpose: Purpose) -> CandidateId {
        self.make_because(recipe, number, purpose, "bash-5.3-1.fc43 was tagged into f43").await
    }

    pub async fn make_because(
        &mut self,
        recipe: Recipe,
        number: u32,
        purpose: Purpose,
        summary: &str,
    ) -> CandidateId {
        let at = self.clock.now();
        self.pass(3).await;
        let candidate = Candidate {
            id: CandidateId::new(&recipe.name, &recipe.version, "20261121", number),
            tests: Vec::new(),
            created: self.clock.now(),
            changes: vec![Cause {
                change: format!("message-{number}"),
                at,
                summary: summary.to_owned(),
                why: "bash is in the package set that its last build recorded".to_owned(),
            }],
            life: Life::Waiting,
            ..muster_specimen::candidate(recipe, purpose)
        };
        let id = candidate.id.clone();
        let admitted = Admitted::Made { candidate: Box::new(candidate), supersedes: None };
        let recording = Recording { admitted: &[admitted], ..Recording::default() };
        self.store.weighed(&self.plan, recording).await.unwrap();
        id
    }

    pub async fn start(&mut self, id: &CandidateId, tests: Vec<Test>) {
        self.pass(60).await;
        let candidate = self.candidate(id).await;
        let file = candidate.recipe.definition.file.clone();
        let texts =
            [(file.clone(), "text".to_owned()), ("kickstarts/base.ks".to_owned(), String::new())].into();
        let definition = Definition { file, commit: "0123456789abcdef0123".to_owned(), texts };
        let recipe = candidate.recipe.clone();
        assert!(self.store.start(&self.plan, &candidate, (recipe, definition, tests)).await.unwrap());
    }

    pub async fn candidate(&self, id: &CandidateId) -> Candidate {
        self.store.candidate(id).await.unwrap().unwrap()
    }

    /// Does whatever is wanted, with the fate that `fate` gives each step by its key, until nothing more happens.
    pub async fn live(&mut self, id: &CandidateId, fate: impl Fn(&str) -> Fate) {
        for _ in 0..40 {
            let candidate = self.candidate(id).await;
            let open = self.store.open_candidates().await.unwrap();
            let intents = muster_flow::next::next(&candidate, &open, self.clock.now());
            let deadline = self.clock.now() + SignedDuration::from_hours(6);
            if !intents.is_empty() {
                let versions = self.store.open_versions().await.unwrap();
                let version = versions.iter().find(|(open, _)| open == id).unwrap().1;
                assert!(self.store.intend(&self.plan, (id, version), &intents, deadline).await.unwrap());
            }
            self.pass(1).await;
            let of_it = format!("{id}/");
            let moved = self
                .move_on(&|key: &str| if key.starts_with(&of_it) { fate(key) } else { Fate::Queued })
                .await;
            if intents.is_empty() && !moved {
                break;
            }
        }
        let candidate = self.candidate(id).await;
        if candidate.stage().is_finished() {
            let versions = self.store.open_versions().await.unwrap();
            if let Some((_, version)) = versions.into_iter().find(|(open, _)| open == id) {
                self.store.finish(&self.plan, id, version, candidate.stage().words()).await.unwrap();
            }
        }
    }

    /// Makes every probe that the inquiry into a candidate needs, with the fate that `fate` gives each step by its key,
    /// and records what was found.
    pub async fn find_out(&mut self, id: &CandidateId, fate: impl Fn(&str) -> Fate) {
        loop {
            let row = self.store.inquiry(id).await.unwrap().unwrap();
            let (red, good) = (self.candidate(id).await, self.candidate(&row.good).await);
            let probes = self.store.probes(id).await.unwrap();
            let (symptoms, bound) = (row.terms.symptoms.as_slice(), row.terms.bound);
            let builds = row.terms.builds.as_slice();
            let inquiry =
                Inquiry { red: &red, good: &good, symptoms, builds, probes: &probes, earlier: 0, bound };
            self.pass(1).await;
            match blame::next(&inquiry, self.clock.now()) {
                Next::Wait => panic!("a probe does not come to its end"),
                Next::Over(conclusion) => {
                    return self.store.conclude(&self.plan, &row, &conclusion).await.unwrap();
                }
                Next::Probe(probe) => {
                    self.store.probe(&self.plan, id, &probe.candidate).await.unwrap();
                    self.live(&probe.candidate.id, &fate).await;
                }
            }
        }
    }

    async fn move_on(&mut self, fate: &impl Fn(&str) -> Fate) -> bool {
        let mut moved = false;
        for kind in ["build", "smoketest", "upload", "verify", "promote", "announce"] {
            for claimed in self.store.claim_wanted((kind, muster_flow::step::Place::Here), 50).await.unwrap()
            {
                moved |= self.meet(claimed, fate).await;
            }
        }
        moved
    }

    async fn meet(&mut self, claimed: Claimed, fate: &impl Fn(&str) -> Fate) -> bool {
        let later = self.clock.now() + SignedDuration::from_secs(3600);
        let met = fate(&claimed.key.0);
        match met {
            Fate::Queued => return false,
            Fate::Stumbles(why) => {
                self.store.postponed(&claimed, "wanted", why, later).await.unwrap();
                return false;
            }
            Fate::Well | Fate::Red(..) | Fate::Fails(_) | Fate::Runs(_) => {}
        }
        let handle = Handle(format!("task {}", claimed.key.flat()));
        assert!(self.store.begun(&claimed, &handle, (later, claimed.deadline)).await.unwrap());
        let running = claimed.begun(handle, claimed.deadline);
        if let Fate::Runs(note) = met {
            self.store.progressed(&running, note, later).await.unwrap();
            return false;
        }
        self.pass(7).await;
        let ending = match met {
            Fate::Fails(why) => Ending::Failed(why.to_owned()),
            Fate::Red(red, why) => Ending::Succeeded(self.output(&claimed, red, why)),
            _ => Ending::Succeeded(self.output(&claimed, &[], "")),
        };
        assert!(self.store.ended(&running, &ending, "").await.unwrap());
        true
    }

    fn output(&self, claimed: &Claimed, red: &[&str], why: &str) -> String {
        match claimed.kind.as_str() {
            "build" => encode(&self.build(&decode(&claimed.request).unwrap())),
            "smoketest" => {
                encode(&self.boot(&claimed.key.flat(), &decode(&claimed.request).unwrap(), red, why))
            }
            "upload" => encode(&upload(&decode(&claimed.request).unwrap())),
            "verify" => encode(&verify(&decode(&claimed.request).unwrap())),
            "promote" => encode(&promote(&decode(&claimed.request).unwrap())),
            _ => encode(&Announced { message_id: "6e0f2a5e-0000-5000-8000-000000000000".to_owned() }),
        }
        .unwrap()
    }

    fn build(&self, request: &BuildRequest) -> BuildOutput {
        let log = self.folder.path().join("build.log");
        std::fs::write(&log, "installing bash\n").unwrap();
        let artifact = |form: Form, size: u64| Artifact {
            form,
            arch: request.arch.clone(),
            name: format!("{}.{}", request.file_stem, form.extension()),
            path: "/nowhere".to_owned(),
            size,
            digest: "5f".repeat(32),
        };
        let package = |(name, version, release): &(&str, &str, &str)| Package {
            name: (*name).to_owned(),
            epoch: 0,
            version: (*version).to_owned(),
            release: (*release).to_owned(),
            arch: "x86_64".to_owned(),
        };
        BuildOutput {
            artifacts: vec![
                artifact(Form::Raw, 536_870_912),
                artifact(Form::Qcow2, 72_351_744),
                artifact(Form::Oci, 31_457_280),
            ],
            packages: self.installs.iter().map(package).collect(),
            log: log.display().to_string(),
            ..BuildOutput::default()
        }
    }

    fn boot(&self, flat: &str, request: &SmoketestRequest, red: &[&str], why: &str) -> SmoketestOutput {
        let folder = self.folder.path().join("boots").join(flat);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("report.html"), "<h1>Report</h1>").unwrap();
        std::fs::write(folder.join("junit.xml"), "<testsuite/>").unwrap();
        std::fs::write(folder.join("console.log"), "[    0.0] Linux\n\u{1b}[31mlogin: <b>bold</b>\n")
            .unwrap();
        std::fs::write(folder.join("result.json"), "{}").unwrap();
        std::fs::write(folder.join("id_ed25519"), "a key").unwrap();
        std::fs::write(self.folder.path().join("secret.log"), "secret").unwrap();
        let _ = std::os::unix::fs::symlink(self.folder.path().join("secret.log"), folder.join("link.log"));
        let results = request.tests.iter().map(|test| TestResult {
            name: test.name.clone(),
            weight: test.weight,
            colour: if red.contains(&test.name.as_str()) {
                Colour::Red(why.to_owned())
            } else {
                Colour::Green
            },
            duration_ms: 1200,
            log: if red.contains(&test.name.as_str()) { format!("+ check\n{why}\n") } else { String::new() },
            expected_failure: test.expected_failure.clone(),
        });
        SmoketestOutput {
            results: results.collect(),
            boot_ms: 9_400,
            place: "qemu (tcg)".to_owned(),
            folder: folder.display().to_string(),
        }
    }
}

fn upload(request: &UploadRequest) -> UploadOutput {
    let destination = &request.destination;
    let location = |artifact: &Artifact| match destination.kind {
        DestinationKind::Mirror => {
            format!("http://127.0.0.1:8380/pub/mirror/{}/{}", destination.path, artifact.name)
        }
        DestinationKind::Registry => {
            format!("127.0.0.1:5000/{}@sha256:{}", destination.path, artifact.digest)
        }
        DestinationKind::OstreeRepository => format!("http://127.0.0.1:8380/pub/ostree {}", destination.path),
    };
    let uploaded = request.artifacts.iter().map(|artifact| Uploaded {
        name: artifact.name.clone(),
        arch: artifact.arch.clone(),
        location: location(artifact),
        digest: artifact.digest.clone(),
        size: artifact.size,
    });
    UploadOutput { uploaded: uploaded.collect() }
}

fn verify(request: &VerifyRequest) -> VerifyOutput {
    VerifyOutput {
        checked: request
            .uploaded
            .iter()
            .map(|uploaded| format!("{} has the digest it should have", uploaded.name))
            .collect(),
    }
}

fn promote(request: &PromoteRequest) -> PromoteOutput {
    let pointer = match request {
        PromoteRequest::Destination { upload, .. } => {
            format!("latest of {} is {}", upload.destination.name, upload.version)
        }
        PromoteRequest::Stream { stream, release } => format!("{stream} points at {}", release.version),
    };
    PromoteOutput { pointers: vec![pointer] }
}

pub fn recipe(name: &str) -> Recipe {
    let registry = Destination {
        kind: DestinationKind::Registry,
        takes: Form::Oci,
        ..destination("registry", "murmur/cloud-base")
    };
    Recipe {
        image: "Murmur-Cloud-Base".to_owned(),
        summary: "A small image for any cloud".to_owned(),
        owner: "cloud-sig".to_owned(),
        definition: DefinitionFile {
            file: format!("kickstarts/{name}.ks"),
            repository: "kickstarts".to_owned(),
            branch: String::new(),
        },
        smoketests: Matrix {
            cells: vec![cell("bios-q35", Firmware::Bios), cell("uefi-q35", Firmware::Uefi)],
            ..Matrix::default()
        },
        destinations: vec![destination("mirror", "releases/43/Cloud/x86_64/images"), registry],
        ..muster_specimen::recipe(name)
    }
}

pub fn tests() -> Vec<Test> {
    let test = |order: u32, name: &str, summary: &str, weight| Test {
        order,
        summary: summary.to_owned(),
        weight,
        forms: vec![Form::Qcow2],
        ..muster_specimen::test(name)
    };
    vec![
        test(1, "boots", "It comes up and lets us in by key", Weight::Gating),
        test(2, "hostname", "It takes its name from the metadata", Weight::Gating),
        test(3, "root-grown", "Its root fills the disk", Weight::Gating),
        test(4, "documentation", "It keeps to its budget of documentation", Weight::Informative),
    ]
}

/// The path of the `muster` program.
pub fn muster() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_muster"))
}
