//! Running the scripts of a definition on the finished tree.
//!
//! A script inside the image sees the image as `/`, has no network and no other process, and what it starts ends with
//! it. A script outside it (`--nochroot`) sees this machine and finds the image at `$INSTALL_ROOT`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use muster_definition::kickstart::{Kickstart, Moment, Script};

use super::chamber::{Reach, chamber};
use super::fault::{BuildError, Result};
use super::place::inside;
use super::workshop::Workshop;
use crate::program::{Program, tail};

/// A script, wherever it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// What runs it.
    pub interpreter: &'a str,
    /// Its lines.
    pub body: &'a str,
    /// File and line.
    pub at: &'a str,
    /// Whether it runs inside the image.
    pub chroot: bool,
}

/// Runs the `%post` scripts in their order; gives what a person should know.
pub async fn run_post(workshop: &Workshop, kickstart: &Kickstart) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for script in &kickstart.scripts {
        let at = format!("{}:{}", script.at.0, script.at.1);
        match script.moment {
            Moment::Post => warnings.extend(post(workshop, script, &at).await?),
            Moment::Pre | Moment::PreInstall => {
                warnings.push(format!("{at}: %pre is for the machine of an installer and was not run"));
            }
            Moment::OnError | Moment::Traceback => {}
        }
    }
    Ok(warnings)
}

async fn post(workshop: &Workshop, script: &Script, at: &str) -> Result<Option<String>> {
    workshop.say(&format!("running the script at {at}"));
    let task = Task { interpreter: &script.interpreter, body: &script.body, at, chroot: script.chroot };
    let outcome = run(workshop, task).await;
    if let Some(log) = &script.log {
        let to = if script.chroot { inside(&workshop.root, log)? } else { PathBuf::from(log) };
        keep_log(&output_of(workshop), &to)
            .map_err(|error| workshop.io(error, "cannot keep a script's log"))?;
    }
    match outcome {
        Err(error @ BuildError::Script { .. }) if !script.error_on_fail => Ok(Some(error.to_string())),
        other => other.map(|()| None),
    }
}

/// Runs one script to its end.
pub async fn run(workshop: &Workshop, task: Task<'_>) -> Result<()> {
    let output = output_of(workshop);
    super::workshop::remove(&output)?;
    let name = "ks-script";
    let (file, seen) = if task.chroot {
        (workshop.root.join("tmp").join(name), format!("/tmp/{name}"))
    } else {
        let file = workshop.desk.work().join(name);
        (file.clone(), file.display().to_string())
    };
    write_script(&file, task.body).map_err(|error| workshop.io(error, "cannot write a script"))?;
    let finished = command(workshop, task, &seen).log(&output).run_any().await;
    super::workshop::remove(&file)?;
    let lines = tail(&output);
    if !lines.is_empty() {
        workshop.note(&lines);
    }
    let finished = finished?;
    if finished.code == Some(0) {
        return Ok(());
    }
    let code = finished.code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
    Err(BuildError::Script { at: task.at.to_owned(), code, lines })
}

fn command(workshop: &Workshop, task: Task<'_>, seen: &str) -> Program {
    let epoch = format!("SOURCE_DATE_EPOCH={}", workshop.epoch());
    let clean = ["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", &epoch];
    // The interpreter may have arguments of its own, such as `/usr/bin/python3 -I`.
    let interpreter = task.interpreter.split_whitespace();
    if task.chroot {
        chamber(workshop.program("unshare"), &workshop.root, Reach::Nothing)
            .args(["env", "-C", "/"])
            .args(clean)
            .arg("chroot")
            .arg(&workshop.root)
            .args(interpreter)
            .arg(seen)
    } else {
        let root = format!("INSTALL_ROOT={}", workshop.root.display());
        workshop.program("env").args(clean).arg(root).args(interpreter).arg(seen)
    }
}

fn output_of(workshop: &Workshop) -> PathBuf {
    workshop.desk.work().join("script.log")
}

fn write_script(file: &Path, body: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, body)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o700))
}

fn keep_log(output: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(output, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o600))
}
