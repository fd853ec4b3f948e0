//! The template that an image is made from (TDL), and the name in it that it is known by.

use muster_definition::kickstart::{self, Syntax};
use muster_flow::build::BuildRequest;
use muster_flow::step::StepKey;

use super::Settings;

/// The name of a step's template: the installation's word, when the candidate was made, and the key.
pub fn name(installation: &str, key: &StepKey, made: i64) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || "-_.".contains(character) { character } else { '_' }
    };
    let key: String = key.flat().chars().map(plain).collect();
    format!("{installation}.{made}.{key}")
}

/// Whether a template carries a name.
pub fn carries(template: &str, name: &str) -> bool {
    template.contains(&format!("<name>{name}</name>"))
}

/// The kickstart with nothing left to include: what was frozen is what is built.
pub fn kickstart(request: &BuildRequest) -> Result<String, String> {
    let syntax = format!("F{}", request.version).parse().unwrap_or(Syntax::NEWEST);
    let flat = kickstart::flatten(&request.definition.file, &request.definition.texts, syntax);
    flat.map(|flat| flat.text).map_err(|error| error.to_string())
}

/// The template.
pub fn write(settings: &Settings, name: &str, request: &BuildRequest) -> String {
    let tree = settings.install_tree.replace("$version", &request.version).replace("$arch", &request.arch);
    let [os, version, arch, tree, about] =
        [&settings.os, &request.version, &request.arch, &tree, &request.file_stem].map(|text| escaped(text));
    let disk = settings.disk_gb;
    format!(
        "<template>\n  <name>{name}</name>\n  <os>\n    <name>{os}</name>\n    <version>{version}</version>\n    \
         <arch>{arch}</arch>\n    <install type='url'>\n      <url>{tree}</url>\n    </install>\n  </os>\n  \
         <description>{about}</description>\n  <disk>\n    <size>{disk}</size>\n  </disk>\n</template>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
