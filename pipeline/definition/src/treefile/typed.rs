//! Types the merged keys, puts the variables in, and checks what only the whole can show.
//!
//! Knows which key becomes which field. Must not know how files were read.

use super::file::Closure;
use super::merge::Keys;
use super::variables::{put_in, shown};
use super::{ReadError, RepoPackages, Treefile};
use serde_json::Value;
use std::collections::BTreeSet;

/// The treefile `path` with all it includes.
pub(super) fn typed(mut closure: Closure, path: &str) -> Result<Treefile, ReadError> {
    let file = closure.files.first().cloned().unwrap_or_else(|| path.to_owned());
    let error = |what: String| ReadError::new(&file, what);
    substitute(&mut closure.keys, &closure.variables).map_err(error)?;
    check(&closure.keys).map_err(error)?;
    let keys = &closure.keys;
    Ok(Treefile {
        reference: text(keys, "ref"),
        repos: texts(keys, "repos"),
        packages: texts(keys, "packages"),
        exclude_packages: texts(keys, "exclude-packages"),
        repo_packages: repo_packages(keys),
        units: texts(keys, "units"),
        default_target: text(keys, "default-target"),
        install_langs: keys.get("install-langs").map(|_| texts(keys, "install-langs")),
        documentation: flag(keys, "documentation").unwrap_or(true),
        recommends: flag(keys, "recommends").unwrap_or(true),
        initramfs_args: texts(keys, "initramfs-args"),
        selinux: flag(keys, "selinux").unwrap_or(true),
        mutate_os_release: text(keys, "mutate-os-release"),
        automatic_version_prefix: text(keys, "automatic-version-prefix"),
        releasever: keys.get("releasever").map(shown),
        postprocess: texts(keys, "postprocess"),
        postprocess_script: text(keys, "postprocess-script"),
        add_files: lists(keys, "add-files").into_iter().filter_map(pair).collect(),
        remove_files: texts(keys, "remove-files"),
        remove_from_packages: lists(keys, "remove-from-packages"),
        etc_group_members: texts(keys, "etc-group-members"),
        boot_location: text(keys, "boot-location"),
        machineid_compat: flag(keys, "machineid-compat").unwrap_or(true),
        tmp_is_dir: flag(keys, "tmp-is-dir").unwrap_or(false),
        add_commit_metadata: map(keys, "add-commit-metadata").into_iter().collect(),
        metadata: keys.get("metadata").cloned(),
        files: closure.files,
        merged: closure.keys,
    })
}

fn text(keys: &Keys, name: &str) -> Option<String> {
    keys.get(name)?.as_str().map(str::to_owned)
}

fn flag(keys: &Keys, name: &str) -> Option<bool> {
    keys.get(name)?.as_bool()
}

fn items<'a>(keys: &'a Keys, name: &str) -> &'a [Value] {
    keys.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts_of(items: &[Value]) -> Vec<String> {
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn texts(keys: &Keys, name: &str) -> Vec<String> {
    texts_of(items(keys, name))
}

fn lists(keys: &Keys, name: &str) -> Vec<Vec<String>> {
    items(keys, name).iter().filter_map(Value::as_array).map(|list| texts_of(list)).collect()
}

fn pair(list: Vec<String>) -> Option<(String, String)> {
    let [from, to] = <[String; 2]>::try_from(list).ok()?;
    Some((from, to))
}

fn map(keys: &Keys, name: &str) -> Keys {
    keys.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn repo_packages(keys: &Keys) -> Vec<RepoPackages> {
    let entry = |entry: &Value| RepoPackages {
        repo: entry.get("repo").and_then(Value::as_str).unwrap_or_default().to_owned(),
        packages: entry
            .get("packages")
            .and_then(Value::as_array)
            .map(|list| texts_of(list))
            .unwrap_or_default(),
    };
    items(keys, "repo-packages").iter().map(entry).collect()
}

/// The keys whose text takes variables.
const WITH_VARIABLES: [&str; 4] = ["ref", "automatic-version-prefix", "mutate-os-release", "platform-module"];
/// The keys whose map has texts that take variables.
const MAPS_WITH_VARIABLES: [&str; 3] = ["metadata", "add-commit-metadata", "rojig"];

fn substitute(keys: &mut Keys, variables: &Keys) -> Result<(), String> {
    for name in WITH_VARIABLES {
        if let Some(Value::String(text)) = keys.get_mut(name) {
            *text = put_in(text, variables).map_err(|what| format!("{name}: {what}"))?;
        }
    }
    for name in MAPS_WITH_VARIABLES {
        let Some(Value::Object(entries)) = keys.get_mut(name) else { continue };
        for (entry, value) in entries {
            if let Value::String(text) = value {
                *text = put_in(text, variables).map_err(|what| format!("{name}: {entry}: {what}"))?;
            }
        }
    }
    Ok(())
}

fn check(keys: &Keys) -> Result<(), String> {
    let excluded: BTreeSet<String> = texts(keys, "exclude-packages").into_iter().collect();
    if let Some(name) = texts(keys, "packages").into_iter().find(|name| excluded.contains(name)) {
        return Err(format!("{name} is in packages and in exclude-packages; take it out of one of them"));
    }
    for to in lists(keys, "add-files").into_iter().filter_map(pair).map(|(_, to)| to) {
        if !is_in_the_system(&to) {
            return Err(format!(
                "add-files cannot write {to}; choose a path below /usr (not /usr/local) or /etc"
            ));
        }
    }
    if text(keys, "automatic-version-suffix").is_some_and(|suffix| suffix.len() != 1) {
        return Err("automatic-version-suffix is one ASCII character; write \".\" or \"-\"".to_owned());
    }
    one_of(keys, "boot-location", &["new", "modules", "kernel-install", "both", "legacy"])?;
    one_of(keys, "rpmdb", &["target", "host", "bdb", "ndb", "sqlite"])?;
    for name in super::variables::RESERVED {
        if map(keys, "repovars").contains_key(name) {
            return Err(format!("repovars cannot define {name}; leave it out, and set releasever as a key"));
        }
    }
    Ok(())
}

fn one_of(keys: &Keys, name: &str, possible: &[&str]) -> Result<(), String> {
    match text(keys, name) {
        Some(value) if !possible.contains(&value.as_str()) => {
            Err(format!("{name} cannot be {value}; write one of {}", possible.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Whether a composed commit can hold the path.
fn is_in_the_system(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let folders = ["usr/", "etc/", "bin/", "sbin/", "lib/", "lib64/"];
    folders.iter().any(|folder| path.starts_with(folder)) && !path.starts_with("usr/local/")
}
