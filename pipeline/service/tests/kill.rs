//! The real process, killed at odd moments: it builds, tests and publishes everything once all the same.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made, `MUSTER_TEST_REGISTRY` a container registry.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster::clock::Clock;
use muster::program::{Program, Running};
use muster::store::Store;
use muster_flow::candidate::{Candidate, Outcome, Stage};
use muster_lab::database::{self, Database};

/// When the process is killed, in milliseconds after its start: chosen to fall into starting, building, testing,
/// publishing and announcing, on a quick machine and on a slow one.
const KILLS_MS: [u64; 8] = [150, 900, 2300, 400, 1500, 700, 3100, 1100];

/// How long the last process may take to bring everything to its end.
const LIMIT: Duration = Duration::from_mins(3);

struct Site {
    folder: tempfile::TempDir,
    registry: String,
    repository: String,
}

/// The variable's value; nothing when it is not set, which is an error where nobody looks at the output.
fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(std::env::var("CI").is_err(), "{variable} is not set; deploy/test sets it");
        eprintln!("SKIPPED: {variable} is not set; deploy/test sets it");
    }
    value
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A configuration and one recipe: a container image that goes to a repository of its own in the registry.
fn site(database: &Database) -> Option<Site> {
    let (distribution, registry) = (given("MUSTER_TEST_DISTRIBUTION")?, given("MUSTER_TEST_REGISTRY")?);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions");
    copy_folder(&root.join("smoketests"), &definitions.join("smoketests"));
    copy_folder(&root.join("kickstarts/fragments"), &definitions.join("kickstarts/fragments"));
    fs::copy(root.join("kickstarts/container-base.ks"), definitions.join("kickstarts/container-base.ks"))
        .unwrap();
    let repository = format!("kill-{}", uuid::Uuid::new_v4().simple());
    let recipe = fs::read_to_string(root.join("kickstarts/container-base.toml")).unwrap();
    let recipe = recipe.replace("murmur/container-base", &repository);
    fs::write(definitions.join("kickstarts/container-base.toml"), recipe).unwrap();
    let settings = format!(
        r#"
[service]
state = "{state}/state"
database = "{database}"
listen = "{listen}"
[definitions]
path = "{state}/definitions"
[engine]
tick_ms = 50
backoff_s = 1
[destinations.mirror]
kind = "mirror"
[destinations.registry]
kind = "registry"
host = "{registry}"
protocol = "http"
[[packages.repositories]]
name = "os"
baseurl = "file://{distribution}/os/x86_64"
[[packages.repositories]]
name = "updates"
baseurl = "file://{distribution}/updates/x86_64"
"#,
        state = folder.path().display(),
        database = database.url,
        listen = free_address(),
    );
    fs::write(folder.path().join("muster.toml"), settings).unwrap();
    Some(Site { folder, registry, repository })
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Site {
    fn muster(&self) -> Program {
        let config = self.folder.path().join("muster.toml");
        Program::new(env!("CARGO_BIN_EXE_muster")).arg("--config").arg(config)
    }

    fn serve(&self) -> Running {
        self.muster().arg("serve").log(self.folder.path().join("serve.log")).spawn().unwrap()
    }

    async fn release(&self) {
        let release = self.muster().args(["--as", "ada", "release", "--recipe", "container-base"]);
        release.args(["--reason", "to be killed"]).run().await.unwrap();
    }

    /// The last words of the service, for a failure.
    fn log(&self) -> String {
        muster::program::tail(&self.folder.path().join("serve.log"))
    }
}

async fn release_of(store: &Store) -> Option<Candidate> {
    store.candidates(10).await.unwrap().into_iter().find(|candidate| candidate.purpose.is_published())
}

async fn wait_for_the_end(site: &Site, store: &Store) -> Candidate {
    let begun = Instant::now();
    loop {
        if let Some(candidate) = release_of(store).await
            && candidate.stage().is_finished()
        {
            return candidate;
        }
        assert!(begun.elapsed() < LIMIT, "it never came to an end; the service said last: {}", site.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_publishes_once() {
    for database in database::each().await.unwrap() {
        let Some(site) = site(&database) else { return };
        let store = Store::open(&database.url, Clock::system()).await.unwrap();
        site.release().await;
        for (round, after) in KILLS_MS.into_iter().enumerate() {
            let mut process = site.serve();
            tokio::time::sleep(Duration::from_millis(after)).await;
            assert!(!process.has_ended(), "round {round}: it ended by itself: {}", site.log());
            process.kill().await;
        }
        let mut last = site.serve();
        let candidate = wait_for_the_end(&site, &store).await;
        assert_eq!(
            candidate.stage(),
            Stage::Finished(Outcome::Published),
            "{}: {}",
            database.kind,
            site.log()
        );
        check(&site, &store, &candidate).await;
        last.kill().await;
    }
}

/// Each step ended once, there is one release, and a stranger finds exactly what was announced.
async fn check(site: &Site, store: &Store, candidate: &Candidate) {
    assert_eq!(store.candidates(10).await.unwrap().len(), 1);
    let journal = store.journal(Some(&candidate.id), 0, 1000).await.unwrap();
    for row in store.step_rows(&candidate.id).await.unwrap() {
        assert_eq!(row.state, "succeeded", "{}: {}", row.key, row.note);
        let purpose = row.key.0.strip_prefix(&format!("{}/", candidate.id)).unwrap();
        let told = journal.iter().filter(|line| line.text.starts_with(&format!("{purpose} is done"))).count();
        assert_eq!(told, 1, "{purpose} ended {told} times: {journal:#?}");
    }
    let announced = candidate.promotions().count();
    assert_eq!(announced, 2, "the registry and the stream");
    let image = format!("docker://{}/{}:latest", site.registry, site.repository);
    let inspect = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image];
    let digest = Program::new("skopeo").args(inspect).run().await.unwrap().text();
    let uploads: Vec<_> = candidate.uploads().filter_map(|upload| upload.output()).collect();
    assert_eq!(uploads.len(), 1);
    let tags = Program::new("skopeo")
        .args(["list-tags", "--tls-verify=false", &format!("docker://{}/{}", site.registry, site.repository)])
        .run()
        .await
        .unwrap()
        .text();
    assert!(
        tags.contains("43") && tags.contains("latest") && digest.starts_with("sha256:"),
        "{tags} {digest}"
    );
}
