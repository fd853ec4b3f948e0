//! A treefile as an OSTree commit, and a disk that boots it.
//!
//! rpm-ostree composes where it is installed. Where it is not, dnf and ostree do: the tree is committed once, into the
//! repository of the disk's own sysroot, where nothing needs compressing, and the archive repository that is published is
//! filled from there while the disk is made. Knows `ostree` and its sysroots. Must not know where commits are published.

mod compose;
mod composed;
mod rpm_ostree;
mod shape;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use muster_definition::treefile::{self, Treefile};
use muster_flow::build::{Artifact, BuildOutput};
use muster_flow::recipe::Form;
use tokio::try_join;

use super::boot::{self, Entry};
use super::disk::layout::Layout;
use super::fault::Result;
use super::workshop::{Workshop, blocking};
use super::{clean, disk, dnf, finish_disk, manifest, oci, place, settle, wanted};
use crate::program::Program;

/// Room beside what is installed, in MiB: a machine writes to `/var`, and an update needs a second deployment.
const SPARE_MIB: u64 = 128;

/// Builds the commit and the disk that a treefile describes.
pub async fn build(workshop: &Workshop) -> Result<BuildOutput> {
    let request = &workshop.request;
    if let Some(commit) = &request.composed {
        return composed::finish(workshop, commit).await;
    }
    let treefile = treefile::read(&request.definition.file, &request.definition.texts, &request.arch)?;
    let reference = treefile.reference.clone().ok_or_else(|| {
        anyhow!("{}: it names no ref: write ref: NAME/VERSION/ARCH/EDITION", request.definition.file)
    })?;
    let wanted = wanted::of_treefile(&treefile, request)?;
    if let Some(program) = workshop.settings.composer.rpm_ostree(request.packages.signatures) {
        let version = version(workshop, &treefile);
        return rpm_ostree::build(workshop, &program, &treefile, &wanted, (&reference, &version)).await;
    }
    let mut warnings = workshop.phase("install", dnf::install(workshop, &wanted)).await?;
    let version = version(workshop, &treefile);
    warnings.extend(workshop.phase("configure", compose::apply(workshop, &treefile, &version)).await?);
    let packages = workshop.phase("manifest", manifest::installed(workshop)).await?;
    let root = workshop.root.clone();
    let shape = async {
        clean(workshop, wanted::OSTREE_DATABASE).await?;
        blocking(move || shape::give(&root)).await
    };
    warnings.extend(workshop.phase("clean", shape).await?);
    let commit = Commit { reference, version, selinux: treefile.selinux };
    let sysroot = workshop.phase("commit", sysroot(workshop, &commit)).await?;
    let archive = workshop.phase("archive", archive(workshop, &sysroot, &commit.reference));
    let (archive, disks) = try_join!(archive, disk_of(workshop, &sysroot))?;
    let mut artifacts = vec![archive];
    // The archive reads the sysroot to its end, so the work is put away only now.
    artifacts.extend(workshop.phase("compress", finish_disk(workshop, disks)).await?);
    Ok(BuildOutput { artifacts, packages, warnings, ..BuildOutput::default() })
}

/// What is said about a commit.
struct Commit {
    reference: String,
    version: String,
    selinux: bool,
}

/// A sysroot that holds the commit.
struct Sysroot {
    path: PathBuf,
    name: String,
    commit: String,
    reference: String,
}

/// The prefix that the treefile gives and what follows the version in the names of the files.
fn version(workshop: &Workshop, treefile: &Treefile) -> String {
    let request = &workshop.request;
    let prefix = treefile.automatic_version_prefix.as_deref().unwrap_or(&request.version);
    let stem = request.file_stem.strip_suffix(&format!(".{}", request.arch)).unwrap_or(&request.file_stem);
    match stem.rsplit_once('-') {
        Some((_, release)) => format!("{prefix}.{release}"),
        None => prefix.to_owned(),
    }
}

async fn sysroot(workshop: &Workshop, commit: &Commit) -> Result<Sysroot> {
    workshop.say(&format!("committing to {}", commit.reference));
    let name = os_name(&place::read(&workshop.root, "/usr/lib/os-release")?);
    let path = empty_sysroot(workshop, &name).await?;
    let repository = path.join("ostree/repo");
    let time = jiff::Timestamp::from_second(workshop.epoch()).context("cannot tell the time of the build")?;
    let labels = commit.selinux && workshop.root.join("usr/etc/selinux/config").exists();
    let labels = labels.then(|| format!("--selinux-policy={}", workshop.root.display()));
    let make = |ostree: Program| {
        ostree
            .arg("commit")
            .arg(in_repository(&repository))
            .arg(format!("--branch={}", commit.reference))
            .arg(format!("--timestamp={}", time.strftime("%Y-%m-%d %H:%M:%S +0000")))
            .arg(format!("--subject={} {}", workshop.request.recipe, commit.version))
            .arg(format!("--add-metadata-string=version={}", commit.version))
            .args(["--bootable", "--consume"])
            .args(labels)
            .arg(format!("--tree=dir={}", workshop.root.display()))
    };
    let finished = workshop.run("ostree", make).await?;
    let id = finished.text().trim().to_owned();
    Ok(Sysroot { path, name, commit: id, reference: commit.reference.clone() })
}

/// A sysroot with nothing deployed in it yet.
async fn empty_sysroot(workshop: &Workshop, name: &str) -> Result<PathBuf> {
    let path = workshop.desk.work().join("sysroot");
    std::fs::create_dir_all(&path).map_err(|error| workshop.io(error, "cannot make the sysroot"))?;
    workshop.run("ostree", |ostree| ostree.args(["admin", "init-fs"]).arg(&path)).await?;
    workshop.run("ostree", |ostree| ostree.args(["admin", "os-init", name]).arg(in_sysroot(&path))).await?;
    let repository = path.join("ostree/repo");
    for (key, value) in [("sysroot.bootloader", "none"), ("sysroot.readonly", "false")] {
        workshop
            .run("ostree", |ostree| {
                ostree.arg(in_repository(&repository)).args(["config", "set", key, value])
            })
            .await?;
    }
    Ok(path)
}

/// The repository that is published: the commit, compressed object by object.
async fn archive(workshop: &Workshop, sysroot: &Sysroot, reference: &str) -> Result<Artifact> {
    let path = workshop.artifact(Form::OstreeCommit);
    let (to, from) = (in_repository(&path), sysroot.path.join("ostree/repo"));
    workshop.run("ostree", |ostree| ostree.args(["init", "--mode=archive", &to])).await?;
    workshop.run("ostree", |ostree| ostree.args(["pull-local", &to]).arg(&from).arg(reference)).await?;
    finish_archive(workshop, &sysroot.commit).await
}

/// Says in the archive what is in it.
async fn finish_archive(workshop: &Workshop, commit: &str) -> Result<Artifact> {
    let path = workshop.artifact(Form::OstreeCommit);
    let to = in_repository(&path);
    workshop.run("ostree", |ostree| ostree.args(["summary", "--update", &to])).await?;
    let size = oci::size(&path)?;
    Ok(Artifact {
        form: Form::OstreeCommit,
        arch: workshop.request.arch.clone(),
        name: workshop.artifact_name(Form::OstreeCommit),
        path: path.display().to_string(),
        size,
        digest: commit.to_owned(),
    })
}

async fn disk_of(workshop: &Workshop, sysroot: &Sysroot) -> Result<disk::Disk> {
    let root = disk::layout::Role::root();
    let identity = disk::identity(workshop, &root);
    workshop.phase("deploy", deploy(workshop, sysroot, &identity.to_string())).await?;
    let used = settle::size(&sysroot.path)?.div_ceil(1 << 20);
    let layout = Layout::plain(used + used / 4 + SPARE_MIB, &workshop.settings)?;
    let disk = workshop.phase("disk", disk::begin(workshop, layout)).await?;
    workshop.phase("file systems", disk::fill(workshop, &disk, &sysroot.path)).await?;
    Ok(disk)
}

/// Deploys the commit in the sysroot and writes the menu that starts it.
async fn deploy(workshop: &Workshop, sysroot: &Sysroot, root: &str) -> Result<()> {
    workshop.say(&format!("deploying {}", sysroot.commit));
    let origin = workshop.desk.work().join("origin");
    let text = format!("[origin]\nrefspec={}:{}\n", sysroot.name, sysroot.reference);
    std::fs::write(&origin, text).map_err(|error| workshop.io(error, "cannot write the origin"))?;
    let arguments = workshop.settings.ostree_kernel_arguments.split_whitespace();
    let make = |ostree: Program| {
        ostree
            .args(["admin", "deploy"])
            .arg(in_sysroot(&sysroot.path))
            .arg(format!("--os={}", sysroot.name))
            .arg(format!("--origin-file={}", origin.display()))
            .arg(format!("--karg=root=UUID={root}"))
            .args(arguments.map(|argument| format!("--karg-append={argument}")))
            .arg(&sysroot.reference)
    };
    workshop.run("ostree", make).await?;
    let deployments = sysroot.path.join("ostree/deploy").join(&sysroot.name).join("deploy");
    // A deployment is immutable, so that nobody changes it by mistake; its times have to be set once more.
    for deployment in settle::children(&deployments).iter().filter(|path| path.is_dir()) {
        workshop.run("chattr", |chattr| chattr.arg("-i").arg(deployment)).await?;
    }
    place::write(&sysroot.path, "/boot/grub2/grub.cfg", &menu(&sysroot.path)?, 0o600)?;
    // What the pull of another process leaves in there has random names.
    for left in settle::children(&sysroot.path.join("ostree/repo/tmp")) {
        if left.file_name().is_some_and(|name| name.to_string_lossy().starts_with("staging-")) {
            super::workshop::remove(&left)?;
        }
    }
    let (path, epoch) = (sysroot.path.clone(), workshop.epoch());
    blocking(move || settle::hold_all_to(&path, epoch)).await
}

/// GRUB's menu for the entries that ostree wrote.
fn menu(sysroot: &Path) -> Result<String> {
    let mut entries = Vec::new();
    for file in settle::children(&place::inside(sysroot, "/boot/loader/entries")?) {
        let text = std::fs::read_to_string(&file).context("cannot read a boot loader entry")?;
        let value = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            found.map(str::to_owned).with_context(|| format!("the boot loader entry has no {key}"))
        };
        // Paths are those of a `/boot` of its own; here it is a folder of the root.
        let path = |key: &str| value(key).map(|path| format!("/boot{}", path.trim_start_matches("/boot")));
        entries.push(Entry {
            title: value("title")?,
            linux: path("linux")?,
            initrd: path("initrd")?,
            options: value("options")?,
        });
    }
    if entries.is_empty() {
        return Err(anyhow!("ostree wrote no boot loader entry").into());
    }
    Ok(boot::menu(&entries, 0))
}

/// The name of the system that an `os-release` is of.
fn os_name(os_release: &str) -> String {
    let id = os_release.lines().find_map(|line| line.strip_prefix("ID=")).unwrap_or("linux");
    id.trim_matches(['"', '\'']).to_owned()
}

fn in_repository(path: &Path) -> String {
    format!("--repo={}", path.display())
}

fn in_sysroot(path: &Path) -> String {
    format!("--sysroot={}", path.display())
}
