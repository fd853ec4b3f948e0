//! A sandbox: the files of a container image as root, a shell in it, and no network.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layout::Image;
use super::place::PACKAGES;
use crate::program::Program;

/// The program that makes sandboxes.
pub const PROGRAM: &str = "bwrap";

/// Looks whether this machine makes a sandbox at all, by `program`. When it does not, nothing is known of the image.
pub async fn probe(program: &str) -> Result<()> {
    let probe =
        Program::new(program).args(["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "true"]);
    probe.run().await.context("no sandbox can be made on this machine")?;
    Ok(())
}

/// A container image that was unpacked.
#[derive(Debug)]
pub struct Sandbox {
    root: PathBuf,
    packages: PathBuf,
    image: Image,
    hostname: String,
}

impl Sandbox {
    /// A sandbox whose root is `root`; the expected package list lies at `packages`.
    pub fn new(root: &Path, packages: &Path, image: Image, hostname: &str) -> Self {
        Sandbox { root: root.to_owned(), packages: packages.to_owned(), image, hostname: hostname.to_owned() }
    }

    /// A shell that reads its commands from standard input.
    pub fn shell(&self) -> Program {
        let mut program = Program::new(PROGRAM)
            .args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"])
            .args(["--hostname", &self.hostname])
            .arg("--bind")
            .arg(&self.root)
            .args(["/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run", "--tmpfs", "/tmp"])
            .arg("--ro-bind")
            .arg(&self.packages)
            .arg(PACKAGES);
        for variable in &self.image.config.env {
            if let Some((name, value)) = variable.split_once('=') {
                program = program.args(["--setenv", name, value]);
            }
        }
        let folder = Some(self.image.config.working_dir.as_str()).filter(|folder| !folder.is_empty());
        program.args(["--chdir", folder.unwrap_or("/"), "sh", "-s"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_makes_no_sandbox_says_so_and_nothing_of_the_image() {
        let error = probe("false").await.unwrap_err();
        assert!(error.to_string().starts_with("no sandbox can be made on this machine"), "{error:#}");
    }
}
