//! Commands about disks, partitions and the bootloader.

use super::super::Syntax;
use super::super::command::{BASE, Command, Ended, Lines, Occurrence};
use super::super::fault::Fault;
use super::super::row::{Releases, Row, Takes, flag, list, number, option, row, text, word};
use super::super::values::{Value, Values};
use super::encryption::{
    self, BACKUP, CIPHER, EARLY_CIPHER, ENCRYPTED, ESCROW, HARDWARE, LUKS, PASSPHRASE, PBKDF, PBKDF_MEMORY,
    PBKDF_ROUNDS, PBKDF_TIME,
};
use super::options;

pub(super) const COMMANDS: &[Command] =
    &[AUTOPART, BOOTLOADER, CLEARPART, IGNOREDISK, MOUNT, NVDIMM, PART, REQPART, SNAPSHOT, ZEROMBR, ZIPL];

const SCHEMES: &[(&str, &str)] =
    &[("lvm", "lvm"), ("btrfs", "btrfs"), ("plain", "plain"), ("partition", "plain")];
const SCHEMES_THIN: &[(&str, &str)] =
    &[("lvm", "lvm"), ("btrfs", "btrfs"), ("plain", "plain"), ("partition", "plain"), ("thinp", "thinp")];
const SCHEMES_STRATIS: &[(&str, &str)] = &[
    ("lvm", "lvm"),
    ("btrfs", "btrfs"),
    ("plain", "plain"),
    ("partition", "plain"),
    ("thinp", "thinp"),
    ("stratis", "stratis"),
];

const AUTOPART: Command = Command {
    names: &["autopart"],
    sort: "AutoPart",
    rank: 100,
    rows: &[
        ENCRYPTED,
        PASSPHRASE,
        ESCROW,
        BACKUP,
        EARLY_CIPHER,
        flag!("nolvm").releases("F16"),
        row(&["--nolvm"], "type", Takes::Constant("plain")).releases("F17-").hidden(),
        option!("type", Takes::Means(SCHEMES)).releases("F17-F19"),
        option!("type", Takes::Means(SCHEMES_THIN)).releases("F20-F44"),
        option!("type", Takes::Means(SCHEMES_STRATIS)).releases("F45-"),
        CIPHER,
        text!("fstype").releases("F21-"),
        flag!("nohome").releases("RHEL7 F26-"),
        flag!("noboot").releases("F26-"),
        flag!("noswap").releases("F26-"),
        LUKS,
        PBKDF,
        PBKDF_MEMORY,
        PBKDF_TIME,
        PBKDF_ROUNDS,
        flag!("hibernation").releases("F38-"),
        HARDWARE,
    ],
    conflicts: &[
        ("part", Releases("RHEL6 F20-")),
        ("raid", Releases("RHEL6 F20-")),
        ("volgroup", Releases("RHEL6 F20-")),
        ("logvol", Releases("RHEL6 F20-")),
        ("reqpart", Releases("RHEL7 F23-")),
        ("stratispool", Releases("F45-")),
        ("stratisfs", Releases("F45-")),
    ],
    settle: settle_autopart,
    ..BASE
};

fn settle_autopart(autopart: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    let values = &autopart.values;
    let scheme = values.text("type");
    let fstype = values.text("fstype");
    if fstype == Some("btrfs") {
        return Err(Fault::new("--fstype=btrfs is not possible here", "write --type=btrfs"));
    }
    if scheme == Some("btrfs") && fstype.is_some() {
        return Err(Fault::new("--fstype has no meaning with --type=btrfs", "leave --fstype out"));
    }
    if scheme == Some("btrfs") && Releases("RHEL8 RHEL9 RHEL10").include(syntax) {
        return Err(no_btrfs(syntax));
    }
    if values.has("hibernation") && values.has("noswap") {
        return Err(Fault::new("--hibernation needs the swap that --noswap leaves out", "keep one of them"));
    }
    if scheme == Some("stratis") {
        let lvm_only = |key: &&str| values.text(key).is_some() || values.positive(key).is_some();
        let keys = ["luks-version", "pbkdf", "pbkdf-memory", "pbkdf-time", "pbkdf-iterations"];
        let more = ["hw-passphrase", "escrowcert", "cipher", "fstype"];
        if let Some(key) = keys.iter().chain(&more).find(|key| lvm_only(key)) {
            return Err(Fault::new(
                format!("--{key} has no meaning with --type=stratis"),
                format!("leave --{key} out"),
            ));
        }
    }
    encryption::settle(values)
}

pub(super) fn no_btrfs(syntax: Syntax) -> Fault {
    Fault::new(format!("{syntax} has no btrfs"), "choose another file system, such as xfs")
}

const LOCATIONS: &[&str] = &["mbr", "partition", "none", "boot"];

const BOOTLOADER: Command = Command {
    names: &["bootloader"],
    sort: "Bootloader",
    rank: 10,
    rows: &[
        text!("append").quoted(),
        option!("location", Takes::Choice(LOCATIONS)).default("mbr"),
        flag!("lba32").releases("F7-F13").deprecated("F12-F13"),
        text!("password").quoted().default(""),
        text!("md5pass").quoted().default("").releases("F7-F13 F14"),
        row(&["--md5pass"], "crypted-password", Takes::Text).releases("RHEL6 F15-").hidden(),
        flag!("upgrade").releases("F7-F33").deprecated("RHEL8-F33"),
        list!("driveorder").quoted(),
        number!("timeout").zero().releases("F8-"),
        text!("default").releases("F8-"),
        flag!("iscrypted").releases("RHEL6 F15-"),
        text!("boot-drive").releases("F17-").default(""),
        flag!("leavebootorder").releases("F18-"),
        flag!("extlinux").releases("F19-"),
        flag!("nombr").releases("F21-"),
        flag!("disabled").releases("F21-").hidden(),
        flag!("sdboot").releases("F39-"),
    ],
    comment: "# System bootloader configuration\n",
    absent: |_| "# System bootloader configuration\nbootloader --location=none\n",
    settle: settle_bootloader,
    write: Some(|bootloader, syntax| {
        let disabled = bootloader.values.has("disabled");
        let options =
            if disabled { " --disabled".to_owned() } else { options(&BOOTLOADER, bootloader, syntax) };
        format!("{}bootloader{options}\n", BOOTLOADER.comment)
    }),
    ..BASE
};

fn settle_bootloader(bootloader: &mut Occurrence, _: Syntax) -> Result<(), Fault> {
    // The hashed password has an option of its own from which the general one is made.
    if let Some(password) = bootloader.given.owned("crypted-password") {
        bootloader.values.set_text("password", password);
        bootloader.values.set("iscrypted", Value::Set);
    }
    if bootloader.values.text("boot-drive").is_some_and(|drive| drive.contains(',')) {
        return Err(Fault::new("--boot-drive names several disks", "name the one disk to boot from"));
    }
    super::only_one(&bootloader.values, &["sdboot", "extlinux"])
}

const CLEARPART: Command = Command {
    names: &["clearpart"],
    sort: "ClearPart",
    rank: 120,
    rows: &[
        row(&["--none"], "type", Takes::Constant("none")),
        row(&["--linux"], "type", Takes::Constant("linux")),
        row(&["--all"], "type", Takes::Constant("all")),
        flag!("initlabel"),
        list!("drives"),
        list!("list").releases("F17-"),
        text!("disklabel").releases("F21-").default(""),
        flag!("cdl").releases("RHEL7 F28-"),
    ],
    comment: "# Partition clearing information\n",
    settle: |clearpart, _| {
        if !clearpart.values.list("list").is_empty() {
            clearpart.values.set_text("type", "list");
        }
        Ok(())
    },
    write: Some(|clearpart, syntax| {
        // Without a type nothing is cleared, and nothing is said.
        if clearpart.values.text("type").is_none() {
            return String::new();
        }
        format!("{}clearpart{}\n", CLEARPART.comment, options(&CLEARPART, clearpart, syntax))
    }),
    ..BASE
};

const IGNOREDISK: Command = Command {
    names: &["ignoredisk"],
    sort: "IgnoreDisk",
    rows: &[
        list!("drives").required().releases("F7"),
        list!("drives").releases("F8-"),
        list!("only-use").releases("F8-"),
        flag!("interactive").releases("RHEL6-F33").deprecated("RHEL8-F33"),
    ],
    settle: |ignoredisk, syntax| {
        // When it came to do nothing, it ceased to count.
        let counts = !Releases("RHEL8-F33").include(syntax);
        let keys: &[&str] =
            if counts { &["drives", "only-use", "interactive"] } else { &["drives", "only-use"] };
        super::exactly_one(&ignoredisk.values, keys)
    },
    ..BASE
};

const MOUNT: Command = Command {
    names: &["mount"],
    sort: "Mount",
    releases: Releases("F27-"),
    lines: Lines::Add,
    rows: &[
        word!("device"),
        word!("mount point"),
        option!("reformat", Takes::OptionalText).hidden(),
        text!("mkfsoptions").hidden(),
        text!("mountoptions").hidden(),
    ],
    comment: "# Mount points configuration\n",
    below: "\n",
    conflicts: &[
        ("autopart", Releases::ALL),
        ("part", Releases::ALL),
        ("raid", Releases::ALL),
        ("volgroup", Releases::ALL),
        ("logvol", Releases::ALL),
        ("reqpart", Releases::ALL),
        ("stratispool", Releases("F45-")),
        ("stratisfs", Releases("F45-")),
    ],
    settle: settle_mount,
    write: Some(write_mount),
    ..BASE
};

fn settle_mount(mount: &mut Occurrence, _: Syntax) -> Result<(), Fault> {
    let point = normal(mount.values.text("mount point").unwrap_or_default());
    if !point.starts_with('/') && !point.eq_ignore_ascii_case("none") {
        return Err(Fault::new(format!("{point} is no mount point"), "write a path from the root, or none"));
    }
    mount.values.set_text("mount point", point);
    if mount.values.has("mkfsoptions") && !mount.values.has("reformat") {
        return Err(Fault::new("--mkfsoptions has no effect without --reformat", "add --reformat"));
    }
    Ok(())
}

fn write_mount(mount: &Occurrence, syntax: Syntax) -> String {
    use super::super::words::in_quotes;
    let values = &mount.values;
    let mut line = format!("mount{}", options(&MOUNT, mount, syntax));
    if values.has("reformat") {
        line.push_str(" --reformat");
        if let Some(format) = values.text("reformat") {
            line.push('=');
            line.push_str(format);
        }
    }
    for key in ["mkfsoptions", "mountoptions"] {
        if let Some(text) = values.text(key) {
            line.extend([" --", key, "=", &in_quotes(text)]);
        }
    }
    line.push('\n');
    line
}

const NVDIMM: Command = Command {
    names: &["nvdimm"],
    sort: "Nvdimm",
    rank: 80,
    releases: Releases("RHEL7 F28-"),
    ended: Ended {
        discouraged: Releases(""),
        deprecated: Releases("F40 F41-F44"),
        removed: Releases("RHEL10 F45-"),
        instead: "remove the line: namespaces are set up with ndctl",
    },
    lines: Lines::Add,
    rows: &[
        word!("action"),
        text!("namespace"),
        option!("mode", Takes::Choice(&["sector"])).default("sector"),
        number!("sectorsize"),
        list!("blockdevs"),
    ],
    comment: "# NVDIMM devices setup\n",
    below: "\n",
    settle: settle_nvdimm,
    ..BASE
};

fn settle_nvdimm(nvdimm: &mut Occurrence, _: Syntax) -> Result<(), Fault> {
    super::only_one(&nvdimm.values, &["namespace", "blockdevs"])?;
    match nvdimm.values.text("action") {
        Some("reconfigure") => {
            if nvdimm.values.text("namespace").is_none() || nvdimm.values.positive("sectorsize").is_none() {
                return Err(Fault::new(
                    "reconfigure needs a namespace and a sector size",
                    "add --namespace=NAME --sectorsize=BYTES",
                ));
            }
            nvdimm.values.unset("blockdevs");
        }
        Some("use") => {
            nvdimm.values.unset("mode");
            nvdimm.values.unset("sectorsize");
            super::exactly_one(&nvdimm.values, &["namespace", "blockdevs"])?;
        }
        _ => return Err(Fault::new("there is no such action", "write reconfigure or use")),
    }
    Ok(())
}

const PART: Command = Command {
    names: &["part", "partition"],
    sort: "Partition",
    rank: 130,
    lines: Lines::Add,
    rows: PART_ROWS,
    comment: "# Disk partitioning information\n",
    conflicts: &[("autopart", Releases("RHEL6 F20-")), ("mount", Releases("F27-"))],
    settle: settle_part,
    identity: &["mount point"],
    ..BASE
};

const PART_ROWS: &[Row] = &[
    word!("mount point"),
    flag!("active").releases("F7-F33").deprecated("RHEL8-F33"),
    flag!("asprimary"),
    number!("end").releases("F7-F10"),
    text!("end").releases("F11-RHEL6").deprecated("F11-RHEL6"),
    row(&["--fstype", "--type"], "fstype", Takes::Text).quoted(),
    flag!("grow"),
    number!("maxsize"),
    flag!("noformat"),
    text!("onbiosdisk"),
    row(&["--ondisk", "--ondrive"], "disk", Takes::Text),
    row(&["--onpart", "--usepart"], "onpart", Takes::Text),
    flag!("recommended"),
    number!("size"),
    number!("start").releases("F7-F10"),
    text!("start").releases("F11-RHEL6").deprecated("F11-RHEL6").instead("leave it out"),
    number!("bytes-per-inode").releases("F7-F8").default("4096").zero(),
    text!("bytes-per-inode").releases("F9-RHEL6").deprecated("F9-RHEL6").hidden(),
    text!("fsoptions").quoted(),
    text!("label").quoted(),
    text!("fsprofile").quoted().releases("F9-"),
    ENCRYPTED,
    PASSPHRASE,
    ESCROW,
    BACKUP,
    EARLY_CIPHER,
    flag!("hibernation").releases("RHEL6"),
    flag!("resize").releases("F17-"),
    flag!("hibernation").releases("F18-"),
    CIPHER,
    text!("mkfsoptions").quoted().releases("RHEL7 F23-"),
    LUKS,
    PBKDF,
    PBKDF_MEMORY,
    PBKDF_TIME,
    PBKDF_ROUNDS,
    HARDWARE,
];

fn settle_part(part: &mut Occurrence, syntax: Syntax) -> Result<(), Fault> {
    let point = normal(part.values.text("mount point").unwrap_or_default());
    part.values.set_text("mount point", point.clone());
    if let Some(existing) = part.values.text("onpart").and_then(|name| name.strip_prefix("/dev/")) {
        let existing = existing.to_owned();
        part.values.set_text("onpart", existing);
    }
    let values = &part.values;
    let fstype = values.text("fstype");
    if values.has("resize") && (values.text("onpart").is_none() || values.positive("size").is_none()) {
        return Err(Fault::new(
            "--resize needs an existing partition and a size",
            "add --onpart=PARTITION and --size=MIB",
        ));
    }
    let grows = values.has("grow") || values.positive("maxsize").is_some();
    if fstype == Some("tmpfs") && grows && Releases("F20-").include(syntax) {
        return Err(Fault::new("a tmpfs cannot grow", "leave --grow and --maxsize out"));
    }
    let btrfs = point.starts_with("btrfs.") || fstype == Some("btrfs");
    if btrfs && Releases("RHEL8 RHEL9 RHEL10 RHEL11").include(syntax) {
        return Err(no_btrfs(syntax));
    }
    mkfs_options(values)?;
    encryption::settle(values)
}

/// Options for mkfs mean that there is a file system to make, and one way of saying how.
pub(super) fn mkfs_options(values: &Values) -> Result<(), Fault> {
    if values.text("mkfsoptions").is_none() {
        return Ok(());
    }
    if values.has("noformat") {
        return Err(Fault::new("--mkfsoptions has no effect with --noformat", "leave one of them out"));
    }
    if values.text("fsprofile").is_some() {
        return Err(Fault::new("--mkfsoptions and --fsprofile exclude each other", "keep --mkfsoptions"));
    }
    Ok(())
}

/// A path without doubled slashes, `.` and `..`; other words as they are.
pub(super) fn normal(point: &str) -> String {
    if !point.starts_with('/') {
        return point.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in point.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    // Two slashes at the start, and no more than two, are kept: POSIX leaves their meaning open.
    let root = if point.starts_with("//") && !point.starts_with("///") { "//" } else { "/" };
    format!("{root}{}", parts.join("/"))
}

const REQPART: Command = Command {
    names: &["reqpart"],
    sort: "ReqPart",
    rank: 100,
    releases: Releases("RHEL7 F23-"),
    rows: &[flag!("add-boot")],
    conflicts: &[("autopart", Releases::ALL), ("mount", Releases::ALL)],
    ..BASE
};

const MOMENTS: &[(&str, &str)] = &[("post-install", "post-install"), ("pre-install", "pre-install")];

const SNAPSHOT: Command = Command {
    names: &["snapshot"],
    sort: "Snapshot",
    rank: 140,
    releases: Releases("RHEL7 F26-"),
    lines: Lines::Add,
    rows: &[word!("origin"), text!("name").required(), option!("when", Takes::Means(MOMENTS)).required()],
    settle: |snapshot, _| {
        let origin = snapshot.values.text("origin").unwrap_or_default();
        let parts: Vec<&str> = origin.split('/').collect();
        match parts.as_slice() {
            [group, volume] if !group.is_empty() && !volume.is_empty() => Ok(()),
            _ => Err(Fault::new(format!("{origin} is no logical volume"), "write GROUP/VOLUME")),
        }
    },
    identity: &["name"],
    ..BASE
};

const ZEROMBR: Command = Command {
    names: &["zerombr"],
    sort: "ZeroMbr",
    rank: 110,
    comment: "# Clear the Master Boot Record\n",
    ..BASE
};

const ZIPL: Command = Command {
    names: &["zipl"],
    sort: "Zipl",
    rank: 10,
    releases: Releases("RHEL8 F32-"),
    rows: &[
        row(&["--secure-boot"], "secure-boot", Takes::Constant("auto")),
        row(&["--force-secure-boot"], "secure-boot", Takes::Constant("force")),
        row(&["--no-secure-boot"], "secure-boot", Takes::Constant("no")),
    ],
    comment: "# ZIPL configuration\n",
    write: Some(|zipl, syntax| match zipl.values.text("secure-boot") {
        Some(_) => format!("{}zipl{}\n", ZIPL.comment, options(&ZIPL, zipl, syntax)),
        None => String::new(),
    }),
    ..BASE
};
