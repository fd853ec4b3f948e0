//! What Koji says: tags, builds and repositories.

use muster_flow::change::What;
use serde_json::Value;

use super::text;

/// The state of a build that is there to be used, among building (0), deleted (2), failed (3) and cancelled (4).
const COMPLETE: i64 = 1;

/// The tasks that make images rather than packages.
const IMAGE_TASKS: [&str; 9] = [
    "image",
    "livecd",
    "livemedia",
    "appliance",
    "indirectionimage",
    "kiwiBuild",
    "imageBuilderBuild",
    "osbuildImage",
    "buildContainer",
];

pub(super) fn tag(body: &Value) -> Result<What, &'static str> {
    let (package, nvr) = build(body)?;
    Ok(What::PackageTagged { package, nvr, tag: tag_name(body)? })
}

pub(super) fn untag(body: &Value) -> Result<What, &'static str> {
    let (package, nvr) = build(body)?;
    Ok(What::PackageUntagged { package, nvr, tag: tag_name(body)? })
}

pub(super) fn build_state(body: &Value) -> Result<Option<What>, &'static str> {
    if text(body, "attribute").is_some_and(|attribute| attribute != "state") {
        return Ok(None);
    }
    let state = body.get("new").and_then(Value::as_i64).ok_or("the new state, a number")?;
    if state != COMPLETE || is_image(body) {
        return Ok(None);
    }
    let (package, nvr) = build(body)?;
    Ok(Some(What::PackageBuilt { package, nvr }))
}

pub(super) fn repo_done(body: &Value) -> Result<What, &'static str> {
    Ok(What::RepositoryRegenerated { tag: tag_name(body)? })
}

/// Whether the build is one of images: its task says so, or its request names a kickstart.
fn is_image(body: &Value) -> bool {
    let method = body.get("task").and_then(|task| text(task, "method"));
    let request = body.get("request").and_then(Value::as_array);
    method.is_some_and(|method| IMAGE_TASKS.contains(&method))
        || request.is_some_and(|request| request.iter().any(|item| item.get("kickstart").is_some()))
}

/// The package's name, and name, version and release joined by dashes.
fn build(body: &Value) -> Result<(String, String), &'static str> {
    let (Some(name), Some(version), Some(release)) =
        (text(body, "name"), text(body, "version"), text(body, "release"))
    else {
        return Err("name, version and release of the build");
    };
    Ok((name.to_owned(), format!("{name}-{version}-{release}")))
}

/// The tag's name; some Kojis send the whole tag.
fn tag_name(body: &Value) -> Result<String, &'static str> {
    let inside = || body.get("tag").and_then(|tag| text(tag, "name"));
    text(body, "tag").or_else(inside).map(str::to_owned).ok_or("the tag's name")
}
