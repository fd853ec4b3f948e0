//! The calls that begin a build. As a real hub's: they check who asks and a little of what is asked, and store the rest.

use muster::adapters::koji::xml::Reply;
use serde_json::{Map, Value, json};

use super::State;
use super::method::Args;
use super::session::fault;

/// The options that osbuild's schema knows.
const OSBUILD: [&str; 6] = ["customizations", "ostree", "upload_options", "repo", "release", "skip_tag"];

/// The keywords of `kiwiBuild` that go into a task's options.
const KIWI: [&str; 13] = [
    "optional_arches",
    "profile",
    "scratch",
    "make_prep",
    "repos",
    "release",
    "type",
    "type_attr",
    "result_bundle_name_format",
    "use_buildroot_repo",
    "version",
    "repo_releasever",
    "priority",
];

impl State {
    /// The types of some arguments are checked, and nothing else.
    pub fn build_image(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let owner = match self.allowed(user, "image") {
            Ok(owner) => owner,
            Err(fault) => return fault,
        };
        for (place, name) in [(0, "name"), (1, "version"), (4, "inst_tree")] {
            let value = args.get(place, name);
            if !value.is_string() {
                return fault(1019, format!("Invalid type for value '{value}', expected type <class 'str'>"));
            }
        }
        let names = ["name", "version", "arches", "target", "inst_tree", "opts"];
        let request: Vec<Value> =
            names.iter().enumerate().map(|(place, name)| args.get(place, name).clone()).collect();
        Reply::Value(json!(self.make_task("image", json!(request), owner)))
    }

    /// The target is checked, and that there are no keywords that it does not know.
    pub fn kiwi_build(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let owner = match self.allowed(user, "image") {
            Ok(owner) => owner,
            Err(fault) => return fault,
        };
        let target = args.text(0, "target").unwrap_or_default();
        if !self.targets.contains_key(&target) {
            return fault(1000, format!("No such build target: {target}"));
        }
        let places = ["target", "arches", "desc_url", "desc_path"];
        let mut options = Map::new();
        for (name, value) in args.keywords() {
            if KIWI.contains(&name.as_str()) {
                options.insert(name.clone(), value.clone());
            } else if !places.contains(&name.as_str()) {
                return fault(1019, format!("kiwiBuild() got an unexpected keyword argument '{name}'"));
            }
        }
        options.retain(|name, value| !value.is_null() && (name != "scratch" || *value == json!(true)));
        options.entry("use_buildroot_repo").or_insert(json!(true));
        let mut request: Vec<Value> =
            places.iter().enumerate().map(|(place, name)| args.get(place, name).clone()).collect();
        request.push(Value::Object(options));
        Reply::Value(json!(self.make_task("kiwiBuild", json!(request), owner)))
    }

    /// The options are held to a schema; there is no scratch among them.
    pub fn osbuild_image(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let owner = match self.allowed(user, "image") {
            Ok(owner) => owner,
            Err(fault) => return fault,
        };
        let options = args.get(6, "opts").clone();
        let Some(members) = options.as_object() else {
            return fault(1019, "None is not of type 'object'");
        };
        if let Some(other) = members.keys().find(|name| !OSBUILD.contains(&name.as_str())) {
            return fault(1019, format!("Additional properties are not allowed ('{other}' was unexpected)"));
        }
        let arches = args.get(5, "arches");
        if arches.as_array().is_none_or(Vec::is_empty) {
            return fault(1019, "[] is too short");
        }
        let kind = args.get(3, "image_type");
        let kind = if kind.is_string() { json!([kind]) } else { kind.clone() };
        let text = |place, name| args.get(place, name).clone();
        let request = json!([
            text(0, "name"),
            text(1, "version"),
            text(2, "distro"),
            kind,
            text(4, "target"),
            arches,
            options
        ]);
        Reply::Value(json!(self.make_task("osbuildImage", request, owner)))
    }

    /// One of two keys must be there, whatever they say.
    pub fn build_indirection(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let owner = match self.allowed(user, "image") {
            Ok(owner) => owner,
            Err(fault) => return fault,
        };
        let options = args.get(0, "opts");
        let Some(members) = options.as_object() else {
            return fault(1, "<class 'TypeError'>: argument of type 'NoneType' is not iterable");
        };
        if !members.contains_key("scratch") && !members.contains_key("indirection_template_url") {
            return fault(1004, "Non-scratch builds must provide url for the indirection template");
        }
        let request = json!([options]);
        Reply::Value(json!(self.make_task("indirectionimage", request, owner)))
    }

    /// The command must be text, or a list of it; options are stored as they come.
    pub fn runroot(&mut self, args: &Args, user: Option<i64>) -> Reply {
        let owner = match self.allowed(user, "runroot") {
            Ok(owner) => owner,
            Err(fault) => return fault,
        };
        let command = args.get(2, "command");
        let is_list = command.as_array().is_some_and(|words| words.iter().all(Value::is_string));
        if !command.is_string() && !is_list {
            return fault(1000, "Invalid command");
        }
        let places = ["tagInfo", "arch", "command", "channel"];
        let options = args.keywords().filter(|(name, _)| !places.contains(&name.as_str()));
        let mut options: Map<String, Value> =
            options.map(|(name, value)| (name.clone(), value.clone())).collect();
        options.insert("__starstar".to_owned(), json!(true));
        let request = json!([args.get(0, "tagInfo"), args.get(1, "arch"), command, options]);
        Reply::Value(json!(self.make_task("runroot", request, owner)))
    }
}
