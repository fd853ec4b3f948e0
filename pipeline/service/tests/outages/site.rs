//! A configuration, one recipe of a container image that goes to a repository of its own in the registry, and the real
//! process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster::program::{Finished, Program, Running};
use muster::store::Store;
use muster_flow::candidate::{Candidate, Outcome, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long something may take to be so.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// How often it is looked whether it is.
const PACE: Duration = Duration::from_millis(50);

pub struct Site {
    pub folder: tempfile::TempDir,
    pub registry: String,
    pub repository: String,
    listen: String,
}

/// The variable's value; nothing when it is not set, which is an error where nobody looks at the output.
pub fn given(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        assert!(std::env::var("CI").is_err(), "{variable} is not set; deploy/test sets it");
        eprintln!("SKIPPED: {variable} is not set; deploy/test sets it");
    }
    value
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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

impl Site {
    /// A site over the database that is named when its folder is known, with more sections of the configuration. Its
    /// releases go at once, and what proves a change waits for ever.
    pub fn new(database: impl Fn(&Path) -> String, more: &str) -> Option<Site> {
        let (distribution, registry) = (given("MUSTER_TEST_DISTRIBUTION")?, given("MUSTER_TEST_REGISTRY")?);
        let folder = tempfile::tempdir().unwrap();
        let repository = format!("outages-{}", uuid::Uuid::new_v4().simple());
        define(&folder.path().join("definitions"), &repository);
        fs::create_dir(folder.path().join("state")).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = format!(
            r#"
[service]
state = "{folder}/state"
database = "{database}"
listen = "{listen}"
[definitions]
path = "{folder}/definitions"
[engine]
tick_ms = 50
backoff_s = 1
quiet_s = 100000
at_most_s = 100000
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
{more}"#,
            folder = folder.path().display(),
            database = database(folder.path()),
        );
        fs::write(folder.path().join("muster.toml"), settings).unwrap();
        Some(Site { folder, registry, repository, listen })
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn config(&self) -> String {
        self.folder.path().join("muster.toml").display().to_string()
    }

    pub fn muster(&self) -> Program {
        Program::new(env!("CARGO_BIN_EXE_muster")).args(["--config", &self.config()])
    }

    pub fn serve(&self) -> Running {
        self.spawn(self.muster().arg("serve"))
    }

    /// Starts a program that becomes the service.
    pub fn spawn(&self, program: Program) -> Running {
        program.log(self.folder.path().join("serve.log")).spawn().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    pub async fn release(&self) {
        self.muster().args(release()).run().await.unwrap();
    }

    /// Runs `muster` and expects it to end well.
    pub async fn trigger(&self, reason: &str) -> Finished {
        self.muster().args(trigger(reason)).run().await.unwrap()
    }

    /// The answer to one request: its status and body; nothing while nobody listens.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.listen).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Waits for what `look` finds.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; the service said: {}", self.log());
            tokio::time::sleep(PACE).await;
        }
    }

    pub async fn until_answered(&self, what: &str, path: &str, is_so: impl Fn(u16, &str) -> bool) {
        self.until(what, async || {
            self.get(path).await.filter(|(status, body)| is_so(*status, body)).map(drop)
        })
        .await;
    }

    pub async fn until_healthy(&self) {
        self.until_answered("health", "/healthz", |status, _| status == 200).await;
    }

    /// Waits until a change was weighed, which is when the candidate says why it is there.
    pub async fn until_weighed(&self, reason: &str) {
        self.until_answered(reason, "/api/changes", |_, body| body.contains(reason)).await;
    }

    pub async fn until_logged(&self, words: &str) {
        self.until(words, async || self.log().contains(words).then_some(())).await;
    }

    /// The folder of the one job of a kind, once its process is at work.
    pub async fn until_at_work(&self, kind: &str) -> PathBuf {
        self.until(&format!("the {kind} job"), async || {
            let folder = self.jobs(kind).pop()?;
            folder.join("process").exists().then_some(folder)
        })
        .await
    }

    /// The folders of all jobs of a kind.
    pub fn jobs(&self, kind: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state().join("jobs").join(kind));
        entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    /// The release's end, when that is that it was published.
    pub async fn until_published(&self, store: &Store) -> Candidate {
        let candidate = self.until_finished(store).await;
        assert_eq!(candidate.stage(), Stage::Finished(Outcome::Published), "{}", self.log());
        candidate
    }

    pub async fn until_finished(&self, store: &Store) -> Candidate {
        self.until("the release's end", async || {
            release_of(store).await.filter(|candidate| candidate.stage().is_finished())
        })
        .await
    }

    /// Processes whose command line names something in the site's folder, and their command lines.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let ours = self.folder.path().display().to_string();
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let lines = pids.map(|pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|(_, line)| line.contains(&ours)).collect()
    }
}

impl Drop for Site {
    /// Jobs outlive the service, but not the test.
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            kill(pid);
        }
    }
}

/// Kills a process, unless it has ended meanwhile.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The smoketests and the recipe, which pushes to `repository`.
fn define(definitions: &Path, repository: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    copy_folder(&root.join("smoketests"), &definitions.join("smoketests"));
    copy_folder(&root.join("kickstarts/fragments"), &definitions.join("kickstarts/fragments"));
    let name = |ending: &str| format!("kickstarts/container-base.{ending}");
    fs::copy(root.join(name("ks")), definitions.join(name("ks"))).unwrap();
    let recipe = fs::read_to_string(root.join(name("toml"))).unwrap();
    fs::write(definitions.join(name("toml")), recipe.replace("murmur/container-base", repository)).unwrap();
}

pub fn release() -> [&'static str; 7] {
    ["--as", "ada", "release", "--recipe", "container-base", "--reason", "whatever happens"]
}

pub fn trigger(reason: &str) -> [&str; 6] {
    ["--as", "ada", "trigger", "container-base", "--reason", reason]
}

/// The one release; nothing before it was made.
pub async fn release_of(store: &Store) -> Option<Candidate> {
    let candidates = store.candidates(10).await.unwrap();
    let mut releases = candidates.into_iter().filter(|candidate| candidate.purpose.is_published());
    let release = releases.next();
    assert_eq!(releases.next(), None, "there are two releases");
    release
}
