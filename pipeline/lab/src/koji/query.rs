//! The methods that only read.

use muster::adapters::koji::xml::{self, Reply};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::State;
use super::method::Args;
use super::session::fault;
use super::task::{State as TaskState, Task};

impl State {
    pub fn task_info(&self, args: &Args) -> Value {
        let with_request = args.is_set(1, "request");
        let one = |id: &Value| {
            let task = id.as_i64().and_then(|id| self.tasks.get(&id));
            task.map_or(Value::Null, |task| task.info(with_request))
        };
        let asked = args.get(0, "task_id");
        asked.as_array().map_or_else(|| one(asked), |ids| ids.iter().map(one).collect())
    }

    pub fn descendents(&self, args: &Args) -> Value {
        let mut left = vec![args.number(0, "task_id")];
        let mut all = Map::new();
        while let Some(id) = left.pop() {
            // In no order that means anything.
            let children = self.tasks.values().rev().filter(|task| task.parent == Some(id));
            left.extend(children.clone().map(|task| task.id));
            all.insert(id.to_string(), children.map(|task| task.info(args.is_set(1, "request"))).collect());
        }
        Value::Object(all)
    }

    pub fn task_result(&self, args: &Args) -> Reply {
        let Some(task) = self.tasks.get(&args.number(0, "taskId")) else {
            return fault(1000, "No such task");
        };
        let raise = args.get(1, "raise_fault").as_bool().unwrap_or(true);
        match &task.result {
            Ok(value) => Reply::Value(value.clone()),
            Err((code, text)) if !raise && task.state == TaskState::Failed => {
                Reply::Value(json!({ "faultCode": code, "faultString": text }))
            }
            Err((code, text)) => fault(*code, text.clone()),
        }
    }

    pub fn list_tasks(&self, args: &Args) -> Value {
        let (options, query) = (args.get(0, "opts"), args.get(1, "queryOpts"));
        let decode = options["decode"].as_bool().unwrap_or(false);
        let mut found: Vec<_> = self.tasks.values().filter(|task| task.fits(options)).collect();
        if query["order"].as_str() == Some("-id") {
            found.reverse();
        }
        let limit = query["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok());
        let offset = query["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok());
        let found = found.into_iter().skip(offset.unwrap_or(0)).take(limit.unwrap_or(usize::MAX));
        let listed = |task: &Task| {
            let mut info = task.info(true);
            let owner = self.user(Some(task.owner)).map(|user| user.name.clone());
            (info["owner_name"], info["owner_type"]) = (json!(owner), json!(0));
            info["result"] = match &task.result {
                Ok(value) => value.clone(),
                Err((code, text)) if task.state == TaskState::Failed => {
                    json!({ "faultCode": code, "faultString": text })
                }
                Err(_) => Value::Null,
            };
            if !decode {
                // As they lie in its database.
                let raw = |value: &Value| xml::reply(&Reply::Value(value.clone()));
                info["request"] = json!(raw(&info["request"]));
                info["result"] = if task.is_over() { json!(raw(&info["result"])) } else { Value::Null };
            }
            info
        };
        found.map(listed).collect()
    }

    pub fn list_output(&self, args: &Args) -> Value {
        let id = args.number(0, "taskID");
        let files = self.files.iter().filter(|((task, _), _)| *task == id);
        if !args.is_set(1, "stat") {
            return files.map(|((_, name), _)| json!(name)).collect();
        }
        let stat = |bytes: &Vec<u8>| {
            json!({ "st_size": bytes.len().to_string(), "st_mtime": 1_795_251_921.88, "st_atime": 1_795_251_921.88,
                "st_ctime": 1_795_251_921.88 })
        };
        Value::Object(files.map(|((_, name), bytes)| (name.clone(), stat(bytes))).collect())
    }

    pub fn check_upload(&self, args: &Args) -> Value {
        let (path, name) =
            (args.text(0, "path").unwrap_or_default(), args.text(1, "name").unwrap_or_default());
        let task = path.strip_prefix("tasks/").and_then(|path| path.split('/').nth(1)?.parse().ok());
        let bytes = match task {
            Some(task) => self.files.get(&(task, name)),
            None => self.uploads.get(&format!("{path}/{name}")),
        };
        let Some(bytes) = bytes else { return Value::Null };
        let mut reply = json!({ "size": bytes.len(), "mtime": 1_795_251_921.888 });
        if args.text(2, "verify").as_deref() == Some("sha256") {
            reply["sumlength"] = json!(bytes.len());
            reply["hexdigest"] = json!(hex(&Sha256::digest(bytes)));
        }
        reply
    }

    pub fn build_target(&self, args: &Args) -> Value {
        let name = args.text(0, "info").unwrap_or_default();
        self.targets.get(&name).map_or(Value::Null, |(build, destination)| {
            json!({ "id": 1, "name": name, "build_tag": 2, "build_tag_name": build, "dest_tag": 1,
                "dest_tag_name": destination })
        })
    }

    pub fn build_config(&self, args: &Args) -> Reply {
        let name = args.text(0, "tag").unwrap_or_default();
        match self.tags.get(&name) {
            Some(arches) => Reply::Value(json!({ "id": 2, "name": name, "arches": arches, "extra": {},
                "locked": false, "maven_include_all": false, "maven_support": false, "perm": null, "perm_id": null })),
            None => fault(1000, format!("No such tagInfo: '{name}'")),
        }
    }

    pub fn package_config(&self, args: &Args) -> Value {
        let (tag, package) =
            (args.text(0, "tag").unwrap_or_default(), args.text(1, "pkg").unwrap_or_default());
        let known = self.packages.get(&tag).is_some_and(|packages| packages.contains(&package));
        if !known {
            return Value::Null;
        }
        json!({ "package_id": 1, "package_name": package, "tag_id": 1, "tag_name": tag, "blocked": false,
            "extra_arches": null, "owner_id": 1, "owner_name": "releng" })
    }
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
