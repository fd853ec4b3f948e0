//! What a treefile says beside its packages, applied to the installed tree.

use std::path::Path;

use anyhow::{Context, anyhow};
use muster_definition::treefile::Treefile;
use muster_definition::{Source, SourceError};

use crate::adapters::local::boot;
use crate::adapters::local::fault::{BuildError, Result};
use crate::adapters::local::place::{self, exists, inside, link, read};
use crate::adapters::local::script::{self, Task};
use crate::adapters::local::settle::children;
use crate::adapters::local::units;
use crate::adapters::local::workshop::{Workshop, remove};
use crate::program::Program;

/// Applies the treefile in the order in which rpm-ostree does. Gives what a person should know.
pub async fn apply(workshop: &Workshop, treefile: &Treefile, version: &str) -> Result<Vec<String>> {
    let root = &workshop.root;
    let mut warnings = Vec::new();
    for unit in &treefile.units {
        warnings.extend(units::enable(root, unit)?);
    }
    if let Some(target) = &treefile.default_target {
        link(root, "/etc/systemd/system/default.target", &format!("/usr/lib/systemd/system/{target}"))?;
    }
    if let Some(old) = &treefile.mutate_os_release {
        name_version(root, old, version)?;
    }
    for (from, to) in &treefile.add_files {
        place::write(root, to, &text(workshop, from)?, 0o644)?;
    }
    for path in &treefile.remove_files {
        remove(&inside(root, path)?)?;
    }
    for entry in &treefile.remove_from_packages {
        remove_from_package(workshop, entry).await?;
    }
    if treefile.machineid_compat {
        place::write(root, "/etc/machine-id", "", 0o444)?;
    } else {
        remove(&inside(root, "/etc/machine-id")?)?;
    }
    initramfs(workshop, treefile).await?;
    run_scripts(workshop, treefile).await?;
    Ok(warnings)
}

/// The version of the commit in place of the distribution's, so that a machine can say what it runs.
fn name_version(root: &Path, old: &str, version: &str) -> Result<()> {
    let file = "/usr/lib/os-release";
    let lines = read(root, file)?;
    let lines = lines.lines().map(|line| match line.split_once('=') {
        Some((key @ ("VERSION" | "PRETTY_NAME"), value)) => {
            format!("{key}={}\n", value.replace(old, version))
        }
        Some(("OSTREE_VERSION", _)) => String::new(),
        _ => format!("{line}\n"),
    });
    let text = format!("{}OSTREE_VERSION='{version}'\n", lines.collect::<String>());
    place::write(root, file, &text, 0o644)
}

/// The text of a file that the treefile names.
fn text(workshop: &Workshop, file: &str) -> Result<String> {
    let definition = &workshop.request.definition;
    let found = definition.texts.text(file, None);
    let text = found.map_err(|error: SourceError| anyhow!("{}: {error}", definition.file))?;
    Ok(text.1)
}

/// An entry is a package and then patterns of its files.
async fn remove_from_package(workshop: &Workshop, entry: &[String]) -> Result<()> {
    let Some((package, patterns)) = entry.split_first() else { return Ok(()) };
    let list = |rpm: Program| rpm.arg("--root").arg(&workshop.root).args(["-ql", package]);
    let files = workshop.run("rpm", list).await?.stdout;
    for pattern in patterns {
        let found =
            workshop.program("grep").args(["-P", "-e", pattern]).input(files.clone()).run_any().await?;
        // The folders that are left empty stay, as rpm-ostree leaves them.
        for file in found.text().lines() {
            let path = inside(&workshop.root, file)?;
            if !path.is_dir() {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

/// The kernel's initial file system lies beside it in an OSTree system.
async fn initramfs(workshop: &Workshop, treefile: &Treefile) -> Result<()> {
    let modules = children(&inside(&workshop.root, "/usr/lib/modules")?);
    let kernels = modules.iter().filter(|path| path.join("vmlinuz").exists());
    let names: Vec<&str> = kernels.filter_map(|path| path.file_name()?.to_str()).collect();
    let [kernel] = names[..] else {
        return match names[..] {
            [] => Err(BuildError::NoKernel),
            _ => Err(anyhow!("an OSTree commit holds one kernel, but there are {}", names.join(", ")).into()),
        };
    };
    let to = format!("/usr/lib/modules/{kernel}/initramfs.img");
    boot::make_initramfs(workshop, kernel, &to, &treefile.initramfs_args).await
}

async fn run_scripts(workshop: &Workshop, treefile: &Treefile) -> Result<()> {
    let file = &workshop.request.definition.file;
    for (number, body) in treefile.postprocess.iter().enumerate() {
        let at = format!("{file}: postprocess, script {}", number + 1);
        run_script(workshop, body, &at).await?;
    }
    if let Some(script) = &treefile.postprocess_script {
        run_script(workshop, &text(workshop, script)?, script).await?;
    }
    Ok(())
}

async fn run_script(workshop: &Workshop, body: &str, at: &str) -> Result<()> {
    workshop.say(&format!("running the script at {at}"));
    // A script says in its first line what runs it.
    let first = body.lines().next().and_then(|line| line.strip_prefix("#!"));
    let interpreter = first.map_or("/bin/sh", str::trim);
    if !exists(&workshop.root, interpreter.split_whitespace().next().unwrap_or(interpreter)) {
        return Err(anyhow!("{at}: the image has no {interpreter}")).context("cannot run a script")?;
    }
    script::run(workshop, Task { interpreter, body, at, chroot: true }).await
}
