//! Commands about the settings of the installed system.

use super::super::Syntax;
use super::super::command::{BASE, Command, Ended, Lines, Occurrence, Reads};
use super::super::fault::Fault;
use super::super::row::{Releases, Takes, flag, list, number, row, text, word};
use super::super::values::{Value, Values};
use super::super::words::{bare, in_quotes};
use super::{exactly_one, only_one, options};

pub(super) const COMMANDS: &[Command] = &[
    AUTH,
    AUTHSELECT,
    FIREWALL,
    FIRSTBOOT,
    GROUP,
    KEYBOARD_OLD,
    KEYBOARD,
    LANG,
    REALM,
    ROOTPW,
    SELINUX,
    SERVICES,
    SKIPX,
    SSHKEY,
    TIMESOURCE,
    TIMEZONE,
    USER,
    XCONFIG,
];

const AUTH: Command = Command {
    names: &["auth", "authconfig"],
    sort: "Authconfig",
    ended: Ended {
        discouraged: Releases("F28-F34"),
        deprecated: Releases(""),
        removed: Releases("F35-"),
        instead: "write authselect, or remove the line",
    },
    reads: Reads::Raw,
    comment: "# System authorization information\n",
    write: Some(|auth, _| raw_line(&AUTH, auth)),
    ..BASE
};

const AUTHSELECT: Command = Command {
    names: &["authselect"],
    sort: "Authselect",
    releases: Releases("F28-"),
    reads: Reads::Raw,
    comment: "# System authorization information\n",
    write: Some(|authselect, _| raw_line(&AUTHSELECT, authselect)),
    ..BASE
};

fn raw_line(command: &Command, occurrence: &Occurrence) -> String {
    if occurrence.raw.is_empty() {
        return String::new();
    }
    format!("{}{} {}\n", command.comment, command.name(), occurrence.raw)
}

const FIREWALL: Command = Command {
    names: &["firewall"],
    sort: "Firewall",
    rows: &[
        row(&["--disabled", "--disable"], "enabled", Takes::Constant("no")),
        row(&["--enabled", "--enable"], "enabled", Takes::Constant("yes")).default("yes"),
        row(&["--ftp"], "ports", Takes::Constants(&["21:tcp"])).releases("F7-F9"),
        row(&["--http"], "ports", Takes::Constants(&["80:tcp", "443:tcp"])).releases("F7-F9"),
        row(&["--smtp"], "ports", Takes::Constants(&["25:tcp"])).releases("F7-F9"),
        row(&["--ssh"], "ports", Takes::Constants(&["22:tcp"])).releases("F7-F9"),
        row(&["--telnet"], "ports", Takes::Constants(&["23:tcp"])).releases("F7-F9"),
        text!("high").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("medium").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("telnet").releases("F10-RHEL6").deprecated("F10-RHEL6").hidden(),
        row(&["--ftp"], "services", Takes::Constants(&["ftp"])).releases("F10-"),
        row(&["--http"], "services", Takes::Constants(&["http"])).releases("F10-"),
        row(&["--smtp"], "services", Takes::Constants(&["smtp"])).releases("F10-"),
        row(&["--ssh"], "services", Takes::Constants(&["ssh"])).releases("F10-"),
        row(&["--port"], "ports", Takes::Ports),
        row(&["--trust"], "trusts", Takes::Append),
        row(&["--service"], "services", Takes::Lists).releases("F10-"),
        row(&["--remove-service"], "remove-services", Takes::Lists).releases("F20-"),
        flag!("use-system-defaults").releases("F28-"),
    ],
    write: Some(|firewall, _| write_firewall(&firewall.values)),
    ..BASE
};

fn write_firewall(values: &Values) -> String {
    let mut line = "# Firewall configuration\nfirewall".to_owned();
    if values.has("use-system-defaults") {
        line.push_str(" --use-system-defaults");
    } else if values.text("enabled") == Some("no") {
        line.push_str(" --disabled");
    } else {
        line.push_str(" --enabled");
        for (option, key) in [
            ("port", "ports"),
            ("trust", "trusts"),
            ("service", "services"),
            ("remove-service", "remove-services"),
        ] {
            let items = values.list(key);
            if !items.is_empty() {
                line.extend([" --", option, "=", &bare(&items.join(","))]);
            }
        }
    }
    line.push('\n');
    line
}

const FIRSTBOOT: Command = Command {
    names: &["firstboot"],
    sort: "Firstboot",
    rows: &[
        row(&["--disable", "--disabled"], "mode", Takes::Constant("disable")).default(""),
        row(&["--enable", "--enabled"], "mode", Takes::Constant("enable")),
        row(&["--reconfig"], "mode", Takes::Constant("reconfig")),
    ],
    write: Some(|firstboot, _| match firstboot.values.text("mode") {
        Some("disable") => "firstboot --disable\n".to_owned(),
        Some(mode) => format!("# Run the Setup Agent on first boot\nfirstboot --{mode}\n"),
        None => String::new(),
    }),
    ..BASE
};

const GROUP: Command = Command {
    names: &["group"],
    sort: "Group",
    releases: Releases("F12-"),
    lines: Lines::Add,
    rows: &[text!("name").required(), number!("gid")],
    identity: &["name"],
    ..BASE
};

const KEYBOARD_OLD: Command = Command {
    names: &["keyboard"],
    sort: "Keyboard",
    releases: Releases("F7-F17"),
    rows: &[word!("keyboard")],
    comment: "# System keyboard\n",
    ..BASE
};

const KEYBOARD: Command = Command {
    names: &["keyboard"],
    sort: "Keyboard",
    releases: Releases("F18-"),
    rows: &[
        row(&["keyboard"], "keyboard", Takes::OptionalWord),
        text!("vckeymap").default(""),
        list!("xlayouts"),
        list!("switch"),
    ],
    settle: |keyboard, _| {
        let values = &keyboard.values;
        let any = keyboard.given.text("keyboard").or(values.text("vckeymap")).is_some();
        if any || !values.list("xlayouts").is_empty() {
            return Ok(());
        }
        Err(Fault::new("the line names no keyboard", "write --vckeymap=us or --xlayouts=us"))
    },
    write: Some(|keyboard, _| write_keyboard(&keyboard.values)),
    ..BASE
};

fn write_keyboard(values: &Values) -> String {
    let apostrophes = |items: &[String]| items.iter().map(|item| apart(item)).collect::<Vec<_>>().join(",");
    let mut text = "# Keyboard layouts\n".to_owned();
    let (old, console, layouts) = (values.text("keyboard"), values.text("vckeymap"), values.list("xlayouts"));
    if console.is_none() && layouts.is_empty() {
        text.extend(["keyboard ", &apart(old.unwrap_or_default()), "\n"]);
        return text;
    }
    text.push_str("keyboard");
    if let Some(console) = console {
        text.extend([" --vckeymap=", &bare(console)]);
    }
    for (option, items) in [("xlayouts", layouts), ("switch", values.list("switch"))] {
        if !items.is_empty() {
            text.extend([" --", option, "=", &apostrophes(items)]);
        }
    }
    text.push('\n');
    text
}

/// The text in single quotes, or in double ones when it has single ones itself.
fn apart(text: &str) -> String {
    if text.contains('\'') { in_quotes(text) } else { format!("'{text}'") }
}

const LANG: Command = Command {
    names: &["lang"],
    sort: "Lang",
    rows: &[word!("language"), list!("addsupport").releases("F19-")],
    comment: "# System language\n",
    ..BASE
};

const REALM: Command = Command {
    names: &["realm"],
    sort: "Realm",
    releases: Releases("F19-"),
    reads: Reads::Raw,
    comment: "# Realm or domain membership\n",
    settle: |realm, _| {
        let words = super::super::words::split(&realm.raw, super::super::words::Comments::Kept);
        match words.unwrap_or_default().as_slice() {
            [command, .., _] if command == "join" => Ok(()),
            _ => Err(Fault::new("only joining a realm is possible", "write realm join REALM")),
        }
    },
    write: Some(|realm, _| raw_line(&REALM, realm)),
    ..BASE
};

const ROOTPW: Command = Command {
    names: &["rootpw"],
    sort: "RootPw",
    rows: &[
        row(&["--iscrypted"], "crypted", Takes::Constant("yes")),
        flag!("lock").releases("F8-"),
        row(&["--plaintext"], "crypted", Takes::Constant("no")).releases("F8-").default("no"),
        flag!("allow-ssh").releases("RHEL9 F37-"),
        row(&["password"], "password", Takes::OptionalWord),
    ],
    comment: "# Root password\n",
    settle: |root, syntax| {
        let locked = root.given.has("lock") && Releases("F18-").include(syntax);
        if locked || root.given.text("password").is_some() {
            return Ok(());
        }
        Err(Fault::new("the password is missing", "write it after the command, or --lock alone"))
    },
    write: Some(|root, syntax| {
        if root.values.text("password").is_none() {
            return "#Root password\nrootpw --lock\n".to_owned();
        }
        format!("{}rootpw{}\n", ROOTPW.comment, options(&ROOTPW, root, syntax))
    }),
    ..BASE
};

const SELINUX: Command = Command {
    names: &["selinux"],
    sort: "SELinux",
    rows: &[
        row(&["--disabled"], "mode", Takes::Constant("disabled")),
        row(&["--enforcing"], "mode", Takes::Constant("enforcing")),
        row(&["--permissive"], "mode", Takes::Constant("permissive")),
    ],
    comment: "# SELinux configuration\n",
    write: Some(|selinux, syntax| match selinux.values.text("mode") {
        Some(_) => format!("{}selinux{}\n", SELINUX.comment, options(&SELINUX, selinux, syntax)),
        None => String::new(),
    }),
    ..BASE
};

const SERVICES: Command = Command {
    names: &["services"],
    sort: "Services",
    rows: &[list!("disabled").quoted(), list!("enabled").quoted()],
    comment: "# System services\n",
    settle: |services, _| {
        if services.values.list("disabled").is_empty() && services.values.list("enabled").is_empty() {
            return Err(Fault::new("the line names no service", "add --enabled=NAME,NAME without blanks"));
        }
        Ok(())
    },
    ..BASE
};

const SKIPX: Command =
    Command { names: &["skipx"], sort: "SkipX", comment: "# Do not configure the X Window System\n", ..BASE };

const SSHKEY: Command = Command {
    names: &["sshkey"],
    sort: "SshKey",
    releases: Releases("F22-"),
    lines: Lines::Add,
    rows: &[text!("username").required(), word!("key").quoted()],
    identity: &["username"],
    ..BASE
};

const TIMESOURCE: Command = Command {
    names: &["timesource"],
    sort: "Timesource",
    releases: Releases("F33-"),
    lines: Lines::Add,
    rows: &[text!("ntp-server"), text!("ntp-pool"), flag!("nts"), flag!("ntp-disable")],
    settle: |timesource, _| exactly_one(&timesource.values, &["ntp-server", "ntp-pool", "ntp-disable"]),
    ..BASE
};

const USE_TIMESOURCE: &str = "write timesource --ntp-server=SERVER, a line for each";

const TIMEZONE: Command = Command {
    names: &["timezone"],
    sort: "Timezone",
    rows: &[
        word!("time zone").releases("F7-F21 F22-F24"),
        row(&["time zone"], "time zone", Takes::OptionalWord).releases("RHEL7 F25-"),
        row(&["--isUtc", "--utc"], "utc", Takes::Nothing).releases("F7-F31"),
        row(&["--utc"], "utc", Takes::Nothing).releases("F32-"),
        row(&["--isUtc"], "utc", Takes::Nothing)
            .releases("F32-F40 F41-F46")
            .deprecated("F32-F46")
            .instead("write --utc")
            .hidden(),
        flag!("nontp")
            .releases("F18-F40 F41-F46")
            .deprecated("F33-F46")
            .instead("write timesource --ntp-disable"),
        list!("ntpservers").releases("F18-F40 F41-F46").deprecated("F33-F46").instead(USE_TIMESOURCE),
    ],
    comment: "# System timezone\n",
    settle: settle_timezone,
    write: Some(|timezone, syntax| {
        let options = options(&TIMEZONE, timezone, syntax);
        if Releases("F18-").include(syntax) {
            return if options.is_empty() {
                String::new()
            } else {
                format!("{}timezone{options}\n", TIMEZONE.comment)
            };
        }
        let utc = if timezone.values.has("utc") { "--isUtc" } else { "" };
        let zone = timezone.values.text("time zone").map(bare).unwrap_or_default();
        format!("{}timezone {utc} {zone}\n", TIMEZONE.comment)
    }),
    ..BASE
};

fn settle_timezone(timezone: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    if timezone.given == Values::default() {
        return Err(Fault::new("the line names no time zone", "write timezone Etc/UTC --utc"));
    }
    if !timezone.given.has("time zone") {
        // A later line without a zone takes the zone of an earlier one back.
        timezone.values.unset("time zone");
    }
    if Releases("F18-F22").include(syntax) {
        let mut servers: Vec<String> = Vec::new();
        for server in timezone.values.list("ntpservers") {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        if !servers.is_empty() {
            timezone.values.set("ntpservers", Value::List(servers));
        }
    }
    only_one(&timezone.values, &["nontp", "ntpservers"])
}

const USER: Command = Command {
    names: &["user"],
    sort: "User",
    lines: Lines::Add,
    rows: &[
        list!("groups"),
        text!("homedir"),
        text!("name").required(),
        text!("password"),
        row(&["--iscrypted"], "crypted", Takes::Constant("yes")),
        row(&["--plaintext"], "crypted", Takes::Constant("no")).releases("F8-").hidden(),
        text!("shell"),
        number!("uid"),
        flag!("lock").releases("F8-"),
        text!("gecos").quoted().releases("F12-"),
        number!("gid").releases("F19-"),
    ],
    identity: &["name"],
    ..BASE
};

const XCONFIG: Command = Command {
    names: &["xconfig"],
    sort: "XConfig",
    rows: &[
        text!("driver").releases("F7-F13").deprecated("F10-F13"),
        text!("card").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("hsync").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("monitor").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("noprobe").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("vsync").releases("F7-F8").deprecated("F7-F8").hidden(),
        text!("defaultdesktop"),
        number!("depth").releases("F7-F13").deprecated("F10-F13"),
        text!("resolution").releases("F7-F13").deprecated("F10-F13"),
        flag!("startxonboot"),
        text!("videoram").releases("F7-F9"),
        text!("videoram").releases("F10-F13").deprecated("F10-F13").hidden(),
    ],
    comment: "# X Window System configuration information\n",
    write: Some(|xconfig, syntax| {
        let options = options(&XCONFIG, xconfig, syntax);
        // The blank is doubled, as it always was.
        if options.is_empty() { String::new() } else { format!("{}xconfig {options}\n", XCONFIG.comment) }
    }),
    ..BASE
};
