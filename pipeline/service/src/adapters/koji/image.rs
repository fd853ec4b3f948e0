//! What `buildImageOz` is asked for.

use muster_definition::kickstart::{self, Syntax};
use muster_flow::build::{BuildRequest, KojiImage};
use muster_flow::recipe::{Form, Packages, Product};
use serde_json::{Value, json};

use super::mark::Mark;
use super::settings::Settings;

/// The kickstart with nothing left to include: what was frozen is what is built.
pub fn kickstart(request: &BuildRequest) -> Result<String, String> {
    let syntax = format!("F{}", request.version).parse().unwrap_or(Syntax::NEWEST);
    kickstart::flatten(&request.definition.file, &request.definition.texts, syntax)
        .map(|flat| flat.text)
        .map_err(|error| error.to_string())
}

/// What the file is called on the hub.
pub fn file_name(request: &BuildRequest) -> String {
    format!("{}.ks", request.recipe)
}

/// What keeps Koji from ever building it, whatever the hub says.
pub fn faults(product: &Product, version: &str, packages: &Packages) -> Vec<String> {
    let mut faults = Vec::new();
    match product {
        Product::Disk => {}
        Product::Container | Product::Ostree => {
            faults.push("on Koji only disk images are built so far: choose the local builder".to_owned());
        }
    }
    if version.contains('-') {
        faults.push(format!("Koji takes no version with a hyphen, such as {version:?}"));
    }
    for repository in &packages.repositories {
        if !repository.baseurl.starts_with("http://") && !repository.baseurl.starts_with("https://") {
            let (name, url) = (&repository.name, &repository.baseurl);
            faults.push(format!("Koji's builders cannot read the repository {name} at {url}"));
        }
    }
    faults
}

/// The parameters of `buildImageOz`.
pub fn params(settings: &Settings, request: &BuildRequest, image: &KojiImage, mark: &Mark) -> Vec<Value> {
    let of_version = |value: &str| Settings::of_version(value, &request.version);
    // Builders stumble over a missing format, distro or disk size, though the hub takes a request without.
    let mut options = json!({
        "scratch": image.scratch,
        "kickstart": mark.path(&file_name(request)),
        "format": image.forms.iter().map(|form| form.extension()).collect::<Vec<_>>(),
        "distro": of_version(&settings.distro),
        "disk_size": settings.disk_gb.to_string(),
        "release": image.release,
    });
    if !request.packages.repositories.is_empty() {
        let repositories = request.packages.repositories.iter();
        options["repo"] =
            repositories.map(|repository| repository.baseurl.replace("$basearch", "$arch")).collect();
    }
    vec![
        json!(image.name),
        json!(request.version),
        json!(image.arches),
        json!(of_version(&settings.target)),
        json!(of_version(&settings.install_tree)),
        options,
    ]
}

/// What the image of one architecture in one form is called.
pub fn artifact_name(image: &KojiImage, version: &str, arch: &str, form: Form) -> String {
    format!("{}-{version}-{}.{arch}.{}", image.name, image.release, form.extension())
}
