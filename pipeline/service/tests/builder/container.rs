//! A kickstart becomes an OCI image.

use std::fs;

use muster::adapters::local::{self, LocalBuilder, Settings};
use muster::job::Jobs;
use muster::package_sets::PackageSets;
use muster::port::{Observation, Port};
use muster_flow::recipe::{Form, Product};
use muster_flow::step::Handle;
use tokio::sync::mpsc::unbounded_channel;

use crate::ground::{artifact, assert_says, build, distribution, request, said, scratch};

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

#[tokio::test]
async fn a_kickstart_becomes_an_oci_image_by_way_of_a_job() {
    let Some(distribution) = distribution() else { return };
    let (one, other) = (scratch(), scratch());
    let request = request(&distribution, Product::Container, CONTAINER);
    let second = build(other.path(), request.clone()).await.unwrap();
    fs::write(one.path().join("request.json"), serde_json::to_vec(&request).unwrap()).unwrap();
    local::job(one.path(), &Settings::default(), &PackageSets::below(one.path())).await.unwrap();
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
