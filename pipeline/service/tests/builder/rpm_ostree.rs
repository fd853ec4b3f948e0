//! A treefile that rpm-ostree composes: the real one where there is one, and one that only does as it does.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster::adapters::local::{BuildError, Composer, Settings};
use muster::program;
use muster_flow::build::{Allowed, BuildRequest, Package};
use muster_flow::recipe::{Form, Product};

use crate::ground::{
    artifact, assert_says, build_with, distribution, in_image, request, root_of, said, scratch,
};
use crate::ostree::TREEFILE;

const REFERENCE: &str = "murmur/43/x86_64/iot";

/// A compose that takes what rpm-ostree is told to the letter, and commits a tree that boots nothing.
const STAND_IN: &str = r#"#!/bin/bash
set -euo pipefail
[ "$1 $2 $3" = 'compose tree --unified-core' ]
kept=${0%/*}
for argument in "$@"; do
    case $argument in
    --repo=*) repository=${argument#*=} ;;
    --cachedir=*) [ -d "${argument#*=}" ] ;;
    --write-composejson-to=*) composed=${argument#*=} ;;
    --add-metadata-string=*) metadata=${argument#*=} ;;
    esac
done
cp -r "${argument%/*}/." "$kept/read"
! grep -q nosuch "$argument" || { echo 'error: Packages not found: nosuch' >&2; exit 1; }
mkdir -p "$kept/tree/usr/lib/modules/6.1" "$kept/tree/usr/etc"
echo 'ID=murmur' >"$kept/tree/usr/lib/os-release"
touch "$kept/tree/usr/lib/modules/6.1/"{vmlinuz,initramfs.img}
reference=$(sed -n 's/.*"ref":"\([^"]*\)".*/\1/p' "$argument")
commit=$(ostree commit --repo="$repository" --branch="$reference" --tree=dir="$kept/tree" \
    --add-metadata-string="$metadata" --bootable \
    --add-metadata="rpmostree.rpmdb.pkglist=[('hello', '0', '2.10', '2.mm43', 'x86_64')]")
echo "{\"ref\":\"$reference\",\"ostree-commit\":\"$commit\"}" >"$composed"
"#;

fn stand_in(folder: &Path) -> PathBuf {
    let program = folder.join("rpm-ostree");
    fs::create_dir(folder.join("read")).unwrap();
    fs::write(&program, STAND_IN).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn settings(program: PathBuf) -> Settings {
    Settings { composer: Composer::RpmOstree(program), ..Settings::default() }
}

fn ostree(distribution: &Path, texts: &[(&str, &str)]) -> BuildRequest {
    let mut request = request(distribution, Product::Ostree, "");
    request.definition.file = texts[0].0.to_owned();
    request.definition.texts = texts.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    request
}

#[tokio::test]
async fn rpm_ostree_reads_one_treefile_with_all_it_includes_and_its_commit_is_what_boots() {
    let (folder, tools) = (scratch(), scratch());
    let texts = [
        (
            "trees/iot.yaml",
            "include: ../shared/base.yaml\nref: murmur/43/${basearch}/iot\nrepos: [elsewhere]\n",
        ),
        (
            "shared/base.yaml",
            "packages: [hello]\nadd-files: [[motd, /etc/motd]]\npostprocess-script: post.sh\n",
        ),
        ("shared/motd", "welcome\n"),
        ("shared/post.sh", "#!/bin/sh\n"),
    ];
    let request = ostree(Path::new("/distribution"), &texts);
    let output = build_with(folder.path(), request, settings(stand_in(tools.path()))).await.unwrap();
    let read = |path: &str| fs::read_to_string(tools.path().join("read").join(path)).unwrap();
    let keys: BTreeMap<String, serde_json::Value> = serde_json::from_str(&read("muster.json")).unwrap();
    assert_eq!(keys["packages"], serde_json::json!(["hello"]));
    assert_eq!(keys["repos"], serde_json::json!(["os", "updates"]), "the recipe names the repositories");
    assert_eq!((&keys["ref"], &keys["releasever"]), (&REFERENCE.into(), &"43".into()));
    assert_eq!(keys["add-files"], serde_json::json!([["shared/motd", "/etc/motd"]]));
    assert_eq!(read("shared/motd"), "welcome\n");
    assert_says(&read("muster.repo"), &["[os]\n", "baseurl=file:///distribution/os/x86_64\n", "[updates]\n"]);
    let script = fs::metadata(tools.path().join("read/shared/post.sh")).unwrap();
    assert_eq!(script.permissions().mode() & 0o111, 0o111, "a script can be run");

    let commit = artifact(&output, Form::OstreeCommit);
    let repository = format!("--repo={}", commit.path);
    assert_eq!(said("ostree", &["rev-parse", &repository, REFERENCE]).await.trim(), commit.digest);
    let version = said("ostree", &["show", &repository, "--print-metadata-key=version", REFERENCE]).await;
    assert_eq!(version.trim(), "'43.20260921.0'");
    let names: Vec<String> = output.packages.iter().map(Package::nvr).collect();
    assert_eq!(names, ["hello-2.10-2.mm43"]);
    let menu = in_image(Path::new(&artifact(&output, Form::Raw).path), "cat /boot/grub2/grub.cfg").await;
    assert_says(&menu, &[" linux /boot/ostree/murmur-", "ostree=/ostree/boot."]);
}

#[tokio::test]
async fn what_rpm_ostree_says_when_it_fails_is_told() {
    let (folder, tools) = (scratch(), scratch());
    let texts = [("iot.yaml", "ref: a\npackages: [nosuch]\n")];
    let request = ostree(Path::new("/distribution"), &texts);
    let error = build_with(folder.path(), request, settings(stand_in(tools.path()))).await.unwrap_err();
    assert!(matches!(&error, BuildError::Missing { names, .. } if names == "nosuch"), "{error}");
}

#[tokio::test]
async fn rpm_ostree_is_kept_from_what_a_build_may_not_take_and_not_believed() {
    let Some(distribution) = distribution() else { return };
    let (folder, tools) = (scratch(), scratch());
    let mut request = ostree(&distribution, &[("iot.yaml", "ref: a\npackages: [hello]\n")]);
    let hello = Package::of_nevra("hello-0:2.10-2.mm43.x86_64").unwrap();
    request.allowed = Allowed { set: None, without: vec![hello] };
    // The one that only does as it does takes it all the same.
    let error = build_with(folder.path(), request, settings(stand_in(tools.path()))).await.unwrap_err();
    assert!(
        matches!(&error, BuildError::NotAllowed(names) if names == "hello-0:2.10-2.mm43.x86_64"),
        "{error}"
    );
    let repositories = fs::read_to_string(tools.path().join("read/muster.repo")).unwrap();
    assert_eq!(repositories.matches("excludepkgs=hello-0:2.10-2.mm43.x86_64\n").count(), 2, "{repositories}");
}

/// `MUSTER_TEST_RPM_OSTREE` names one that is not where programs are looked for. No package of Debian 12 has it.
#[tokio::test]
async fn the_real_rpm_ostree_composes_a_commit_that_boots() {
    let Some(distribution) = distribution() else { return };
    let named = std::env::var_os("MUSTER_TEST_RPM_OSTREE").map(PathBuf::from);
    let Some(program) = named.or_else(|| program::find("rpm-ostree")) else {
        eprintln!("SKIPPED: rpm-ostree is not installed");
        return;
    };
    let folder = scratch();
    let text = format!("{TREEFILE}selinux: false\nrpmdb: host\nboot-location: modules\n");
    let request = ostree(&distribution, &[("iot.yaml", &text)]);
    let mut older = request.clone();
    let output = build_with(folder.path(), request, settings(program.clone())).await.unwrap();
    let hello = output.packages.iter().find(|package| package.name == "hello").unwrap();
    assert_eq!(hello.release, "2.mm43");
    older.allowed = Allowed { set: None, without: vec![hello.clone()] };
    let held = build_with(scratch().path(), older, settings(program)).await.unwrap();
    assert!(held.packages.iter().any(|package| package.nvr() == "hello-2.10-1.mm43"), "{:?}", held.packages);
    let commit = artifact(&output, Form::OstreeCommit);
    let repository = format!("--repo={}", commit.path);
    said("ostree", &["fsck", &repository]).await;
    let os_release = said("ostree", &["cat", &repository, REFERENCE, "/usr/lib/os-release"]).await;
    assert_says(&os_release, &["VERSION=\"43.20260921.0 (Iot)\"", "OSTREE_VERSION='43.20260921.0'"]);
    assert_says(&said("ostree", &["cat", &repository, REFERENCE, "/usr/etc/motd"]).await, &["composed"]);
    for name in ["hello", "kernel", "ostree-boot"] {
        assert!(output.packages.iter().any(|package| package.name == name), "{name} is not recorded");
    }
    let disk = Path::new(&artifact(&output, Form::Raw).path);
    assert_says(&in_image(disk, "cat /boot/grub2/grub.cfg").await, &[" linux /boot/ostree/murmur-"]);
    said("e2fsck", &["-f", "-n", &root_of(disk)]).await;
}
