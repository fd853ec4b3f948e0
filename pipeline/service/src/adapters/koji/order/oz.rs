//! `buildImageOz`: ImageFactory and the installer, from a kickstart.

use muster_definition::kickstart::{self, Syntax};
use muster_flow::koji::OzTask;
use serde_json::json;

use super::{Call, Order, Settings, Upload, Wish, source};

/// What builders take a system for; they stumble over any other word.
const DISTROS: [&str; 4] = ["Fedora-", "RHEL-", "CentOS-", "SL-"];

/// The kickstart with nothing left to include: what was frozen is what is built.
pub fn kickstart(order: &Order<'_>) -> Result<Upload, String> {
    let request = order.request;
    let syntax = format!("F{}", request.version).parse().unwrap_or(Syntax::NEWEST);
    let flat = kickstart::flatten(&request.definition.file, &request.definition.texts, syntax);
    let text = flat.map(|flat| flat.text).map_err(|error| error.to_string())?;
    Ok(Upload { name: format!("{}.ks", request.recipe), text })
}

/// The call.
pub fn call(order: &Order<'_>, task: &OzTask, repositories: &[String]) -> Result<Call, String> {
    let (request, image, settings) = (order.request, order.image, order.settings);
    // Builders stumble over a missing format, distro or disk size, though the hub takes a request without.
    let mut options = json!({
        "scratch": image.scratch,
        "format": image.forms.iter().map(|form| form.extension()).collect::<Vec<_>>(),
        "distro": order.of_version(&settings.distro),
        "disk_size": settings.disk_gb.to_string(),
        "release": order.release(),
    });
    match &task.ksurl {
        Some(url) => {
            options["kickstart"] = source::within(url, &request.definition.file)?.into();
            options["ksurl"] = source::pinned(url, &request.definition.commit)?.into();
        }
        None => options["kickstart"] = order.folder().path(&kickstart(order)?.name).into(),
    }
    if !repositories.is_empty() {
        options["repo"] = json!(repositories);
    }
    if !task.optional_arches.is_empty() {
        options["optional_arches"] = json!(task.optional_arches);
    }
    let params = vec![
        json!(image.name),
        json!(request.version),
        json!(image.arches),
        json!(order.target()),
        json!(order.of_version(&settings.install_tree)),
        options,
    ];
    Ok(Call { method: "buildImageOz", params })
}

/// What is wrong with it, whatever the hub says.
pub fn faults(wish: &Wish<'_>, task: &OzTask, settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    let distro = Settings::of_version(&settings.distro, wish.version);
    if !DISTROS.iter().any(|known| distro.strip_prefix(known).is_some_and(|version| !version.is_empty())) {
        faults.push(format!(
            "Koji's builders know no distro {distro:?}: it is Fedora-NN, RHEL-X.Y, CentOS-X.Y or SL-X.Y"
        ));
    }
    if settings.install_tree.is_empty() {
        faults.push("set koji.install_tree: the installer comes from there".to_owned());
    }
    if let Some(url) = &task.ksurl {
        faults.extend(source::faults("koji.ksurl", url));
        faults.extend(source::within(url, wish.file).err());
    }
    faults
}
