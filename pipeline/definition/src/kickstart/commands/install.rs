//! Commands about how the installation itself runs and ends.

use super::super::Syntax;
use super::super::command::{BASE, Command, Ended, Lines, Occurrence, Reads};
use super::super::fault::Fault;
use super::super::row::{Releases, Takes, flag, row, text, word};
use super::super::words::bare;
use super::options;

pub(super) const COMMANDS: &[Command] = &[
    DISPLAY,
    DRIVERDISK,
    EULA,
    INSTALL_OR_UPGRADE,
    INSTALL_7,
    INSTALL,
    UPGRADE,
    KEY,
    MEDIACHECK,
    REBOOT,
    RESCUE,
    UNSUPPORTED,
    UPDATES_OLD,
    UPDATES,
];

const DISPLAY: Command = Command {
    names: &["text", "graphical", "cmdline"],
    sort: "DisplayMode",
    rows: &[flag!("non-interactive").releases("F26-")],
    settle: |display, _| {
        if display.name == "cmdline" && display.values.has("non-interactive") {
            return Err(Fault::new("cmdline never asks", "leave --non-interactive out"));
        }
        Ok(())
    },
    write: Some(|display, syntax| {
        let comment = match display.name.as_str() {
            "text" => "# Use text mode install\n",
            "graphical" => "# Use graphical install\n",
            _ => "",
        };
        format!("{comment}{}{}\n", display.name, options(&DISPLAY, display, syntax))
    }),
    ..BASE
};

const DRIVERDISK: Command = Command {
    names: &["driverdisk"],
    sort: "DriverDisk",
    lines: Lines::Add,
    rows: &[
        row(&["partition"], "partition", Takes::OptionalWord),
        text!("type").releases("F7-RHEL6").deprecated("F12-RHEL6").needs("partition"),
        text!("source"),
        text!("biospart"),
    ],
    settle: |driverdisk, _| super::exactly_one(&driverdisk.values, &["partition", "source", "biospart"]),
    ..BASE
};

const EULA: Command = Command {
    names: &["eula"],
    sort: "Eula",
    releases: Releases("F20-"),
    rows: &[row(&["--agreed", "--agree", "--accepted", "--accept"], "agreed", Takes::Nothing)],
    comment: "# License agreement\n",
    settle: |eula, _| {
        if eula.values.has("agreed") {
            Ok(())
        } else {
            Err(Fault::new("nothing is agreed to", "write eula --agreed"))
        }
    },
    ..BASE
};

const INSTALLS: &str = "# Install OS instead of upgrade\ninstall\n";

const INSTALL_OR_UPGRADE: Command = Command {
    names: &["install", "upgrade"],
    sort: "Upgrade",
    releases: Releases("F7-F19"),
    rows: &[text!("root-device").releases("F11-").default("")],
    settle: |line, _| {
        let emptied = line.given.has("root-device") && line.given.text("root-device").is_none();
        if emptied {
            Err(Fault::new("--root-device is empty", "name the device, or leave it out"))
        } else {
            Ok(())
        }
    },
    write: Some(|line, _| match (line.name.as_str(), line.values.text("root-device")) {
        ("upgrade", Some(device)) => {
            format!("# Upgrade existing installation\nupgrade --root-device={}\n", bare(device))
        }
        ("upgrade", None) => "# Upgrade existing installation\nupgrade\n".to_owned(),
        _ => INSTALLS.to_owned(),
    }),
    ..BASE
};

const INSTALL_7: Command = Command {
    names: &["install"],
    sort: "Upgrade",
    releases: Releases("RHEL7"),
    rows: &[text!("root-device")],
    write: Some(|_, _| INSTALLS.to_owned()),
    ..BASE
};

const INSTALL: Command = Command {
    names: &["install"],
    sort: "Install",
    releases: Releases("F20-F21 F22-"),
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("RHEL8-F33"),
        removed: Releases("F34-"),
        instead: "remove the line: nothing but installing is possible",
    },
    rows: &[text!("root-device")],
    write: Some(|_, _| INSTALLS.to_owned()),
    ..BASE
};

const UPGRADE: Command = Command {
    names: &["upgrade"],
    sort: "Upgrade",
    releases: Releases("F20-F28 F29"),
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("F20-F28"),
        removed: Releases("F29"),
        instead: "remove the line: systems are upgraded with dnf system-upgrade",
    },
    ..BASE
};

const KEY: Command = Command {
    names: &["key"],
    sort: "Key",
    releases: Releases("RHEL6"),
    reads: Reads::Rest,
    rows: &[flag!("skip")],
    settle: |key, _| {
        if key.given.has("skip") || key.values.list("rest").len() == 1 {
            return Ok(());
        }
        Err(Fault::new("the key is missing", "write the key, or --skip"))
    },
    write: Some(|key, _| match key.values.list("rest").first() {
        Some(number) if !key.values.has("skip") => format!("key {}\n", bare(number)),
        _ => "key --skip\n".to_owned(),
    }),
    ..BASE
};

const MEDIACHECK: Command = Command { names: &["mediacheck"], sort: "MediaCheck", ..BASE };

const REBOOT: Command = Command {
    names: &["reboot", "shutdown", "poweroff", "halt"],
    sort: "Reboot",
    rows: &[flag!("eject"), flag!("kexec").releases("F23-")],
    write: Some(write_reboot),
    ..BASE
};

fn write_reboot(reboot: &Occurrence, syntax: Syntax) -> String {
    let (comment, name) = match reboot.name.as_str() {
        "reboot" => ("Reboot", "reboot"),
        "halt" if Releases("F18-").include(syntax) => ("Halt", "halt"),
        // To wait for a key was the rule then, and nothing was written for it.
        "halt" => return String::new(),
        _ => ("Shutdown", "shutdown"),
    };
    format!("# {comment} after installation\n{name}{}\n", options(&REBOOT, reboot, syntax))
}

const RESCUE: Command = Command {
    names: &["rescue"],
    sort: "Rescue",
    releases: Releases("F10-"),
    rows: &[flag!("nomount"), flag!("romount")],
    comment: "# Start rescue mode\n",
    settle: |rescue, _| super::only_one(&rescue.values, &["nomount", "romount"]),
    ..BASE
};

const UNSUPPORTED: Command = Command {
    names: &["unsupported_hardware"],
    sort: "UnsupportedHardware",
    releases: Releases("RHEL6 RHEL7"),
    ..BASE
};

const UPDATES_OLD: Command = Command {
    names: &["updates"],
    sort: "Updates",
    releases: Releases("F7-F33"),
    rows: &[row(&["address"], "address", Takes::OptionalWord)],
    settle: |updates, _| {
        // Without an address they come from a floppy disk, whatever an earlier line says.
        if !updates.given.has("address") {
            updates.values.unset("address");
        }
        Ok(())
    },
    ..BASE
};

const UPDATES: Command = Command {
    names: &["updates"],
    sort: "Updates",
    releases: Releases("F34-"),
    rows: &[word!("address")],
    ..BASE
};
