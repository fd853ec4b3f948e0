//! What is really installed, as the image's own package database says.

use anyhow::{Context, anyhow};
use muster_flow::build::Package;

use super::fault::Result;
use super::workshop::Workshop;
use crate::program::Program;

/// One package a line: name, epoch, version, release, architecture.
const FORMAT: &str = "%{NAME}\\t%{EPOCHNUM}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n";

/// The installed packages, sorted by name. The installation has told RPM where the database lies.
pub async fn installed(workshop: &Workshop) -> Result<Vec<Package>> {
    let list = |rpm: Program| rpm.arg("--root").arg(&workshop.root).args(["-qa", "--qf", FORMAT]);
    let finished = workshop.run("rpm", list).await?;
    let mut packages = finished.text().lines().map(decode).collect::<Result<Vec<_>>>()?;
    // Keys that were imported stand among the packages.
    packages.retain(|package| package.name != "gpg-pubkey");
    packages.sort();
    Ok(packages)
}

fn decode(line: &str) -> Result<Package> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, epoch, version, release, arch] = fields[..] else {
        return Err(anyhow!("rpm lists a package as {line:?}").into());
    };
    Ok(Package {
        name: name.to_owned(),
        epoch: epoch.parse().with_context(|| format!("rpm lists a package as {line:?}"))?,
        version: version.to_owned(),
        release: release.to_owned(),
        arch: arch.to_owned(),
    })
}
