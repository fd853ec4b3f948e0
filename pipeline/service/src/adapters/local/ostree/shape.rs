//! The shape of an OSTree commit: configuration in `/usr/etc`, state in `/var`, links for everything else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use anyhow::Context;

use crate::adapters::local::fault::Result;
use crate::adapters::local::settle::children;
use crate::adapters::local::workshop::remove;

/// Links at the top of a commit: where they stand, where they lead.
const LINKS: [(&str, &str); 9] = [
    ("home", "var/home"),
    ("root", "var/roothome"),
    ("opt", "var/opt"),
    ("srv", "var/srv"),
    ("mnt", "var/mnt"),
    ("media", "run/media"),
    ("ostree", "sysroot/ostree"),
    ("usr/local", "../var/usrlocal"),
    ("usr/lib/sysimage/rpm", "../../share/rpm"),
];

/// Folders that every machine makes in `/var` at its first start, beside those of packages.
const STATE: [(&str, u32); 6] = [
    ("home", 0o755),
    ("roothome", 0o700),
    ("opt", 0o755),
    ("srv", 0o755),
    ("mnt", 0o755),
    ("usrlocal", 0o755),
];

/// Where machines read what to make in `/var`.
const TMPFILES: &str = "usr/lib/tmpfiles.d/rpm-ostree-autovar.conf";

/// Gives the tree at `root` the shape of a commit. Gives what a person should know.
pub fn give(root: &Path) -> Result<Vec<String>> {
    let mut lines = BTreeSet::new();
    let mut warnings = Vec::new();
    collect(root, Path::new("var"), &mut lines, &mut warnings)?;
    for (name, mode) in STATE {
        lines.insert(format!("d /var/{name} {mode:04o} 0 0 - -"));
    }
    for lost in ["opt", "srv", "usr/local"] {
        if children(&root.join(lost)).iter().any(|path| !path.is_dir()) {
            warnings
                .push(format!("files in /{lost} are not part of the commit: it is state of each machine"));
        }
    }
    reshape(root).context("cannot give the tree the shape of a commit")?;
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    let file = root.join(TMPFILES);
    let write = || {
        fs::create_dir_all(root.join("usr/lib/tmpfiles.d"))?;
        fs::write(&file, text)
    };
    write().with_context(|| format!("cannot write /{TMPFILES}"))?;
    Ok(warnings)
}

/// The folders and links below `/var` as lines of tmpfiles.d; files cannot be told that way.
fn collect(
    root: &Path,
    below: &Path,
    lines: &mut BTreeSet<String>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    for path in children(&root.join(below)) {
        let metadata =
            path.symlink_metadata().with_context(|| format!("cannot look at {}", path.display()))?;
        let name = below.join(path.file_name().unwrap_or_default());
        let shown = name.display();
        if metadata.is_symlink() {
            let target = fs::read_link(&path).context("cannot read a link")?;
            lines.insert(format!("L /{shown} - - - - {}", target.display()));
        } else if metadata.is_dir() {
            let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            lines.insert(format!("d /{shown} {mode:04o} {uid} {gid} - -"));
            collect(root, &name, lines, warnings)?;
        } else if !name.starts_with("var/log") {
            warnings.push(format!("/{shown} is not part of the commit: /var is state of each machine"));
        }
    }
    Ok(())
}

fn reshape(root: &Path) -> Result<()> {
    for folder in ["dev", "proc", "sys", "run", "tmp", "boot", "var"] {
        remove(&root.join(folder))?;
    }
    for (link, _) in LINKS {
        remove(&root.join(link))?;
    }
    let lay_out = || -> std::io::Result<()> {
        for folder in ["dev", "proc", "sys", "run", "boot", "var", "sysroot", "tmp"] {
            fs::create_dir(root.join(folder))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fs::create_dir_all(root.join("usr/lib/sysimage"))?;
        for (link, target) in LINKS {
            symlink(target, root.join(link))?;
        }
        // Machines whose name service reads these too can renew their own files without losing the system's.
        for file in ["passwd", "group"] {
            fs::copy(root.join("etc").join(file), root.join("usr/lib").join(file))?;
        }
        fs::rename(root.join("etc"), root.join("usr/etc"))
    };
    lay_out().context("cannot lay the folders out")?;
    Ok(())
}
