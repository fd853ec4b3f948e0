//! What a hub would let pass, and a task would then fail of: asked before anything is built.

use muster_flow::build::KojiImage;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{self, Hub};
use super::error::{CallError, code};
use super::session::Session;

#[derive(Deserialize)]
struct Target {
    build_tag_name: String,
    dest_tag_name: String,
}

#[derive(Deserialize)]
struct BuildTag {
    arches: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    blocked: bool,
}

/// Whether we may build images at all: what is missing, in words for a person.
pub async fn rights(session: &Session) -> Result<Vec<String>, CallError> {
    let user = session.user().await?;
    let permissions = session.permissions().await?;
    if permissions.iter().any(|name| name == "image" || name == "admin") {
        return Ok(Vec::new());
    }
    let name = &user.name;
    Ok(vec![format!(
        "{name} may not build images; an administrator of the hub can say: koji grant-permission image {name}"
    )])
}

/// What a target lacks for an image: in words for a person.
pub async fn lacks(hub: &Hub, target: &str, image: &KojiImage) -> Result<Vec<String>, CallError> {
    let method = "getBuildTarget";
    let found: Option<Target> = client::typed(method, hub.call(method, &[json!(target)]).await?)?;
    let Some(found) = found else { return Ok(vec![format!("the hub has no build target {target}")]) };
    let (build_tag, tag) = (&found.build_tag_name, &found.dest_tag_name);
    let calls = [
        ("getBuildConfig", vec![json!(build_tag)]),
        ("getPackageConfig", vec![json!(tag), json!(image.name)]),
    ];
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    let mut next = || outcomes.next().unwrap_or(Ok(Value::Null));
    let mut lacks = Vec::new();
    match next() {
        Ok(config) => lacks.extend(arches(client::typed("getBuildConfig", config)?, build_tag, image)),
        Err(error) if error.is(code::GENERIC) => lacks.push(format!("the hub has no tag {build_tag}")),
        Err(error) => return Err(error),
    }
    if !image.scratch {
        let name = &image.name;
        match client::typed::<Option<Listed>>("getPackageConfig", next()?)? {
            Some(Listed { blocked: false }) => {}
            Some(Listed { blocked: true }) => lacks.push(format!("the package {name} is blocked in the tag {tag}")),
            None => lacks.push(format!(
                "the tag {tag} does not list the package {name}; somebody who may can say: koji add-pkg --owner=WHO \
                 {tag} {name}"
            )),
        }
    }
    Ok(lacks)
}

fn arches(tag: BuildTag, name: &str, image: &KojiImage) -> Vec<String> {
    let has = tag.arches.unwrap_or_default();
    let missing = image.arches.iter().filter(|arch| !has.split_whitespace().any(|known| known == *arch));
    missing.map(|arch| format!("the build tag {name} has no architecture {arch} (it has: {has})")).collect()
}
