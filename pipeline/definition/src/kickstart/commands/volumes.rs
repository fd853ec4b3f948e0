//! Commands about RAID devices, logical volumes, btrfs and Stratis.

use super::super::Syntax;
use super::super::command::{BASE, Command, Ended, Lines, Occurrence, Reads, words_written};
use super::super::fault::Fault;
use super::super::row::{Releases, Row, Takes, flag, list, number, option, row, text, word};
use super::super::values::{Value, Values};
use super::super::words;
use super::disks::{mkfs_options, no_btrfs, normal};
use super::encryption::{
    self, BACKUP, CIPHER, EARLY_CIPHER, ENCRYPTED, ESCROW, LUKS, PASSPHRASE, PBKDF, PBKDF_MEMORY,
    PBKDF_ROUNDS, PBKDF_TIME,
};
use super::options;

pub(super) const COMMANDS: &[Command] = &[BTRFS, LOGVOL, RAID, STRATISFS, STRATISPOOL, VOLGROUP];

const BTRFS_LEVELS: &[(&str, &str)] = &[
    ("raid0", "raid0"),
    ("0", "raid0"),
    ("raid1", "raid1"),
    ("1", "raid1"),
    ("raid10", "raid10"),
    ("10", "raid10"),
    ("single", "single"),
];

const BTRFS: Command = Command {
    names: &["btrfs"],
    sort: "BTRFS",
    rank: 132,
    releases: Releases("F17-"),
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("RHEL8 RHEL9"),
        removed: Releases("RHEL10 RHEL11"),
        instead: "use part or logvol with another file system",
    },
    lines: Lines::Add,
    reads: Reads::Rest,
    rows: &[
        flag!("noformat"),
        flag!("useexisting"),
        text!("label").quoted(),
        option!("data", Takes::Means(BTRFS_LEVELS)),
        option!("metadata", Takes::Means(BTRFS_LEVELS)),
        flag!("subvol"),
        text!("name").needs("subvol"),
        text!("parent").hidden(),
        text!("mkfsoptions").quoted().releases("RHEL7 F23-"),
    ],
    settle: settle_btrfs,
    write: Some(|btrfs, syntax| {
        let point = btrfs.values.text("mount point").map(words::bare).unwrap_or_default();
        format!("btrfs {point}{}{}\n", options(&BTRFS, btrfs, syntax), members(&btrfs.values, "devices"))
    }),
    identity: &["mount point"],
    ..BASE
};

fn settle_btrfs(btrfs: &mut Occurrence, _: Syntax) -> Result<(), Fault> {
    keep_existing(&mut btrfs.values);
    if btrfs.values.has("useexisting") {
        btrfs.values.set("noformat", Value::Set);
    }
    let mut rest = btrfs.values.list("rest").to_vec();
    if rest.is_empty() {
        return Err(Fault::new("the mount point is missing", "write it after the command"));
    }
    let point = rest.remove(0);
    if rest.is_empty() {
        return Err(Fault::new(
            "there is nothing to make it on",
            "name its partitions or the volume above it",
        ));
    }
    btrfs.values.set_text("mount point", normal(&point));
    btrfs.values.set("devices", Value::List(rest));
    if btrfs.values.has("subvol") && btrfs.values.text("name").is_none() {
        return Err(Fault::new("the subvolume has no name", "add --name=NAME"));
    }
    mkfs_options(&btrfs.values)
}

/// What is not formatted is what exists already.
fn keep_existing(values: &mut Values) {
    if values.has("noformat") {
        values.set("useexisting", Value::Set);
    }
}

fn members(values: &Values, key: &str) -> String {
    words_written(values.list(key))
}

const LOGVOL: Command = Command {
    names: &["logvol"],
    sort: "LogVol",
    rank: 133,
    lines: Lines::Add,
    rows: LOGVOL_ROWS,
    conflicts: &[("autopart", Releases("RHEL6 F20-")), ("mount", Releases("F27-"))],
    settle: settle_logvol,
    identity: &["vgname", "name"],
    ..BASE
};

const LOGVOL_ROWS: &[Row] = &[
    word!("mount point"),
    text!("fstype").quoted(),
    flag!("grow"),
    number!("maxsize"),
    flag!("noformat"),
    number!("percent"),
    flag!("recommended"),
    number!("size"),
    flag!("useexisting"),
    number!("bytes-per-inode").releases("F7-F8").default("4096").zero(),
    text!("bytes-per-inode").releases("F9-RHEL6").deprecated("F9-RHEL6").hidden(),
    text!("fsoptions").quoted(),
    text!("fsprofile").quoted().releases("F9-"),
    ENCRYPTED,
    PASSPHRASE,
    ESCROW,
    BACKUP,
    EARLY_CIPHER,
    flag!("hibernation").releases("RHEL6"),
    text!("label").quoted().releases("F15-"),
    flag!("resize").releases("F17-"),
    flag!("hibernation").releases("F18-"),
    CIPHER,
    flag!("thinpool").releases("RHEL6 F20-"),
    number!("metadatasize").releases("RHEL6 F20-").needs("thinpool"),
    number!("chunksize").releases("RHEL6 F20-").needs("thinpool"),
    flag!("thin").releases("RHEL6 F20-"),
    text!("poolname").releases("RHEL6 F20-").needs("thin"),
    text!("profile").releases("RHEL6 F21-"),
    text!("mkfsoptions").quoted().releases("RHEL7"),
    number!("cachesize").releases("F23-"),
    list!("cachepvs").releases("F23-"),
    text!("cachemode").releases("F23-"),
    text!("mkfsoptions").quoted().releases("F23-"),
    LUKS,
    PBKDF,
    PBKDF_MEMORY,
    PBKDF_TIME,
    PBKDF_ROUNDS,
    text!("name").required(),
    text!("vgname").required(),
];

fn settle_logvol(logvol: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    keep_existing(&mut logvol.values);
    let point = normal(logvol.values.text("mount point").unwrap_or_default());
    logvol.values.set_text("mount point", point);
    let values = &logvol.values;
    if values.has("resize") && !(values.has("useexisting") && values.positive("size").is_some()) {
        return Err(Fault::new(
            "--resize needs an existing volume and a size",
            "add --useexisting and --size=MIB",
        ));
    }
    thin(values)?;
    if Releases("F20-").include(syntax) {
        size_of_volume(values)?;
    }
    if Releases("F21-").include(syntax) {
        let both = values.positive("size").is_some() && values.positive("percent").is_some();
        if both {
            return Err(Fault::new("--size and --percent exclude each other", "keep either of them"));
        }
    }
    cache(values)?;
    mkfs_options(values)?;
    if values.text("fstype") == Some("btrfs") && Releases("RHEL8 RHEL9 RHEL10 RHEL11").include(syntax) {
        return Err(no_btrfs(syntax));
    }
    encryption::settle(values)
}

fn thin(values: &Values) -> Result<(), Fault> {
    super::only_one(values, &["thin", "thinpool"])?;
    if values.has("thin") && values.text("poolname").is_none() {
        return Err(Fault::new("a thin volume lies in a pool", "add --poolname=POOL"));
    }
    let sized = values.positive("chunksize").is_some() || values.positive("metadatasize").is_some();
    if sized && !values.has("thinpool") {
        return Err(Fault::new("--chunksize and --metadatasize are for thin pools", "add --thinpool"));
    }
    Ok(())
}

fn size_of_volume(values: &Values) -> Result<(), Fault> {
    let flags = ["useexisting", "recommended", "hibernation"];
    let numbers = ["size", "percent"];
    if !flags.iter().any(|key| values.has(key)) && numbers.iter().all(|key| values.positive(key).is_none()) {
        return Err(Fault::new("the volume has no size", "add --size=MIB or --percent=PERCENT"));
    }
    match values.number("percent") {
        Some(percent) if !(0..=100).contains(&percent) => {
            Err(Fault::new(format!("--percent={percent} is not possible"), "write a number from 0 to 100"))
        }
        _ => Ok(()),
    }
}

fn cache(values: &Values) -> Result<(), Fault> {
    let size = values.positive("cachesize");
    let mode = values.text("cachemode");
    let volumes = values.list("cachepvs");
    if size.is_none() && mode.is_none() && volumes.is_empty() {
        return Ok(());
    }
    if values.has("useexisting") || values.has("thin") {
        return Err(Fault::new("an existing or thin volume gets no cache", "leave the cache options out"));
    }
    if size.is_none() || volumes.is_empty() {
        return Err(Fault::new(
            "a cache needs a size and volumes",
            "add --cachesize=MIB and --cachepvs=PV,PV",
        ));
    }
    match mode {
        None | Some("writeback" | "writethrough") => Ok(()),
        Some(mode) => {
            Err(Fault::new(format!("--cachemode={mode} is not possible"), "write writeback or writethrough"))
        }
    }
}

const RAID_LEVELS: &[(&str, &str)] = &[
    ("RAID0", "RAID0"),
    ("0", "RAID0"),
    ("RAID1", "RAID1"),
    ("1", "RAID1"),
    ("RAID5", "RAID5"),
    ("5", "RAID5"),
    ("RAID6", "RAID6"),
    ("6", "RAID6"),
    ("RAID10", "RAID10"),
    ("10", "RAID10"),
];
const RAID_LEVELS_4: &[(&str, &str)] = &[
    ("RAID0", "RAID0"),
    ("0", "RAID0"),
    ("RAID1", "RAID1"),
    ("1", "RAID1"),
    ("RAID4", "RAID4"),
    ("4", "RAID4"),
    ("RAID5", "RAID5"),
    ("5", "RAID5"),
    ("RAID6", "RAID6"),
    ("6", "RAID6"),
    ("RAID10", "RAID10"),
    ("10", "RAID10"),
];

const RAID: Command = Command {
    names: &["raid"],
    sort: "Raid",
    rank: 131,
    lines: Lines::Add,
    reads: Reads::Rest,
    rows: RAID_ROWS,
    conflicts: &[("autopart", Releases("RHEL6 F20-")), ("mount", Releases("F27-"))],
    settle: settle_raid,
    write: Some(|raid, syntax| {
        let existing = raid.values.has("useexisting");
        let members = if existing { String::new() } else { members(&raid.values, "members") };
        format!("raid{}{members}\n", options(&RAID, raid, syntax))
    }),
    identity: &["device"],
    ..BASE
};

const RAID_ROWS: &[Row] = &[
    word!("mount point"),
    text!("device").required(),
    text!("fstype").quoted(),
    option!("level", Takes::Means(RAID_LEVELS)).releases("F7-F12"),
    option!("level", Takes::Means(RAID_LEVELS_4)).releases("F13-"),
    flag!("noformat"),
    number!("spares"),
    flag!("useexisting"),
    text!("fsoptions").quoted(),
    number!("bytes-per-inode").releases("F7-F8").default("4096").zero(),
    text!("bytes-per-inode").releases("F9-RHEL6").deprecated("F9-RHEL6").hidden(),
    text!("fsprofile").quoted().releases("F9-"),
    ENCRYPTED,
    PASSPHRASE,
    ESCROW,
    BACKUP,
    EARLY_CIPHER,
    text!("label").quoted().releases("F15-"),
    CIPHER,
    text!("mkfsoptions").quoted().releases("RHEL7 F23-"),
    number!("chunksize").releases("RHEL7 F25-"),
    LUKS,
    PBKDF,
    PBKDF_MEMORY,
    PBKDF_TIME,
    PBKDF_ROUNDS,
    row(&["members"], "members", Takes::Words).hidden(),
];

fn settle_raid(raid: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    keep_existing(&mut raid.values);
    let point = normal(raid.values.text("mount point").unwrap_or_default());
    raid.values.set_text("mount point", point);
    let rest = raid.values.list("rest").to_vec();
    raid.values.append("members", rest);
    let device = raid.values.owned("device").unwrap_or_default();
    if !Releases("RHEL10 F43-").include(syntax) {
        let device = device.strip_prefix("md").unwrap_or(&device).to_owned();
        if Releases("F7-F18").include(syntax) && device.parse::<u32>().is_err() {
            return Err(Fault::new(format!("--device={device} is no number"), "write --device=md0"));
        }
        raid.values.set_text("device", device);
    }
    let values = &raid.values;
    match (values.has("useexisting"), values.list("members").is_empty()) {
        (false, true) => return Err(Fault::new("the device has no members", "name its partitions")),
        (true, false) => {
            return Err(Fault::new("an existing device has its members already", "leave them out"));
        }
        (true, true) | (false, false) => {}
    }
    if !values.has("useexisting") && values.text("level").is_none() {
        return Err(Fault::new("the RAID level is missing", "add --level=RAID1"));
    }
    mkfs_options(values)?;
    if values.text("fstype") == Some("btrfs") && Releases("RHEL8 RHEL9").include(syntax) {
        return Err(no_btrfs(syntax));
    }
    encryption::settle(values)
}

const STRATISFS: Command = Command {
    names: &["stratisfs"],
    sort: "StratisFs",
    rank: 135,
    releases: Releases("F45-"),
    lines: Lines::Add,
    rows: &[
        word!("mount point"),
        number!("size"),
        flag!("grow"),
        number!("maxsize"),
        flag!("useexisting"),
        text!("name").required(),
        text!("poolname").required(),
    ],
    conflicts: &[("autopart", Releases::ALL), ("mount", Releases::ALL)],
    settle: |stratisfs, _| {
        let point = normal(stratisfs.values.text("mount point").unwrap_or_default());
        stratisfs.values.set_text("mount point", point);
        if stratisfs.values.positive("maxsize").is_some() && !stratisfs.values.has("grow") {
            return Err(Fault::new("--maxsize needs --grow", "add --grow"));
        }
        Ok(())
    },
    identity: &["poolname", "name"],
    ..BASE
};

const STRATISPOOL: Command = Command {
    names: &["stratispool"],
    sort: "StratisPool",
    rank: 134,
    releases: Releases("F45-"),
    lines: Lines::Add,
    reads: Reads::Rest,
    rows: &[
        row(&["members"], "words", Takes::Words).hidden(),
        flag!("useexisting"),
        flag!("encrypted"),
        text!("passphrase").quoted(),
        flag!("overprovisioning"),
    ],
    conflicts: &[("autopart", Releases::ALL), ("mount", Releases::ALL)],
    settle: |stratispool, _| {
        named_with_members(stratispool)?;
        if stratispool.values.has("passphrase") && !stratispool.values.has("encrypted") {
            return Err(Fault::new("--passphrase needs --encrypted", "add --encrypted"));
        }
        Ok(())
    },
    write: Some(|pool, syntax| write_named(&STRATISPOOL, pool, syntax)),
    identity: &["name"],
    ..BASE
};

const VOLGROUP: Command = Command {
    names: &["volgroup"],
    sort: "VolGroup",
    rank: 132,
    lines: Lines::Add,
    reads: Reads::Rest,
    rows: &[
        row(&["members"], "words", Takes::Words).hidden(),
        flag!("noformat"),
        number!("pesize").releases("F7-F20").default("32768"),
        number!("pesize").releases("F21-").default("0"),
        flag!("useexisting"),
        number!("reserved-space").releases("RHEL6 F16-"),
        number!("reserved-percent").releases("RHEL6 F16-"),
    ],
    conflicts: &[("autopart", Releases("RHEL6 F16-")), ("mount", Releases("F27-"))],
    settle: settle_volgroup,
    write: Some(|group, syntax| write_named(&VOLGROUP, group, syntax)),
    identity: &["name"],
    ..BASE
};

fn settle_volgroup(volgroup: &mut Occurrence, _: Syntax) -> Result<(), Fault> {
    keep_existing(&mut volgroup.values);
    named_with_members(volgroup)?;
    if volgroup.values.number("reserved-space").is_some_and(|space| space < 0) {
        return Err(Fault::new("--reserved-space is negative", "write the space to keep free in MiB"));
    }
    if volgroup.values.number("reserved-percent").is_some_and(|percent| !(1..=99).contains(&percent)) {
        return Err(Fault::new("--reserved-percent is not possible", "write a number from 1 to 99"));
    }
    Ok(())
}

/// The first word is the name; what follows, before or after the options, are the members.
fn named_with_members(occurrence: &mut Occurrence) -> Result<(), Fault> {
    let mut words = occurrence.values.list("words").to_vec();
    words.extend(occurrence.values.list("rest").iter().cloned());
    if words.is_empty() {
        return Err(Fault::new("the name is missing", "write it after the command"));
    }
    let name = words.remove(0);
    occurrence.values.set_text("name", name);
    match (occurrence.values.has("useexisting"), words.is_empty()) {
        (false, true) => Err(Fault::new("there are no members", "name the devices it is made of")),
        (true, false) => Err(Fault::new("what exists has its members already", "leave them out")),
        (true, true) | (false, false) => {
            occurrence.values.set("members", Value::List(words));
            Ok(())
        }
    }
}

fn write_named(command: &Command, occurrence: &Occurrence, syntax: Syntax) -> String {
    let name = occurrence.values.text("name").map(words::bare).unwrap_or_default();
    let members = members(&occurrence.values, "members");
    format!("{} {name}{}{members}\n", command.name(), options(command, occurrence, syntax))
}
