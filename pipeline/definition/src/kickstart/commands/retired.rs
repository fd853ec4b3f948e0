//! Commands that have come to an end in every current release.

use super::super::command::{BASE, Command, Ended, Lines, Reads, words_written};
use super::super::fault::Fault;
use super::super::row::{Releases, Takes, flag, option, text};
use super::super::words::{bare, in_quotes};
use super::options;

pub(super) const COMMANDS: &[Command] = &[
    AUTOSTEP,
    DEVICE_OLD,
    DEVICE,
    DEVICEPROBE,
    DMRAID,
    INTERACTIVE,
    LANGSUPPORT,
    LILO,
    MONITOR,
    MOUSE,
    MULTIPATH,
];

const REMOVE: &str = "remove the line: the installer finds out by itself";

/// Deprecated from the first releases on, removed from the second on.
const fn ended(deprecated: &'static str, removed: &'static str) -> Ended {
    Ended {
        discouraged: Releases(""),
        deprecated: Releases(deprecated),
        removed: Releases(removed),
        instead: REMOVE,
    }
}

const AUTOSTEP: Command = Command {
    names: &["autostep"],
    sort: "AutoStep",
    ended: ended("F34-F39", "F40-"),
    rows: &[flag!("autoscreenshot")],
    ..BASE
};

const DEVICE_OLD: Command = Command {
    names: &["device"],
    sort: "Device",
    releases: Releases("F7"),
    reads: Reads::Rest,
    rows: &[text!("opts").quoted()],
    absent: |_| "\n",
    settle: |device, _| words_are(device.values.list("rest"), 2, "the type and name of the module"),
    write: Some(|device, syntax| {
        let words = words_written(device.values.list("rest"));
        format!("device{words}{}\n", options(&DEVICE_OLD, device, syntax))
    }),
    ..BASE
};

const DEVICE: Command = Command {
    names: &["device"],
    sort: "Device",
    releases: Releases("F8-"),
    ended: ended("F24-F33", "F34-"),
    lines: Lines::Add,
    reads: Reads::Rest,
    rows: &[text!("opts").quoted()],
    settle: |device, _| words_are(device.values.list("rest"), 1, "the name of the module"),
    write: Some(|device, syntax| {
        let words = words_written(device.values.list("rest"));
        format!("device{words}{}\n", options(&DEVICE, device, syntax))
    }),
    identity: &["rest"],
    ..BASE
};

fn words_are(words: &[String], count: usize, what: &str) -> Result<(), Fault> {
    if words.len() == count {
        return Ok(());
    }
    Err(Fault::new(format!("{} words stand after the command", words.len()), format!("write {what}")))
}

const DEVICEPROBE: Command =
    Command {
        names: &["deviceprobe"],
        sort: "DeviceProbe",
        ended: ended("RHEL8-F33", "F34-"),
        reads: Reads::Raw,
        write: Some(|probe, _| {
            if probe.raw.is_empty() { String::new() } else { format!("deviceprobe {}\n", probe.raw) }
        }),
        ..BASE
    };

const DMRAID: Command = Command {
    names: &["dmraid"],
    sort: "DmRaid",
    rank: 60,
    ended: ended("F24-F33", "F34-"),
    lines: Lines::Add,
    rows: &[text!("name").required(), option!("dev", Takes::Append).quoted().required()],
    settle: |dmraid, _| {
        let name = dmraid.values.owned("name").unwrap_or_default();
        dmraid.values.set_text("name", name.rsplit('/').next().unwrap_or_default());
        Ok(())
    },
    ..BASE
};

const INTERACTIVE: Command = Command {
    names: &["interactive"],
    sort: "Interactive",
    releases: Releases("F7-F15"),
    ended: ended("F14", "F15"),
    comment: "# Use interactive kickstart installation method\n",
    ..BASE
};

const LANGSUPPORT: Command = Command {
    names: &["langsupport"],
    sort: "LangSupport",
    releases: Releases("F7"),
    ended: ended("", "F7"),
    ..BASE
};

const LILO: Command = Command {
    names: &["lilo", "lilocheck"],
    sort: "Lilo",
    releases: Releases("F7"),
    ended: ended("", "F7"),
    ..BASE
};

const MONITOR: Command = Command {
    names: &["monitor"],
    sort: "Monitor",
    releases: Releases("F7-F18"),
    ended: ended("F10-F17", "F18"),
    rows: &[text!("hsync"), text!("monitor").quoted(), flag!("noprobe"), text!("vsync")],
    write: Some(|monitor, syntax| {
        let options = options(&MONITOR, monitor, syntax);
        if options.is_empty() { String::new() } else { format!("monitor{options}\n") }
    }),
    ..BASE
};

const MOUSE: Command =
    Command { names: &["mouse"], sort: "Mouse", releases: Releases("F7"), ended: ended("", "F7"), ..BASE };

const MULTIPATH: Command = Command {
    names: &["multipath"],
    sort: "MultiPath",
    rank: 50,
    ended: ended("F24-F33", "F34-"),
    lines: Lines::Add,
    rows: &[text!("name").required(), text!("device").required(), text!("rule").required()],
    write: Some(|multipath, _| {
        let values = &multipath.values;
        let [name, device, rule] = ["name", "device", "rule"].map(|key| values.text(key).unwrap_or_default());
        format!("multipath --name={} --device={} --rule={}\n", bare(name), bare(device), in_quotes(rule))
    }),
    ..BASE
};
