//! What the tests build from, and with what they look at what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use muster::adapters::local::{self, BuildError, Composer, Settings};
use muster::job::Desk;
use muster::package_sets::PackageSets;
use muster::program::Program;
use muster_flow::build::{Allowed, Artifact, BuildOutput, BuildRequest};
use muster_flow::recipe::{Definition, Form, Packages, Product, Repository};

/// Any moment after the packages were made.
const EPOCH: i64 = 1_790_000_000;

/// The distribution; nothing when there is none, which is an error where nobody looks at the output.
pub fn distribution() -> Option<PathBuf> {
    let found = std::env::var_os("MUSTER_TEST_DISTRIBUTION").map(PathBuf::from);
    if found.is_none() {
        assert!(std::env::var("CI").is_err(), "MUSTER_TEST_DISTRIBUTION is not set");
        eprintln!("SKIPPED: set MUSTER_TEST_DISTRIBUTION to what deploy/distribution/make made");
    }
    found
}

pub fn repository(distribution: &Path, name: &str) -> Repository {
    let baseurl = format!("file://{}/{name}/x86_64", distribution.display());
    Repository { name: name.to_owned(), baseurl, gpgkeys: Vec::new() }
}

pub fn request(distribution: &Path, product: Product, text: &str) -> BuildRequest {
    let texts = BTreeMap::from([("a.ks".to_owned(), text.to_owned())]);
    let repositories = vec![repository(distribution, "os"), repository(distribution, "updates")];
    BuildRequest {
        recipe: "cloud-base".to_owned(),
        definition: Definition { file: "a.ks".to_owned(), commit: String::new(), texts },
        product,
        packages: Packages { repositories, ..Packages::default() },
        allowed: Allowed::default(),
        arch: "x86_64".to_owned(),
        version: "43".to_owned(),
        file_stem: "Murmur-Cloud-Base-43-20260921.0.x86_64".to_owned(),
        source_date_epoch: EPOCH,
        koji: None,
        imagefactory: None,
        composed: None,
    }
}

/// Builds with what stands in this suite for a machine's settings: treefiles are composed by dnf and ostree.
pub async fn build(folder: &Path, request: BuildRequest) -> Result<BuildOutput, BuildError> {
    build_with(folder, request, Settings { composer: Composer::Dnf, ..Settings::default() }).await
}

pub async fn build_with(
    folder: &Path,
    request: BuildRequest,
    settings: Settings,
) -> Result<BuildOutput, BuildError> {
    let desk = Desk { folder: folder.to_owned() };
    fs::create_dir_all(desk.work()).unwrap();
    local::build(desk, request, settings, PackageSets::below(folder)).await
}

/// A folder for one build; with `MUSTER_TEST_KEEP` set it stays, to be looked at.
pub fn scratch() -> tempfile::TempDir {
    let keep = std::env::var_os("MUSTER_TEST_KEEP").is_some();
    tempfile::Builder::new().prefix("builder-").disable_cleanup(keep).tempdir().unwrap()
}

/// A small container of the named packages.
pub fn container(distribution: &Path, packages: &str) -> BuildRequest {
    let text = format!(
        "%packages --nocore --exclude-weakdeps\nmurmur-release-container\nbusybox\nglibc\n{packages}\n%end\n"
    );
    request(distribution, Product::Container, &text)
}

/// Builds what must fail, and gives the words a person reads.
pub async fn refusal(request: BuildRequest) -> (BuildError, String) {
    let folder = scratch();
    let error = build(folder.path(), request).await.unwrap_err();
    let text = error.to_string();
    eprintln!("{text}\n");
    (error, text)
}

#[track_caller]
pub fn assert_says(text: &str, all: &[&str]) {
    for words in all {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

pub fn artifact(output: &BuildOutput, form: Form) -> &Artifact {
    output.artifacts.iter().find(|artifact| artifact.form == form).unwrap()
}

/// Runs a program and gives what it says.
pub async fn said(program: &str, arguments: &[&str]) -> String {
    Program::new(program).args(arguments).run().await.unwrap().text()
}

pub const DISK: &str = r#"text
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

/// Where the root file system lies in the disk that `DISK` describes: after 50 MiB.
pub fn root_of(disk: &Path) -> String {
    format!("{}?offset={}", disk.display(), 50 << 20)
}

pub async fn in_image(disk: &Path, command: &str) -> String {
    said("debugfs", &["-R", command, &root_of(disk)]).await
}
