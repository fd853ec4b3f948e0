//! The local builder, really building from a small distribution.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made; root builds.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster::adapters::local::{self, BuildError, Settings};
use muster::job::Desk;
use muster_flow::build::{BuildOutput, BuildRequest};
use muster_flow::recipe::{Definition, Packages, Product, Repository};

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
    }
}

async fn build(folder: &Path, request: BuildRequest) -> Result<BuildOutput, BuildError> {
    let desk = Desk { folder: folder.to_owned() };
    std::fs::create_dir_all(desk.work()).unwrap();
    local::build(desk, request, Settings::default()).await
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

const CONTAINER: &str = r#"lang en_US.UTF-8
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
"#;

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

fn folder(name: &str) -> PathBuf {
    std::env::var("KEEP")
        .map_or_else(|_| tempfile::tempdir().unwrap().keep(), |keep| Path::new(&keep).join(name))
}

#[tokio::test]
async fn a_kickstart_becomes_a_disk() {
    let Some(distribution) = distribution() else { return };
    let output = build(&folder("disk"), request(&distribution, Product::Disk, DISK)).await.unwrap();
    eprintln!("{output:#?}");
}

#[tokio::test]
async fn a_kickstart_becomes_an_oci_image() {
    let Some(distribution) = distribution() else { return };
    let output =
        build(&folder("container"), request(&distribution, Product::Container, CONTAINER)).await.unwrap();
    eprintln!("{output:#?}");
}

#[tokio::test]
async fn a_treefile_becomes_a_commit() {
    let Some(distribution) = distribution() else { return };
    let mut request = request(&distribution, Product::Ostree, "");
    request.definition.file = "iot.yaml".to_owned();
    request.definition.texts = BTreeMap::from([("iot.yaml".to_owned(), TREEFILE.to_owned())]);
    let output = build(&folder("ostree"), request).await.unwrap();
    eprintln!("{output:#?}");
}
