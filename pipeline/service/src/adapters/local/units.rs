//! Enabling and disabling the units of an image from outside, as `systemctl --root` does.

use std::fs;
use std::path::Path;

use super::fault::Result;
use super::place::{exists, inside, link, read};

/// Where units lie, the administrator's before the packages'.
const FOLDERS: [&str; 2] = ["/etc/systemd/system", "/usr/lib/systemd/system"];

/// Enables a unit; gives a warning when there is none.
pub fn enable(root: &Path, name: &str) -> Result<Option<String>> {
    let unit = full_name(name);
    let Some(file) = find(root, &unit) else {
        return Ok(Some(format!("the service {name} cannot be enabled: the image has no {unit}")));
    };
    let text = read(root, &file)?;
    let mut installed = false;
    for (kind, target) in install_lines(&text) {
        let at = match kind {
            "WantedBy" => format!("/etc/systemd/system/{target}.wants/{unit}"),
            "RequiredBy" => format!("/etc/systemd/system/{target}.requires/{unit}"),
            "Alias" => format!("/etc/systemd/system/{target}"),
            _ => continue,
        };
        link(root, &at, &file)?;
        installed = true;
    }
    // A unit without an [Install] section is started by another one, or lies in a package's own `.wants`.
    if installed || wanted_by_package(root, &unit)? {
        return Ok(None);
    }
    Ok(Some(format!(
        "the service {name} cannot be enabled: {file} says in no [Install] section by what it is wanted"
    )))
}

/// Disables a unit; gives a warning when there is none.
pub fn disable(root: &Path, name: &str) -> Result<Option<String>> {
    let unit = full_name(name);
    if find(root, &unit).is_none() {
        return Ok(Some(format!("the service {name} need not be disabled: the image has no {unit}")));
    }
    for folder in wants_folders(root, FOLDERS[0])? {
        super::workshop::remove(&folder.join(&unit))?;
    }
    Ok(None)
}

fn full_name(name: &str) -> String {
    const KINDS: [&str; 6] = ["service", "socket", "timer", "target", "path", "mount"];
    match name.rsplit_once('.') {
        Some((_, kind)) if KINDS.contains(&kind) => name.to_owned(),
        _ => format!("{name}.service"),
    }
}

/// The unit's file; that of `a@b.service` is `a@.service`.
fn find(root: &Path, unit: &str) -> Option<String> {
    let template = unit.split_once('@').and_then(|(name, rest)| {
        let (_, kind) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{kind}"))
    });
    let names = std::iter::once(unit.to_owned()).chain(template);
    names.flat_map(|name| FOLDERS.map(|folder| format!("{folder}/{name}"))).find(|path| exists(root, path))
}

/// The lines of `[Install]`, one for each value.
fn install_lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let section = text.lines().skip_while(|line| line.trim() != "[Install]").skip(1);
    let lines = section.take_while(|line| !line.trim_start().starts_with('['));
    lines
        .filter_map(|line| line.split_once('='))
        .flat_map(|(kind, values)| values.split_whitespace().map(move |value| (kind.trim(), value)))
}

fn wanted_by_package(root: &Path, unit: &str) -> Result<bool> {
    let folders = wants_folders(root, FOLDERS[1])?;
    Ok(folders.iter().any(|folder| folder.join(unit).symlink_metadata().is_ok()))
}

fn wants_folders(root: &Path, folder: &str) -> Result<Vec<std::path::PathBuf>> {
    let Ok(entries) = fs::read_dir(inside(root, folder)?) else { return Ok(Vec::new()) };
    let folders = entries.flatten().map(|entry| entry.path());
    Ok(folders
        .filter(|path| path.extension().is_some_and(|kind| kind == "wants" || kind == "requires"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::local::place::write;

    fn root_with_sshd() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let unit = "[Unit]\nDescription=x\nWantedBy=not-this.target\n[Install]\nWantedBy=multi-user.target\nAlias=ssh.service\n";
        write(root.path(), "/usr/lib/systemd/system/sshd.service", unit, 0o644).unwrap();
        root
    }

    #[test]
    fn an_enabled_service_is_wanted_by_its_target_and_known_by_its_alias() {
        let root = root_with_sshd();
        assert_eq!(enable(root.path(), "sshd").unwrap(), None);
        let wants = root.path().join("etc/systemd/system/multi-user.target.wants");
        let target = fs::read_link(wants.join("sshd.service")).unwrap();
        assert_eq!(target, Path::new("/usr/lib/systemd/system/sshd.service"));
        assert!(root.path().join("etc/systemd/system/ssh.service").is_symlink());
        assert!(!root.path().join("etc/systemd/system/not-this.target.wants").exists());
        assert_eq!(disable(root.path(), "sshd").unwrap(), None);
        assert!(!wants.join("sshd.service").is_symlink());
    }

    #[test]
    fn an_unknown_service_is_reported() {
        let root = root_with_sshd();
        let warning = enable(root.path(), "nosuch").unwrap().unwrap();
        assert_eq!(warning, "the service nosuch cannot be enabled: the image has no nosuch.service");
    }
}
