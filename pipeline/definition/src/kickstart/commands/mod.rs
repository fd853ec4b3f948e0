//! Every command of the kickstart language, as data.
//!
//! Knows which releases know which options. Must not know the typed result.

mod disks;
mod encryption;
mod install;
mod network;
mod origin;
mod remote;
mod retired;
mod system;
mod volumes;

pub(super) use network::servers;

use super::Syntax;
use super::command::Command;
use super::fault::Fault;

/// Every command; one name may have several descriptions for different releases.
pub(super) static COMMANDS: &[&[Command]] = &[
    disks::COMMANDS,
    install::COMMANDS,
    network::COMMANDS,
    origin::COMMANDS,
    remote::COMMANDS,
    retired::COMMANDS,
    system::COMMANDS,
    volumes::COMMANDS,
];

/// The description of the command `name` in `syntax`, or why there is none.
pub(super) fn find(name: &str, syntax: Syntax) -> Result<&'static Command, Fault> {
    let named = || COMMANDS.iter().copied().flatten().filter(|command| command.names.contains(&name));
    if let Some(command) = named().find(|command| command.releases.include(syntax)) {
        return Ok(command);
    }
    let later = named().find_map(|command| command.releases.next_after(syntax));
    Err(match (later, named().next()) {
        (Some(first), _) => Fault::new(
            format!("{syntax} has no command {name}"),
            format!("the command came with {first}: read the file as that release, or remove the line"),
        ),
        (None, Some(command)) => Fault::new(
            format!("{syntax} has no command {name} any more"),
            if command.ended.instead.is_empty() { "remove the line" } else { command.ended.instead },
        ),
        (None, None) => unknown(name),
    })
}

fn unknown(name: &str) -> Fault {
    let what = format!("there is no command {name}");
    if name.starts_with('\u{feff}') {
        return Fault::new("the file starts with a byte order mark", "save it as UTF-8 without one");
    }
    let lower = name.to_lowercase();
    let known = || COMMANDS.iter().copied().flatten().flat_map(|command| command.names);
    match known().find(|known| **known == lower) {
        Some(known) => Fault::new(what, format!("write {known}: commands are in lower case")),
        None => Fault::new(what, "correct the name; shell commands belong in a %post section"),
    }
}

/// Writes the options of `command`, for a writer of its own that needs them.
fn options(command: &Command, occurrence: &super::command::Occurrence, syntax: Syntax) -> String {
    super::command::options_written(command, &occurrence.values, syntax)
}

/// Only one of these options may stand on a line.
fn only_one(values: &super::values::Values, keys: &[&str]) -> Result<(), Fault> {
    let given: Vec<&str> = keys.iter().copied().filter(|key| values.says(key)).collect();
    match given.as_slice() {
        [one, other, ..] => Err(Fault::new(
            format!("--{one} and --{other} exclude each other"),
            format!("keep either --{one} or --{other}"),
        )),
        _ => Ok(()),
    }
}

/// Exactly one of these options must stand on a line.
fn exactly_one(values: &super::values::Values, keys: &[&str]) -> Result<(), Fault> {
    if keys.iter().any(|key| values.says(key)) {
        return only_one(values, keys);
    }
    let options: Vec<String> = keys.iter().map(|key| format!("--{key}=VALUE")).collect();
    Err(Fault::new("the line does not say which", format!("add one of {}", options.join(", "))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::row::Releases;
    use super::*;
    use crate::kickstart::flatten;

    /// Releases between which every description of a command has begun or ended.
    const RELEASES: [&str; 16] = [
        "F8", "F12", "RHEL6", "F14", "F17", "F20", "RHEL7", "F23", "F28", "RHEL8", "F33", "RHEL9", "F39",
        "RHEL10", "F43", "F46",
    ];

    /// What is not compared: what only releases between those above know, and what pykickstart itself gets wrong in some
    /// release: it loses the volumes of a group beside an option that came later, and cannot write a depth that it read.
    const NOT_COMPARED: [&str; 22] = [
        "autopart --cipher as RHEL6",
        "autopart --nolvm as F16",
        "cmdline --non-interactive as F26-",
        "device as F7",
        "firewall --ftp as F10-",
        "firewall --http as F7-F9",
        "firewall --medium as F7-F8",
        "firewall --telnet as F10-RHEL6",
        "ignoredisk --drives as F7",
        "langsupport as F7",
        "lilo as F7",
        "lilocheck as F7",
        "logvol --cipher as RHEL6",
        "mouse as F7",
        "part --cipher as RHEL6",
        "partition --cipher as RHEL6",
        "raid --cipher as RHEL6",
        "volgroup --reserved-percent as RHEL6 F16-",
        "volgroup --reserved-space as RHEL6 F16-",
        "xconfig --depth as F7-F13",
        "xconfig --noprobe as F7-F8",
        "xconfig --resolution as F7-F13",
    ];

    /// The releases that read a line.
    fn read_as(line: &str) -> Vec<Syntax> {
        let text = BTreeMap::from([("root.ks".to_owned(), format!("{line}\n"))]);
        let releases = RELEASES.map(|release| release.parse::<Syntax>().unwrap());
        releases.into_iter().filter(|release| flatten("root.ks", &text, *release).is_ok()).collect()
    }

    #[test]
    fn every_command_and_every_option_stands_in_a_line_that_is_compared_with_pykickstart() {
        let lines =
            include_str!("../../../tests/lines.txt").lines().filter(|line| !line.starts_with(['#', '%']));
        let lines: Vec<(Vec<&str>, Vec<Syntax>)> =
            lines.map(|line| (line.split_whitespace().collect(), read_as(line))).collect();
        let mut missing = Vec::new();
        for command in COMMANDS.iter().copied().flatten() {
            let of = |name: &str, option: &str, releases: Releases| {
                lines.iter().any(|(words, read_as)| {
                    let is_there = words.iter().any(|word| word.split('=').next() == Some(option));
                    words[0] == name && is_there && read_as.iter().any(|release| releases.include(*release))
                })
            };
            for name in command.names {
                if !of(name, name, command.releases) {
                    missing.push(format!("{name} as {}", command.releases.0));
                }
                for row in command.rows.iter().filter(|row| !row.is_word()) {
                    let unwritten = row.spellings.iter().filter(|option| !of(name, option, row.releases));
                    missing.extend(unwritten.map(|option| format!("{name} {option} as {}", row.releases.0)));
                }
            }
        }
        missing.sort_unstable();
        assert_eq!(missing, NOT_COMPARED, "write a line of each into tests/lines.txt");
    }
}
