//! The disk fills up, while the service waits and while it is at work.

use std::fs;
use std::path::PathBuf;

use muster::program::{Finished, Program, Running};
use serde_json::Value;

use crate::site::{Site, given, trigger};

/// A service whose state, or database, or both lie on a disk of some MiB, which only it and its commands see.
struct SmallDisk {
    site: Site,
    disk: PathBuf,
    service: Running,
}

impl SmallDisk {
    fn begin(mib: u32, disk: &str, database: &str) -> Option<SmallDisk> {
        given("MUSTER_TEST_POSTGRES")?;
        let site = Site::new(|folder| format!("sqlite://{}/{database}", folder.display()), "")?;
        let disk = site.folder.path().join(disk);
        fs::create_dir_all(&disk).unwrap();
        let script =
            format!("mount -t tmpfs -o size={mib}m tmpfs \"$1\" && exec \"$2\" --config \"$3\" serve");
        let service = Program::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"])
            .arg(&disk)
            .args([env!("CARGO_BIN_EXE_muster"), &site.config()]);
        let service = site.spawn(service);
        Some(SmallDisk { site, disk, service })
    }

    /// Where a file of the disk is seen from outside.
    fn outside(&self, name: &str) -> String {
        format!("/proc/{}/root{}/{name}", self.service.id().unwrap(), self.disk.display())
    }

    /// Runs something where the disk is seen.
    async fn run(&self, program: &str, args: &[&str]) -> Finished {
        let service = self.service.id().unwrap().to_string();
        let inside = Program::new("nsenter").args(["-t", &service, "-m", "--", program]).args(args);
        inside.limit(std::time::Duration::from_mins(1)).run_any().await.unwrap()
    }

    async fn muster(&self, args: &[&str]) -> Finished {
        let config = self.site.config();
        let args: Vec<&str> = ["--config", &config].into_iter().chain(args.iter().copied()).collect();
        self.run(env!("CARGO_BIN_EXE_muster"), &args).await
    }

    /// Waits until the one candidate stands there, and tells its id.
    async fn until_stage(&self, stage: &str) -> String {
        let look = async || {
            let (_, listed) = self.site.get("/api/candidates").await?;
            let listed: Value = serde_json::from_str(&listed).ok()?;
            let [candidate] = &listed["candidates"].as_array()?[..] else { return None };
            (candidate["stage"] == stage).then(|| candidate["candidate"].as_str().unwrap().to_owned())
        };
        self.site.until(stage, look).await
    }

    /// Waits until health says which disk is full.
    async fn until_named(&self, disk: &str) {
        let words = format!("the disk of the {disk}: it is full: ");
        let full = |status, body: &str| status == 503 && body.starts_with(&words);
        self.site.until_answered("a word about the full disk", "/healthz", full).await;
    }

    /// Takes all the room that is left.
    async fn fill(&self) {
        let ballast = format!("of={}/ballast", self.disk.display());
        self.run("dd", &["if=/dev/zero", &ballast, "bs=4096"]).await;
    }

    fn make_room(&self) {
        fs::remove_file(self.outside("ballast")).unwrap();
    }
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_loses_nothing_and_is_got_over_when_there_is_room_again() {
    let Some(mut small) = SmallDisk::begin(16, "disk", "disk/muster.db") else { return };
    small.site.until_healthy().await;
    let first = small.muster(&trigger("before it was full")).await;
    assert_eq!(first.code, Some(0), "{}", stderr(&first));
    small.site.until_weighed("before it was full").await;

    small.fill().await;
    small.until_named("database").await;
    small.site.until_logged("database or disk is full").await;
    let second = small.muster(&trigger("while it was full")).await;
    assert_eq!(second.code, Some(1), "{}", second.text());
    assert!(stderr(&second).contains("disk is full"), "{}", stderr(&second));
    // What is known is shown all the same.
    small.site.until_weighed("before it was full").await;
    assert!(!small.service.has_ended(), "{}", small.site.log());

    small.make_room();
    small.site.until_healthy().await;
    let third = small.muster(&trigger("after it was full")).await;
    assert_eq!(third.code, Some(0), "{}", stderr(&third));
    small.site.until_weighed("after it was full").await;
    let (_, changes) = small.site.get("/api/changes").await.unwrap();
    assert!(changes.contains("before it was full"), "{changes}");
    assert!(!changes.contains("while it was full"), "what was refused is there: {changes}");
    small.service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_names_the_full_disk_of_the_state_folder_although_the_database_lies_elsewhere() {
    let Some(mut small) = SmallDisk::begin(16, "state", "muster.db") else { return };
    small.site.until_healthy().await;
    small.fill().await;
    small.until_named("state folder").await;
    small.make_room();
    small.site.until_healthy().await;
    small.service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_the_middle_of_a_build_is_not_the_images_fault_and_publishes_nothing_half() {
    let Some(mut small) = SmallDisk::begin(200, "state", "state/muster.db") else { return };
    small.site.until_healthy().await;
    let asked = small.muster(&crate::site::release()).await;
    assert_eq!(asked.code, Some(0), "{}", stderr(&asked));
    let job = small.site.until("dnf at work", async || {
        let jobs = fs::read_dir(small.outside("jobs/build")).ok()?;
        let job = jobs.map(|entry| entry.unwrap().path()).next()?;
        fs::metadata(job.join("work/dnf-0.log")).is_ok_and(|log| log.len() > 0).then_some(job)
    });
    let job = job.await;
    small.fill().await;
    assert!(!job.join("result.json").exists(), "the build was over before the disk was full");
    small.site.until_logged("disk is full").await;
    assert!(!small.service.has_ended(), "{}", small.site.log());
    small.make_room();

    // The database is seen by the service alone, so it is asked for what it tells.
    let id = small.until_stage("build failed").await;
    let (_, told) = small.site.get(&format!("/api/candidates/{id}")).await.unwrap();
    assert!(told.contains("the disk of this machine is full"), "{told}");
    assert_eq!(small.site.public().await.tags.len(), 0);
    let build = format!("{id}/build/x86_64");
    let again = small.muster(&["--as", "ada", "retry", &build]).await;
    assert_eq!(again.code, Some(0), "{}", stderr(&again));
    assert_eq!(small.until_stage("published").await, id);
    assert_eq!(small.site.public().await.tags.len(), 4);
    assert!(!small.service.has_ended(), "{}", small.site.log());
    small.service.kill().await;
}
