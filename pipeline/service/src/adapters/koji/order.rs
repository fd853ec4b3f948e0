//! What a hub is asked for: one order per build, of the kind of task that its recipe names.
//!
//! Knows the calls that begin a build and what builders need in them. Must not know how calls are made, nor what comes
//! of a task.

mod source;
mod oz;
mod kiwi;
mod osbuild;
mod indirection;
pub mod runroot;

use muster_flow::build::{BuildRequest, KojiImage};
use muster_flow::koji::KojiTask;
use muster_flow::recipe::{Form, Packages, Product, Recipe};
use muster_flow::step::StepKey;
use serde_json::Value;

use super::mark::{self, Mark};
use super::settings::Settings;

/// A build that is wanted of a hub.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The section of the configuration.
    pub settings: &'a Settings,
    /// The step's key.
    pub key: &'a StepKey,
    /// What the step asks for.
    pub request: &'a BuildRequest,
    /// What of it is for Koji alone.
    pub image: &'a KojiImage,
}

/// A call that begins a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The hub's method.
    pub method: &'static str,
    /// Its parameters.
    pub params: Vec<Value>,
}

/// A file that builders read from the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// What it is called there.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What the hub calls the tasks of a kind.
pub fn method(task: &KojiTask) -> &'static str {
    match task {
        KojiTask::Image(_) => "image",
        KojiTask::Kiwi(_) => "kiwiBuild",
        KojiTask::Osbuild(_) => "osbuildImage",
        KojiTask::Indirection(_) => "indirectionimage",
        KojiTask::Runroot(_) => "runroot",
    }
}

/// What the hub calls the task that makes the image of one architecture; `None` where the task does it itself.
pub fn child_method(method: &str) -> Option<&'static str> {
    match method {
        "image" => Some("createImage"),
        "kiwiBuild" => Some("createKiwiImage"),
        _ => None,
    }
}

impl Order<'_> {
    /// When the candidate was made, in seconds since 1970.
    pub fn made(&self) -> i64 {
        self.request.source_date_epoch
    }

    /// The same order as another try of it.
    pub fn with_key<'b>(&'b self, key: &'b StepKey) -> Order<'b> {
        Order { key, ..*self }
    }

    /// The folder that is this order's alone.
    pub fn folder(&self) -> mark::Folder {
        mark::Folder::of(&self.settings.mark, self.key, self.made())
    }

    /// What its task is known by.
    pub fn mark(&self) -> Mark {
        let (name, version) = (&self.image.name, &self.request.version);
        let named = || Mark::named(name, version, &self.release());
        match &self.image.kind {
            KojiTask::Image(task) if task.ksurl.is_none() => self.folder().mark(),
            KojiTask::Indirection(_) if self.image.scratch => self.folder().mark(),
            KojiTask::Runroot(_) => self.folder().mark(),
            KojiTask::Image(_) | KojiTask::Osbuild(_) | KojiTask::Indirection(_) => named(),
            KojiTask::Kiwi(task) => {
                let (profile, kind) = (task.profile.as_deref(), task.kind.as_deref());
                Mark::of_kiwi(&[
                    &task.path,
                    profile.unwrap_or(""),
                    kind.unwrap_or(""),
                    version,
                    &self.release(),
                ])
            }
        }
    }

    /// The release. Where a request has no other place for what it is known by, it stands here: a scratch image gets a
    /// word of its own, and a further try of a build that is kept the number of the try.
    pub fn release(&self) -> String {
        let release = &self.image.release;
        let has_folder = match &self.image.kind {
            KojiTask::Image(task) => task.ksurl.is_none(),
            KojiTask::Indirection(_) => self.image.scratch,
            KojiTask::Runroot(_) => true,
            KojiTask::Kiwi(_) | KojiTask::Osbuild(_) => false,
        };
        match self.key.generation() {
            _ if has_folder => release.clone(),
            _ if self.image.scratch => format!("{release}.{}", self.folder().word()),
            1 => release.clone(),
            generation => format!("{release}.{generation}"),
        }
    }

    /// Name, version and release, joined by dashes.
    pub fn nvr(&self) -> String {
        format!("{}-{}-{}", self.image.name, self.request.version, self.release())
    }

    /// The target.
    pub fn target(&self) -> String {
        self.of_version(&self.settings.target)
    }

    /// The hub's name for its tasks.
    pub fn method(&self) -> &'static str {
        method(&self.image.kind)
    }

    /// The file that has to lie on the hub before the call.
    pub fn upload(&self) -> Result<Option<Upload>, String> {
        match &self.image.kind {
            KojiTask::Image(task) if task.ksurl.is_none() => oz::kickstart(self).map(Some),
            KojiTask::Indirection(_) if self.image.scratch => indirection::template(self).map(Some),
            KojiTask::Image(_)
            | KojiTask::Kiwi(_)
            | KojiTask::Osbuild(_)
            | KojiTask::Indirection(_)
            | KojiTask::Runroot(_) => Ok(None),
        }
    }

    /// The call, with the build tag and the repositories that packages come from; none means those of the build tag, as
    /// they are then.
    pub fn call(&self, build_tag: &str, repositories: &[String]) -> Result<Call, String> {
        match &self.image.kind {
            KojiTask::Image(task) => oz::call(self, task, repositories),
            KojiTask::Kiwi(task) => kiwi::call(self, task, repositories),
            KojiTask::Osbuild(task) => osbuild::call(self, task, repositories),
            KojiTask::Indirection(task) => indirection::call(self, task),
            KojiTask::Runroot(task) => runroot::call(self, task, (build_tag, repositories)),
        }
    }

    /// What keeps Koji from ever building it, whatever the hub says.
    pub fn faults(&self) -> Vec<String> {
        let wish = Wish {
            image: self.image,
            product: &self.request.product,
            version: &self.request.version,
            packages: &self.request.packages,
            file: &self.request.definition.file,
        };
        let mut faults = wish.faults(self.settings);
        if !self.request.allowed.is_everything() {
            faults.push(
                "Koji takes every package of its repositories, so a build there cannot be kept from any; \
                 who may can untag it"
                    .to_owned(),
            );
        }
        if faults.is_empty() {
            faults.extend(self.upload().err());
            faults.extend(self.call("", &[]).err());
        }
        faults
    }

    fn of_version(&self, value: &str) -> String {
        Settings::of_version(value, &self.request.version)
    }
}

/// What a recipe wants of a hub, before there is a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The image.
    pub image: &'a KojiImage,
    /// What is made.
    pub product: &'a Product,
    /// The distribution's version.
    pub version: &'a str,
    /// Where packages come from.
    pub packages: &'a Packages,
    /// The definition's path.
    pub file: &'a str,
}

impl<'a> Wish<'a> {
    /// What a recipe wants.
    pub fn of(recipe: &'a Recipe, image: &'a KojiImage) -> Self {
        Wish {
            image,
            product: &recipe.product,
            version: &recipe.version,
            packages: &recipe.packages,
            file: &recipe.definition.file,
        }
    }

    /// What keeps Koji from ever building it, whatever the hub says.
    pub fn faults(&self, settings: &Settings) -> Vec<String> {
        let mut faults = Vec::new();
        match (self.product, &self.image.kind) {
            (Product::Ostree, KojiTask::Runroot(_)) => {}
            (Product::Ostree, _) => {
                faults.push(
                    "Koji composes OSTree commits by runroot: write task = \"runroot\" below [koji]"
                        .to_owned(),
                );
            }
            (Product::Disk, KojiTask::Runroot(_)) => {
                faults.push("runroot composes OSTree commits: write product = \"ostree\"".to_owned());
            }
            (Product::Disk, _) => {}
            (Product::Container, _) => {
                faults.push("on Koji no containers are built so far: choose the local builder".to_owned());
            }
        }
        if self.version.contains('-') {
            faults.push(format!("Koji takes no version with a hyphen, such as {:?}", self.version));
        }
        for repository in &self.packages.repositories {
            if !repository.baseurl.starts_with("http://") && !repository.baseurl.starts_with("https://") {
                let (name, url) = (&repository.name, &repository.baseurl);
                faults.push(format!("Koji's builders cannot read the repository {name} at {url}"));
            }
        }
        let arches = &self.image.arches;
        let optional = self.image.kind.optional_arches();
        for arch in optional.iter().filter(|arch| !arches.contains(arch)) {
            faults.push(format!("koji.optional_arches: {arch} is not one of its arches"));
        }
        if arches.iter().all(|arch| optional.contains(arch)) {
            faults.push("koji.optional_arches: one of its arches at least must not fail".to_owned());
        }
        faults.extend(match &self.image.kind {
            KojiTask::Image(task) => oz::faults(self, task, settings),
            KojiTask::Kiwi(task) => kiwi::faults(task),
            KojiTask::Osbuild(task) => osbuild::faults(task),
            KojiTask::Indirection(task) => indirection::faults(self, task),
            KojiTask::Runroot(task) => runroot::faults(task),
        });
        faults
    }
}

/// What the image of one architecture in one form is called, where that is known before it is made.
pub fn artifact_name(image: &KojiImage, (version, release): (&str, &str), arch: &str, form: Form) -> String {
    format!("{}-{version}-{release}.{arch}.{}", image.name, form.extension())
}
