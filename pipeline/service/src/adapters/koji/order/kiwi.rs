//! `kiwiBuild`: kiwi, from a description in git.

use muster_flow::koji::KiwiTask;
use serde_json::{Map, Value, json};

use super::{Call, Order, source};
use crate::adapters::koji::client::keywords;

/// The call.
pub fn call(order: &Order<'_>, task: &KiwiTask, repositories: &[String]) -> Result<Call, String> {
    let description = source::pinned(&task.description, &order.request.definition.commit)?;
    let mut options = Map::new();
    let mut set = |name: &str, value: Value| drop(options.insert(name.to_owned(), value));
    set("scratch", json!(order.image.scratch));
    set("version", json!(order.request.version));
    set("release", json!(order.release()));
    if !repositories.is_empty() {
        set("repos", json!(repositories));
        // They stand in for the build tag's own repository, which may be newer.
        set("use_buildroot_repo", json!(false));
    }
    for (name, value) in
        [("profile", &task.profile), ("type", &task.kind), ("result_bundle_name_format", &task.bundle_name)]
    {
        if let Some(value) = value {
            set(name, json!(value));
        }
    }
    for (name, values) in [("type_attr", &task.type_attributes), ("optional_arches", &task.optional_arches)] {
        if !values.is_empty() {
            set(name, json!(values));
        }
    }
    let params = vec![
        json!(order.target()),
        json!(order.image.arches),
        json!(description),
        json!(task.path),
        keywords(Value::Object(options)),
    ];
    Ok(Call { method: "kiwiBuild", params })
}

/// What is wrong with it, whatever the hub says.
pub fn faults(task: &KiwiTask) -> Vec<String> {
    source::faults("koji.description", &task.description)
}
