//! Building: one step per architecture, or one for all on Koji.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Purpose};
use crate::koji::{KojiRecord, KojiRepo, KojiTask};
use crate::recipe::{Builder, Definition, Form, Packages, Product, Recipe};
use crate::step::{Place, Wanted, Work};

/// The building of one recipe for one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {}

impl Work for Build {
    const NAME: &'static str = "build";
    type Request = BuildRequest;
    type Output = BuildOutput;

    fn place(request: &BuildRequest) -> Place {
        let is_elsewhere = request.koji.is_some() || request.imagefactory.is_some();
        if is_elsewhere { Place::Elsewhere } else { Place::Here }
    }
}

/// What a builder is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRequest {
    /// The recipe's name.
    pub recipe: String,
    /// The definition with all it includes.
    pub definition: Definition,
    /// What to make.
    pub product: Product,
    /// Where packages come from.
    pub packages: Packages,
    /// Which of the packages there may be taken.
    #[serde(default)]
    pub allowed: Allowed,
    /// The architecture; several, joined by plus signs, where one build makes the images of all.
    pub arch: String,
    /// The distribution's version, such as `43`.
    pub version: String,
    /// The start of every file's name, such as `Murmur-Cloud-Base-43-20261121.0.x86_64`.
    pub file_stem: String,
    /// Seconds since 1970 that every time stamp in the image is held to.
    pub source_date_epoch: i64,
    /// What Koji is asked for beside that, when it is Koji that builds.
    #[serde(default)]
    pub koji: Option<Box<KojiImage>>,
    /// What ImageFactory is asked for beside that, when it is ImageFactory that builds.
    #[serde(default)]
    pub imagefactory: Option<FactoryImage>,
    /// The commit that was composed elsewhere already: only what boots it is left to make.
    #[serde(default)]
    pub composed: Option<Box<Composed>>,
}

/// Which packages of its repositories a build may take. All of them, unless something is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The frozen package set that the build is held to, by its SHA-256 in hex.
    #[serde(default)]
    pub set: Option<String>,
    /// Packages that the build must do without, whether or not a set has them.
    #[serde(default)]
    pub without: Vec<Package>,
}

impl Allowed {
    /// Whether every package may be taken.
    pub fn is_everything(&self) -> bool {
        self.set.is_none() && self.without.is_empty()
    }
}

/// An image as ImageFactory makes it: one per architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactoryImage {
    /// The forms that somebody wants of it.
    pub forms: Vec<Form>,
}

/// An OSTree commit that was composed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composed {
    /// The repository it is read from, `file:` or `http(s):`.
    pub repository: String,
    /// The branch.
    pub reference: String,
    /// The commit's id.
    pub commit: String,
    /// Where more about the compose can be seen.
    pub links: Vec<Link>,
    /// What Koji knows of it, when Koji composed it.
    pub koji: Option<KojiRecord>,
    /// What a person should know of the compose.
    pub warnings: Vec<String>,
}

/// An image as Koji knows it: one task makes it for all architectures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KojiImage {
    /// The name, which is a package's name there.
    pub name: String,
    /// The release.
    pub release: String,
    /// The architectures.
    pub arches: Vec<String>,
    /// The forms that somebody wants of it.
    pub forms: Vec<Form>,
    /// Whether it only proves a change, and is no build that Koji keeps.
    pub scratch: bool,
    /// The kind of task that makes it.
    #[serde(default)]
    pub kind: KojiTask,
    /// The repositories that it is held to, each in place of its tag's newest; none means those that are the newest when
    /// it begins.
    #[serde(default)]
    pub held: Vec<KojiRepo>,
}

impl KojiImage {
    /// The image of a recipe, as one that Koji keeps.
    pub fn kept(recipe: &Recipe, release: &str) -> Self {
        KojiImage {
            name: recipe.image.clone(),
            release: release.to_owned(),
            arches: recipe.arches.clone(),
            forms: forms(recipe),
            scratch: false,
            kind: recipe.koji.clone(),
            held: Vec::new(),
        }
    }
}

/// The forms that somebody wants of a recipe's image.
fn forms(recipe: &Recipe) -> Vec<Form> {
    let booted = recipe.smoketests.cells.iter().map(|cell| cell.artifact);
    let published = recipe.destinations.iter().map(|destination| destination.takes);
    let forms: BTreeSet<Form> = booted.chain(published).collect();
    if forms.is_empty() { vec![Form::Qcow2] } else { forms.into_iter().collect() }
}

/// What a builder made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildOutput {
    /// The files.
    pub artifacts: Vec<Artifact>,
    /// What is really installed, from the image's own package database, sorted by name.
    pub packages: Vec<Package>,
    /// What a person should know although the build succeeded.
    pub warnings: Vec<String>,
    /// The path of the log.
    pub log: String,
    /// Where more about it can be seen: the builder's own pages and logs.
    #[serde(default)]
    pub links: Vec<Link>,
    /// What Koji knows of it, when it is Koji that built.
    #[serde(default)]
    pub koji: Option<KojiRecord>,
}

/// A place where more can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What is there.
    pub text: String,
    /// The address.
    pub url: String,
}

/// One file, or one folder that is one thing (an OCI layout, an OSTree repository).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its form.
    pub form: Form,
    /// The architecture.
    pub arch: String,
    /// The name it is published under, such as `Murmur-Cloud-Base-43-20261121.0.x86_64.qcow2`.
    pub name: String,
    /// Where it lies on this machine.
    pub path: String,
    /// Size in bytes of the file, or of everything in the folder.
    pub size: u64,
    /// Its identity: SHA-256 in hex of the file, the manifest digest's hex of an OCI layout, the commit id of an
    /// OSTree commit.
    pub digest: String,
}

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Epoch; 0 when there is none.
    pub epoch: u32,
    /// Version.
    pub version: String,
    /// Release.
    pub release: String,
    /// Architecture.
    pub arch: String,
}

impl Package {
    /// Name, version and release, joined by dashes.
    pub fn nvr(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.release)
    }

    /// What it is beside its name: `[epoch:]version-release.arch`.
    pub fn evra(&self) -> String {
        let epoch = if self.epoch == 0 { String::new() } else { format!("{}:", self.epoch) };
        format!("{epoch}{}-{}.{}", self.version, self.release, self.arch)
    }

    /// All that it is, with an epoch in every case: `name-epoch:version-release.arch`.
    pub fn nevra(&self) -> String {
        format!("{}-{}:{}-{}.{}", self.name, self.epoch, self.version, self.release, self.arch)
    }

    /// Reads what [`Package::nevra`] writes; an epoch that is not there is 0.
    pub fn of_nevra(text: &str) -> Option<Package> {
        let (rest, arch) = text.rsplit_once('.')?;
        let (rest, release) = rest.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        let (epoch, version) = version.split_once(':').unwrap_or(("0", version));
        let is_whole = ![name, version, release, arch].contains(&"");
        is_whole.then_some(Package {
            name: name.to_owned(),
            epoch: epoch.parse().ok()?,
            version: version.to_owned(),
            release: release.to_owned(),
            arch: arch.to_owned(),
        })
    }
}

/// The builds a candidate needs.
pub fn wanted(candidate: &Candidate) -> Vec<Wanted<Build>> {
    let recipe = &candidate.recipe;
    match recipe.builder {
        Builder::Imagefactory => {
            let image = FactoryImage { forms: forms(recipe) };
            let with_image = |mut wanted: Wanted<Build>| {
                wanted.request.imagefactory = Some(image.clone());
                wanted
            };
            recipe.arches.iter().map(|arch| with_image(build(candidate, arch, None))).collect()
        }
        Builder::Local => recipe.arches.iter().map(|arch| build(candidate, arch, None)).collect(),
        Builder::Koji => {
            let scratch = !candidate.purpose.is_published();
            let held = candidate.batch.as_ref().map(|batch| batch.repos.clone()).unwrap_or_default();
            let image = KojiImage { scratch, held, ..KojiImage::kept(recipe, candidate.id.release()) };
            if !matches!(recipe.koji, KojiTask::Runroot(_)) {
                return vec![build(candidate, &recipe.arches.join("+"), Some(image))];
            }
            // A chroot is of one architecture.
            let of_arch = |arch: &String| KojiImage { arches: vec![arch.clone()], ..image.clone() };
            recipe.arches.iter().map(|arch| build(candidate, arch, Some(of_arch(arch)))).collect()
        }
    }
}

/// What this machine may build a candidate from: exactly what was frozen for its batch, or for it alone when it is a probe.
/// What Koji builds is held to its repositories.
fn allowed(candidate: &Candidate) -> Allowed {
    if let Purpose::Probe { set, .. } = &candidate.purpose {
        return Allowed { set: set.clone(), without: Vec::new() };
    }
    let batch = candidate.batch.as_ref().filter(|_| candidate.recipe.builder == Builder::Local);
    let set = batch.map(|batch| batch.set.clone());
    Allowed { set, without: Vec::new() }
}

fn build(candidate: &Candidate, arch: &str, koji: Option<KojiImage>) -> Wanted<Build> {
    let recipe = &candidate.recipe;
    Wanted {
        key: candidate.key(&format!("build/{arch}")),
        request: BuildRequest {
            recipe: recipe.name.clone(),
            definition: candidate.definition.clone(),
            product: recipe.product.clone(),
            packages: recipe.packages.clone(),
            allowed: allowed(candidate),
            arch: arch.to_owned(),
            version: recipe.version.clone(),
            file_stem: format!("{}-{}-{}.{arch}", recipe.image, recipe.version, candidate.id.release()),
            source_date_epoch: candidate.created.as_second(),
            koji: koji.map(Box::new),
            imagefactory: None,
            composed: None,
        },
    }
}
