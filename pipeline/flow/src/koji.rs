//! How a Koji hub is asked for an image: the kinds of tasks that make one, and what a hub records of it.
//!
//! In the texts marked so, `$version` becomes the recipe's version and `$commit` the commit that its definition is
//! frozen at.

use serde::{Deserialize, Serialize};

/// The section `[koji]` of a recipe: the kind of task that builds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum KojiTask {
    /// ImageFactory and the installer, from a kickstart (`buildImageOz`).
    Image(OzTask),
    /// kiwi, from a description (`kiwiBuild`).
    Kiwi(KiwiTask),
    /// osbuild, from a blueprint's customizations (`osbuildImage`).
    Osbuild(OsbuildTask),
    /// An image made inside another image, from a template (`buildImageIndirection`).
    Indirection(IndirectionTask),
    /// rpm-ostree in a chroot, from a treefile (`runroot`).
    Runroot(RunrootTask),
}

impl Default for KojiTask {
    fn default() -> Self {
        KojiTask::Image(OzTask::default())
    }
}

impl KojiTask {
    /// The architectures whose image may fail without failing the whole.
    pub fn optional_arches(&self) -> &[String] {
        match self {
            KojiTask::Image(OzTask { optional_arches, .. })
            | KojiTask::Kiwi(KiwiTask { optional_arches, .. }) => optional_arches,
            KojiTask::Osbuild(_) | KojiTask::Indirection(_) | KojiTask::Runroot(_) => &[],
        }
    }
}

/// What `buildImageOz` needs beside what every recipe says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OzTask {
    /// Where builders read the kickstart from (`$commit`), such as `git+https://forge.example.org/kickstarts?#$commit`;
    /// without it the flattened kickstart is uploaded.
    pub ksurl: Option<String>,
    /// The architectures whose image may fail.
    pub optional_arches: Vec<String>,
}

/// What `kiwiBuild` needs beside what every recipe says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KiwiTask {
    /// Where builders read the description from (`$commit`).
    pub description: String,
    /// The folder of the description in there.
    #[serde(default)]
    pub path: String,
    /// The profile of the description.
    #[serde(default)]
    pub profile: Option<String>,
    /// The type of image, such as `oem`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Attributes of the type, such as `format=qcow2`.
    #[serde(default)]
    pub type_attributes: Vec<String>,
    /// How the files of a result are named, in kiwi's placeholders.
    #[serde(default)]
    pub bundle_name: Option<String>,
    /// The architectures whose image may fail.
    #[serde(default)]
    pub optional_arches: Vec<String>,
}

/// What `osbuildImage` needs beside what every recipe says. The definition's file holds the customizations, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsbuildTask {
    /// What osbuild calls the distribution (`$version`), such as `fedora-43`.
    pub distro: String,
    /// The type of image, such as `qcow2`.
    pub image_type: String,
}

/// What `buildImageIndirection` needs beside what every recipe says. The definition's file is the template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndirectionTask {
    /// Where in the guest the finished image lies.
    pub results_location: String,
    /// Where builders read the template from (`$commit`), for builds that are kept.
    #[serde(default)]
    pub template_url: Option<String>,
    /// The image in which the work is done.
    pub utility_image: Input,
    /// The image that is worked on.
    pub base_image: Input,
}

/// An image that Koji has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// What a `createImage` task made.
    Task(i64),
    /// A build, by name-version-release.
    Build(String),
}

/// What `runroot` needs beside what every recipe says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunrootTask {
    /// The OSTree repository that is composed into, as the chroot sees it.
    pub repository: String,
    /// The same repository as strangers read it.
    pub repository_url: String,
    /// What builders mount from outside into the chroot.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// Packages of the chroot.
    #[serde(default = "composers")]
    pub packages: Vec<String>,
    /// The channel whose builders have the mounts.
    #[serde(default)]
    pub channel: Option<String>,
}

fn composers() -> Vec<String> {
    ["rpm-ostree", "ostree"].map(str::to_owned).into()
}

/// What Koji knows of a finished task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KojiRecord {
    /// The task.
    pub task: i64,
    /// The kind of task, as Koji calls it.
    pub method: String,
    /// The build that Koji keeps of it; none of a scratch image.
    pub build: Option<KojiBuild>,
    /// The repositories, frozen at an event, that its packages came from; none of a scratch image.
    pub repos: Vec<KojiRepo>,
}

/// A build that Koji keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KojiBuild {
    /// Its number.
    pub id: i64,
    /// Name, version and release, joined by dashes.
    pub nvr: String,
}

/// A repository that Koji made of a tag, as the tag was at one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KojiRepo {
    /// Its number.
    pub id: i64,
    /// The tag.
    pub tag: String,
    /// The event.
    pub event: i64,
}
