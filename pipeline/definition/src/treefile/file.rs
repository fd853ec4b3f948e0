//! Reads treefiles and what they include, and merges them on the way.
//!
//! Knows the two formats and the order of includes. Must not know what a composer does with the result.

use super::condition;
use super::keys::{self, Holds};
use super::merge::{Keys, merge, set};
use super::packages;
use super::variables::RESERVED;
use super::{ReadError, Source};
use crate::SourceError;
use crate::source::plain;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// An include may lie this deep.
const DEEPEST: usize = 50;

/// A treefile and all it includes, merged.
#[derive(Debug)]
pub(super) struct Closure {
    /// Every treefile, the root first, and then the other files they name.
    pub(super) files: Vec<String>,
    /// The merged keys.
    pub(super) keys: Keys,
    /// The variables of all files.
    pub(super) variables: Keys,
}

/// Reads `path` for the architecture `basearch`.
pub(super) fn read(path: &str, source: &dyn Source, basearch: &str) -> Result<Closure, ReadError> {
    let mut reader = Reader { source, basearch, files: Vec::new(), named: Vec::new(), variables: Map::new() };
    let keys = reader.file(path, path, 0)?;
    for file in reader.named {
        if !reader.files.contains(&file) {
            reader.files.push(file);
        }
    }
    Ok(Closure { files: reader.files, keys, variables: reader.variables })
}

struct Reader<'a> {
    source: &'a dyn Source,
    basearch: &'a str,
    files: Vec<String>,
    /// Scripts and other files the treefiles name.
    named: Vec<String>,
    variables: Keys,
}

impl Reader<'_> {
    /// Reads `path`, which the file `named_in` names.
    fn file(&mut self, path: &str, named_in: &str, depth: usize) -> Result<Keys, ReadError> {
        let (file, text) = self.source.text(path, None).map_err(|cause| {
            let is_missing = matches!(cause, SourceError::Missing(_)) && depth > 0;
            let instead = if is_missing { "; add it, or correct include" } else { "" };
            let what = format!("{cause}{instead}");
            ReadError::new(named_in, what)
        })?;
        if self.files.contains(&file) {
            let what = format!("{file} is included a second time; take one of its includes out");
            return Err(ReadError::new(named_in, what));
        }
        self.files.push(file.clone());
        let error = |what: String| ReadError::new(&file, what);
        let mut keys =
            normalised(parsed(&file, &text).map_err(error)?, &file, self.basearch).map_err(error)?;
        self.take_variables(&mut keys).map_err(error)?;
        self.name_files(&mut keys, &file);
        let includes = self.includes(&mut keys, &file)?;
        for include in includes {
            if depth == DEEPEST {
                return Err(error(format!("includes lie more than {DEEPEST} deep; include fewer files")));
            }
            let theirs = self.file(&beside(&file, &include), &file, depth + 1)?;
            merge(&mut keys, theirs);
        }
        Ok(keys)
    }

    /// Variables of a file that includes another one hold in both.
    fn take_variables(&mut self, keys: &mut Keys) -> Result<(), String> {
        if let Some(name) = keys.get("basearch").and_then(Value::as_str).filter(|name| *name != self.basearch)
        {
            return Err(format!("it is for {name} and is read for {}; leave basearch out", self.basearch));
        }
        let mut variables = match keys.remove("variables") {
            Some(Value::Object(variables)) => variables,
            _ => Map::new(),
        };
        if let Some(name) = RESERVED.iter().find(|name| variables.contains_key(**name)) {
            return Err(format!("the variable {name} is there already; choose another name"));
        }
        variables.insert("basearch".to_owned(), Value::String(self.basearch.to_owned()));
        if let Some(releasever) = keys.get("releasever") {
            variables.insert("releasever".to_owned(), releasever.clone());
        }
        for (name, value) in variables {
            self.variables.entry(name).or_insert(value);
        }
        Ok(())
    }

    fn includes(&mut self, keys: &mut Keys, file: &str) -> Result<Vec<String>, ReadError> {
        let mut includes = paths(keys.remove("include"));
        if let Some(Value::Object(mut by_arch)) = keys.remove("arch-include") {
            includes.extend(paths(by_arch.remove(self.basearch)));
        }
        let conditional = match keys.remove("conditional-include") {
            Some(Value::Array(conditional)) => conditional,
            _ => Vec::new(),
        };
        for entry in conditional {
            let error = |what: String| ReadError::new(file, format!("conditional-include: {what}"));
            let Value::Object(mut entry) = entry else { continue };
            let condition = entry.remove("if").unwrap_or_default();
            let holds = condition::all_hold(&condition, &self.variables).map_err(error)?;
            match entry.remove("include") {
                Some(Value::Object(inline)) => {
                    let inline = normalised(inline, file, self.basearch).map_err(error)?;
                    if let Some(name) = ["include", "arch-include", "conditional-include", "variables"]
                        .iter()
                        .find(|name| inline.contains_key(**name))
                    {
                        return Err(error(format!(
                            "{name} cannot stand there; put it into a file and include that"
                        )));
                    }
                    if holds {
                        merge(keys, inline);
                    }
                }
                Some(value) if Holds::Include.accepts(&value) => {
                    if holds {
                        includes.extend(paths(Some(value)));
                    }
                }
                _ => return Err(error("include is missing; write include: PATH".to_owned())),
            }
        }
        Ok(includes)
    }

    /// Files other than treefiles, named beside the file that names them: from here on by their path in the source,
    /// since what is merged stands in no file. Whether they are there matters to the composer, not to the definition.
    fn name_files(&mut self, keys: &mut Keys, file: &str) {
        let named = &mut self.named;
        let mut name = |value: &mut Value| {
            if let Value::String(path) = value {
                *path = plain_or_as_is(beside(file, path));
                named.push(path.clone());
            }
        };
        if let Some(script) = keys.get_mut("postprocess-script") {
            name(script);
        }
        for pair in keys.get_mut("add-files").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(from) = pair.get_mut(0) {
                name(from);
            }
        }
        for key in ["check-passwd", "check-groups"] {
            if let Some(check) = keys.get_mut(key)
                && check.get("type").and_then(Value::as_str) == Some("file")
                && let Some(path) = check.get_mut("filename")
            {
                name(path);
            }
        }
    }
}

/// The path of a file named by `file`.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name.to_owned(),
    }
}

/// The path without `.` and `..`, as a source resolves it.
fn plain_or_as_is(path: String) -> String {
    plain(&path).unwrap_or(path)
}

fn paths(include: Option<Value>) -> Vec<String> {
    match include {
        Some(Value::String(path)) => vec![path],
        Some(Value::Array(paths)) => paths.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn is_yaml(file: &str) -> bool {
    [".yaml", ".yml"].iter().any(|end| file.ends_with(end))
}

/// A treefile may be this long in bytes; real ones have a hundredth of it.
const LONGEST: usize = 1 << 20;
/// Brackets may be open this often at once, those in scripts counted: the YAML scanner takes time that grows
/// with the square of it.
const MOST_OPEN: usize = 500;

fn check_size(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes; split it into files and include them"));
    }
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MOST_OPEN {
            return Err(format!("more than {MOST_OPEN} brackets are open at once; close them"));
        }
    }
    Ok(())
}

fn parsed(file: &str, text: &str) -> Result<Keys, String> {
    check_size(text)?;
    let entries = if is_yaml(file) {
        serde_yaml_ng::from_str::<Entries>(text).map_err(|cause| format!("it is no YAML map: {cause}"))
    } else {
        serde_json::from_str::<Entries>(text)
            .map_err(|cause| format!("it is no JSON map: {cause}; name it .yaml if it is YAML"))
    };
    entries.map(|Entries(keys)| keys)
}

/// The entries of a map, none of them twice.
struct Entries(Keys);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with the keys of a treefile")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut keys = Map::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if keys.contains_key(&key) {
                        return Err(serde::de::Error::custom(format!("the key {key} stands there twice")));
                    }
                    keys.insert(key, value);
                }
                Ok(Entries(keys))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

/// The keys by their present names, checked; package lists are split and sorted, and those of the
/// architecture added.
fn normalised(entries: Keys, file: &str, basearch: &str) -> Result<Keys, String> {
    let mut keys = Map::new();
    let mut packages: Vec<String> = Vec::new();
    for (name, value) in entries {
        // An empty value is no value.
        if value.is_null() {
            continue;
        }
        if let Some(arch) = name.strip_prefix("packages-") {
            check(&name, Holds::Texts, &value)?;
            if arch == basearch {
                packages.extend(packages::names(&value)?);
            }
            continue;
        }
        let present = keys::present_name(&name);
        match keys::find(present) {
            Some(key) => {
                check(&name, key.holds, &value)?;
                if keys.insert(present.to_owned(), value).is_some() {
                    return Err(format!(
                        "{present} stands there in its old and new spelling; write {present} once"
                    ));
                }
            }
            // Comments are written as keys where the format has no comments.
            None if !is_yaml(file) => {}
            None => return Err(format!("there is no key {name}; {}", keys::instead_of(&name))),
        }
    }
    for list in ["packages", "bootstrap-packages"] {
        if let Some(value) = keys.remove(list) {
            packages.extend(packages::names(&value)?);
        }
    }
    keys.insert("packages".to_owned(), set(packages.into_iter().map(Value::String)));
    split_repo_packages(&mut keys)?;
    defaults(&mut keys)?;
    Ok(keys)
}

fn check(name: &str, holds: Holds, value: &Value) -> Result<(), String> {
    if holds.accepts(value) {
        Ok(())
    } else {
        Err(format!("{name} holds something else; write {}", holds.example()))
    }
}

fn split_repo_packages(keys: &mut Keys) -> Result<(), String> {
    let Some(Value::Array(repos)) = keys.get_mut("repo-packages") else { return Ok(()) };
    for repo in repos {
        let complete = repo.get("repo").is_some_and(Value::is_string)
            && repo.get("packages").is_some_and(|packages| Holds::Texts.accepts(packages));
        if !complete {
            return Err(
                "an entry of repo-packages is incomplete; write {repo: NAME, packages: [a, b]}".to_owned()
            );
        }
        let names = packages::names(repo.get("packages").unwrap_or(&Value::Null))?;
        if let Some(packages) = repo.get_mut("packages") {
            *packages = set(names.into_iter().map(Value::String));
        }
    }
    Ok(())
}

/// What `container` and a later edition imply.
fn defaults(keys: &mut Keys) -> Result<(), String> {
    let modern = match keys.get("edition").and_then(Value::as_str) {
        None | Some("2014") => false,
        Some("2024") => true,
        Some(edition) => return Err(format!("there is no edition {edition}; write \"2014\" or \"2024\"")),
    };
    if keys.get("container") == Some(&Value::Bool(true)) {
        let implied = [
            ("boot-location", Value::String("modules".to_owned())),
            ("selinux", Value::Bool(false)),
            ("tmp-is-dir", Value::Bool(true)),
            ("preserve-passwd", Value::Bool(false)),
            ("check-passwd", serde_json::json!({"type": "none"})),
            ("check-groups", serde_json::json!({"type": "none"})),
        ];
        keys.extend(implied.map(|(name, value)| (name.to_owned(), value)));
    }
    if modern {
        keys.entry("boot-location").or_insert_with(|| Value::String("modules".to_owned()));
        keys.entry("tmp-is-dir").or_insert(Value::Bool(true));
    }
    Ok(())
}
