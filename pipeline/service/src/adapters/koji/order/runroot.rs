//! `runroot`: a command in a chroot of Koji's, here rpm-ostree's compose of a treefile.
//!
//! The treefile goes along in the command, with nothing left to include: what was frozen is what is composed. The commit
//! goes to a repository outside the chroot, which builders mount; what rpm-ostree says of it is left with the task.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_definition::treefile::{self, Treefile};
use muster_flow::koji::RunrootTask;
use serde_json::{Value, json};

use super::{Call, Order};
use crate::adapters::koji::client::keywords;
use crate::adapters::koji::mark::IN_COMMAND;
use crate::adapters::koji::package_set;

/// Where the command works in the chroot, which is made for one task and thrown away.
const FOLDER: &str = "/var/tmp/muster";

/// What rpm-ostree writes of its compose, and is left with the task.
pub const COMPOSE: &str = "compose.json";

/// The longest command: Linux takes no longer argument than 128 KiB, and Koji wraps it.
const LONGEST: usize = 120 << 10;

/// The call.
pub fn call(
    order: &Order<'_>,
    task: &RunrootTask,
    (build_tag, repositories): (&str, &[String]),
) -> Result<Call, String> {
    let arch = order.image.arches.first().ok_or("it has no architecture")?;
    let command = command(order, task, (arch, repositories))?;
    let mut options = json!({
        "packages": task.packages,
        "upload_logs": [format!("{FOLDER}/{COMPOSE}")],
        "new_chroot": true,
    });
    if !task.mounts.is_empty() {
        options["mounts"] = json!(task.mounts);
    }
    if let Some(id) = package_set::number_of(order.settings, build_tag, repositories) {
        options["repo_id"] = json!(id);
    }
    if let Some(channel) = &task.channel {
        options["channel"] = json!(channel);
    }
    let params = vec![json!(build_tag), json!(arch), json!(command), keywords(options)];
    Ok(Call { method: "runroot", params })
}

fn command(
    order: &Order<'_>,
    task: &RunrootTask,
    (arch, repositories): (&str, &[String]),
) -> Result<String, String> {
    let definition = &order.request.definition;
    let treefile =
        treefile::read(&definition.file, &definition.texts, arch).map_err(|error| error.to_string())?;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    // Scripts and files that it adds lie beside it, as they did.
    let own = [".yaml", ".yml", ".json"];
    for (path, text) in &definition.texts {
        if !own.iter().any(|ending| path.ends_with(ending)) {
            files.push((path.clone(), text.clone().into_bytes()));
        }
    }
    let folder = definition.file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    let mut merged = treefile.merged.clone();
    if !repositories.is_empty() {
        merged.insert("repos".to_owned(), names(repositories));
        let text = repositories.iter().enumerate().map(|(number, url)| repository(number, url, arch));
        files.push((beside("muster.repo"), text.collect::<String>().into_bytes()));
    }
    let root = beside("muster.json");
    files.push((root.clone(), Value::Object(merged).to_string().into_bytes()));
    let mut known_by = format!("{IN_COMMAND}{} ", order.folder().0);
    for url in repositories {
        known_by.push_str(&quoted(&url.replace("$arch", arch)));
        known_by.push(' ');
    }
    let mut steps = vec![known_by, format!("mkdir -p {FOLDER} ")];
    for (path, bytes) in &files {
        let path = quoted(&format!("{FOLDER}/{path}"));
        let encoded = STANDARD.encode(bytes);
        steps.push(format!("mkdir -p \"$(dirname {path})\" && printf %s {encoded} | base64 -d > {path} "));
    }
    steps.push(format!(
        "rpm-ostree compose tree --unified-core --force-nocache --repo={} --write-composejson-to={FOLDER}/{COMPOSE} \
         --add-metadata-string=version={} {}",
        quoted(&task.repository),
        quoted(&version(order, &treefile)),
        quoted(&format!("{FOLDER}/{root}")),
    ));
    let command = steps.join("&& ");
    if command.len() > LONGEST {
        return Err(format!(
            "{}: with all it includes the command is {} KiB, and Koji takes {}",
            definition.file,
            command.len() >> 10,
            LONGEST >> 10
        ));
    }
    Ok(command)
}

fn name(number: usize) -> String {
    format!("muster-{number}")
}

fn names(repositories: &[String]) -> Value {
    (0..repositories.len()).map(name).collect()
}

fn repository(number: usize, url: &str, arch: &str) -> String {
    let name = name(number);
    let url = url.replace("$arch", arch);
    format!("[{name}]\nname={name}\nbaseurl={url}\ngpgcheck=0\nenabled=1\n")
}

/// The prefix that the treefile gives and the release of the candidate.
fn version(order: &Order<'_>, treefile: &Treefile) -> String {
    let prefix = treefile.automatic_version_prefix.as_deref().unwrap_or(&order.request.version);
    format!("{prefix}.{}", order.image.release)
}

/// One word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The repositories that a command of ours says its packages come from.
pub fn repositories(command: &str) -> Vec<String> {
    let said = command.strip_prefix(IN_COMMAND).and_then(|rest| rest.split("&& ").next()).unwrap_or_default();
    let words = said.split_whitespace().skip(1);
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}

/// What is wrong with it, whatever the hub says.
pub fn faults(task: &RunrootTask) -> Vec<String> {
    let mut faults = Vec::new();
    if !task.repository.starts_with('/') {
        faults.push(format!("koji.repository: {:?} is no path in the chroot", task.repository));
    } else if !task.mounts.iter().any(|mount| mount.starts_with('/') && task.repository.starts_with(mount)) {
        faults.push(format!(
            "koji.mounts: {} is below none of them, and goes with the chroot",
            task.repository
        ));
    }
    let url = &task.repository_url;
    if !["http://", "https://", "file:///"].iter().any(|scheme| url.starts_with(scheme)) {
        faults.push(format!("koji.repository_url: {url:?} is no address that ostree pulls from"));
    }
    faults
}
