//! The command about network devices.

use super::super::Syntax;
use super::super::command::{BASE, Command, Lines, Occurrence};
use super::super::fault::Fault;
use super::super::row::{Releases, Row, Takes, flag, option, row, text};
use super::super::values::Values;
use super::super::words;
use super::options;

pub(super) const COMMANDS: &[Command] = &[NETWORK];

const NETWORK: Command = Command {
    names: &["network"],
    sort: "Network",
    lines: Lines::Add,
    rows: ROWS,
    comment: "# Network information\n",
    settle,
    // The blank is doubled, as it always was.
    write: Some(|network, syntax| format!("network {}\n", options(&NETWORK, network, syntax))),
    identity: &["device"],
    ..BASE
};

const PROTOCOLS: &[&str] = &["dhcp", "bootp", "static"];
const PROTOCOLS_QUERY: &[&str] = &["dhcp", "bootp", "static", "query"];
const PROTOCOLS_IBFT: &[&str] = &["dhcp", "bootp", "static", "query", "ibft"];

const ROWS: &[Row] = &[
    option!("bootproto", Takes::Choice(PROTOCOLS)).releases("F7-F8").default("dhcp"),
    option!("bootproto", Takes::Choice(PROTOCOLS_QUERY)).releases("F9-F13 F14-F15").default("dhcp"),
    option!("bootproto", Takes::Choice(PROTOCOLS_IBFT)).releases("RHEL6 F16-").default("dhcp"),
    text!("dhcpclass"),
    text!("device"),
    text!("essid").quoted(),
    text!("ethtool").quoted(),
    text!("gateway"),
    text!("hostname"),
    text!("ip"),
    text!("mtu"),
    text!("nameserver"),
    text!("netmask"),
    flag!("nodns"),
    option!("onboot", Takes::Boolean),
    text!("wepkey"),
    flag!("notksdevice"),
    flag!("noipv4"),
    flag!("noipv6"),
    text!("ipv6").releases("F8-"),
    row(&["--activate"], "activate", Takes::Constant("yes")).releases("RHEL6 F16-"),
    flag!("nodefroute").releases("RHEL6 F16-"),
    text!("wpakey").releases("F16-"),
    text!("vlanid").releases("RHEL6"),
    text!("bondslaves").releases("RHEL6 F19-"),
    text!("bondopts").releases("RHEL6 F19-"),
    text!("vlanid").releases("F19-"),
    text!("ipv6gateway").releases("F19-"),
    text!("teamslaves").quoted().releases("F20-").deprecated("RHEL10 RHEL11").instead("use --bondslaves"),
    text!("teamconfig").quoted().releases("F20-").deprecated("RHEL10 RHEL11").instead("use --bondopts"),
    text!("interfacename").releases("F21-"),
    text!("bridgeslaves").releases("RHEL7-"),
    text!("bridgeopts").releases("RHEL7-"),
    row(&["--no-activate"], "activate", Takes::Constant("no")).releases("RHEL7 F25-"),
    option!("bindto", Takes::Choice(&["mac"])).releases("RHEL7 F27-"),
    text!("ipv4-dns-search").releases("RHEL9 F39-"),
    text!("ipv6-dns-search").releases("RHEL9 F39-"),
    flag!("ipv4-ignore-auto-dns").releases("RHEL9 F39-"),
    flag!("ipv6-ignore-auto-dns").releases("RHEL9 F39-"),
];

fn settle(network: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    let values = &mut network.values;
    if values.text("onboot") == Some("on") {
        // On is what is meant when nothing is said.
        values.unset("onboot");
    }
    if values.has("noipv4") && Releases("F24-").include(syntax) {
        values.unset("bootproto");
    }
    if let Some(slaves) = values.owned("teamslaves") {
        values.set_text("teamslaves", team(&slaves));
    }
    bridge(values)?;
    if values.text("bindto").is_some() && values.text("vlanid").is_some() && values.text("bondopts").is_none()
    {
        return Err(Fault::new("--bindto=mac is not possible for a VLAN", "leave --bindto out"));
    }
    if let (Some(name), true) = (values.text("interfacename"), Releases("RHEL7").include(syntax)) {
        vlan_name(name)?;
    }
    let dns = ["ipv4-dns-search", "ipv6-dns-search", "ipv4-ignore-auto-dns", "ipv6-ignore-auto-dns"];
    match dns.iter().find(|key| values.has(key)) {
        Some(key) if values.text("device").is_none() => {
            Err(Fault::new(format!("--{key} needs a device"), "add --device=DEVICE"))
        }
        _ => Ok(()),
    }
}

fn bridge(values: &Values) -> Result<(), Fault> {
    let Some(options) = values.text("bridgeopts") else { return Ok(()) };
    if values.text("bridgeslaves").is_none() {
        return Err(Fault::new("--bridgeopts needs devices", "add --bridgeslaves=DEVICE,DEVICE"));
    }
    let is_pair = |option: &str| {
        option.split_once('=').is_some_and(|(_, value)| !value.is_empty() && !value.contains('='))
    };
    if options.split(',').all(is_pair) {
        Ok(())
    } else {
        Err(Fault::new(format!("--bridgeopts={options} is not possible"), "write KEY=VALUE,KEY=VALUE"))
    }
}

/// The name of a VLAN interface ends with the number of the VLAN.
fn vlan_name(name: &str) -> Result<(), Fault> {
    let number = match name.split_once('.') {
        Some(("vlan", _)) => None,
        Some((_, number)) => Some(number),
        None => match name.strip_prefix("vlan") {
            Some(number) => Some(number),
            None => return Ok(()),
        },
    };
    match number.and_then(|number| number.parse::<u16>().ok()) {
        Some(number) if number <= 4094 => Ok(()),
        _ => Err(Fault::new(
            format!("--interfacename={name} names no VLAN"),
            "write DEVICE.NUMBER or vlanNUMBER, with a number up to 4094",
        )),
    }
}

/// Slaves of a team, each with its configuration in single quotes after it.
fn team(slaves: &str) -> String {
    let mut written: Vec<String> = Vec::new();
    let mut parts = slaves.split('\'');
    while let Some(devices) = parts.next() {
        let configuration = parts.next().unwrap_or_default();
        let devices = devices.trim_matches(',');
        if devices.is_empty() && configuration.is_empty() {
            continue;
        }
        let mut devices: Vec<String> = devices.split(',').map(str::to_owned).collect();
        if let (Some(last), false) = (devices.last_mut(), configuration.is_empty()) {
            *last = format!("{last}'{configuration}'");
        }
        written.extend(devices);
    }
    written.join(",")
}

/// The words that name a device's servers.
pub(in crate::kickstart) fn servers(values: &Values) -> Vec<String> {
    let servers = values.text("nameserver").unwrap_or_default();
    servers.split(',').map(words::trimmed).filter(|server| !server.is_empty()).map(str::to_owned).collect()
}
