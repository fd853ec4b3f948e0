//! The builders behind the hub. Their time is the test's: each step is taken when it is told.

use serde_json::{Value, json};

use super::build::BuildState;
use super::task::{State as TaskState, Task};
use super::{KojiHub, State};

impl KojiHub {
    /// The tasks of a kind, oldest first.
    pub fn tasks(&self, method: &str) -> Vec<Task> {
        self.state.lock().tasks.values().filter(|task| task.method == method).cloned().collect()
    }

    /// One task.
    pub fn task(&self, id: i64) -> Option<Task> {
        self.state.lock().tasks.get(&id).cloned()
    }

    /// A builder takes a task and begins one child per architecture, where the kind has any. The last begun comes first
    /// in replies. A task whose result is kept as a build begins that build.
    pub fn begin(&self, id: i64) {
        let mut state = self.state.lock();
        let Some(task) = state.tasks.get_mut(&id) else { return };
        task.state = TaskState::Open;
        let task = task.clone();
        let named = Named::of(&task);
        if named.is_kept {
            state.set_build(&named, task.id, task.owner, BuildState::Building);
        }
        let Some((method, arches)) = children(&task) else { return };
        for arch in arches {
            let child = state.make_task(method, child_request(&task, &named, &arch), task.owner);
            if let Some(child) = state.tasks.get_mut(&child) {
                (child.parent, child.label) = (Some(id), Some(arch.clone()));
                (child.arch, child.state) = (arch, TaskState::Open);
            }
        }
    }

    /// The child for one architecture.
    pub fn child(&self, id: i64, arch: &str) -> Option<Task> {
        let state = self.state.lock();
        state.tasks.values().find(|task| task.parent == Some(id) && task.arch == arch).cloned()
    }

    /// A child is done: its files, with `content` as every image, lie in its folder.
    pub fn finish_child(&self, id: i64, arch: &str, content: &[u8]) {
        let (Some(task), Some(child)) = (self.task(id), self.child(id, arch)) else { return };
        let mut state = self.state.lock();
        let named = Named::of(&task);
        let files = files(&task, &named, arch);
        for file in &files {
            state.files.insert((child.id, file.clone()), content.to_vec());
        }
        let log = log_name(&task, arch);
        state.files.insert((child.id, log.clone()), b"the installer ran\n".to_vec());
        let packages = if named.is_kept { vec![rpm(arch)] } else { Vec::new() };
        let result = json!({
            "arch": arch, "task_id": child.id, "name": named.name, "version": named.version,
            "release": named.release, "logs": [log], "rpmlist": packages, "files": files,
        });
        state.end(child.id, TaskState::Closed, Ok(result));
    }

    /// A task is done, with all its children that did not fail; what it is to keep is kept.
    pub fn finish(&self, id: i64, content: &[u8]) {
        let Some(task) = self.task(id) else { return };
        if task.state == TaskState::Free {
            self.begin(id);
        }
        let open: Vec<String> = {
            let state = self.state.lock();
            let children = state.tasks.values().filter(|child| child.parent == Some(id) && !child.is_over());
            children.map(|child| child.arch.clone()).collect()
        };
        for arch in &open {
            self.finish_child(id, arch, content);
        }
        let mut state = self.state.lock();
        let named = Named::of(&task);
        if task.method == "indirectionimage" {
            for arch in &named.arches {
                for file in files(&task, &named, arch) {
                    state.files.insert((id, file), content.to_vec());
                }
            }
            state.files.insert((id, "indirection.log".to_owned()), b"it ran\n".to_vec());
        }
        if task.method == "runroot" {
            // What the command left, and what the chroot said.
            state.files.insert((id, "compose.json".to_owned()), content.to_vec());
            state.files.insert((id, "root.log".to_owned()), b"mock\n".to_vec());
            state.files.insert((id, "runroot.log".to_owned()), b"rpm-ostree\n".to_vec());
        }
        let build = named.is_kept.then(|| state.keep(&task, &named, content));
        let result = match (task.method.as_str(), build) {
            ("osbuildImage", Some(build)) => {
                json!({ "composer": { "server": "https://composer.example", "id": "c0" }, "koji": { "build": build } })
            }
            _ => json!("Scratch image build results in: /mnt/koji/work/tasks/34/34, /mnt/koji/nonsense"),
        };
        state.end(id, TaskState::Closed, Ok(result));
    }

    /// A child fails: the others are stopped, and the whole fails with the child's fault.
    pub fn fail_child(&self, id: i64, arch: &str, (code, text): (i64, &str)) {
        let Some(failed) = self.fail_only(id, arch, (code, text)) else { return };
        let mut state = self.state.lock();
        state.cancel_children(id);
        state.end(id, TaskState::Failed, failed.result);
        state.fail_build(id);
    }

    /// A child that may fail fails: the others go on.
    pub fn fail_only(&self, id: i64, arch: &str, (code, text): (i64, &str)) -> Option<Task> {
        let failed = self.child(id, arch)?;
        let mut state = self.state.lock();
        let log = format!("oz-{arch}.log");
        state.files.insert((failed.id, log), text.as_bytes().to_vec());
        state.end(failed.id, TaskState::Failed, Err((code, text.to_owned())));
        state.tasks.get(&failed.id).cloned()
    }

    /// A task fails before it has children.
    pub fn fail(&self, id: i64, (code, text): (i64, &str)) {
        let mut state = self.state.lock();
        state.end(id, TaskState::Failed, Err((code, text.to_owned())));
        state.fail_build(id);
    }

    /// Somebody stops a task on Koji's own pages.
    pub fn cancel(&self, id: i64) {
        self.state.lock().cancel(id);
    }

    /// Somebody has a failed or stopped task done again on Koji's own pages.
    pub fn resubmit(&self, id: i64, user: &str) -> Option<i64> {
        let mut state = self.state.lock();
        let owner = state.users.iter().find(|known| known.name == user)?.id;
        let is_admin = state.allowed(Some(owner), "admin").is_ok();
        let may_be = |task: &&Task| {
            let is_broken = [TaskState::Canceled, TaskState::Failed].contains(&task.state);
            task.parent.is_none() && is_broken && (is_admin || task.owner == owner)
        };
        let task = state.tasks.get(&id).filter(may_be)?.clone();
        Some(state.make_task(&task.method, task.request, owner))
    }

    /// Somebody else makes a task that asks for this.
    pub fn forge(&self, user: &str, request: Value) {
        let mut state = self.state.lock();
        let owner = state.users.iter().find(|known| known.name == user).map_or(1, |known| known.id);
        state.make_task("image", request, owner);
    }

    /// So many tasks are made, of a stranger.
    pub fn make_many(&self, tasks: usize) -> Vec<i64> {
        let mut state = self.state.lock();
        (0..tasks).map(|number| state.make_task("image", json!([format!("x{number}")]), 1)).collect()
    }

    /// The hub is restored from a time before a task.
    pub fn lose(&self, id: i64) {
        self.state.lock().tasks.remove(&id);
    }

    /// The files of a task are cleaned away.
    pub fn clean_away(&self, id: i64) {
        self.state.lock().files.retain(|(task, _), _| *task != id);
    }
}

/// What a task's request says about the build.
pub struct Named {
    pub name: String,
    pub version: String,
    pub release: String,
    pub arches: Vec<String>,
    pub formats: Vec<String>,
    pub is_kept: bool,
}

impl Named {
    /// Where each kind has it in its request.
    pub fn of(task: &Task) -> Self {
        let request = &task.request;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let named = |name: &Value, version: &Value, arches: Vec<String>, options: &Value| Named {
            name: text(name),
            version: text(version),
            release: options["release"].as_str().unwrap_or("1").to_owned(),
            arches,
            formats: vec!["qcow2".to_owned()],
            is_kept: options["scratch"] != json!(true),
        };
        match task.method.as_str() {
            "kiwiBuild" => {
                // The name stands in the description, which the lab does not read.
                let options = &request[4];
                named(&json!("Lab"), &options["version"], list(&request[1]), options)
            }
            "osbuildImage" => named(&request[0], &request[1], list(&request[5]), &request[6]),
            "indirectionimage" => {
                let options = &request[0];
                named(&options["name"], &options["version"], vec![text(&options["arch"])], options)
            }
            "runroot" => {
                Named { is_kept: false, ..named(&json!(null), &json!(null), Vec::new(), &request[3]) }
            }
            _ => Named {
                formats: list(&request[5]["format"]),
                ..named(&request[0], &request[1], list(&request[2]), &request[5])
            },
        }
    }
}

/// The method and architectures of a kind's children.
fn children(task: &Task) -> Option<(&'static str, Vec<String>)> {
    let method = match task.method.as_str() {
        "image" => "createImage",
        "kiwiBuild" => "createKiwiImage",
        _ => return None,
    };
    Some((method, Named::of(task).arches))
}

fn child_request(task: &Task, named: &Named, arch: &str) -> Value {
    let request = &task.request;
    json!([named.name, named.version, named.release, arch, { "name": "f43" }, 2, {}, request[4], request[5]])
}

fn log_name(task: &Task, arch: &str) -> String {
    let tool = if task.method == "kiwiBuild" { "kiwi" } else { "oz" };
    format!("{tool}-{arch}.log")
}

/// The package that is in every image of the lab.
pub fn rpm(arch: &str) -> Value {
    json!({ "name": "bash", "version": "5.3.0", "release": "2.fc43", "arch": arch, "epoch": null, "size": 6106,
        "payloadhash": "2ef4a65a", "buildtime": 1_795_251_874 })
}

/// The files that one architecture leaves.
pub fn files(task: &Task, named: &Named, arch: &str) -> Vec<String> {
    let Named { name, version, release, .. } = named;
    match task.method.as_str() {
        // As its bundles are called by default.
        "kiwiBuild" => {
            vec![format!("{name}.{arch}-{version}-{release}.qcow2"), format!("{name}.{arch}.packages")]
        }
        "osbuildImage" | "indirectionimage" => vec![format!("{name}-{version}-{release}.{arch}.qcow2")],
        _ => {
            let mut files = vec![format!("tdl-{arch}.xml")];
            for format in &named.formats {
                files.push(format!("libvirt-{format}-{arch}.xml"));
                files.push(format!("{name}-{version}-{release}.{arch}.{}", format.replace('-', ".")));
            }
            files
        }
    }
}

impl State {
    pub fn make_task(&mut self, method: &str, request: Value, owner: i64) -> i64 {
        self.last_task += 1;
        let task = Task {
            id: self.last_task,
            method: method.to_owned(),
            request,
            parent: None,
            label: None,
            arch: "noarch".to_owned(),
            state: TaskState::Free,
            owner,
            created: self.clock.now(),
            result: Err((1000, format!("Task {} is not finished", self.last_task))),
        };
        self.tasks.insert(task.id, task);
        self.last_task
    }

    fn end(&mut self, id: i64, state: TaskState, result: Result<Value, (i64, String)>) {
        if let Some(task) = self.tasks.get_mut(&id) {
            (task.state, task.result) = (state, result);
        }
    }

    fn cancel_children(&mut self, id: i64) {
        let open = |task: &&Task| task.parent == Some(id) && !task.is_over();
        let children: Vec<i64> = self.tasks.values().filter(open).map(|task| task.id).collect();
        for child in children {
            self.end(child, TaskState::Canceled, Err((1000, format!("Task {child} is canceled"))));
        }
    }

    /// Stops a task with its children; one that is over stays as it is.
    pub fn cancel(&mut self, id: i64) {
        if self.tasks.get(&id).is_some_and(Task::is_over) {
            return;
        }
        self.cancel_children(id);
        self.end(id, TaskState::Canceled, Err((1000, format!("Task {id} is canceled"))));
    }
}
