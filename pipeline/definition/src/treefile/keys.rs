//! The keys of a treefile: what each holds and how two files that give it merge.
//!
//! Knows the format key by key. Must not know files.

use serde_json::Value;

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Flag,
    Number,
    TextOrNumber,
    Texts,
    /// Lists of texts, none of them empty.
    TextLists,
    /// Pairs of texts.
    TextPairs,
    TextMap,
    Map,
    /// A map with texts, numbers or truth values.
    Variables,
    /// A list of maps.
    Maps,
    /// A path or a list of paths.
    Include,
    /// A map from architecture to what `Include` holds.
    ArchInclude,
}

/// How the value of a file and that of a file it includes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merges {
    /// The including file wins.
    First,
    /// The included file's come first.
    Append,
    /// Each once, sorted.
    Set,
    /// Entry by entry; the including file wins.
    Entries,
    /// The key is used up in its file.
    Never,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) holds: Holds,
    pub(super) merges: Merges,
}

const fn key(name: &'static str, holds: Holds, merges: Merges) -> Key {
    Key { name, holds, merges }
}

/// Every key but `packages-ARCHITECTURE`.
pub(super) const KEYS: &[Key] = &[
    key("include", Holds::Include, Merges::Never),
    key("arch-include", Holds::ArchInclude, Merges::Never),
    key("conditional-include", Holds::Maps, Merges::Never),
    key("variables", Holds::Variables, Merges::Never),
    key("basearch", Holds::Text, Merges::First),
    key("edition", Holds::Text, Merges::First),
    key("ref", Holds::Text, Merges::First),
    key("rojig", Holds::Map, Merges::First),
    key("repos", Holds::Texts, Merges::Append),
    key("lockfile-repos", Holds::Texts, Merges::Append),
    key("repovars", Holds::TextMap, Merges::Entries),
    key("repo-packages", Holds::Maps, Merges::Append),
    key("packages", Holds::Texts, Merges::Set),
    key("bootstrap-packages", Holds::Texts, Merges::Never),
    key("exclude-packages", Holds::Texts, Merges::Append),
    key("ostree-layers", Holds::Texts, Merges::Append),
    key("ostree-override-layers", Holds::Texts, Merges::Append),
    key("platform-module", Holds::Text, Merges::First),
    key("container", Holds::Flag, Merges::First),
    key("container-cmd", Holds::Texts, Merges::First),
    key("recommends", Holds::Flag, Merges::First),
    key("documentation", Holds::Flag, Merges::First),
    key("install-langs", Holds::Texts, Merges::Append),
    key("initramfs-args", Holds::Texts, Merges::Append),
    key("no-initramfs", Holds::Flag, Merges::First),
    key("selinux", Holds::Flag, Merges::First),
    key("selinux-label-version", Holds::Number, Merges::First),
    key("sysusers", Holds::Text, Merges::First),
    key("ima", Holds::Flag, Merges::First),
    key("ignore-devices", Holds::Flag, Merges::First),
    key("gpg-key", Holds::Text, Merges::First),
    key("readonly-executables", Holds::Flag, Merges::First),
    key("boot-location", Holds::Text, Merges::First),
    key("tmp-is-dir", Holds::Flag, Merges::First),
    key("opt-usrlocal", Holds::Text, Merges::First),
    key("units", Holds::Texts, Merges::Append),
    key("default-target", Holds::Text, Merges::First),
    key("machineid-compat", Holds::Flag, Merges::First),
    key("releasever", Holds::TextOrNumber, Merges::First),
    key("automatic-version-prefix", Holds::Text, Merges::First),
    key("automatic-version-suffix", Holds::Text, Merges::First),
    key("mutate-os-release", Holds::Text, Merges::First),
    key("etc-group-members", Holds::Texts, Merges::Append),
    key("preserve-passwd", Holds::Flag, Merges::First),
    key("check-passwd", Holds::Map, Merges::First),
    key("check-groups", Holds::Map, Merges::First),
    key("ignore-removed-users", Holds::Texts, Merges::Set),
    key("ignore-removed-groups", Holds::Texts, Merges::Set),
    key("postprocess-script", Holds::Text, Merges::First),
    key("postprocess", Holds::Texts, Merges::Append),
    key("add-files", Holds::TextPairs, Merges::Append),
    key("remove-files", Holds::Texts, Merges::Append),
    key("remove-from-packages", Holds::TextLists, Merges::Append),
    key("add-commit-metadata", Holds::Map, Merges::Entries),
    key("metadata", Holds::Map, Merges::Entries),
    key("repo-metadata", Holds::Text, Merges::First),
    key("advisories-metadata", Holds::Text, Merges::First),
    key("rpmdb", Holds::Text, Merges::First),
    key("rpmdb-normalize", Holds::Flag, Merges::First),
    key("cliwrap", Holds::Flag, Merges::First),
    key("cliwrap-binaries", Holds::Texts, Merges::Append),
];

/// The old spelling of a key, with the name it has now.
const OLD_SPELLINGS: [(&str, &str); 5] = [
    ("gpg_key", "gpg-key"),
    ("boot_location", "boot-location"),
    ("default_target", "default-target"),
    ("automatic_version_prefix", "automatic-version-prefix"),
    ("bootstrap_packages", "bootstrap-packages"),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The present name of a key with an old spelling; any other name as it is.
pub(super) fn present_name(name: &str) -> &str {
    OLD_SPELLINGS.iter().find(|(old, _)| *old == name).map_or(name, |(_, present)| present)
}

/// What to write for a key that does not exist.
pub(super) fn instead_of(name: &str) -> String {
    let dashed = name.replace('_', "-").to_lowercase();
    match find(&dashed) {
        Some(key) => format!("write {}", key.name),
        None => "remove it, or move it below metadata".to_owned(),
    }
}

impl Holds {
    /// Whether the value is of this kind.
    pub(super) fn accepts(self, value: &Value) -> bool {
        let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
        let items =
            |test: &dyn Fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(test));
        let entries =
            |test: &dyn Fn(&Value) -> bool| value.as_object().is_some_and(|map| map.values().all(test));
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_u64(),
            Self::TextOrNumber => value.is_string() || value.is_u64(),
            Self::Texts => texts(value),
            Self::TextLists => {
                items(&|item| texts(item) && item.as_array().is_some_and(|item| !item.is_empty()))
            }
            Self::TextPairs => {
                items(&|item| texts(item) && item.as_array().is_some_and(|item| item.len() == 2))
            }
            Self::TextMap => entries(&Value::is_string),
            Self::Map => value.is_object(),
            Self::Variables => entries(&|value| value.is_string() || value.is_u64() || value.is_boolean()),
            Self::Maps => items(&Value::is_object),
            Self::Include => value.is_string() || texts(value),
            Self::ArchInclude => entries(&|value| value.is_string() || texts(value)),
        }
    }

    /// What to write, with the key before it.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Number => "a whole number",
            Self::TextOrNumber => "a text or a whole number",
            Self::Texts => "a list of texts, such as [a, b]",
            Self::TextLists => "a list of lists, such as [[package, pattern]]",
            Self::TextPairs => "a list of pairs, such as [[from, to]]",
            Self::TextMap => "a map of texts, such as {name: text}",
            Self::Map => "a map, such as {name: value}",
            Self::Variables => "a map of texts, whole numbers or truth values, such as {name: text}",
            Self::Maps => "a list of maps, such as [{name: value}]",
            Self::Include => "a path or a list of paths",
            Self::ArchInclude => "a map of paths, such as {aarch64: path}",
        }
    }
}
