//! The local builder, really building from a small distribution.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made; root builds.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster::adapters::local::{self, BuildError, LocalBuilder, Settings};
use muster::job::{Desk, Jobs};
use muster::port::{Observation, Port};
use muster::program::Program;
use muster_flow::build::{Artifact, BuildOutput, BuildRequest};
use muster_flow::recipe::{Definition, Form, Packages, Product, Repository, Signatures};
use muster_flow::step::Handle;
use tokio::sync::mpsc::unbounded_channel;

/// Any moment after the packages were made.
const EPOCH: i64 = 1_790_000_000;

/// The distribution; nothing when there is none, which is an error where nobody looks at the output.
fn distribution() -> Option<PathBuf> {
    let found = std::env::var_os("MUSTER_TEST_DISTRIBUTION").map(PathBuf::from);
    if found.is_none() {
        assert!(std::env::var("CI").is_err(), "MUSTER_TEST_DISTRIBUTION is not set");
        eprintln!("SKIPPED: set MUSTER_TEST_DISTRIBUTION to what deploy/distribution/make made");
    }
    found
}

fn repository(distribution: &Path, name: &str) -> Repository {
    let baseurl = format!("file://{}/{name}/x86_64", distribution.display());
    Repository { name: name.to_owned(), baseurl, gpgkeys: Vec::new() }
}

fn request(distribution: &Path, product: Product, text: &str) -> BuildRequest {
    let texts = BTreeMap::from([("a.ks".to_owned(), text.to_owned())]);
    let repositories = vec![repository(distribution, "os"), repository(distribution, "updates")];
    BuildRequest {
        recipe: "cloud-base".to_owned(),
        definition: Definition { file: "a.ks".to_owned(), commit: String::new(), texts },
        product,
        packages: Packages { repositories, ..Packages::default() },
        arch: "x86_64".to_owned(),
        version: "43".to_owned(),
        file_stem: "Murmur-Cloud-Base-43-20260921.0.x86_64".to_owned(),
        source_date_epoch: EPOCH,
        koji: None,
        imagefactory: None,
        composed: None,
    }
}

async fn build(folder: &Path, request: BuildRequest) -> Result<BuildOutput, BuildError> {
    let desk = Desk { folder: folder.to_owned() };
    fs::create_dir_all(desk.work()).unwrap();
    local::build(desk, request, Settings::default()).await
}

/// A folder for one build; with `MUSTER_TEST_KEEP` set it stays, to be looked at.
fn scratch() -> tempfile::TempDir {
    let keep = std::env::var_os("MUSTER_TEST_KEEP").is_some();
    tempfile::Builder::new().prefix("builder-").disable_cleanup(keep).tempdir().unwrap()
}

/// A small container of the named packages.
fn container(distribution: &Path, packages: &str) -> BuildRequest {
    let text = format!(
        "%packages --nocore --exclude-weakdeps\nmurmur-release-container\nbusybox\nglibc\n{packages}\n%end\n"
    );
    request(distribution, Product::Container, &text)
}

/// Builds what must fail, and gives the words a person reads.
async fn refusal(request: BuildRequest) -> (BuildError, String) {
    let folder = scratch();
    let error = build(folder.path(), request).await.unwrap_err();
    let text = error.to_string();
    eprintln!("{text}\n");
    (error, text)
}

#[track_caller]
fn assert_says(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

fn artifact(output: &BuildOutput, form: Form) -> &Artifact {
    output.artifacts.iter().find(|artifact| artifact.form == form).unwrap()
}

/// Runs a program and gives what it says.
async fn said(program: &str, arguments: &[&str]) -> String {
    Program::new(program).args(arguments).run().await.unwrap().text()
}

const DISK: &str = r#"text
lang en_US.UTF-8
keyboard us
timezone --utc Etc/UTC
rootpw --lock --iscrypted locked
selinux --permissive
firewall --disabled
network --bootproto=dhcp --device=link --activate --onboot=on
services --enabled=sshd,cloud-init,nosuch
bootloader --timeout=0 --location=mbr --append="console=tty0 console=ttyS0,115200n8 no_timer_check net.ifnames=0"
zerombr
clearpart --all --initlabel
part biosboot --fstype=biosboot --size=1
part /boot/efi --fstype=efi --size=48
part / --fstype=ext4 --size=160 --grow
poweroff
%packages --excludedocs --inst-langs=en_US
@core
@cloud-server
murmur-release-cloud
kernel
hello
-kernel-modules
%end
%pre
echo pre >/tmp/pre
%end
%post --erroronfail --log=/root/ks-post.log
echo "post in $(pwd)"
echo 'Welcome to Murmur Cloud' >>/etc/motd
%end
%post --nochroot
echo "outside" >$INSTALL_ROOT/var/log/outside.log
%end
"#;

const CONTAINER: &str = r"lang en_US.UTF-8
timezone --utc Etc/UTC
rootpw --lock --iscrypted locked
bootloader --disabled
autopart --noboot --nohome --noswap --nolvm
%packages --excludedocs --inst-langs=en --nocore --exclude-weakdeps
murmur-release-container
bash
busybox
ca-certificates
glibc
hello
-kernel
%end
%post --erroronfail
echo 'tsflags=nodocs' >>/etc/dnf.conf
%end
";

const TREEFILE: &str = r"
ref: murmur/43/${basearch}/iot
repos: [os, updates]
packages:
  - murmur-release-iot
  - basesystem
  - bash
  - busybox
  - cloud-agent
  - cloud-utils-growpart
  - dracut
  - dropbear
  - e2fsprogs
  - filesystem
  - glibc
  - hello
  - kernel
  - murmur-init
  - ostree-boot
  - rpm
  - setup
units: [sshd.service, cloud-init.service]
documentation: false
recommends: false
automatic-version-prefix: '43'
mutate-os-release: '43'
postprocess:
  - |
    #!/bin/bash
    echo 'composed' >/etc/motd
";

/// Where the root file system lies in the disk that `DISK` describes: after 50 MiB.
fn root_of(disk: &Path) -> String {
    format!("{}?offset={}", disk.display(), 50 << 20)
}

async fn in_image(disk: &Path, command: &str) -> String {
    said("debugfs", &["-R", command, &root_of(disk)]).await
}

#[tokio::test]
async fn a_kickstart_becomes_a_disk_and_the_same_request_gives_the_same_bytes() {
    let Some(distribution) = distribution() else { return };
    let (one, other) = (scratch(), scratch());
    let first = build(one.path(), request(&distribution, Product::Disk, DISK)).await.unwrap();
    let second = build(other.path(), request(&distribution, Product::Disk, DISK)).await.unwrap();
    let identities = |output: &BuildOutput| -> Vec<(String, String)> {
        output.artifacts.iter().map(|artifact| (artifact.name.clone(), artifact.digest.clone())).collect()
    };
    let (raw, qcow2) = (artifact(&first, Form::Raw), artifact(&first, Form::Qcow2));
    if identities(&first) != identities(&second) {
        let others = artifact(&second, Form::Raw);
        let cmp = Program::new("cmp").args(["-l", &raw.path, &others.path]).run_any().await.unwrap().text();
        panic!("{} bytes differ, the first at {:?}", cmp.lines().count(), cmp.lines().next());
    }
    assert_eq!(raw.name, "Murmur-Cloud-Base-43-20260921.0.x86_64.raw");
    for artifact in [raw, qcow2] {
        assert!(said("sha256sum", &[&artifact.path]).await.starts_with(&artifact.digest));
        assert_eq!(fs::metadata(&artifact.path).unwrap().len(), artifact.size);
    }
    said("qemu-img", &["compare", &raw.path, &qcow2.path]).await;
    said("sfdisk", &["--verify", &raw.path]).await;
    let disk = Path::new(&raw.path);
    said("e2fsck", &["-f", "-n", &root_of(disk)]).await;
    check_tree(disk).await;
    check_record(&first);
    assert!(!one.path().join("work").exists(), "the build left its work behind");
}

/// What a person's commands and scripts have come to in the image.
async fn check_tree(disk: &Path) {
    let fstab = in_image(disk, "cat /etc/fstab").await;
    assert_says(&fstab, &[" / ext4 defaults 1 1", " /boot/efi vfat "]);
    let blkid = said("blkid", &["-p", "-O", &(50 << 20).to_string(), disk.to_str().unwrap()]).await;
    let uuid = fstab.split_once("UUID=").unwrap().1.split_whitespace().next().unwrap().to_owned();
    assert_says(&blkid, &[&uuid, "LABEL=\"root\""]);
    let place = (2 << 20).to_string();
    let esp = said("blkid", &["-p", "-s", "UUID", "-o", "value", "-O", &place, disk.to_str().unwrap()]).await;
    assert_says(&fstab, &[&format!("UUID={} /boot/efi vfat", esp.trim())]);
    let menu = in_image(disk, "cat /boot/grub2/grub.cfg").await;
    assert_says(
        &menu,
        &[&format!("root=UUID={uuid} ro console=tty0 console=ttyS0,115200n8"), "set timeout=0"],
    );
    let entries = in_image(disk, "ls -p /boot/loader/entries").await;
    assert_says(&entries, &["/murmur-"]);
    assert_says(&in_image(disk, "cat /etc/motd").await, &["Welcome to Murmur Cloud"]);
    assert_says(&in_image(disk, "cat /root/ks-post.log").await, &["post in /"]);
    assert_says(&in_image(disk, "cat /var/log/outside.log").await, &["outside"]);
    assert_says(&in_image(disk, "cat /etc/locale.conf").await, &["LANG=\"en_US.UTF-8\""]);
    assert_says(&in_image(disk, "stat /etc/localtime").await, &["../usr/share/zoneinfo/Etc/UTC"]);
    let wants = in_image(disk, "ls -p /etc/systemd/system/multi-user.target.wants").await;
    assert_says(&wants, &["/sshd.service/", "/cloud-init.service/"]);
    assert_says(&in_image(disk, "stat /etc/machine-id").await, &["Size: 0"]);
    assert_says(&in_image(disk, "cat /etc/shadow").await, &["root:!locked:"]);
    assert_says(&in_image(disk, "stat /").await, &["Mode:  0555"]);
    for gone in
        ["/tmp/ks-script", "/var/log/dnf.log", "/var/lib/dnf", "/usr/share/man/man1/hello.1.gz", "/tmp/pre"]
    {
        assert!(!in_image(disk, &format!("stat {gone}")).await.contains("Inode:"), "{gone} is in the image");
    }
    let esp = format!("{}@@{}", disk.display(), 2 << 20);
    assert_says(&said("mdir", &["-/", "-b", "-i", &esp, "::"]).await, &["::/EFI/BOOT/BOOTX64.EFI"]);
}

/// What is recorded about the build.
fn check_record(output: &BuildOutput) {
    let installed = |name: &str| output.packages.iter().find(|package| package.name == name);
    let hello = installed("hello").unwrap();
    assert_eq!(hello.nvr(), "hello-2.10-2.mm43", "the newer one lies in updates");
    assert!(installed("glibc").is_some() && installed("hello-extras").is_some());
    assert!(installed("kernel-modules").is_none() && installed("gpg-pubkey").is_none());
    assert!(output.packages.is_sorted());
    let warnings = output.warnings.join("\n");
    assert_says(
        &warnings,
        &[
            "the service nosuch cannot be enabled: the image has no nosuch.service",
            "a.ks:25: %pre is for the machine of an installer and was not run",
        ],
    );
    let log = fs::read_to_string(&output.log).unwrap();
    assert_says(&log, &["Installing       : glibc", "== phase install took ", "== phase compress took "]);
    let progress = fs::read_to_string(Path::new(&output.log).with_file_name("progress")).unwrap();
    assert_says(&progress, &["making the file system / of 160 MiB", "compressing the disk"]);
}

#[tokio::test]
async fn partitions_of_their_own_hold_what_belongs_to_them() {
    let Some(distribution) = distribution() else { return };
    let folder = scratch();
    let text = DISK.replace(
        "part / --fstype=ext4 --size=160 --grow",
        "part /boot --fstype=ext4 --size=80 --label=kernels\npart swap --size=16\npart / --size=100",
    );
    let text = text
        + "user --name=ada --groups=wheel --password=s3cret --plaintext\nsshkey --username=ada \"ssh-ed25519 AAAA ada\"\n";
    let output = build(folder.path(), request(&distribution, Product::Disk, &text)).await.unwrap();
    let disk = artifact(&output, Form::Raw).path.clone();
    let at = |mib: u64| format!("{disk}?offset={}", mib << 20);
    let show = |mib: u64, command: &'static str| {
        let image = at(mib);
        async move { said("debugfs", &["-R", command, &image]).await }
    };
    // The kernels lie in /boot's own file system, which begins after 50 MiB; the root begins after 146 MiB.
    assert_says(&show(50, "ls -p /").await, &["/vmlinuz-", "/initramfs-", "/grub2/", "/loader/"]);
    assert_says(&show(50, "cat /grub2/grub.cfg").await, &[" linux /vmlinuz-"]);
    assert!(!show(146, "ls -p /boot").await.contains("vmlinuz"));
    assert_says(&show(146, "cat /etc/fstab").await, &[" none swap defaults 0 0", " /boot ext4 defaults 1 2"]);
    for mib in [50, 146] {
        said("e2fsck", &["-f", "-n", &at(mib)]).await;
    }
    assert_says(&said("blkid", &["-p", "-O", &(130 << 20).to_string(), &disk]).await, &["TYPE=\"swap\""]);
    assert_says(&show(146, "cat /etc/passwd").await, &["ada:x:1000:1000::/home/ada:/bin/bash"]);
    assert_says(&show(146, "cat /etc/shadow").await, &["ada:$6$"]);
    assert_says(&show(146, "cat /home/ada/.ssh/authorized_keys").await, &["ssh-ed25519 AAAA ada"]);
    assert_says(&show(146, "stat /home/ada/.ssh").await, &["Mode:  0700", "User:  1000"]);
    assert_says(&output.warnings.join("\n"), &["the password of ada stands in clear"]);
}

#[tokio::test]
async fn a_kickstart_becomes_an_oci_image_by_way_of_a_job() {
    let Some(distribution) = distribution() else { return };
    let (one, other) = (scratch(), scratch());
    let request = request(&distribution, Product::Container, CONTAINER);
    let second = build(other.path(), request.clone()).await.unwrap();
    fs::write(one.path().join("request.json"), serde_json::to_vec(&request).unwrap()).unwrap();
    local::job(one.path(), &Settings::default()).await.unwrap();
    let (ended, _) = unbounded_channel();
    let jobs =
        Jobs { kind: "build", root: one.path().into(), program: "/bin/true".into(), config: None, ended };
    let handle = Handle(one.path().display().to_string());
    let Observation::Succeeded(first) = LocalBuilder { jobs }.observe(&handle).await.unwrap() else {
        panic!("the job did not succeed");
    };
    let image = artifact(&first, Form::Oci);
    assert_eq!(image.digest, artifact(&second, Form::Oci).digest, "the same request gives the same image");
    let inspected = said("skopeo", &["inspect", &format!("oci:{}:43", image.path)]).await;
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Digest"], format!("sha256:{}", image.digest));
    assert_eq!(inspected["Architecture"], "amd64");
    assert_eq!(inspected["Created"], "2026-09-21T14:13:20Z");
    assert_eq!(inspected["Labels"]["version"], "43");
    let layer = inspected["Layers"][0].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let layer = format!("{}/blobs/sha256/{layer}", image.path);
    let files = said("tar", &["-tf", &layer]).await;
    assert_says(&files, &["usr/bin/hello\n", "etc/dnf.conf\n", "usr/lib/sysimage/rpm/rpmdb.sqlite\n"]);
    for gone in ["rpmdb.sqlite-", "usr/share/man/man1/hello.1.gz", "var/cache/dnf", "dev/null"] {
        assert!(!files.contains(gone), "{gone} is in the image");
    }
}

#[tokio::test]
async fn a_treefile_becomes_a_commit_and_a_disk_and_the_same_request_gives_the_same_commit() {
    let Some(distribution) = distribution() else { return };
    let (one, other) = (scratch(), scratch());
    let mut request = request(&distribution, Product::Ostree, "");
    request.definition.file = "iot.yaml".to_owned();
    request.definition.texts = BTreeMap::from([("iot.yaml".to_owned(), TREEFILE.to_owned())]);
    let first = build(one.path(), request.clone()).await.unwrap();
    let second = build(other.path(), request).await.unwrap();
    let commit = artifact(&first, Form::OstreeCommit);
    assert_eq!(commit.digest, artifact(&second, Form::OstreeCommit).digest);
    assert_eq!(artifact(&first, Form::Raw).digest, artifact(&second, Form::Raw).digest);
    let repository = format!("--repo={}", commit.path);
    let reference = "murmur/43/x86_64/iot";
    assert_eq!(said("ostree", &["rev-parse", &repository, reference]).await.trim(), commit.digest);
    said("ostree", &["fsck", &repository]).await;
    let version = said("ostree", &["show", &repository, "--print-metadata-key=version", reference]).await;
    assert_eq!(version.trim(), "'43.20260921.0'");
    let cat = |path: &'static str| {
        let repository = repository.clone();
        async move { said("ostree", &["cat", &repository, reference, path]).await }
    };
    assert_says(
        &cat("/usr/lib/os-release").await,
        &["VERSION=\"43.20260921.0 (Iot)\"", "OSTREE_VERSION='43.20260921.0'"],
    );
    assert_says(&cat("/usr/etc/motd").await, &["composed"]);
    assert_says(&cat("/usr/lib/tmpfiles.d/rpm-ostree-autovar.conf").await, &["d /var/roothome 0700 0 0 - -"]);
    let top = said("ostree", &["ls", &repository, reference]).await;
    assert_says(&top, &["/home -> var/home", "/ostree -> sysroot/ostree"]);
    assert!(!top.contains(" /etc"), "{top}");
    assert!(first.packages.iter().any(|package| package.name == "ostree-boot"));
    // The root lies after the 50 MiB that BIOS and UEFI need.
    let disk = Path::new(&artifact(&first, Form::Raw).path);
    let menu = in_image(disk, "cat /boot/grub2/grub.cfg").await;
    assert_says(&menu, &[" linux /boot/ostree/murmur-", "ostree=/ostree/boot."]);
    said("e2fsck", &["-f", "-n", &root_of(disk)]).await;
}

#[tokio::test]
async fn a_failing_post_script_fails_the_build_with_its_words() {
    let Some(distribution) = distribution() else { return };
    let mut request = container(&distribution, "");
    let text = request.definition.texts.get_mut("a.ks").unwrap();
    *text += "%post\nexit 1\n%end\n%post --erroronfail\necho 'the disk is upside down' >&2\nexit 9\n%end\n";
    let (error, text) = refusal(request).await;
    assert!(matches!(error, BuildError::Script { .. }));
    assert_eq!(text, "the script at a.ks:10 failed with exit code 9:\nthe disk is upside down");
}

#[tokio::test]
async fn a_failing_scriptlet_fails_the_build_although_dnf_says_nothing() {
    let Some(distribution) = distribution() else { return };
    for kind in ["post", "pre", "posttrans"] {
        let (error, text) = refusal(container(&distribution, &format!("broken-{kind}"))).await;
        assert!(matches!(error, BuildError::Scriptlet { .. }), "{text}");
        let said = format!("the %{kind} script of broken-{kind} gives up");
        assert_says(
            &text,
            &[&format!("(broken-{kind}-1.0-1.mm43.noarch)"), &said, "scriptlet failed, exit status"],
        );
    }
}

#[tokio::test]
async fn what_cannot_be_installed_is_told_apart() {
    let Some(distribution) = distribution() else { return };
    let (error, text) = refusal(container(&distribution, "nosuch-package")).await;
    assert!(matches!(error, BuildError::Missing { .. }), "{text}");
    assert_says(&text, &["no repository has nosuch-package", "No match for argument: nosuch-package"]);
    let (error, text) = refusal(container(&distribution, "@nosuch-group")).await;
    assert!(matches!(error, BuildError::Missing { .. }), "{text}");
    assert_says(&text, &["no repository has the group nosuch-group"]);
    let (error, text) = refusal(container(&distribution, "broken-dependency")).await;
    assert!(matches!(error, BuildError::Dependency(_)), "{text}");
    assert_says(
        &text,
        &["nothing provides no-such-package >= 5 needed by broken-dependency-1.0-1.mm43.noarch"],
    );
    let (error, text) = refusal(container(&distribution, "murmur-release-iot")).await;
    assert!(matches!(error, BuildError::Dependency(_)), "{text}");
    let (error, text) = refusal(container(&distribution, "hello\nhello-fork")).await;
    assert!(matches!(error, BuildError::FileConflict(_)), "{text}");
    assert_says(&text, &["file /usr/bin/hello conflicts between attempted installs of"]);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_named() {
    let Some(distribution) = distribution() else { return };
    // Nobody listens on port 1 of this machine.
    for (baseurl, words) in
        [("file:///nonexistent/x86_64", "Couldn't open file"), ("http://127.0.0.1:1/x", "Failed to connect")]
    {
        let mut request = container(&distribution, "");
        request.packages.repositories[1].baseurl = baseurl.to_owned();
        let (error, text) = refusal(request).await;
        assert!(matches!(&error, BuildError::Repository { name, .. } if name == "updates"), "{text}");
        assert_says(&text, &["the package repository updates cannot be used", words]);
    }
    let mut request = container(&distribution, "");
    request.packages.repositories.clear();
    assert!(matches!(refusal(request).await.0, BuildError::NoRepository));
}

#[tokio::test]
async fn signatures_are_checked_when_they_are_required() {
    let Some(distribution) = distribution() else { return };
    let key = format!("file://{}/RPM-GPG-KEY", distribution.display());
    let signed = |packages: &str, key: &str| {
        let mut request = container(&distribution, packages);
        request.packages.signatures = Signatures::Required;
        request.packages.repositories.push(repository(&distribution, "unsigned"));
        for repository in &mut request.packages.repositories {
            repository.gpgkeys = vec![key.to_owned()];
        }
        request
    };
    let folder = scratch();
    let output = build(folder.path(), signed("hello", &key)).await.unwrap();
    assert!(output.packages.iter().all(|package| package.name != "gpg-pubkey"));
    let (error, text) = refusal(signed("unsigned", &key)).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["Package unsigned-1.0-1.mm43.noarch.rpm is not signed"]);
    let stranger = stranger().await;
    let (error, text) = refusal(signed("hello", &format!("file://{}", stranger.path().display()))).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["Public key for glibc-"]);
    let (error, text) = refusal(signed("hello", "file:///nonexistent/key")).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["/nonexistent/key"]);
    let mut request = signed("hello", &key);
    request.packages.repositories[1].gpgkeys.clear();
    assert!(matches!(refusal(request).await.0, BuildError::NoKey(name) if name == "updates"));
}

/// The public key of somebody who signed nothing.
async fn stranger() -> tempfile::NamedTempFile {
    let home = scratch();
    let gpg = |arguments: &[&str]| {
        Program::new("gpg")
            .arg("--homedir")
            .arg(home.path())
            .args(["--batch", "--quiet", "--passphrase", ""])
            .args(arguments)
    };
    gpg(&["--quick-gen-key", "Stranger <stranger@example.invalid>", "ed25519", "sign", "never"])
        .run()
        .await
        .unwrap();
    let key = gpg(&["--armor", "--export"]).run().await.unwrap().stdout;
    Program::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).run().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), key).unwrap();
    file
}

#[tokio::test]
async fn a_root_that_is_too_small_is_told_with_its_size() {
    let Some(distribution) = distribution() else { return };
    let small = DISK.replace("--size=160 --grow", "--size=24");
    let (error, text) = refusal(request(&distribution, Product::Disk, &small)).await;
    assert!(matches!(error, BuildError::FileSystemTooSmall { size_mib: 24, files_mib: 30.., .. }), "{text}");
    assert_says(&text, &["the file system / of 24 MiB is too small"]);
}

#[tokio::test]
async fn a_disk_without_a_kernel_is_refused() {
    let Some(distribution) = distribution() else { return };
    let text = "part / --size=100\n%packages --nocore\nmurmur-release-cloud\nglibc\nbusybox\n%end\n";
    let (error, text) = refusal(request(&distribution, Product::Disk, text)).await;
    assert!(matches!(error, BuildError::NoKernel), "{text}");
}

#[tokio::test]
async fn a_definition_that_cannot_be_built_is_told_with_its_line() {
    let Some(distribution) = distribution() else { return };
    let (error, text) =
        refusal(request(&distribution, Product::Disk, "lang en_US\npart --nosuch / --size=x\n")).await;
    assert!(matches!(error, BuildError::Kickstart(_)), "{text}");
    assert_says(&text, &["cannot read the kickstart: a.ks:2: "]);
    let (error, text) = refusal(request(&distribution, Product::Disk, "text\nvolgroup vg pv.01\n")).await;
    assert!(matches!(error, BuildError::Unsupported { .. }), "{text}");
    assert_says(&text, &["a.ks:2: the command volgroup is not supported by the local builder"]);
    let mut request = container(&distribution, "");
    request.arch = "s390x".to_owned();
    let (_, text) = refusal(request).await;
    assert_says(&text, &["building for s390x on x86_64 is not supported"]);
}

/// This machine's disk being full is seen in a mount namespace in which the build's folder is a small file system.
#[tokio::test]
async fn a_full_disk_of_this_machine_is_not_blamed_on_the_image() {
    let Some(_) = distribution() else { return };
    let folder = scratch();
    for size in ["12m", "60m"] {
        let mount = format!("mount -t tmpfs -o size={size} tmpfs {} && exec \"$@\"", folder.path().display());
        let inner = Program::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", &mount, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "within_a_full_disk", "--ignored", "--nocapture"])
            .env("FULL_DISK", folder.path());
        let finished = inner.run_any().await.unwrap();
        let text = finished.text();
        assert_eq!(finished.code, Some(0), "{text}{}", String::from_utf8_lossy(&finished.stderr));
        assert_says(&text, &["1 passed"]);
    }
}

#[tokio::test]
#[ignore = "the test above runs it within a small file system"]
async fn within_a_full_disk() {
    let (Some(distribution), Some(folder)) = (distribution(), std::env::var_os("FULL_DISK")) else { return };
    let error = build(Path::new(&folder), request(&distribution, Product::Disk, DISK)).await.unwrap_err();
    assert!(matches!(error, BuildError::DiskFull { .. }), "{error}");
    assert_says(&error.to_string(), &["the disk of this machine is full"]);
}

#[tokio::test]
async fn a_build_that_is_dropped_leaves_no_process() {
    let Some(distribution) = distribution() else { return };
    let folder = scratch();
    let mut request = container(&distribution, "");
    *request.definition.texts.get_mut("a.ks").unwrap() += "%post\nsleep 61.5 & sleep 61.5\n%end\n";
    let progress = folder.path().join("progress");
    let scripted = async {
        while !fs::read_to_string(&progress).unwrap_or_default().contains("running the script") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while sleeping() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        output = build(folder.path(), request) => panic!("the build ended: {output:?}"),
        () = scripted => {}
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sleeping(), 0, "a script outlived its build");
}

/// How many processes of the script above there are.
fn sleeping() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.ends_with(b"sleep\x0061.5\0")).count()
}
