//! The packages that a build which is kept can come from: repositories that Koji made of a tag as it was at one event.
//!
//! An address that leads to a tag's latest repository is held to the repository that is the latest now. All others stay
//! as the recipe has them.

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
    if let Some(earlier) = earlier {
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
    let calls: Vec<_> =
        urls.iter().filter_map(|url| Some(("getRepo", vec![json!(latest(url)?.0)]))).collect();
    if calls.is_empty() {
        return Ok(Ok(urls));
    }
    let mut outcomes = hub.multi(&calls).await?.into_iter();
    for url in &mut urls {
        let Some((tag, rest)) = latest(url) else { continue };
        let newest: Option<Told> = match outcomes.next().unwrap_or(Ok(None)) {
            Ok(newest) => newest,
            Err(error) if error.is(code::GENERIC) => {
                return Ok(Err(format!("the hub has no tag {tag}, whose repository is {url}")));
            }
            Err(error) => return Err(error),
        };
        let Some(newest) = newest else {
            return Ok(Err(format!(
                "the tag {tag} has no repository that is ready; somebody who may can say: koji regen-repo {tag}"
            )));
        };
        *url = format!("{topurl}/repos/{tag}/{}{rest}", newest.id);
    }
    Ok(Ok(urls))
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
