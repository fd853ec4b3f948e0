//! `buildImageIndirection`: an image that is made inside another image, from a template.

use muster_flow::koji::{IndirectionTask, Input};
use serde_json::json;

use super::{Call, Order, Upload, Wish, source};

/// The template, for an image that is not kept.
pub fn template(order: &Order<'_>) -> Result<Upload, String> {
    let definition = &order.request.definition;
    let text = definition.texts.get(&definition.file);
    let text = text.cloned().ok_or_else(|| format!("the template {} is not there", definition.file))?;
    Ok(Upload { name: format!("{}.tdl", order.request.recipe), text })
}

/// The call.
pub fn call(order: &Order<'_>, task: &IndirectionTask) -> Result<Call, String> {
    let (request, image) = (order.request, order.image);
    let arch = image.arches.first().ok_or("it has no architecture")?;
    let mut options = json!({
        "name": image.name,
        "version": request.version,
        "release": order.release(),
        "arch": arch,
        "target": order.target(),
        "results_loc": task.results_location,
    });
    for (name, input) in [("utility_image", &task.utility_image), ("base_image", &task.base_image)] {
        match input {
            Input::Task(id) => options[format!("{name}_task")] = json!(id),
            Input::Build(nvr) => options[format!("{name}_build")] = json!(nvr),
        }
    }
    if image.scratch {
        options["scratch"] = json!(true);
        options["indirection_template"] = order.folder().path(&template(order)?.name).into();
    } else {
        let url =
            task.template_url.as_deref().ok_or("set koji.template_url: Koji keeps no build without it")?;
        options["indirection_template"] = source::within(url, &request.definition.file)?.into();
        options["indirection_template_url"] = source::pinned(url, &request.definition.commit)?.into();
    }
    Ok(Call { method: "buildImageIndirection", params: vec![options] })
}

/// What is wrong with it, whatever the hub says.
pub fn faults(wish: &Wish<'_>, task: &IndirectionTask) -> Vec<String> {
    let mut faults = Vec::new();
    if wish.image.arches.len() != 1 {
        faults.push(
            "an indirection makes the image of one architecture: give each a recipe of its own".to_owned(),
        );
    }
    match &task.template_url {
        Some(url) => {
            faults.extend(source::faults("koji.template_url", url));
            faults.extend(source::within(url, wish.file).err());
        }
        None if !wish.image.scratch => {
            faults.push(
                "set koji.template_url: Koji keeps no build whose template it cannot read again".to_owned(),
            );
        }
        None => {}
    }
    if !task.results_location.starts_with('/') {
        faults.push(format!("koji.results_location: {:?} is no path in the guest", task.results_location));
    }
    faults
}
