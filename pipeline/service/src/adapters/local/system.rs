//! The settings of the installed system: what a kickstart's commands say beside packages, disks and scripts.
//!
//! Each setting is written as the file that the image's own tools would have written. What cannot be applied is
//! reported, never passed over.

use std::path::Path;

use muster_definition::kickstart::{Firewall, Kickstart, Network, Selinux, System, Timezone};
use uuid::Uuid;

use super::accounts;
use super::fault::Result;
use super::place::{exists, link, read, write};
use super::units;

/// Applies the settings to the tree at `root`. `seed` makes what would be random. Gives what a person should know.
pub fn apply(root: &Path, kickstart: &Kickstart, seed: Uuid) -> Result<Vec<String>> {
    let system = &kickstart.system;
    let mut warnings: Vec<String> = kickstart.warnings.iter().map(ToString::to_string).collect();
    locale(root, system)?;
    if let Some(timezone) = &system.timezone {
        warnings.extend(time(root, timezone)?);
    }
    for network in &system.networks {
        warnings.extend(name_and_network(root, network)?);
    }
    if let Some(mode) = system.selinux {
        warnings.extend(selinux(root, mode)?);
    }
    if let Some(firewall) = &system.firewall {
        warnings.extend(firewalling(root, firewall)?);
    }
    warnings.extend(accounts::apply(root, system, seed)?);
    for service in &system.services.enabled {
        warnings.extend(units::enable(root, service)?);
    }
    for service in &system.services.disabled {
        warnings.extend(units::disable(root, service)?);
    }
    default_target(root, system)?;
    if let Some(arguments) = &system.authentication {
        warnings.push(format!("authselect {arguments}: not applied; run authselect in a %post script"));
    }
    // Each machine makes an identity of its own at its first start.
    write(root, "/etc/machine-id", "", 0o444)?;
    Ok(warnings)
}

fn locale(root: &Path, system: &System) -> Result<()> {
    if let Some(language) = &system.language {
        write(root, "/etc/locale.conf", &format!("LANG=\"{}\"\n", language.locale), 0o644)?;
    }
    if let Some(keyboard) = &system.keyboard
        && let Some(map) = keyboard.console.as_ref().or(keyboard.layouts.first())
    {
        write(root, "/etc/vconsole.conf", &format!("KEYMAP=\"{map}\"\n"), 0o644)?;
    }
    Ok(())
}

fn time(root: &Path, timezone: &Timezone) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(name) = &timezone.name {
        link(root, "/etc/localtime", &format!("../usr/share/zoneinfo/{name}"))?;
        if !exists(root, &format!("/usr/share/zoneinfo/{name}")) {
            warnings.push(format!("timezone {name}: the image has no such time zone, so it runs in UTC"));
        }
    }
    let clock = if timezone.utc { "UTC" } else { "LOCAL" };
    write(root, "/etc/adjtime", &format!("0.0 0 0.0\n0\n{clock}\n"), 0o644)?;
    if !timezone.ntp_servers.is_empty() {
        warnings.push("timezone --ntpservers: not applied; write the servers in a %post script".to_owned());
    }
    Ok(warnings)
}

fn name_and_network(root: &Path, network: &Network) -> Result<Option<String>> {
    if let Some(name) = &network.hostname {
        write(root, "/etc/hostname", &format!("{name}\n"), 0o644)?;
    }
    let asks = network.ip.is_some() || network.bootproto.as_deref().is_some_and(|proto| proto != "dhcp");
    Ok(asks.then(|| {
        "network: only DHCP and --hostname are applied to an image; write other settings in a %post script".to_owned()
    }))
}

fn selinux(root: &Path, mode: Selinux) -> Result<Option<String>> {
    let config = read(root, "/etc/selinux/config")?;
    if config.is_empty() {
        let wants = mode != Selinux::Disabled;
        return Ok(
            wants.then(|| "selinux: the image has no SELinux policy, so there is nothing to set".to_owned())
        );
    }
    let word = match mode {
        Selinux::Enforcing => "enforcing",
        Selinux::Permissive => "permissive",
        Selinux::Disabled => "disabled",
    };
    let lines = config.lines().map(|line| match line.strip_prefix("SELINUX=") {
        Some(_) => format!("SELINUX={word}\n"),
        None => format!("{line}\n"),
    });
    write(root, "/etc/selinux/config", &lines.collect::<String>(), 0o644)?;
    if mode == Selinux::Disabled {
        return Ok(None);
    }
    write(root, "/.autorelabel", "", 0o644)?;
    Ok(Some("selinux: the files carry no labels yet; the image labels them at its first start".to_owned()))
}

fn firewalling(root: &Path, firewall: &Firewall) -> Result<Option<String>> {
    let unit = "firewalld";
    let installed = exists(root, "/usr/lib/systemd/system/firewalld.service");
    let rules = !(firewall.ports.is_empty() && firewall.services.is_empty() && firewall.trusts.is_empty());
    match firewall.enabled {
        Some(true) if !installed => {
            Ok(Some("firewall --enabled: the image has no firewalld, so nothing is filtered".to_owned()))
        }
        Some(true) => {
            let warning = units::enable(root, unit)?;
            let rules =
                rules.then(|| "firewall: ports and services are not applied; use a %post script".to_owned());
            Ok(warning.or(rules))
        }
        Some(false) if installed => units::disable(root, unit),
        Some(false) | None => Ok(None),
    }
}

fn default_target(root: &Path, system: &System) -> Result<()> {
    let target = if system.start_x { "graphical.target" } else { "multi-user.target" };
    let unit = format!("/usr/lib/systemd/system/{target}");
    if exists(root, &unit) {
        link(root, "/etc/systemd/system/default.target", &unit)?;
    }
    Ok(())
}
