//! The local builder: images made on this machine with the distribution's own tools.
//!
//! A kickstart becomes one disk image that boots on BIOS and UEFI, raw and qcow2, or an OCI image layout; a treefile
//! becomes an OSTree commit in an archive repository, and a disk image that boots it. Packages come from dnf into a
//! folder; no loop device is used and nothing is mounted outside a private namespace. Each build is a job in a folder
//! of its own, see `crate::job`.
//!
//! The same request and the same packages give the same bytes, raw, qcow2, OCI and OSTree commit alike: identities of
//! disks and file systems are derived from the request, every time stamp is held to its `source_date_epoch`, package
//! databases are folded, trees are read in sorted order (`tests/builder` builds each twice). It ends where the tools
//! of others end: a package or a script that writes a time, a random number or an inode's number into a file is not
//! found out; another version of GRUB, e2fsprogs, qemu-img or zlib gives other bytes; and the archive repository of an
//! OSTree commit is the same commit, but its `summary` says when it was written.
//!
//! This adapter knows dnf, rpm, GRUB, mkfs and ostree. It must not know candidates, gates, clouds or the database.

mod fault;
mod workshop;
mod chamber;
mod place;
mod wanted;
mod dnf;
mod system;
mod accounts;
mod password;
mod units;
mod boot;
mod script;
mod manifest;
mod settle;
mod disk;
mod oci;
mod composer;
mod ostree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use async_trait::async_trait;
use muster_definition::kickstart::{self, Kickstart, Syntax};
use muster_flow::build::{Artifact, Build, BuildOutput, BuildRequest};
use muster_flow::recipe::{Form, Product};
use muster_flow::step::{Handle, StepKey};
use serde::Deserialize;
use tokio::try_join;

pub use self::composer::Composer;
use self::disk::layout::Layout;
pub use self::fault::BuildError;
use self::fault::Result;
use self::workshop::{Workshop, blocking};
use crate::job::{self, Desk, Jobs};
use crate::package_sets::PackageSets;
use crate::port::{Fault, Observation, Port};

/// Its section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A folder that keeps repository metadata and packages between builds; without it each build fetches its own.
    pub cache: Option<PathBuf>,
    /// Further settings for dnf's `[main]` section, such as `proxy`.
    pub dnf: BTreeMap<String, String>,
    /// The size in MiB of the disk that growing partitions fill; without it they keep the size they ask for.
    pub disk_mib: Option<u64>,
    /// The largest disk in MiB that a kickstart may ask for.
    pub max_disk_mib: u64,
    /// The size in MiB of the root file system where the kickstart leaves it to the installer.
    pub automatic_root_mib: u64,
    /// The kernel's arguments in a disk that boots an OSTree commit, beside `root=`.
    pub ostree_kernel_arguments: String,
    /// What composes treefiles.
    pub composer: Composer,
    /// Seconds that one program, dnf or a script, may run.
    pub program_limit_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            cache: None,
            dnf: BTreeMap::new(),
            disk_mib: None,
            max_disk_mib: 64 * 1024,
            automatic_root_mib: 4096,
            ostree_kernel_arguments: "rw console=tty0 console=ttyS0,115200n8 net.ifnames=0".to_owned(),
            composer: Composer::default(),
            program_limit_s: 3600,
        }
    }
}

/// The programs that a kind of product is built with.
pub fn programs<'a>(product: &Product, settings: &'a Settings) -> Vec<&'a str> {
    let tree = ["dnf", "rpm", "bwrap"];
    let disk = ["sfdisk", "mkfs.ext4", "mkfs.vfat", "mcopy", "qemu-img"];
    match product {
        Product::Disk => [&tree[..], &disk].concat(),
        Product::Container => tree.to_vec(),
        Product::Ostree => match &settings.composer {
            // What a release may take is asked of dnf, whoever composes.
            Composer::RpmOstree(path) => {
                [&disk[..], &["dnf", "ostree", path.to_str().unwrap_or_default()]].concat()
            }
            Composer::Auto | Composer::Dnf => [&tree[..], &disk, &["ostree"]].concat(),
        },
    }
}

/// Builds images on this machine, each in a job of its own.
#[derive(Clone, Debug)]
pub struct LocalBuilder {
    /// Where the jobs lie and how they are started.
    pub jobs: Jobs,
}

#[async_trait]
impl Port<Build> for LocalBuilder {
    async fn ensure(&self, key: &StepKey, request: &BuildRequest) -> Result<Handle, Fault> {
        self.jobs.ensure(key, request)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<BuildOutput>, Fault> {
        self.jobs.observe(handle)
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        self.jobs.cancel(handle)
    }
}

/// Does the job in `folder`: the process behind `muster job build`.
pub async fn job(folder: &Path, settings: &Settings, sets: &PackageSets) -> anyhow::Result<()> {
    job::run(folder, |desk, request| async move {
        build(desk, request, settings.clone(), sets.clone()).await.map_err(|error| error.to_string())
    })
    .await
}

/// Builds what is asked for.
pub async fn build(
    desk: Desk,
    request: BuildRequest,
    settings: Settings,
    sets: PackageSets,
) -> Result<BuildOutput> {
    let start = Instant::now();
    let workshop = Workshop::open(&desk, request, settings, sets)?;
    check_machine(&workshop)?;
    let made = match workshop.request.product {
        Product::Disk => disk_image(&workshop).await,
        Product::Container => container_image(&workshop).await,
        Product::Ostree => ostree::build(&workshop).await,
    };
    let mut output = match made {
        Ok(output) => output,
        Err(error) => {
            let error = workshop.told_apart(error);
            workshop.note(&format!("== failed: {error}"));
            // The log says why; the tree would only take room. What cannot be removed goes with the job's folder.
            let work = workshop.desk.work();
            let _ = blocking(move || workshop::remove(&work)).await;
            return Err(error);
        }
    };
    output.log = workshop.log.display().to_string();
    workshop.say(&format!("built in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(output)
}

fn check_machine(workshop: &Workshop) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(BuildError::NotRoot);
    }
    let arch = &workshop.request.arch;
    if arch != "x86_64" || std::env::consts::ARCH != "x86_64" {
        return Err(BuildError::Unsupported {
            at: workshop.request.recipe.clone(),
            what: format!("building for {arch} on {}", std::env::consts::ARCH),
            instead: "packages run their own programs: build on a machine of that architecture".to_owned(),
        });
    }
    Ok(())
}

async fn disk_image(workshop: &Workshop) -> Result<BuildOutput> {
    let kickstart = read_kickstart(&workshop.request)?;
    let layout = Layout::of(&kickstart.storage, &workshop.settings)?;
    let bootloader = kickstart.storage.bootloader.clone().unwrap_or_default();
    let mut warnings = layout.warnings.clone();
    if bootloader.extlinux || bootloader.sdboot {
        warnings
            .push("bootloader: --extlinux and --sdboot are not followed, GRUB starts the image".to_owned());
    }
    let install = workshop.phase("install", install_kickstart(workshop, &kickstart));
    let begin = workshop.phase("disk", disk::begin(workshop, layout.clone()));
    let (more, disk) = try_join!(install, begin)?;
    warnings.extend(more);
    let configure = async {
        warnings.extend(configure(workshop, &kickstart)?);
        boot::write_all(workshop, &layout, &bootloader).await?;
        warnings.extend(script::run_post(workshop, &kickstart).await?);
        Ok(())
    };
    workshop.phase("configure", configure).await?;
    let packages = workshop.phase("manifest", manifest::installed(workshop)).await?;
    workshop.phase("clean", clean(workshop, wanted::DATABASE)).await?;
    workshop.phase("file systems", disk::fill(workshop, &disk, &workshop.root)).await?;
    let artifacts = workshop.phase("compress", finish_disk(workshop, disk)).await?;
    Ok(BuildOutput { artifacts, packages, warnings, ..BuildOutput::default() })
}

async fn container_image(workshop: &Workshop) -> Result<BuildOutput> {
    let kickstart = read_kickstart(&workshop.request)?;
    let mut warnings = workshop.phase("install", install_kickstart(workshop, &kickstart)).await?;
    let configure = async {
        warnings.extend(configure(workshop, &kickstart)?);
        warnings.extend(script::run_post(workshop, &kickstart).await?);
        Ok(())
    };
    workshop.phase("configure", configure).await?;
    let packages = workshop.phase("manifest", manifest::installed(workshop)).await?;
    workshop.phase("clean", clean(workshop, wanted::DATABASE)).await?;
    let artifact = workshop.phase("layer", layout_of(workshop)).await?;
    workshop::remove(&workshop.desk.work())?;
    Ok(BuildOutput { artifacts: vec![artifact], packages, warnings, ..BuildOutput::default() })
}

async fn layout_of(workshop: &Workshop) -> Result<Artifact> {
    workshop.say("compressing the layer");
    let request = &workshop.request;
    let about = oci::About {
        title: request.recipe.clone(),
        version: request.version.clone(),
        arch: request.arch.clone(),
        created: jiff::Timestamp::from_second(workshop.epoch())
            .context("cannot tell the time of the build")?,
    };
    let (root, path) = (workshop.root.clone(), workshop.artifact(Form::Oci));
    let layout = path.clone();
    let written = blocking(move || Ok(oci::write(&root, &layout, &about)?)).await?;
    Ok(Artifact {
        form: Form::Oci,
        arch: request.arch.clone(),
        name: workshop.artifact_name(Form::Oci),
        path: path.display().to_string(),
        size: written.size,
        digest: written.digest,
    })
}

/// The tree has become a disk: it is removed while the disk is compressed.
async fn finish_disk(workshop: &Workshop, disk: disk::Disk) -> Result<Vec<Artifact>> {
    let work = workshop.desk.work();
    let remove = blocking(move || workshop::remove(&work));
    let artifacts = disk::finish(workshop, disk);
    Ok(try_join!(artifacts, remove)?.0)
}

async fn install_kickstart(workshop: &Workshop, kickstart: &Kickstart) -> Result<Vec<String>> {
    let (wanted, mut warnings) = wanted::of_kickstart(kickstart, &workshop.request)?;
    warnings.extend(dnf::install(workshop, &wanted).await?);
    Ok(warnings)
}

fn configure(workshop: &Workshop, kickstart: &Kickstart) -> Result<Vec<String>> {
    system::apply(&workshop.root, kickstart, workshop.uuid("salt"))
}

async fn clean(workshop: &Workshop, database: &str) -> Result<()> {
    settle::clean(workshop, database).await?;
    let (root, epoch) = (workshop.root.clone(), workshop.epoch());
    blocking(move || settle::hold_all_to(&root, epoch)).await
}

/// Reads the kickstart as the recipe's version of Fedora understands it.
fn read_kickstart(request: &BuildRequest) -> Result<Kickstart> {
    let syntax = format!("F{}", request.version).parse().unwrap_or(Syntax::NEWEST);
    Ok(kickstart::read(&request.definition.file, &request.definition.texts, syntax)?)
}
