//! PostgreSQL stops and starts while the service is at work.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use muster::clock::Clock;
use muster::program::{Program, Running};
use muster::store::Store;

use crate::chance::{seed, time};
use crate::site::{PATIENCE, Site, free_port, given};

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
        postgres.start().await;
        postgres
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs, which do not run as root.
    fn program(&self, name: &str) -> Program {
        let user = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--"];
        Program::new("setpriv").args(user).arg(self.programs.join(name)).folder(self.folder.path())
    }

    async fn start(&mut self) {
        let port = self.port.to_string();
        let server = self.program("postgres").arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        let server = server.args(["-h", "127.0.0.1", "-c", "fsync=off", "-p", &port]);
        self.server = Some(server.log(self.folder.path().join("log")).spawn().unwrap());
        let begun = Instant::now();
        while self.program("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).run().await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it by a signal: `INT` cuts its clients off and shuts down, `QUIT` stops where it is, like a crash.
    async fn stop(&mut self, signal: &str) {
        let mut server = self.server.take().unwrap();
        let pid = server.id().unwrap().to_string();
        Program::new("kill").args([&format!("-{signal}"), &pid]).run().await.unwrap();
        server.wait().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_stops_and_starts_under_the_service_costs_time_and_nothing_else() {
    let Some(_) = given("MUSTER_TEST_POSTGRES") else { return };
    let seed = seed();
    let mut postgres = Postgres::begin().await;
    let Some(site) = Site::new(|_| postgres.url(), "") else { return };
    let mut service = site.serve();
    site.until_healthy().await;
    site.release().await;
    let job = site.until_at_work("build").await;
    let result = job.join("result.json");

    // The build has begun, and it ends while nobody can record that.
    postgres.stop("INT").await;
    assert!(!result.exists(), "the build was over before PostgreSQL stopped");
    let away = |status, body: &str| status == 503 && body.contains("the store cannot be read");
    site.until_answered("a word about the outage", "/healthz", away).await;
    site.until_logged("cannot plan").await;
    site.until("the end of the build", async || result.exists().then_some(())).await;
    let refused = site.muster().args(crate::site::trigger("while it was away")).run_any().await.unwrap();
    assert_ne!(refused.code, Some(0), "{}", refused.text());
    assert!(!service.has_ended(), "{}", site.log());
    postgres.start().await;

    // Somewhere between the boot and the last message, it happens again.
    tokio::time::sleep(time(seed, 0, Duration::from_millis(50), Duration::from_secs(3))).await;
    postgres.stop("QUIT").await;
    tokio::time::sleep(time(seed, 1, Duration::from_millis(50), Duration::from_secs(3))).await;
    postgres.start().await;

    site.until_healthy().await;
    let store = Store::open(&postgres.url(), Clock::system()).await.unwrap();
    let candidate = site.until_published(&store).await;
    site.expect_published_once(&store, &candidate).await;
    site.expect_no_second_try(&store, &candidate).await;
    site.trigger("after it started").await;
    site.until_weighed("after it started").await;
    let (_, changes) = site.get("/api/changes").await.unwrap();
    assert!(!changes.contains("while it was away"), "what was refused is there: {changes}");
    assert!(!service.has_ended(), "{}", site.log());
    service.kill().await;
    store.close().await;
    postgres.stop("INT").await;
}
