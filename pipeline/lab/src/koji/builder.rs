//! The builders behind the hub. Their time is the test's: each step is taken when it is told.

use serde_json::{Value, json};

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

    /// A builder takes an image task and begins one child per architecture. The last begun comes first in replies.
    pub fn begin(&self, id: i64) {
        let mut state = self.state.lock();
        let Some(task) = state.tasks.get_mut(&id) else { return };
        task.state = TaskState::Open;
        let (request, owner) = (task.request.clone(), task.owner);
        for arch in request[2].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let child = json!([request[0], request[1], "1", arch, { "name": request[3] }, 2, {}, request[4], request[5]]);
            let child = state.make_task("createImage", child, owner);
            if let Some(task) = state.tasks.get_mut(&child) {
                (task.parent, task.label) = (Some(id), Some(arch.to_owned()));
                (task.arch, task.state) = (arch.to_owned(), TaskState::Open);
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
        let Some(child) = self.child(id, arch) else { return };
        let mut state = self.state.lock();
        let files = files(&child);
        for file in &files.0 {
            state.files.insert((child.id, file.clone()), content.to_vec());
        }
        let log = format!("oz-{arch}.log");
        state.files.insert((child.id, log.clone()), b"the installer ran\n".to_vec());
        let scratch = child.request[8]["scratch"] == json!(true);
        let package = json!({ "name": "bash", "version": "5.3.0", "release": "2.fc43", "arch": arch, "epoch": null,
            "size": 6106, "payloadhash": "2ef4a65a", "buildtime": 1_795_251_874 });
        let packages = if scratch { Vec::new() } else { vec![package] };
        let result = json!({
            "arch": arch, "task_id": child.id, "name": child.request[0], "version": child.request[1],
            "release": files.1, "logs": [log], "rpmlist": packages, "files": files.0,
        });
        state.end(child.id, TaskState::Closed, Ok(result));
    }

    /// An image task is done, with all its children.
    pub fn finish(&self, id: i64, content: &[u8]) {
        if self.tasks("createImage").iter().all(|task| task.parent != Some(id)) {
            self.begin(id);
        }
        let arches: Vec<String> = self
            .tasks("createImage")
            .into_iter()
            .filter(|task| task.parent == Some(id))
            .map(|task| task.arch)
            .collect();
        for arch in &arches {
            self.finish_child(id, arch, content);
        }
        let text = "Scratch image build results in: /mnt/koji/work/tasks/34/34, /mnt/koji/nonsense";
        self.state.lock().end(id, TaskState::Closed, Ok(json!(text)));
    }

    /// A child fails: the others are stopped, and the whole fails with the child's fault.
    pub fn fail_child(&self, id: i64, arch: &str, (code, text): (i64, &str)) {
        let Some(failed) = self.child(id, arch) else { return };
        let mut state = self.state.lock();
        let fault = Err((code, text.to_owned()));
        state.files.insert((failed.id, format!("oz-{arch}.log")), text.as_bytes().to_vec());
        state.end(failed.id, TaskState::Failed, fault.clone());
        state.cancel_children(id);
        state.end(id, TaskState::Failed, fault);
    }

    /// An image task fails before it has children.
    pub fn fail(&self, id: i64, (code, text): (i64, &str)) {
        self.state.lock().end(id, TaskState::Failed, Err((code, text.to_owned())));
    }

    /// Somebody stops a task on Koji's own pages.
    pub fn cancel(&self, id: i64) {
        self.state.lock().cancel(id);
    }

    /// Somebody has a failed or stopped task done again on Koji's own pages.
    pub fn resubmit(&self, id: i64, user: &str) -> Option<i64> {
        let mut state = self.state.lock();
        let owner = state.users.iter().find(|known| known.name == user)?.id;
        let task = state.tasks.get(&id).filter(|task| task.is_over())?.clone();
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
        (0..tasks).map(|_| state.make_task("image", json!(["x"]), 1)).collect()
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

/// The files a child leaves and the release it took.
fn files(child: &Task) -> (Vec<String>, String) {
    let options = &child.request[8];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let release = options["release"].as_str().unwrap_or("1").to_owned();
    let stem = format!("{}-{}-{release}.{}", text(&child.request[0]), text(&child.request[1]), child.arch);
    let mut files = vec![format!("tdl-{}.xml", child.arch)];
    for format in options["format"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        files.push(format!("libvirt-{format}-{}.xml", child.arch));
        files.push(format!("{stem}.{}", format.replace('-', ".")));
    }
    (files, release)
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
        self.tasks.insert(self.last_task, task);
        self.last_task
    }

    fn end(&mut self, id: i64, how: TaskState, result: Result<Value, (i64, String)>) {
        if let Some(task) = self.tasks.get_mut(&id) {
            (task.state, task.result) = (how, result);
        }
    }

    fn cancel_children(&mut self, id: i64) {
        let children: Vec<i64> = self
            .tasks
            .values()
            .filter(|task| task.parent == Some(id) && !task.is_over())
            .map(|task| task.id)
            .collect();
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
