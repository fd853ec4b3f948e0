//! The QEMU cloudlet: boots an artifact on this machine, logs in, and runs the smoketests.
//!
//! The port only begins, looks at and ends jobs; all that waits happens in the job's own process. It knows machines,
//! metadata and logins. It does not know what a test means, nor what its result is worth.

pub mod accelerator;
mod identity;
mod imds;
mod machine;
mod monitor;
mod phase;
mod console;
mod ssh;
mod guest;
mod layout;
mod sandbox;
mod place;
mod runner;
mod strays;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use muster_flow::smoketest::{Smoketest, SmoketestOutput, SmoketestRequest};
use muster_flow::step::{Handle, StepKey};
use serde::Deserialize;

use crate::clock::Clock;
use crate::job::{self, Jobs};
use crate::port::{Fault, Observation, Port};

pub use imds::serve as imds;
pub use strays::{Stray, end_stray, strays};

/// The kind of the cloudlet's jobs: the word behind `muster job`.
pub const KIND: &str = "smoketest";

/// The programs that a boot needs.
pub const PROGRAMS: [&str; 4] = ["qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen"];

/// Its section of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What runs the guests' code.
    pub accelerator: Choice,
    /// The emulator's name or path.
    pub program: PathBuf,
    /// Processors of a guest; as many as the accelerator makes sense with, when it is not set.
    pub cpus: Option<u32>,
    /// Seconds from power-on, or from a reboot, to a login.
    pub boot_limit_s: u64,
    /// The user that metadata admits and that tests run as.
    pub login: String,
    /// UEFI's code; looked for where distributions put it, when it is not set.
    pub uefi_code: Option<PathBuf>,
    /// UEFI's empty variables that belong to the code.
    pub uefi_variables: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            accelerator: Choice::Auto,
            program: PathBuf::from("qemu-system-x86_64"),
            cpus: None,
            boot_limit_s: 300,
            login: "root".to_owned(),
            uefi_code: None,
            uefi_variables: None,
        }
    }
}

/// What is said about the accelerator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The fastest that a probe has seen running code.
    #[default]
    Auto,
    /// The kernel's, without a probe.
    Kvm,
    /// QEMU's own translator, which runs everywhere.
    Tcg,
}

/// The cloudlet on this machine.
#[derive(Clone, Debug)]
pub struct QemuCloudlet {
    jobs: Jobs,
}

impl QemuCloudlet {
    /// A cloudlet whose jobs lie and start as `jobs` says.
    pub fn new(jobs: Jobs) -> Self {
        QemuCloudlet { jobs }
    }
}

#[async_trait]
impl Port<Smoketest> for QemuCloudlet {
    async fn ensure(&self, key: &StepKey, request: &SmoketestRequest) -> Result<Handle, Fault> {
        self.jobs.ensure(key, request)
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation<SmoketestOutput>, Fault> {
        self.jobs.observe(handle)
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), Fault> {
        self.jobs.cancel(handle)
    }
}

/// Does the job in `folder`, in this process.
pub async fn job(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    job::run(folder, |desk, request: SmoketestRequest| async move {
        let outcome = runner::run(&desk, &request, settings, &Clock::system()).await;
        outcome.map_err(|error| format!("{error:#}"))
    })
    .await
}
