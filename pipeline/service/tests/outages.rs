//! The real service while its database is away, or its disk is full.
//!
//! They run where `MUSTER_TEST_POSTGRES` is set, which says that PostgreSQL is installed; each has an instance, or a
//! small disk, of its own. Both need root.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster::program::{Finished, Program, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long something may take to be so.
const PATIENCE: Duration = Duration::from_mins(1);

/// A configuration with one recipe whose candidates wait for ever.
struct Site {
    folder: tempfile::TempDir,
    listen: String,
}

fn is_given() -> bool {
    let is_given = std::env::var("MUSTER_TEST_POSTGRES").is_ok();
    if !is_given {
        assert!(std::env::var("CI").is_err(), "MUSTER_TEST_POSTGRES is not set; deploy/test sets it");
        eprintln!("SKIPPED: MUSTER_TEST_POSTGRES is not set; deploy/test sets it");
    }
    is_given
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Site {
    /// A site with its state, and with its database, where these say, below a folder of its own.
    fn new(state: &str, database: impl Fn(&Path) -> String) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../kickstarts");
        let definitions = folder.path().join("definitions/kickstarts");
        fs::create_dir_all(definitions.join("fragments")).unwrap();
        for file in ["container-base.ks", "container-base.toml"] {
            fs::copy(root.join(file), definitions.join(file)).unwrap();
        }
        for fragment in fs::read_dir(root.join("fragments")).unwrap() {
            let fragment = fragment.unwrap();
            fs::copy(fragment.path(), definitions.join("fragments").join(fragment.file_name())).unwrap();
        }
        let listen = format!("127.0.0.1:{}", free_port());
        let settings = format!(
            "[service]\nstate = \"{folder}/{state}\"\ndatabase = \"{database}\"\nlisten = \"{listen}\"\n\
             [definitions]\npath = \"{folder}/definitions\"\n\
             [engine]\ntick_ms = 50\nquiet_s = 100000\nat_most_s = 100000\n",
            folder = folder.path().display(),
            database = database(folder.path()),
        );
        fs::write(folder.path().join("muster.toml"), settings).unwrap();
        Site { folder, listen }
    }

    fn config(&self) -> String {
        self.folder.path().join("muster.toml").display().to_string()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    /// The answer to one request: its status and body; nothing while nobody listens.
    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.listen).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    async fn until(&self, what: &str, path: &str, is_so: impl Fn(u16, &str) -> bool) {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.as_ref().is_some_and(|(status, body)| is_so(*status, body)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come: {answer:?}; {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn until_healthy(&self) {
        self.until("health", "/healthz", |status, _| status == 200).await;
    }

    /// Waits until a change was weighed, which is when the candidate says why it is there.
    async fn until_weighed(&self, reason: &str) {
        self.until(reason, "/api/changes", |_, body| body.contains(reason)).await;
    }

    async fn until_logged(&self, words: &str) {
        let begun = Instant::now();
        while !self.log().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "the service never said {words:?}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn trigger(reason: &str) -> [&str; 6] {
    ["--as", "ada", "trigger", "container-base", "--reason", reason]
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

/// A service whose database or state lies on a disk of a few MiB, which only it and its commands see.
struct SmallDisk {
    site: Site,
    service: Running,
}

impl SmallDisk {
    fn begin(state: &str, database: &str) -> SmallDisk {
        let site = Site::new(state, |folder| format!("sqlite://{}/{database}", folder.display()));
        let disk = site.folder.path().join("disk");
        fs::create_dir(&disk).unwrap();
        let script = "mount -t tmpfs -o size=16m tmpfs \"$1\" && exec \"$2\" --config \"$3\" serve";
        let service = Program::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
            .arg(&disk)
            .args([env!("CARGO_BIN_EXE_muster"), &site.config()])
            .log(site.folder.path().join("serve.log"))
            .spawn()
            .unwrap();
        SmallDisk { site, service }
    }

    /// Runs something where the disk is seen.
    async fn run(&self, program: &str, args: &[&str]) -> Finished {
        let service = self.service.id().unwrap().to_string();
        let inside = Program::new("nsenter").args(["-t", &service, "-m", "--", program]).args(args);
        inside.limit(Duration::from_mins(1)).run_any().await.unwrap()
    }

    /// Fills the disk, and returns what takes the room.
    async fn fill(&self) -> String {
        let ballast = self.site.folder.path().join("disk/ballast").display().to_string();
        self.run("dd", &["if=/dev/zero", &format!("of={ballast}"), "bs=4096"]).await;
        ballast
    }

    async fn trigger(&self, reason: &str) -> Finished {
        let config = self.site.config();
        let args: Vec<&str> = ["--config", &config].into_iter().chain(trigger(reason)).collect();
        self.run(env!("CARGO_BIN_EXE_muster"), &args).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_loses_nothing_and_is_got_over_when_there_is_room_again() {
    if !is_given() {
        return;
    }
    let mut small = SmallDisk::begin("state", "disk/muster.db");
    small.site.until_healthy().await;
    let first = small.trigger("before it was full").await;
    assert_eq!(first.code, Some(0), "{}", stderr(&first));
    small.site.until_weighed("before it was full").await;

    let ballast = small.fill().await;
    let full =
        |status, body: &str| status == 503 && body.starts_with("the disk of the database: it is full: ");
    small.site.until("a word about the full disk", "/healthz", full).await;
    small.site.until_logged("database or disk is full").await;
    let second = small.trigger("while it was full").await;
    assert_eq!(second.code, Some(1), "{}", second.text());
    assert!(stderr(&second).contains("disk is full"), "{}", stderr(&second));
    // What is known is shown all the same.
    small.site.until_weighed("before it was full").await;
    assert!(!small.service.has_ended(), "{}", small.site.log());

    small.run("rm", &[&ballast]).await;
    small.site.until_healthy().await;
    let third = small.trigger("after it was full").await;
    assert_eq!(third.code, Some(0), "{}", stderr(&third));
    small.site.until_weighed("after it was full").await;
    let (_, changes) = small.site.get("/api/changes").await.unwrap();
    assert!(changes.contains("before it was full"), "{changes}");
    assert!(!changes.contains("while it was full"), "what was refused is there: {changes}");
    small.service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_full_disk_of_the_state_folder_although_the_database_lies_elsewhere() {
    if !is_given() {
        return;
    }
    let mut small = SmallDisk::begin("disk", "muster.db");
    small.site.until_healthy().await;
    let ballast = small.fill().await;
    let full =
        |status, body: &str| status == 503 && body.starts_with("the disk of the state folder: it is full: ");
    small.site.until("a word about the full disk", "/healthz", full).await;
    small.run("rm", &[&ballast]).await;
    small.site.until_healthy().await;
    small.service.kill().await;
}

/// A PostgreSQL of the test's own, which may be stopped and started.
struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    server: Option<Running>,
}

impl Postgres {
    async fn begin() -> Postgres {
        let versions = fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path());
        let programs = versions.max().unwrap().join("bin");
        let folder = tempfile::tempdir().unwrap();
        let mut postgres = Postgres { folder, programs, port: free_port(), server: None };
        Program::new("chown").args(["postgres:"]).arg(postgres.folder.path()).run().await.unwrap();
        let args = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        postgres.program("initdb").args(args).arg(postgres.data()).run().await.unwrap();
        postgres.start();
        postgres
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs, which do not run as root.
    fn program(&self, name: &str) -> Program {
        let user = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
        Program::new("setpriv").args(user).arg(self.programs.join(name)).folder(self.folder.path())
    }

    fn start(&mut self) {
        let port = self.port.to_string();
        let server = self.program("postgres").arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let server = server.args(["-h", "127.0.0.1", "-c", "fsync=off", "-p", &port]);
        self.server = Some(server.log(self.folder.path().join("log")).spawn().unwrap());
    }

    /// Cuts its clients off and shuts down.
    async fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        let pid = server.id().unwrap().to_string();
        Program::new("kill").args(["-INT", &pid]).run().await.unwrap();
        server.wait().await.unwrap();
    }

    async fn until_ready(&self) {
        let begun = Instant::now();
        let port = self.port.to_string();
        while self.program("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).run().await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_stops_and_starts_under_the_service_costs_time_and_nothing_else() {
    if !is_given() {
        return;
    }
    let mut postgres = Postgres::begin().await;
    postgres.until_ready().await;
    let port = postgres.port;
    let site = Site::new("state", |_| format!("postgres://postgres@127.0.0.1:{port}/postgres"));
    let muster = || Program::new(env!("CARGO_BIN_EXE_muster")).args(["--config", &site.config()]);
    let log = site.folder.path().join("serve.log");
    let mut service = muster().arg("serve").log(log).spawn().unwrap();
    site.until_healthy().await;
    muster().args(trigger("before it stopped")).run().await.unwrap();
    site.until_weighed("before it stopped").await;

    postgres.stop().await;
    let away = |status, body: &str| status == 503 && body.contains("the store cannot be read");
    site.until("a word about the outage", "/healthz", away).await;
    site.until_logged("cannot plan").await;
    assert!(!service.has_ended(), "{}", site.log());

    postgres.start();
    postgres.until_ready().await;
    site.until_healthy().await;
    muster().args(trigger("after it started")).run().await.unwrap();
    site.until_weighed("after it started").await;
    let (_, changes) = site.get("/api/changes").await.unwrap();
    assert!(changes.contains("before it stopped"), "{changes}");
    assert!(!service.has_ended(), "{}", site.log());
    service.kill().await;
    postgres.stop().await;
}
