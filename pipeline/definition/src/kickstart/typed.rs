//! Types a document for whoever builds an image from it.
//!
//! Knows which value of which command goes where. Must not know how a document was read.

use super::command::Occurrence;
use super::commands::servers;
use super::document::Document;
use super::values::Values;
use super::{
    AutoPartition, Bootloader, ClearPartitions, Ending, Firewall, FirstBoot, Keyboard, Kickstart, Language,
    Location, Module, Network, Origin, OstreeContainer, OstreeSetup, Partition, Password, Repo,
    RequiredPartitions, RootPassword, Selinux, Services, SshKey, Storage, System, Timezone, Url, User,
    UserGroup,
};

/// The document, typed.
pub(super) fn typed(document: Document) -> Kickstart {
    Kickstart {
        origin: origin(&document),
        storage: storage(&document),
        system: system(&document),
        ending: ending(&document),
        packages: document.packages.map(super::packages::PackageSet::typed),
        scripts: document.scripts,
        warnings: document.warnings,
        files: document.files,
    }
}

fn origin(document: &Document) -> Origin {
    Origin {
        url: document.find("url").and_then(|line| url(&line.values)),
        repos: document.all("repo").map(repo).collect(),
        ostree: document.find("ostreesetup").map(|line| ostree(&line.values)),
        ostree_container: document.find("ostreecontainer").map(|line| ostree_container(&line.values)),
        live_image: document.find("liveimg").and_then(|line| line.values.owned("url")),
        modules: document.all("module").map(|line| module(&line.values)).collect(),
    }
}

fn location(values: &Values, base: &str) -> Option<Location> {
    let base = values.owned(base).map(Location::BaseUrl);
    let mirrors = || values.owned("mirrorlist").map(Location::MirrorList);
    base.or_else(mirrors).or_else(|| values.owned("metalink").map(Location::Metalink))
}

fn url(values: &Values) -> Option<Url> {
    Some(Url {
        location: location(values, "url")?,
        proxy: values.owned("proxy"),
        verify_tls: !values.has("noverifyssl"),
        tls_ca: values.owned("sslcacert"),
        tls_certificate: values.owned("sslclientcert"),
        tls_key: values.owned("sslclientkey"),
    })
}

fn repo(line: &Occurrence) -> Repo {
    let values = &line.values;
    Repo {
        name: values.owned("name").unwrap_or_default(),
        location: location(values, "baseurl"),
        cost: values.positive("cost"),
        include: values.list("includepkgs").to_vec(),
        exclude: values.list("excludepkgs").to_vec(),
        proxy: values.owned("proxy"),
        verify_tls: !values.has("noverifyssl"),
        install: values.has("install"),
        tls_ca: values.owned("sslcacert"),
        tls_certificate: values.owned("sslclientcert"),
        tls_key: values.owned("sslclientkey"),
        at: line.at(),
    }
}

fn ostree(values: &Values) -> OstreeSetup {
    let text = |key| values.owned(key).unwrap_or_default();
    OstreeSetup {
        osname: text("osname"),
        remote: text("remote"),
        url: text("url"),
        reference: text("ref"),
        verify: !values.has("nogpg"),
    }
}

fn ostree_container(values: &Values) -> OstreeContainer {
    OstreeContainer {
        stateroot: values.owned("stateroot"),
        url: values.owned("url").unwrap_or_default(),
        transport: values.owned("transport"),
        remote: values.owned("remote"),
        verify: !values.has("no-signature-verification"),
    }
}

fn module(values: &Values) -> Module {
    Module {
        name: values.owned("name").unwrap_or_default(),
        stream: values.owned("stream"),
        enable: !values.has("disable"),
    }
}

/// Storage commands the typed result names and does not spell out.
const FURTHER: [&str; 9] =
    ["raid", "logvol", "volgroup", "btrfs", "mount", "stratispool", "stratisfs", "snapshot", "nvdimm"];

fn storage(document: &Document) -> Storage {
    let further = FURTHER
        .iter()
        .flat_map(|name| document.all(name).map(|line| ((*name).to_owned(), line.file.clone(), line.line)));
    Storage {
        partitions: document.all("part").map(partition).collect(),
        required: document
            .find("reqpart")
            .map(|line| RequiredPartitions { add_boot: line.values.has("add-boot") }),
        automatic: document.find("autopart").map(|line| automatic(&line.values)),
        clear: document.find("clearpart").map(|line| clear(&line.values)),
        zero_mbr: document.find("zerombr").is_some(),
        bootloader: document.find("bootloader").map(|line| bootloader(&line.values)),
        further: further.collect(),
    }
}

fn partition(line: &Occurrence) -> Partition {
    let values = &line.values;
    Partition {
        mount_point: values.owned("mount point").unwrap_or_default(),
        fstype: values.owned("fstype"),
        size: values.positive("size"),
        grow: values.has("grow"),
        max_size: values.positive("maxsize"),
        recommended: values.has("recommended") || values.has("hibernation"),
        label: values.owned("label"),
        fsoptions: values.owned("fsoptions"),
        mkfs_options: values.owned("mkfsoptions"),
        disk: values.owned("disk"),
        onpart: values.owned("onpart"),
        primary: values.has("asprimary"),
        format: !values.has("noformat"),
        encrypted: values.has("encrypted"),
        at: line.at(),
    }
}

fn automatic(values: &Values) -> AutoPartition {
    let scheme = values.owned("type");
    AutoPartition {
        scheme: if values.has("nolvm") { Some("plain".to_owned()) } else { scheme },
        fstype: values.owned("fstype"),
        no_home: values.has("nohome"),
        no_boot: values.has("noboot"),
        no_swap: values.has("noswap"),
        encrypted: values.has("encrypted"),
    }
}

fn clear(values: &Values) -> ClearPartitions {
    ClearPartitions {
        all: values.text("type") == Some("all"),
        linux: values.text("type") == Some("linux"),
        init_label: values.has("initlabel"),
        disk_label: values.owned("disklabel"),
        drives: values.list("drives").to_vec(),
    }
}

fn bootloader(values: &Values) -> Bootloader {
    Bootloader {
        location: values.owned("location"),
        append: values.owned("append"),
        timeout: values.number("timeout"),
        boot_drive: values.owned("boot-drive"),
        extlinux: values.has("extlinux"),
        disabled: values.has("disabled") || values.text("location") == Some("none"),
        sdboot: values.has("sdboot"),
    }
}

fn system(document: &Document) -> System {
    let auth = ["authselect", "auth"];
    System {
        language: document.find("lang").map(|line| language(&line.values)),
        keyboard: document.find("keyboard").map(|line| keyboard(&line.values)),
        timezone: timezone(document),
        root: document.find("rootpw").map(|line| root(&line.values)),
        users: document.all("user").map(|line| user(&line.values)).collect(),
        groups: document.all("group").map(|line| group(&line.values)).collect(),
        ssh_keys: document.all("sshkey").map(|line| ssh_key(&line.values)).collect(),
        services: document.find("services").map(|line| services(&line.values)).unwrap_or_default(),
        selinux: document.find("selinux").and_then(|line| selinux(&line.values)),
        firewall: document.find("firewall").map(|line| firewall(&line.values)),
        networks: document.all("network").map(|line| network(&line.values)).collect(),
        first_boot: document.find("firstboot").and_then(|line| first_boot(&line.values)),
        skip_x: document.find("skipx").is_some(),
        start_x: document.find("xconfig").is_some_and(|line| line.values.has("startxonboot")),
        authentication: auth.iter().find_map(|name| document.find(name)).map(|line| line.raw.clone()),
    }
}

fn language(values: &Values) -> Language {
    Language {
        locale: values.owned("language").unwrap_or_default(),
        also: values.list("addsupport").to_vec(),
    }
}

fn keyboard(values: &Values) -> Keyboard {
    Keyboard {
        console: values.owned("vckeymap").or_else(|| values.owned("keyboard")),
        layouts: values.list("xlayouts").to_vec(),
    }
}

fn timezone(document: &Document) -> Option<Timezone> {
    let line = document.find("timezone");
    let sources: Vec<&Occurrence> = document.all("timesource").collect();
    if line.is_none() && sources.is_empty() {
        return None;
    }
    let none = Values::default();
    let values = line.map_or(&none, |line| &line.values);
    let servers = sources
        .iter()
        .flat_map(|source| ["ntp-server", "ntp-pool"].into_iter().filter_map(|key| source.values.owned(key)));
    Some(Timezone {
        name: values.owned("time zone"),
        utc: values.has("utc"),
        no_ntp: values.has("nontp") || sources.iter().any(|source| source.values.has("ntp-disable")),
        ntp_servers: values.list("ntpservers").iter().cloned().chain(servers).collect(),
    })
}

fn password(values: &Values) -> Option<Password> {
    let password = values.owned("password")?;
    let crypted = values.text("crypted") == Some("yes");
    Some(if crypted { Password::Crypted(password) } else { Password::Plain(password) })
}

fn root(values: &Values) -> RootPassword {
    RootPassword {
        password: password(values),
        locked: values.has("lock"),
        allow_ssh: values.has("allow-ssh"),
    }
}

fn user(values: &Values) -> User {
    User {
        name: values.owned("name").unwrap_or_default(),
        groups: values.list("groups").to_vec(),
        home: values.owned("homedir"),
        shell: values.owned("shell"),
        gecos: values.owned("gecos"),
        uid: values.number("uid"),
        gid: values.number("gid"),
        password: password(values),
        locked: values.has("lock"),
    }
}

fn group(values: &Values) -> UserGroup {
    UserGroup { name: values.owned("name").unwrap_or_default(), gid: values.number("gid") }
}

fn ssh_key(values: &Values) -> SshKey {
    SshKey {
        user: values.owned("username").unwrap_or_default(),
        key: values.owned("key").unwrap_or_default(),
    }
}

fn services(values: &Values) -> Services {
    Services { enabled: values.list("enabled").to_vec(), disabled: values.list("disabled").to_vec() }
}

fn selinux(values: &Values) -> Option<Selinux> {
    match values.text("mode")? {
        "enforcing" => Some(Selinux::Enforcing),
        "permissive" => Some(Selinux::Permissive),
        _ => Some(Selinux::Disabled),
    }
}

fn firewall(values: &Values) -> Firewall {
    let default = values.has("use-system-defaults");
    Firewall {
        enabled: (!default).then(|| values.text("enabled") != Some("no")),
        ports: values.list("ports").to_vec(),
        services: values.list("services").to_vec(),
        remove_services: values.list("remove-services").to_vec(),
        trusts: values.list("trusts").to_vec(),
    }
}

fn network(values: &Values) -> Network {
    Network {
        device: values.owned("device"),
        bootproto: values.owned("bootproto"),
        hostname: values.owned("hostname"),
        ip: values.owned("ip"),
        netmask: values.owned("netmask"),
        gateway: values.owned("gateway"),
        nameservers: servers(values),
        onboot: values.text("onboot") != Some("off"),
        activate: values.text("activate") == Some("yes"),
    }
}

fn first_boot(values: &Values) -> Option<FirstBoot> {
    match values.text("mode")? {
        "enable" => Some(FirstBoot::Enabled),
        "reconfig" => Some(FirstBoot::Reconfigure),
        _ => Some(FirstBoot::Disabled),
    }
}

fn ending(document: &Document) -> Ending {
    match document.find("reboot").map(|line| line.name.as_str()) {
        Some("reboot") => Ending::Reboot,
        Some("poweroff") => Ending::PowerOff,
        Some("shutdown") => Ending::Shutdown,
        Some("halt") => Ending::Halt,
        _ => Ending::Unsaid,
    }
}
