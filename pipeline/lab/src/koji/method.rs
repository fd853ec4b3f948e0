//! What each method does.

use muster::adapters::koji::xml::{Call, Reply};
use serde_json::{Value, json};

use super::mishap::Mishap;
use super::session::{Headers, fault};
use super::{Called, State};

/// The arguments of a call, by place or by name.
pub struct Args {
    places: Vec<Value>,
    names: Value,
}

impl Args {
    fn of(mut params: Vec<Value>) -> Self {
        let names = params.pop_if(|last| last["__starstar"] == json!(true)).unwrap_or(Value::Null);
        Args { places: params, names }
    }

    pub fn get(&self, place: usize, name: &str) -> &Value {
        self.places.get(place).unwrap_or(&self.names[name])
    }

    pub fn keywords(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.names.as_object().into_iter().flatten().filter(|(name, _)| *name != "__starstar")
    }

    pub fn text(&self, place: usize, name: &str) -> Option<String> {
        self.get(place, name).as_str().map(str::to_owned)
    }

    pub fn number(&self, place: usize, name: &str) -> i64 {
        self.get(place, name).as_i64().unwrap_or(-1)
    }

    pub fn is_set(&self, place: usize, name: &str) -> bool {
        self.get(place, name).as_bool().unwrap_or(false)
    }
}

impl State {
    /// Takes the next mishap that is meant for a method.
    pub fn take_mishap(&mut self, method: &str) -> Option<Mishap> {
        let at = self.mishaps.iter().position(|(meant, _)| meant == method || meant == "*")?;
        Some(self.mishaps.remove(at).1)
    }

    /// Takes the next mishap that befalls a request: one that is meant for the call, or one of a call within it that is
    /// more than a fault.
    pub fn take_mishap_of(&mut self, call: &Call) -> Option<Mishap> {
        let within = call.params.first().filter(|_| call.method == "multiCall").and_then(Value::as_array);
        let methods: Vec<&str> =
            within.into_iter().flatten().filter_map(|call| call["methodName"].as_str()).collect();
        self.take_mishap(&call.method).or_else(|| {
            let is_of_all = |meant: &str, mishap: &Mishap| {
                methods.contains(&meant) && !matches!(mishap, Mishap::Fault(..))
            };
            let at = self.mishaps.iter().position(|(meant, mishap)| is_of_all(meant, mishap))?;
            Some(self.mishaps.remove(at).1)
        })
    }

    /// Answers a call.
    pub fn answer(&mut self, call: Call, headers: Option<&Headers>) -> Reply {
        let Call { method, params } = call;
        self.remember(&method, &params, headers.is_some());
        let user = match self.authenticate(headers, &method) {
            Ok(user) => user,
            Err(fault) => return fault,
        };
        let reply = if method == "multiCall" {
            Reply::Value(self.several(&params, user))
        } else {
            self.dispatch(&method, &Args::of(params), user)
        };
        if matches!(reply, Reply::Value(_)) {
            self.committed(headers, &method);
        }
        reply
    }

    fn remember(&mut self, method: &str, params: &[Value], logged_in: bool) {
        self.calls.push(Called { method: method.to_owned(), params: params.to_vec(), logged_in });
    }

    fn several(&mut self, params: &[Value], user: Option<i64>) -> Value {
        let calls = params.first().and_then(Value::as_array).cloned().unwrap_or_default();
        let outcomes = calls.into_iter().map(|call| {
            let method = call["methodName"].as_str().unwrap_or_default().to_owned();
            let params = call["params"].as_array().cloned().unwrap_or_default();
            self.remember(&method, &params, user.is_some());
            let reply = match self.take_mishap(&method) {
                Some(Mishap::Fault(code, text)) => Reply::Fault(code, text),
                _ => self.dispatch(&method, &Args::of(params), user),
            };
            match reply {
                Reply::Value(value) => json!([value]),
                Reply::Fault(code, text) => {
                    json!({ "faultCode": code, "faultString": text, "traceback": ["Traceback"] })
                }
            }
        });
        outcomes.collect()
    }

    fn dispatch(&mut self, method: &str, args: &Args, user: Option<i64>) -> Reply {
        let value = match method {
            "login" => return self.log_in(args),
            "getLoggedInUser" => self.logged_in_user(user),
            "getPerms" => json!(self.user(user).map(|user| user.permissions.clone()).unwrap_or_default()),
            "buildImageOz" => return self.build_image(args, user),
            "kiwiBuild" => return self.kiwi_build(args, user),
            "osbuildImage" => return self.osbuild_image(args, user),
            "buildImageIndirection" => return self.build_indirection(args, user),
            "runroot" => return self.runroot(args, user),
            "cancelTask" => return self.cancel_task(args, user),
            "getTaskInfo" => self.task_info(args),
            "getTaskDescendents" => self.descendents(args),
            "getTaskResult" => return self.task_result(args),
            "listTasks" => self.list_tasks(args),
            "listTaskOutput" => self.list_output(args),
            "checkUpload" => self.check_upload(args),
            "getBuild" => return self.build_info(args),
            "listBuilds" => self.list_builds(args),
            "listArchives" => self.list_archives(args),
            "listRPMs" => self.list_rpms(args),
            "getRepo" => return self.newest_repo(args),
            "repoInfo" => self.repo_info(args),
            "getBuildTarget" => self.build_target(args),
            "getBuildConfig" => return self.build_config(args),
            "getPackageConfig" => self.package_config(args),
            "getLastEvent" => self.last_event(),
            "queryHistory" => return self.query_history(args),
            "listTagged" => return self.list_tagged(args),
            other => return fault(1000, format!("Invalid method: {other}")),
        };
        Reply::Value(value)
    }

    fn cancel_task(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let id = args.number(0, "task_id");
        let Some(task) = self.tasks.get(&id) else { return fault(1000, format!("No such task: {id}")) };
        if self.user(user).is_none() {
            return fault(1000, "cancelTask requires a login");
        }
        if Some(task.owner) != user && self.allowed(user, "admin").is_err() {
            return fault(1004, "Cannot cancel task, not owner");
        }
        self.cancel(id);
        Reply::Value(Value::Null)
    }
}
