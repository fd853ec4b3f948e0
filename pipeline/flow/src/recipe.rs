//! One image: what it is made from, where it is booted, what must hold, and where it goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::gate::Policy;
use crate::koji::KojiTask;

/// One image. A candidate carries its own frozen copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Unique, such as `cloud-base`.
    pub name: String,
    /// The start of its files' names, such as `Murmur-Cloud-Base`.
    pub image: String,
    /// One line for people who choose an image.
    #[serde(default)]
    pub summary: String,
    /// The group that answers for it.
    #[serde(default)]
    pub owner: String,
    /// What it is made from.
    pub definition: DefinitionFile,
    /// What is made.
    pub product: Product,
    /// Who makes it.
    #[serde(default)]
    pub builder: Builder,
    /// The kind of task that builds it, when it is Koji that builds.
    #[serde(default)]
    pub koji: KojiTask,
    /// The distribution's version, such as `43`.
    pub version: String,
    /// The architectures it is built for, in the spelling of RPM.
    #[serde(default = "x86_64")]
    pub arches: Vec<String>,
    /// Where its packages come from.
    #[serde(default)]
    pub packages: Packages,
    /// How it is tested.
    #[serde(default)]
    pub smoketests: Matrix,
    /// What must hold before it is published.
    #[serde(default)]
    pub gate: Policy,
    /// The stream its releases go to.
    #[serde(default = "stable")]
    pub stream: String,
    /// Where its releases go.
    #[serde(default)]
    pub destinations: Vec<Destination>,
}

impl Recipe {
    /// What its definition is written in.
    pub fn grammar(&self) -> Grammar {
        match (self.builder, &self.koji, &self.product) {
            (Builder::Koji, KojiTask::Kiwi(_), _) => Grammar::Kiwi,
            (Builder::Koji, KojiTask::Osbuild(_), _) => Grammar::Customizations,
            (Builder::Koji, KojiTask::Indirection(_), _) => Grammar::Template,
            (_, _, Product::Disk | Product::Container) => Grammar::Kickstart,
            (_, _, Product::Ostree) => Grammar::Treefile,
        }
    }
}

/// What a definition is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// A kickstart, with what it includes.
    Kickstart,
    /// A treefile, with what it includes.
    Treefile,
    /// A description of kiwi. Only the file itself is read.
    Kiwi,
    /// The customizations of osbuild's blueprint.
    Customizations,
    /// The template of an indirection.
    Template,
}

fn x86_64() -> Vec<String> {
    vec!["x86_64".to_owned()]
}

fn stable() -> String {
    "stable".to_owned()
}

/// Where the definition of a recipe lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionFile {
    /// Its path within the repository of definitions, such as `kickstarts/cloud-base.ks`.
    pub file: String,
    /// The repository's name as its forge writes it; pushes to it are changes of this recipe.
    #[serde(default)]
    pub repository: String,
    /// The branch; empty means the one that the source names.
    #[serde(default)]
    pub branch: String,
}

/// A definition with everything it includes, frozen at one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The root file's path.
    pub file: String,
    /// The commit it was read at; empty when it lies in a plain folder.
    pub commit: String,
    /// Every file of the include closure, by path.
    pub texts: BTreeMap<String, String>,
}

/// What a builder makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// A disk image, from a kickstart.
    Disk,
    /// An OCI image, from a kickstart.
    Container,
    /// An OSTree commit and a disk image that boots it, from a treefile.
    Ostree,
}

/// Who makes an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// This machine.
    #[default]
    Local,
    /// A Koji hub's builders.
    Koji,
    /// An ImageFactory.
    Imagefactory,
}

/// Where the packages of a recipe come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// The Koji tags whose packages can come onto the image.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Package repositories; when there are any, they stand in for those that the definition names.
    #[serde(default)]
    pub repositories: Vec<Repository>,
    /// Whether packages must be signed.
    #[serde(default)]
    pub signatures: Signatures,
}

/// One package repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Its short name.
    pub name: String,
    /// Its address, `file:` or `http(s):`.
    pub baseurl: String,
    /// The addresses of the keys its packages are signed with.
    #[serde(default)]
    pub gpgkeys: Vec<String>,
}

/// Whether packages must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signatures {
    /// An unsigned package, or one signed by a stranger, fails the build.
    Required,
    /// Signatures are not looked at.
    #[default]
    NotChecked,
}

/// How a recipe is tested: every test in every cell that it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// The places and ways it is booted.
    #[serde(default)]
    pub cells: Vec<Cell>,
    /// The names of the smoketests; empty means all that fit the product.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Limits that the smoketests of budgets hold the image to.
    #[serde(default)]
    pub budgets: Budgets,
}

/// One way to boot an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Unique within the recipe, such as `uefi-q35-ec2`.
    pub name: String,
    /// What is booted.
    pub artifact: Form,
    /// The firmware of the machine.
    #[serde(default)]
    pub firmware: Firmware,
    /// The kind of machine.
    #[serde(default)]
    pub machine: Machine,
    /// Where the guest finds its metadata.
    #[serde(default)]
    pub metadata: Metadata,
    /// Memory in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: u32,
    /// Size of the disk in MiB, to see that the root grows; 0 leaves it as built.
    #[serde(default = "default_disk")]
    pub disk_mib: u32,
}

fn default_memory() -> u32 {
    512
}

fn default_disk() -> u32 {
    512
}

/// The form of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A raw disk image.
    Raw,
    /// A qcow2 disk image.
    Qcow2,
    /// An OCI image layout, as one folder.
    Oci,
    /// A commit in an OSTree repository, as one folder.
    OstreeCommit,
}

impl Form {
    /// The ending of its file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Form::Raw => "raw",
            Form::Qcow2 => "qcow2",
            Form::Oci => "oci",
            Form::OstreeCommit => "ostree",
        }
    }
}

/// The firmware a guest starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// PC BIOS.
    #[default]
    Bios,
    /// UEFI without Secure Boot.
    Uefi,
}

/// The machine a guest is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// The old PC with PCI.
    Pc,
    /// The newer PC with PCI Express.
    #[default]
    Q35,
}

/// Where a guest finds its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metadata {
    /// On a small disk labelled `cidata`.
    #[default]
    NoCloud,
    /// At 169.254.169.254, as on EC2.
    Ec2,
}

/// Limits an image is held to; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    /// Size of what is downloaded, in MiB.
    #[serde(default)]
    pub download_mib: Option<u64>,
    /// Number of installed packages.
    #[serde(default)]
    pub packages: Option<u64>,
    /// Number of documentation files.
    #[serde(default)]
    pub documentation_files: Option<u64>,
    /// Number of locales beside C.
    #[serde(default)]
    pub locales: Option<u64>,
}

/// One place that releases of a recipe go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The destination's name in the configuration, such as `mirror`.
    pub name: String,
    /// What kind of place it is.
    pub kind: DestinationKind,
    /// The form that goes there.
    pub takes: Form,
    /// Where in it: the folder of a mirror below its root, the repository of a registry, the ref of an OSTree
    /// repository.
    pub path: String,
}

/// The kinds of places that releases go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// A tree of files behind HTTP.
    Mirror,
    /// An OCI registry.
    Registry,
    /// An OSTree repository.
    OstreeRepository,
}
