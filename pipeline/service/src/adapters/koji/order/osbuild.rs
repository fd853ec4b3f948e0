//! `osbuildImage`: osbuild, from the customizations of a blueprint. The hub knows no scratch build of this kind: what
//! only proves a change is a build that is in no tag.

use muster_flow::koji::OsbuildTask;
use serde_json::{Value, json};

use super::{Call, Order};

/// The call.
pub fn call(order: &Order<'_>, task: &OsbuildTask, repositories: &[String]) -> Result<Call, String> {
    let mut options = json!({ "release": order.release() });
    let customizations = customizations(order)?;
    if customizations.as_object().is_some_and(|members| !members.is_empty()) {
        options["customizations"] = customizations;
    }
    if !repositories.is_empty() {
        options["repo"] = json!(repositories);
    }
    if order.image.scratch {
        options["skip_tag"] = json!(true);
    }
    let params = vec![
        json!(order.image.name),
        json!(order.request.version),
        json!(order.of_version(&task.distro)),
        json!(task.image_type),
        json!(order.target()),
        json!(order.image.arches),
        options,
    ];
    Ok(Call { method: "osbuildImage", params })
}

/// What the definition's file says.
fn customizations(order: &Order<'_>) -> Result<Value, String> {
    let file = &order.request.definition.file;
    let text = order.request.definition.texts.get(file).map(String::as_str).unwrap_or_default();
    let value: Value = serde_json::from_str(text).map_err(|error| format!("{file}: {error}"))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(format!("{file}: customizations are an object: {{ ... }}"))
    }
}

/// What is wrong with it, whatever the hub says.
pub fn faults(task: &OsbuildTask) -> Vec<String> {
    let empty = [("koji.distro", &task.distro), ("koji.image_type", &task.image_type)];
    empty
        .into_iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(key, _)| format!("{key} is empty"))
        .collect()
}
