//! The `%packages` section: its options, its lines, and how several sections merge.
//!
//! Knows how the installer adds and takes away. Must not know where packages come from.

use super::fault::Fault;
use super::options::{self, Given};
use super::row::{Releases, Row, Takes, flag, number, row, text};
use super::values::Values;
use super::words;
use super::{Extent, Group, PackageOptions, Packages, Syntax};
use std::collections::{BTreeMap, BTreeSet};

/// What the sections ask for so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PackageSet {
    environment: Option<String>,
    groups: BTreeMap<String, Extent>,
    install: BTreeSet<String>,
    /// Sorted when written; a group may be excluded more than once.
    excluded_groups: Vec<String>,
    exclude: BTreeSet<String>,
    options: PackageOptions,
}

/// The options after `%packages`.
pub(super) const ROWS: &[Row] = &[
    flag!("excludedocs"),
    flag!("ignoremissing"),
    flag!("ignoredeps").releases("F7-F8").deprecated("F7-F8"),
    flag!("resolvedeps").releases("F7-F8").deprecated("F7-F8"),
    flag!("default"),
    text!("instLangs").releases("F9-F31"),
    row(&["--instLangs"], "instLangs", Takes::Text)
        .releases("F32-F40 F41-F46")
        .deprecated("F32-F46")
        .instead("write --inst-langs"),
    row(&["--inst-langs"], "instLangs", Takes::Text).releases("F32-"),
    flag!("nobase").releases("RHEL6-RHEL7").deprecated("F18-RHEL7").instead("leave it out"),
    flag!("multilib").releases("F18-"),
    flag!("nocore").releases("F21-"),
    number!("timeout").releases("RHEL7-"),
    number!("retries").releases("RHEL7-"),
    flag!("excludeWeakdeps").releases("F24-F31"),
    row(&["--excludeWeakdeps"], "excludeWeakdeps", Takes::Nothing)
        .releases("F32-F40 F41-F46")
        .deprecated("F32-F46")
        .instead("write --exclude-weakdeps"),
    row(&["--exclude-weakdeps"], "excludeWeakdeps", Takes::Nothing).releases("F32-"),
    flag!("ignorebroken").releases("F32-F34 F35-F40 F41-F46"),
];

impl PackageSet {
    /// A section starts: its options take the place of those of earlier sections.
    pub(super) fn start(&mut self, values: &Values) -> Result<(), Fault> {
        let kept = std::mem::take(&mut self.options);
        let options = PackageOptions {
            default: kept.default || values.has("default"),
            exclude_docs: values.has("excludedocs"),
            no_base: values.has("nobase"),
            no_core: values.has("nocore"),
            ignore_missing: values.has("ignoremissing"),
            ignore_broken: values.has("ignorebroken"),
            languages: languages(values).or(kept.languages),
            multilib: values.has("multilib"),
            exclude_weak_dependencies: values.has("excludeWeakdeps"),
            timeout: values.number("timeout"),
            retries: values.number("retries"),
        };
        // What is merged is written as one section, which may not have both either.
        let default =
            if values.has("default") { "--default" } else { "the --default of an earlier %packages" };
        for (option, given) in [("--nobase", options.no_base), ("--nocore", options.no_core)] {
            if options.default && given {
                return Err(Fault::new(
                    format!("{default} and {option} exclude each other"),
                    format!("leave --default out, or {option}"),
                ));
            }
        }
        self.options = options;
        Ok(())
    }

    /// One line of the section, which is neither blank nor a comment.
    pub(super) fn add(&mut self, line: &str) -> Result<(), Fault> {
        let line = words::trimmed(line.split('#').next().unwrap_or_default());
        if let Some(environment) = line.strip_prefix("@^") {
            self.environment = Some(environment.to_owned());
        } else if let Some(group) = line.strip_prefix('@') {
            self.add_group(group)?;
        } else if let Some(excluded) = line.strip_prefix('-') {
            self.exclude(excluded)?;
        } else {
            self.exclude.remove(line);
            self.install.insert(line.to_owned());
        }
        Ok(())
    }

    fn add_group(&mut self, line: &str) -> Result<(), Fault> {
        const OPTIONS: [&Row; 2] = [
            &row(&["--nodefaults"], "nodefaults", Takes::Nothing),
            &row(&["--optional"], "optional", Takes::Nothing),
        ];
        let line: Vec<String> =
            line.split(words::is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let Given { values, left_over, .. } = options::parse(&line, &OPTIONS, Syntax::NEWEST)?;
        let extent = match (values.has("nodefaults"), values.has("optional")) {
            (false, false) => Extent::Default,
            (true, false) => Extent::Mandatory,
            (false, true) => Extent::All,
            (true, true) => {
                return Err(Fault::new(
                    "--nodefaults and --optional exclude each other",
                    "keep --nodefaults for fewer packages, or --optional for more",
                ));
            }
        };
        let name = left_over.join(" ");
        if name.is_empty() {
            return Err(Fault::new("the group has no name", "write @NAME"));
        }
        self.groups.entry(name).or_insert(extent);
        Ok(())
    }

    fn exclude(&mut self, name: &str) -> Result<(), Fault> {
        if name.is_empty() {
            return Err(Fault::new("nothing stands after the minus", "write -NAME"));
        }
        if name.strip_prefix("@^").is_some_and(|name| self.environment.as_deref() == Some(name)) {
            self.environment = None;
        } else if let Some(group) = name.strip_prefix('@') {
            self.groups.remove(group);
            self.excluded_groups.push(group.to_owned());
        } else {
            self.install.remove(name);
            self.exclude.insert(name.to_owned());
        }
        Ok(())
    }

    /// The section as its release writes it.
    pub(super) fn written(&self, syntax: Syntax) -> String {
        let mut text = format!("\n%packages{}\n", options_written(&self.options, syntax));
        if let (Some(environment), false) = (&self.environment, self.options.default) {
            text.extend(["@^", environment, "\n"]);
        }
        // Reading an exclusion takes the group away, so one that is kept beside it must come after it.
        let mut excluded_groups = self.excluded_groups.clone();
        excluded_groups.sort();
        let (before, after): (Vec<_>, Vec<_>) =
            excluded_groups.iter().partition(|name| self.groups.contains_key(*name));
        for name in before {
            text.extend(["-@", name, "\n"]);
        }
        for (name, extent) in &self.groups {
            let option = match extent {
                Extent::Mandatory => " --nodefaults",
                Extent::Default => "",
                Extent::All => " --optional",
            };
            text.extend(["@", name, option, "\n"]);
        }
        for name in &self.install {
            text.extend([name, "\n"]);
        }
        for name in after {
            text.extend(["-@", name, "\n"]);
        }
        for name in &self.exclude {
            text.extend(["-", name, "\n"]);
        }
        text.push('\n');
        if Releases("F8-").include(syntax) {
            text.push_str("%end\n");
        }
        text
    }

    /// The section for whoever installs packages.
    pub(super) fn typed(self) -> Packages {
        let groups = self.groups.into_iter().map(|(name, extent)| Group { name, extent });
        let excluded: BTreeSet<String> = self.excluded_groups.into_iter().collect();
        Packages {
            environment: self.environment.filter(|_| !self.options.default),
            groups: groups.collect(),
            install: self.install.into_iter().collect(),
            excluded_groups: excluded.into_iter().collect(),
            exclude: self.exclude.into_iter().collect(),
            options: self.options,
        }
    }
}

fn languages(values: &Values) -> Option<String> {
    // An empty text is a value here: no languages at all.
    match values.find("instLangs") {
        Some(super::values::Value::Text(languages)) => Some(languages.clone()),
        _ => None,
    }
}

fn options_written(options: &PackageOptions, syntax: Syntax) -> String {
    let dashed = Releases("F32-").include(syntax);
    let languages = if dashed { "--inst-langs" } else { "--instLangs" };
    let weak = if dashed { "--exclude-weakdeps" } else { "--excludeWeakdeps" };
    let flag = |given: bool, name: &str| if given { format!(" {name}") } else { String::new() };
    let value =
        |name: &str, value: Option<String>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
    let language = options.languages.as_ref().map(|languages| match languages.as_str() {
        "" => String::new(),
        languages => words::bare(languages).into_owned(),
    });
    [
        flag(options.default, "--default"),
        flag(options.exclude_docs, "--excludedocs"),
        flag(options.no_base, "--nobase"),
        flag(options.no_core, "--nocore"),
        flag(options.ignore_missing, "--ignoremissing"),
        flag(options.ignore_broken, "--ignorebroken"),
        value(languages, language),
        flag(options.multilib, "--multilib"),
        flag(options.exclude_weak_dependencies, weak),
        value("--timeout", options.timeout.map(|seconds| seconds.to_string())),
        value("--retries", options.retries.map(|times| times.to_string())),
    ]
    .concat()
}
