//! Commands about storage and screens reached over a network, and about subscriptions.

use super::super::command::{BASE, Command, Ended, Lines, Occurrence};
use super::super::fault::Fault;
use super::super::row::{Releases, Takes, flag, number, option, row, text, word};
use super::options;

pub(super) const COMMANDS: &[Command] =
    &[FCOE, ISCSI, ISCSINAME, LOGGING_OLD, LOGGING, RDP, RHSM, SSHPW, SYSPURPOSE, VNC, ZFCP];

const FCOE: Command = Command {
    names: &["fcoe"],
    sort: "Fcoe",
    rank: 71,
    releases: Releases("F12-"),
    lines: Lines::Add,
    rows: &[text!("nic").required(), flag!("dcb").releases("F13-"), flag!("autovlan").releases("RHEL7 F28-")],
    identity: &["nic"],
    ..BASE
};

const ISCSI: Command = Command {
    names: &["iscsi"],
    sort: "Iscsi",
    rank: 71,
    lines: Lines::Add,
    rows: &[
        text!("target"),
        text!("ipaddr").required(),
        number!("port").zero(),
        text!("user"),
        text!("password"),
        text!("reverse-user").releases("F10-"),
        text!("reverse-password").releases("F10-"),
        text!("iface").releases("RHEL6 F17-"),
    ],
    settle: |iscsi, _| {
        if iscsi.values.number("port") == Some(STANDARD_PORT) {
            iscsi.values.unset("port");
        }
        Ok(())
    },
    ..BASE
};

/// The port of iSCSI when nothing is said.
const STANDARD_PORT: i64 = 3260;

const ISCSINAME: Command =
    Command { names: &["iscsiname"], sort: "IscsiName", rank: 70, rows: &[word!("name")], ..BASE };

const LEVELS: &[&str] = &["debug", "info", "warning", "error", "critical"];

const LOGGING_OLD: Command = Command {
    names: &["logging"],
    sort: "Logging",
    releases: Releases("F7-F33"),
    rows: &[
        option!("level", Takes::Choice(LEVELS)).default("info"),
        text!("host"),
        text!("port").needs("host"),
    ],
    comment: "# Installation logging level\n",
    absent: |_| "\n",
    settle: port_needs_host,
    ..BASE
};

const LOGGING: Command = Command {
    names: &["logging"],
    sort: "Logging",
    releases: Releases("F34-"),
    rows: &[
        text!("level").releases("F34-F39").deprecated("F34-F39").hidden(),
        text!("host"),
        text!("port").needs("host"),
    ],
    comment: "# Installation logging level\n",
    settle: port_needs_host,
    write: Some(|logging, syntax| match logging.values.text("host") {
        Some(_) => format!("{}logging{}\n", LOGGING.comment, options(&LOGGING, logging, syntax)),
        None => String::new(),
    }),
    ..BASE
};

fn port_needs_host(logging: &mut Occurrence, _: super::Syntax) -> Result<(), Fault> {
    if logging.values.has("port") && logging.values.text("host").is_none() {
        return Err(Fault::new("--port needs a host", "add --host=HOST"));
    }
    Ok(())
}

const RDP: Command = Command {
    names: &["rdp"],
    sort: "RDP",
    releases: Releases("RHEL10 F43-"),
    rows: &[text!("username"), text!("password")],
    ..BASE
};

const RHSM: Command = Command {
    names: &["rhsm"],
    sort: "RHSM",
    releases: Releases("RHEL8 RHEL9 RHEL10 RHEL11"),
    rows: &[
        text!("organization").quoted().required(),
        option!("activation-key", Takes::Append).quoted().required(),
        flag!("connect-to-insights"),
        text!("proxy").quoted(),
        text!("server-hostname").quoted(),
        text!("rhsm-baseurl").quoted(),
        text!("flatpak-registry-url").quoted().releases("RHEL10 RHEL11"),
    ],
    comment: "# Red Hat Subscription Manager\n",
    settle: |rhsm, _| {
        if rhsm.values.list("activation-key").iter().any(String::is_empty) {
            return Err(Fault::new("the activation key is empty", "write --activation-key=KEY"));
        }
        Ok(())
    },
    ..BASE
};

const SSHPW: Command = Command {
    names: &["sshpw"],
    sort: "SshPw",
    releases: Releases("F13-"),
    lines: Lines::Add,
    rows: &[
        text!("username").required(),
        flag!("lock").releases("F13-F23"),
        flag!("sshkey").releases("F24-"),
        flag!("lock").releases("F24-"),
        row(&["--iscrypted"], "crypted", Takes::Constant("yes")),
        row(&["--plaintext"], "crypted", Takes::Constant("no")).default("no"),
        row(&["password"], "password", Takes::Words),
    ],
    settle: |sshpw, _| {
        if sshpw.values.list("password").is_empty() {
            return Err(Fault::new("the password is missing", "write it after the options"));
        }
        if sshpw.values.has("sshkey") {
            sshpw.values.unset("lock");
            sshpw.values.unset("crypted");
        }
        Ok(())
    },
    identity: &["username"],
    ..BASE
};

const SYSPURPOSE: Command = Command {
    names: &["syspurpose"],
    sort: "Syspurpose",
    releases: Releases("RHEL8 RHEL9 RHEL10 RHEL11"),
    rows: &[
        text!("role").quoted(),
        text!("sla").quoted(),
        text!("usage").quoted(),
        option!("addon", Takes::Append).quoted(),
    ],
    comment: "# Intended system purpose\n",
    write: Some(|purpose, syntax| {
        let options = options(&SYSPURPOSE, purpose, syntax);
        if options.is_empty() {
            String::new()
        } else {
            format!("{}syspurpose{options}\n", SYSPURPOSE.comment)
        }
    }),
    ..BASE
};

const VNC: Command = Command {
    names: &["vnc"],
    sort: "Vnc",
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("RHEL10 F43-F44"),
        removed: Releases("F45-"),
        instead: "write rdp --username=NAME --password=PASSWORD",
    },
    rows: &[
        text!("connect").releases("F7-F8").hidden(),
        text!("host"),
        text!("port").needs("host"),
        text!("password"),
    ],
    settle: |vnc, _| {
        let Some(connect) = vnc.values.owned("connect") else { return Ok(()) };
        let mut parts = connect.split(':');
        vnc.values.set_text("host", parts.next().unwrap_or_default());
        if let Some(port) = parts.next() {
            vnc.values.set_text("port", port);
        }
        vnc.values.unset("connect");
        Ok(())
    },
    ..BASE
};

const ZFCP: Command = Command {
    names: &["zfcp"],
    sort: "ZFCP",
    rank: 71,
    lines: Lines::Add,
    rows: &[
        text!("devnum").required(),
        text!("wwpn").required().releases("F7-F34 F35-F36"),
        text!("wwpn").releases("RHEL9 F37-"),
        text!("fcplun").required().releases("F7-F34 F35-F36"),
        text!("fcplun").releases("RHEL9 F37-"),
        text!("scsiid").required().releases("F7-F11"),
        text!("scsiid").releases("F12-RHEL6").deprecated("F12-RHEL6"),
        text!("scsilun").required().releases("F7-F11"),
        text!("scsilun").releases("F12-RHEL6").deprecated("F12-RHEL6"),
    ],
    settle: |zfcp, syntax| {
        if Releases("F7-F34 F35-F36").include(syntax)
            || zfcp.values.text("wwpn").is_some() == zfcp.values.text("fcplun").is_some()
        {
            return Ok(());
        }
        Err(Fault::new("--wwpn and --fcplun belong together", "give both or neither"))
    },
    identity: &["devnum", "wwpn", "fcplun"],
    ..BASE
};
