//! The packages that a build which is kept can come from: repositories that Koji made of a tag as it was at one event.
//!
//! An address that leads to a tag's latest repository is held to the repository that is the latest now. All others stay
//! as the recipe has them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use muster_flow::batch::Frozen;
use muster_flow::build::Package;
use muster_flow::koji::{KojiRepo, KojiTask};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Hub;
use super::error::{CallError, code};
use super::order::{Order, runroot};
use super::settings::Settings;
use super::task::Task;

/// A repository as the hub tells of it.
#[derive(Debug, Deserialize)]
struct Told {
    id: i64,
    tag_name: String,
    create_event: i64,
    state: i64,
}

/// A repository whose files are there: ready, or replaced by a newer one and not yet deleted.
const USABLE: [i64; 2] = [1, 2];

/// Which repository of a tag an address leads to.
#[derive(Debug, PartialEq, Eq)]
enum Which {
    Latest,
    Number(i64),
}

/// The addresses that builders are given, or what is missing for it. An `earlier` try says what this one is held to.
pub async fn addresses(
    hub: &Hub,
    order: &Order<'_>,
    build_tag: &str,
    earlier: Option<&Task>,
) -> Result<Result<Vec<String>, String>, CallError> {
    let repositories = &order.request.packages.repositories;
    let mut urls: Vec<String> =
        repositories.iter().map(|repository| repository.baseurl.replace("$basearch", "$arch")).collect();
    if order.image.scratch {
        return Ok(Ok(urls));
    }
    if let Some(earlier) = earlier.filter(|_| order.image.held.is_empty()) {
        let held = of_task(earlier);
        let repos = repos(hub, order.settings, &held).await?;
        if !held.is_empty() && repos.iter().all(|(_, is_usable)| *is_usable) {
            return Ok(Ok(held));
        }
    }
    let topurl = order.settings.topurl.trim_end_matches('/');
    if urls.is_empty() && matches!(order.image.kind, KojiTask::Runroot(_)) {
        // The treefile names its own.
        return Ok(Ok(urls));
    }
    if urls.is_empty() {
        urls.push(format!("{topurl}/repos/{build_tag}/latest/$arch/"));
    }
    let latest = |url: &str| match parse(topurl, url)? {
        (tag, Which::Latest, rest) => Some((tag.to_owned(), rest.to_owned())),
        (_, Which::Number(_), _) => None,
    };
    let held = |tag: &str| order.image.held.iter().find(|held| held.tag == tag);
    let ask = |(tag, _): (String, String)| match held(&tag) {
        Some(held) => ("repoInfo", vec![json!(held.id)]),
        None => ("getRepo", vec![json!(tag)]),
    };
    let calls: Vec<_> = urls.iter().filter_map(|url| latest(url).map(ask)).collect();
    if calls.is_empty() {
        return Ok(Ok(urls));
    }
    let mut outcomes = hub.multi::<Option<Told>>(&calls).await?.into_iter();
    for url in &mut urls {
        let Some((tag, rest)) = latest(url) else { continue };
        let told = outcomes.next().unwrap_or(Ok(None));
        let id = match held(&tag) {
            Some(held) => {
                if !told?.is_some_and(|told| USABLE.contains(&told.state)) {
                    return Ok(Err(format!(
                        "it is held to repository {} of {tag}, whose files the hub has no more; its batch must be frozen again",
                        held.id
                    )));
                }
                held.id
            }
            None => match newest(told, &tag, url)? {
                Ok(newest) => newest.id,
                Err(why) => return Ok(Err(why)),
            },
        };
        *url = format!("{topurl}/repos/{tag}/{id}{rest}");
    }
    Ok(Ok(urls))
}

/// The newest repository of a tag that is ready, as the hub told of it, or what is missing for it.
fn newest(
    told: Result<Option<Told>, CallError>,
    tag: &str,
    url: &str,
) -> Result<Result<Told, String>, CallError> {
    let newest = match told {
        Ok(newest) => newest,
        Err(error) if error.is(code::GENERIC) => {
            return Ok(Err(format!("the hub has no tag {tag}, whose repository is {url}")));
        }
        Err(error) => return Err(error),
    };
    Ok(newest.ok_or_else(|| {
        format!(
            "the tag {tag} has no repository that is ready; somebody who may can say: koji regen-repo {tag}"
        )
    }))
}

/// A build in a tag.
#[derive(Deserialize)]
struct Tagged {
    name: String,
    version: String,
    release: String,
    #[serde(default)]
    epoch: Option<u32>,
}

/// What the repositories of a batch hold now: the newest that the hub made of each tag, and the builds that were in the tag
/// at the event that it was made at. No addresses mean the build tag of the target for this version.
pub async fn freeze(settings: &Settings, addresses: &BTreeSet<String>, version: &str) -> Result<Frozen> {
    let hub = Hub::new(&settings.hub)?;
    let topurl = settings.topurl.trim_end_matches('/');
    let mut urls: BTreeSet<String> = addresses.clone();
    if urls.is_empty() {
        let target = Settings::of_version(&settings.target, version);
        let found: Value = hub.call("getBuildTarget", &[json!(target)]).await?;
        let tag = found["build_tag_name"].as_str();
        let tag = tag.with_context(|| format!("the hub has no build target {target}"))?;
        urls.insert(format!("{topurl}/repos/{tag}/latest/$arch/"));
    }
    let mut frozen = Frozen::default();
    for url in &urls {
        let told = match parse(topurl, url) {
            Some((tag, Which::Latest, _)) => {
                let told = hub.call("getRepo", &[json!(tag)]).await;
                newest(told, tag, url)?.map_err(anyhow::Error::msg)?
            }
            Some((_, Which::Number(id), _)) => {
                let told: Option<Told> = hub.call("repoInfo", &[json!(id)]).await?;
                told.with_context(|| format!("the hub has no repository {id}"))?
            }
            // What nobody froze is told with the build.
            None => continue,
        };
        let asked = [json!(told.tag_name), json!(told.create_event), json!(true), Value::Null, json!(true)];
        let builds: Vec<Tagged> = hub.call("listTagged", &asked).await?;
        for Tagged { name, version, release, epoch } in builds {
            let source = format!("{name}-{version}-{release}");
            let package =
                Package { name, epoch: epoch.unwrap_or(0), version, release, arch: "src".to_owned() };
            frozen.set.0.insert(package, source);
        }
        frozen.repos.push(KojiRepo { id: told.id, tag: told.tag_name, event: told.create_event });
    }
    frozen.repos.sort_by(|one, other| (&one.tag, one.id).cmp(&(&other.tag, other.id)));
    Ok(frozen)
}

/// What a finished task's packages came from: what Koji froze, and the addresses that nobody froze.
pub async fn record(
    hub: &Hub,
    settings: &Settings,
    task: &Task,
) -> Result<(Vec<KojiRepo>, Vec<String>), CallError> {
    let urls = of_task(task);
    let topurl = settings.topurl.trim_end_matches('/');
    let loose = urls.iter().filter(|url| !matches!(parse(topurl, url), Some((_, Which::Number(_), _))));
    let repos = repos(hub, settings, &urls).await?.into_iter().map(|(repo, _)| repo).collect();
    Ok((repos, loose.cloned().collect()))
}

/// The numbered repositories among some addresses, and whether their files are still there.
async fn repos(hub: &Hub, settings: &Settings, urls: &[String]) -> Result<Vec<(KojiRepo, bool)>, CallError> {
    let topurl = settings.topurl.trim_end_matches('/');
    let numbers = urls.iter().filter_map(|url| match parse(topurl, url)? {
        (_, Which::Number(id), _) => Some(("repoInfo", vec![json!(id)])),
        (_, Which::Latest, _) => None,
    });
    let calls: Vec<_> = numbers.collect();
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let mut repos = Vec::new();
    for outcome in hub.multi::<Option<Told>>(&calls).await? {
        let Some(told) = outcome? else { continue };
        let repo = KojiRepo { id: told.id, tag: told.tag_name, event: told.create_event };
        if !repos.iter().any(|(known, _)| *known == repo) {
            repos.push((repo, USABLE.contains(&told.state)));
        }
    }
    Ok(repos)
}

/// The addresses in a task's request.
fn of_task(task: &Task) -> Vec<String> {
    let request = &task.request;
    let list = match task.method.as_str() {
        "image" => &request[5]["repo"],
        "kiwiBuild" => &request[4]["repos"],
        "osbuildImage" => &request[6]["repo"],
        "runroot" => return runroot::repositories(request[2].as_str().unwrap_or_default()),
        _ => &Value::Null,
    };
    let address = |entry: &Value| entry.as_str().or_else(|| entry["baseurl"].as_str()).map(str::to_owned);
    list.as_array().into_iter().flatten().filter_map(address).collect()
}

/// The number of a tag's repository that is among some addresses.
pub fn number_of(settings: &Settings, tag: &str, urls: &[String]) -> Option<i64> {
    let topurl = settings.topurl.trim_end_matches('/');
    urls.iter().find_map(|url| match parse(topurl, url)? {
        (of, Which::Number(id), _) if of == tag => Some(id),
        _ => None,
    })
}

/// The tag of an address below the hub's repositories, which of its repositories it is, and what stands behind it.
fn parse<'a>(topurl: &str, url: &'a str) -> Option<(&'a str, Which, &'a str)> {
    let path = url.strip_prefix(topurl)?.strip_prefix("/repos/")?;
    let (tag, path) = path.split_once('/')?;
    let end = path.find('/').unwrap_or(path.len());
    let (which, rest) = path.split_at(end);
    let which = if which == "latest" { Which::Latest } else { Which::Number(which.parse().ok()?) };
    Some((tag, which, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_of_the_hub_is_told_from_all_others() {
        let top = "https://pkgs.example.org";
        let parse = |url| parse(top, url);
        assert_eq!(
            parse("https://pkgs.example.org/repos/f43-build/latest/$arch/"),
            Some(("f43-build", Which::Latest, "/$arch/"))
        );
        assert_eq!(parse("https://pkgs.example.org/repos/f43/17"), Some(("f43", Which::Number(17), "")));
        for other in [
            "https://elsewhere.example.org/repos/f43/17/x",
            "https://pkgs.example.org/repos-signed/f43/17/x",
            "https://pkgs.example.org/repos/f43/newest/x",
            "https://pkgs.example.org/repos/f43",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
