//! Builds that the hub keeps, with their archives, and the repositories that it makes of tags.

use muster::adapters::koji::xml::Reply;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::builder::{Named, files, rpm};
use super::method::Args;
use super::query::hex;
use super::session::fault;
use super::task::Task;
use super::{KojiHub, State};

/// How a build stands, by the hub's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildState {
    /// Its task runs.
    Building = 0,
    /// It is there.
    Complete = 1,
    /// It was removed.
    Deleted = 2,
    /// Its task failed.
    Failed = 3,
}

/// One build.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its number.
    pub id: i64,
    /// Name, version and release.
    pub parts: [String; 3],
    /// The task that made it.
    pub task: Option<i64>,
    /// How it stands.
    pub state: BuildState,
    /// Its files: architecture, name, bytes.
    pub archives: Vec<(String, String, Vec<u8>)>,
    owner: i64,
}

impl Build {
    fn nvr(&self) -> String {
        self.parts.join("-")
    }

    /// The struct that tells of it.
    fn info(&self) -> Value {
        let [name, version, release] = &self.parts;
        json!({ "build_id": self.id, "id": self.id, "cg_id": null, "cg_name": null, "draft": false, "epoch": 0,
            "completion_time": "2026-11-21 09:07:12.637376+00:00", "completion_ts": 1_795_252_032.637_376,
            "creation_event_id": 41, "creation_time": "2026-11-21 09:07:02.075822+00:00",
            "creation_ts": 1_795_252_022.075_822, "extra": null, "name": name, "nvr": self.nvr(),
            "owner_id": self.owner, "owner_name": "imagebot", "package_id": 1, "package_name": name,
            "promoter_id": null, "promoter_name": null, "promotion_time": null, "promotion_ts": null,
            "release": release, "source": null, "start_time": "2026-11-21 09:07:02.072621+00:00",
            "start_ts": 1_795_252_022.072_621, "state": self.state as i64, "task_id": self.task,
            "version": version, "volume_id": 0, "volume_name": "DEFAULT" })
    }

    /// The number of one of its archives.
    fn archive_id(&self, place: usize) -> i64 {
        self.id * 100 + i64::try_from(place).unwrap_or(0)
    }
}

/// One repository that the hub made of a tag.
#[derive(Clone, Debug)]
pub struct Repo {
    /// Its number.
    pub id: i64,
    /// The tag.
    pub tag: String,
    /// The event.
    pub event: i64,
    /// How it stands: 1 ready, 2 replaced, 3 deleted.
    pub state: i64,
}

impl Repo {
    fn info(&self) -> Value {
        json!({ "id": self.id, "tag_name": self.tag, "tag_id": 2, "state": self.state,
            "begin_event": self.event - 1, "begin_ts": 1_795_251_875.309_256, "create_event": self.event,
            "create_ts": 1_795_251_877.114_869, "creation_time": "2026-11-21 09:04:37.113284+00:00",
            "creation_ts": 1_795_251_877.113_284, "custom_opts": {}, "dist": false, "end_event": null,
            "end_ts": null,
            "opts": { "src": false, "maven": false, "debuginfo": false, "separate_src": false },
            "state_time": "2026-11-21 09:04:43.401936+00:00", "state_ts": 1_795_251_883.401_936,
            "task_id": 30, "task_state": 2 })
    }
}

impl KojiHub {
    /// The hub makes a repository of a tag; those it had of it are replaced. Returns its number.
    pub fn make_repo(&self, tag: &str) -> i64 {
        let mut state = self.state.lock();
        state
            .repos
            .iter_mut()
            .filter(|repo| repo.tag == tag && repo.state == 1)
            .for_each(|repo| repo.state = 2);
        let event = state.next_event();
        let id = 1 + i64::try_from(state.repos.len()).unwrap_or(0);
        state.repos.push(Repo { id, tag: tag.to_owned(), event, state: 1 });
        id
    }

    /// The files of a repository are deleted.
    pub fn delete_repo(&self, id: i64) {
        self.state.lock().repos.iter_mut().filter(|repo| repo.id == id).for_each(|repo| repo.state = 3);
    }

    /// Somebody else has built this.
    pub fn take_nvr(&self, parts: [&str; 3], state: BuildState) {
        let mut hub = self.state.lock();
        let id = hub.next_build();
        let parts = parts.map(str::to_owned);
        hub.builds.push(Build { id, parts, task: Some(7), state, archives: Vec::new(), owner: 1 });
    }

    /// The builds, oldest first.
    pub fn builds(&self) -> Vec<Build> {
        self.state.lock().builds.clone()
    }

    /// Changes builds as they lie in the hub's database.
    pub fn spoil_builds(&self, spoil: impl FnMut(&mut Build)) {
        self.state.lock().builds.iter_mut().for_each(spoil);
    }
}

impl State {
    fn next_build(&self) -> i64 {
        1 + i64::try_from(self.builds.len()).unwrap_or(0)
    }

    /// Begins a build, or takes one again that failed, and gives its number.
    pub fn set_build(&mut self, named: &Named, task: i64, owner: i64, state: BuildState) -> i64 {
        let parts = [&named.name, &named.version, &named.release].map(Clone::clone);
        if let Some(known) = self.builds.iter_mut().find(|build| build.parts == parts) {
            (known.state, known.task) = (state, Some(task));
            return known.id;
        }
        let id = self.next_build();
        self.builds.push(Build { id, parts, task: Some(task), state, archives: Vec::new(), owner });
        id
    }

    /// Takes the files of a task's children, or of its composer, in as archives. Returns the build.
    pub fn keep(&mut self, task: &Task, named: &Named, content: &[u8]) -> i64 {
        let id = self.set_build(named, task.id, task.owner, BuildState::Complete);
        let failed = |arch: &str| {
            let of_arch = |child: &&Task| child.parent == Some(task.id) && child.arch == arch;
            self.tasks.values().find(of_arch).is_some_and(|child| child.state == super::TaskState::Failed)
        };
        let arches: Vec<&String> = named.arches.iter().filter(|arch| !failed(arch)).collect();
        let archives = arches.into_iter().flat_map(|arch| {
            files(task, named, arch).into_iter().map(|name| (arch.clone(), name, content.to_vec()))
        });
        let archives: Vec<_> = archives.collect();
        if let Some(build) = self.builds.iter_mut().find(|build| build.id == id) {
            build.archives = archives;
        }
        id
    }

    pub fn fail_build(&mut self, task: i64) {
        let of_task = |build: &&mut Build| build.task == Some(task);
        self.builds.iter_mut().filter(of_task).for_each(|build| build.state = BuildState::Failed);
    }

    pub fn build_info(&self, args: &Args) -> Reply {
        let asked = args.get(0, "buildInfo");
        let nvr = asked.as_str().unwrap_or_default();
        if asked.is_string() && nvr.matches('-').count() < 2 {
            return fault(1000, format!("invalid format: {nvr}"));
        }
        let found = self.builds.iter().find(|build| Some(build.id) == asked.as_i64() || build.nvr() == nvr);
        Reply::Value(found.map_or(Value::Null, Build::info))
    }

    pub fn list_builds(&self, args: &Args) -> Value {
        let task = args.get(usize::MAX, "taskID").as_i64();
        self.builds.iter().filter(|build| build.task == task).map(Build::info).collect()
    }

    pub fn list_archives(&self, args: &Args) -> Value {
        let id = args.number(0, "buildID");
        let builds = self.builds.iter().filter(|build| build.id == id);
        let archives = builds.flat_map(|build| {
            build.archives.iter().enumerate().map(|(place, (arch, name, bytes))| {
                let kind = name.rsplit_once('.').map_or("", |(_, ending)| ending);
                json!({ "arch": arch, "btype": "image", "btype_id": 4, "build_id": build.id, "buildroot_id": null,
                    "checksum": hex(&Sha256::digest(bytes)), "checksum_type": 2, "compression_type": null,
                    "extra": null, "filename": name, "id": build.archive_id(place), "metadata_only": false,
                    "size": bytes.len(), "type_description": kind, "type_extensions": kind, "type_id": 5,
                    "type_name": kind })
            })
        });
        archives.collect()
    }

    pub fn list_rpms(&self, args: &Args) -> Value {
        let asked = args.get(usize::MAX, "imageID").as_i64();
        let archives = self.builds.iter().flat_map(|build| {
            build.archives.iter().enumerate().map(|(place, archive)| (build.archive_id(place), &archive.0))
        });
        let of_archive = archives.filter(|(id, _)| Some(*id) == asked).map(|(_, arch)| {
            let mut rpm = rpm(arch);
            let more = json!({ "build_id": 1, "buildroot_id": null, "draft": false, "external_repo_id": 0,
                "external_repo_name": "INTERNAL", "extra": null, "id": 2, "metadata_only": false,
                "nvr": "bash-5.3.0-2.fc43" });
            if let (Some(rpm), Some(more)) = (rpm.as_object_mut(), more.as_object()) {
                rpm.extend(more.clone());
            }
            rpm
        });
        of_archive.collect()
    }

    pub fn newest_repo(&self, args: &Args) -> Reply {
        let tag = args.text(0, "tag").unwrap_or_default();
        if !self.tags.contains_key(&tag) {
            return fault(1000, format!("No such entry in table tag: {tag}"));
        }
        let ready = self.repos.iter().rev().find(|repo| repo.tag == tag && repo.state == 1);
        Reply::Value(ready.map_or(Value::Null, Repo::info))
    }

    pub fn repo_info(&self, args: &Args) -> Value {
        let id = args.number(0, "repo_id");
        self.repos.iter().find(|repo| repo.id == id).map_or(Value::Null, Repo::info)
    }

    /// `packages/N/V/R/images/NAME`.
    pub fn archive_file(&self, path: &str) -> Option<&Vec<u8>> {
        let parts: Vec<&str> = path.strip_prefix("packages/")?.split('/').collect();
        let [name, version, release, "images", file] = parts[..] else { return None };
        let build = self.builds.iter().find(|build| build.parts == [name, version, release])?;
        build.archives.iter().find(|(_, name, _)| name == file).map(|(_, _, bytes)| bytes)
    }
}
