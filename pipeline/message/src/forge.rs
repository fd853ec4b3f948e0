//! What forges say: pushes to dist-git, pagure, Forgejo and GitHub.

use std::collections::BTreeSet;

use muster_flow::change::What;
use serde_json::Value;

use super::text;

type Decoded = Result<Option<What>, &'static str>;

/// dist-git's hook sends one message per commit: `commit: {repo, namespace, branch, rev, stats: {files}}`.
pub(super) fn dist_git(body: &Value) -> Decoded {
    let commit = body.get("commit").ok_or("the commit")?;
    let repository = text(commit, "repo").ok_or("the commit's repository")?;
    let repository = match text(commit, "namespace") {
        Some(namespace) => format!("{namespace}/{repository}"),
        None => repository.to_owned(),
    };
    by_commit(commit, repository)
}

/// pagure says `repo`, `branch`, `end_commit` and, in newer versions, `changed_files`; long ago it said `commit`.
pub(super) fn pagure(body: &Value) -> Decoded {
    if let Some(commit) = body.get("commit") {
        let repository = commit.get("repo").and_then(pagure_name).ok_or("the commit's repository")?;
        return by_commit(commit, repository);
    }
    let repository = body.get("repo").and_then(pagure_name).ok_or("the repository's name")?;
    let Some(branch) = branch(text(body, "branch").ok_or("the branch")?) else { return Ok(None) };
    let commit = text(body, "end_commit").ok_or("the commit at the end of the push")?;
    let files = match body.get("changed_files") {
        Some(Value::Object(files)) if !is_true(body, "forced") => files.keys().cloned().collect(),
        Some(_) | None => Vec::new(),
    };
    Ok(pushed(repository, branch, commit, files))
}

/// Forgejo and GitHub send what their webhooks say below `body`, beside the headers of the request.
pub(super) fn webhook(body: &Value) -> Decoded {
    let push = body.get("body").filter(|inner| inner.is_object()).unwrap_or(body);
    let Some(branch) = branch(text(push, "ref").ok_or("the ref that was pushed")?) else { return Ok(None) };
    if is_true(push, "deleted") {
        return Ok(None);
    }
    let commit = text(push, "after").ok_or("the commit after the push")?;
    let repository = push.get("repository").ok_or("the repository")?;
    let name = text(repository, "full_name").or_else(|| text(repository, "name"));
    let name = name.ok_or("the repository's name")?.to_owned();
    Ok(pushed(name, branch, commit, webhook_files(push)))
}

/// The files of all commits; nothing, when the message may not name all of them.
fn webhook_files(push: &Value) -> Vec<String> {
    let commits = push.get("commits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let total = push.get("total_commits").and_then(Value::as_u64);
    let is_cut_short = total.is_some_and(|total| total > commits.len() as u64);
    if is_cut_short || is_true(push, "forced") {
        return Vec::new();
    }
    let mut files = BTreeSet::new();
    for commit in commits {
        let lists = ["added", "removed", "modified"].map(|list| commit.get(list).and_then(Value::as_array));
        if lists.iter().all(Option::is_none) {
            return Vec::new();
        }
        let names = lists.into_iter().flatten().flatten().filter_map(Value::as_str);
        files.extend(names.map(str::to_owned));
    }
    files.into_iter().collect()
}

fn by_commit(commit: &Value, repository: String) -> Decoded {
    let Some(branch) = branch(text(commit, "branch").ok_or("the commit's branch")?) else { return Ok(None) };
    let rev = text(commit, "rev").ok_or("the commit's id")?;
    let files = commit.get("stats").and_then(|stats| stats.get("files")).and_then(Value::as_object);
    let files = files.map(|files| files.keys().cloned().collect()).unwrap_or_default();
    Ok(pushed(repository, branch, rev, files))
}

/// The name as pagure writes it in addresses: with the namespace, and forks below their owner.
fn pagure_name(repo: &Value) -> Option<String> {
    if let Some(full) = text(repo, "fullname") {
        return Some(full.to_owned());
    }
    let name = text(repo, "name")?;
    let name = match text(repo, "namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let is_fork = repo.get("parent").is_some_and(Value::is_object);
    let owner = repo.get("user").and_then(|user| text(user, "name"));
    match owner {
        Some(owner) if is_fork => Some(format!("forks/{owner}/{name}")),
        Some(_) | None => Some(name),
    }
}

fn pushed(repository: String, branch: &str, commit: &str, files: Vec<String>) -> Option<What> {
    // A branch that was deleted ends at the commit that is no commit.
    if commit.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let (branch, commit) = (branch.to_owned(), commit.to_owned());
    Some(What::Pushed { repository, branch, commit, files })
}

/// The branch of a ref; `None` for tags and other refs, which no recipe follows.
fn branch(name: &str) -> Option<&str> {
    match name.strip_prefix("refs/") {
        Some(rest) => rest.strip_prefix("heads/").filter(|branch| !branch.is_empty()),
        None => Some(name),
    }
}

fn is_true(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}
