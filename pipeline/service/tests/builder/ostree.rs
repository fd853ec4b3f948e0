//! A treefile becomes an OSTree commit and a disk.

use std::collections::BTreeMap;
use std::path::Path;

use muster_flow::recipe::{Form, Product};

use crate::ground::{artifact, assert_says, build, distribution, in_image, request, root_of, said, scratch};

pub const TREEFILE: &str = r"
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
