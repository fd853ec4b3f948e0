//! Commands about where the system and its packages come from.

use super::super::Syntax;
use super::super::command::{BASE, Command, Ended, Lines, Occurrence};
use super::super::fault::Fault;
use super::super::row::{Releases, Row, Takes, flag, list, number, option, text};
use super::super::words::{bare, in_quotes};
use super::{exactly_one, options};

pub(super) const COMMANDS: &[Command] =
    &[BOOTC, CDROM, HARDDRIVE, HMC, LIVEIMG, MODULE, NFS, OSTREECONTAINER, OSTREESETUP, REPO, URL];

/// The releases that can check servers with certificates of their own.
const WITH_CERTIFICATES: &str = "RHEL8 F30-";
const CA: Row = text!("sslcacert").quoted().releases(WITH_CERTIFICATES);
const CERTIFICATE: Row = text!("sslclientcert").quoted().releases(WITH_CERTIFICATES);
const KEY: Row = text!("sslclientkey").quoted().releases(WITH_CERTIFICATES);

const BOOTC: Command = Command {
    names: &["bootc"],
    sort: "Bootc",
    releases: Releases("RHEL10 F43-"),
    rows: &[
        text!("stateroot").quoted().default("default"),
        text!("source-imgref").quoted().required(),
        text!("target-imgref").quoted(),
        text!("bootloader").quoted().releases("F45-"),
        flag!("composefs").releases("F45-"),
    ],
    comment: "# Bootc setup\n",
    conflicts: &[("ostreesetup", Releases::ALL), ("ostreecontainer", Releases::ALL)],
    settle: |bootc, _| {
        if bootc.values.text("target-imgref").is_none() {
            let source = bootc.values.owned("source-imgref").unwrap_or_default();
            bootc.values.set_text("target-imgref", source);
        }
        Ok(())
    },
    ..BASE
};

const CDROM: Command =
    Command { names: &["cdrom"], sort: "Cdrom", comment: "# Use CDROM installation media\n", ..BASE };

const HARDDRIVE: Command = Command {
    names: &["harddrive"],
    sort: "HardDrive",
    rows: &[
        text!("dir").quoted().required(),
        text!("biospart").releases("F7-F32"),
        text!("partition").releases("F7-F32"),
        text!("partition").required().releases("F33-"),
    ],
    comment: "# Use hard drive installation media\n",
    settle: |harddrive, syntax| {
        if Releases("F33-").include(syntax) {
            return Ok(());
        }
        if harddrive.values.has("biospart") == harddrive.values.has("partition") {
            return Err(Fault::new(
                "the line does not say which partition",
                "add either --partition=VALUE or --biospart=VALUE",
            ));
        }
        Ok(())
    },
    ..BASE
};

const HMC: Command = Command {
    names: &["hmc"],
    sort: "Hmc",
    releases: Releases("RHEL7 F28-"),
    comment: "# Use installation media via SE/HMC\n",
    ..BASE
};

const LIVEIMG: Command = Command {
    names: &["liveimg"],
    sort: "Liveimg",
    releases: Releases("F19-"),
    rows: &[
        text!("url").quoted().required(),
        text!("proxy").quoted(),
        flag!("noverifyssl"),
        text!("checksum").quoted(),
    ],
    comment: "# Use live disk image installation\n",
    ..BASE
};

const MODULE: Command = Command {
    names: &["module"],
    sort: "Module",
    releases: Releases("RHEL8-"),
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("RHEL10-F44"),
        removed: Releases("F45-"),
        instead: "remove the line: there are no modules any more",
    },
    lines: Lines::Add,
    rows: &[text!("name").required(), text!("stream"), flag!("disable").releases("RHEL8 F31-")],
    ..BASE
};

const NFS: Command = Command {
    names: &["nfs"],
    sort: "NFS",
    rows: &[text!("server").required(), text!("dir").quoted().required(), text!("opts").quoted()],
    comment: "# Use NFS installation media\n",
    ..BASE
};

const OSTREECONTAINER: Command = Command {
    names: &["ostreecontainer"],
    sort: "OSTreeContainer",
    releases: Releases("RHEL9 F38-"),
    rows: &[
        text!("stateroot").quoted(),
        text!("remote").quoted(),
        flag!("no-signature-verification"),
        text!("transport").quoted(),
        text!("url").quoted().required(),
    ],
    comment: "# OSTree container setup\n",
    conflicts: &[("ostreesetup", Releases::ALL), ("bootc", Releases("RHEL10 F43-"))],
    settle: |container, _| {
        name_remote(container, "stateroot");
        Ok(())
    },
    ..BASE
};

const OSTREESETUP: Command = Command {
    names: &["ostreesetup"],
    sort: "OSTreeSetup",
    releases: Releases("F21-"),
    rows: &[
        text!("osname").quoted().required(),
        text!("remote").quoted(),
        text!("url").quoted().required(),
        text!("ref").quoted().required(),
        flag!("nogpg"),
    ],
    comment: "# OSTree setup\n",
    conflicts: &[("ostreecontainer", Releases("F38-")), ("bootc", Releases("RHEL10 F43-"))],
    settle: |setup, _| {
        name_remote(setup, "osname");
        let url = setup.values.text("url").unwrap_or_default();
        if ["file:", "http:", "https:"].iter().any(|scheme| url.starts_with(scheme)) {
            Ok(())
        } else {
            Err(Fault::new(format!("--url={url} is no repository"), "write a file:, http: or https: address"))
        }
    },
    ..BASE
};

/// A remote without a name is called after the system.
fn name_remote(occurrence: &mut Occurrence, key: &str) {
    if let (None, Some(name)) = (occurrence.values.text("remote"), occurrence.values.owned(key)) {
        occurrence.values.set_text("remote", name);
    }
}

const REPO: Command = Command {
    names: &["repo"],
    sort: "Repo",
    lines: Lines::Add,
    rows: &[
        text!("name").required().hidden(),
        text!("baseurl").hidden(),
        text!("mirrorlist").hidden(),
        number!("cost").releases("F8-"),
        list!("includepkgs").quoted().releases("F8-"),
        list!("excludepkgs").quoted().releases("F8-"),
        option!("ignoregroups", Takes::Boolean).releases("F11-F39").deprecated("F33-F39").hidden(),
        text!("proxy").quoted().releases("F13-"),
        flag!("noverifyssl").releases("RHEL6-"),
        flag!("install").releases("F21-"),
        text!("metalink").releases("F27-"),
        CA,
        CERTIFICATE,
        KEY,
    ],
    settle: |repo, syntax| {
        let named = Releases("F15-").include(syntax)
            && !["baseurl", "mirrorlist", "metalink"].iter().any(|key| repo.values.text(key).is_some());
        if named { Ok(()) } else { exactly_one(&repo.values, locations(syntax)) }
    },
    write: Some(write_repo),
    identity: &["name"],
    ..BASE
};

fn locations(syntax: Syntax) -> &'static [&'static str] {
    if Releases("F27-").include(syntax) {
        &["baseurl", "mirrorlist", "metalink"]
    } else {
        &["baseurl", "mirrorlist"]
    }
}

fn write_repo(repo: &Occurrence, syntax: Syntax) -> String {
    let values = &repo.values;
    let location = match (values.text("baseurl"), values.text("mirrorlist")) {
        (Some(url), _) => format!("--baseurl={}", bare(url)),
        (None, Some(url)) => format!("--mirrorlist={}", bare(url)),
        (None, None) => String::new(),
    };
    let mut options = options(&REPO, repo, syntax);
    if values.text("ignoregroups") == Some("on") {
        // It stands where it came in: before the options of later releases.
        let later =
            [" --proxy=", " --noverifyssl", " --install", " --metalink=", " --sslcacert=", " --sslclient"];
        let at = later.iter().filter_map(|option| options.find(option)).min().unwrap_or(options.len());
        options.insert_str(at, " --ignoregroups=true");
    }
    format!("repo --name={} {location}{options}\n", in_quotes(values.text("name").unwrap_or_default()))
}

const URL: Command = Command {
    names: &["url"],
    sort: "Url",
    rows: &[
        text!("url").quoted().required().releases("F7-F17"),
        text!("url").quoted().releases("F18-"),
        text!("mirrorlist").quoted().releases("F18-"),
        text!("metalink").quoted().releases("F27-"),
        text!("proxy").quoted().releases("F13-"),
        flag!("noverifyssl").releases("RHEL6-"),
        CA,
        CERTIFICATE,
        KEY,
    ],
    comment: "# Use network installation\n",
    settle: |url, syntax| {
        let keys: &[&str] = if Releases("F27-").include(syntax) {
            &["url", "mirrorlist", "metalink"]
        } else {
            &["url", "mirrorlist"]
        };
        exactly_one(&url.given, keys)?;
        // Of the addresses of several lines the plainest kind holds.
        let kept = keys.iter().find(|key| url.values.text(key).is_some()).copied();
        for key in keys.iter().filter(|key| Some(**key) != kept) {
            url.values.unset(key);
        }
        Ok(())
    },
    ..BASE
};
