//! Which accelerator really runs a guest's code on this machine.
//!
//! A `/dev/kvm` that opens may still hang its guests, or emulate them one instruction at a time, so nothing but a guest
//! that ran tells. The guest is a boot sector that counts down from 2^28 and writes to QEMU's exit port: a processor
//! does that in a tenth of a second, QEMU's translator in less than one, and an emulated processor in minutes. Even
//! that may run where a whole kernel does not: see `runner`.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Choice, Settings};
use crate::job::write_whole;
use crate::program::{Program, ProgramError};

/// What runs a guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The kernel's.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        })
    }
}

impl Accelerator {
    /// Its argument to QEMU.
    pub fn argument(self) -> &'static str {
        match self {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=multi",
        }
    }

    /// The processor that a guest is given.
    pub fn processor(self) -> &'static str {
        match self {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        }
    }

    /// How many processors a guest has. An emulated second one takes more from the guest beside it than it gives.
    pub fn processors(self) -> u32 {
        match self {
            Accelerator::Kvm => 2,
            Accelerator::Tcg => 1,
        }
    }

    /// How long the probe may take. KVM needs a tenth of a second, or is none.
    fn limit(self) -> Duration {
        match self {
            Accelerator::Kvm => Duration::from_secs(5),
            Accelerator::Tcg => Duration::from_secs(30),
        }
    }
}

/// What the guest writes to the exit port; QEMU ends with twice that and one.
const WORD: u8 = 0x2a;
const EXIT_CODE: i32 = WORD as i32 * 2 + 1;

/// The kernel's accelerator.
const DEVICE: &str = "/dev/kvm";

/// The file that keeps the answer.
const FILE: &str = "accelerator.json";

/// An answer that holds until the machine is booted again or QEMU is replaced.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    boot: String,
    emulator: String,
    accelerator: Accelerator,
}

/// The accelerator to use: as set, or as a probe found it since this machine booted. The answer is kept in `folder`.
pub async fn choose(settings: &Settings, folder: &Path) -> Result<Accelerator> {
    match settings.accelerator {
        Choice::Kvm => return Ok(Accelerator::Kvm),
        Choice::Tcg => return Ok(Accelerator::Tcg),
        Choice::Auto => {}
    }
    let (path, boot, emulator) = (folder.join(FILE), boot_id()?, fingerprint(&settings.program)?);
    let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
    if let Some(known) = known
        && (&known.boot, &known.emulator) == (&boot, &emulator)
    {
        return Ok(known.accelerator);
    }
    let accelerator = probe(settings, Path::new(DEVICE)).await?;
    remember(settings, folder, accelerator)?;
    Ok(accelerator)
}

/// Keeps an answer in `folder`: that of a probe, or what a real guest showed, which knows better.
pub fn remember(settings: &Settings, folder: &Path, accelerator: Accelerator) -> Result<()> {
    let known = Known { boot: boot_id()?, emulator: fingerprint(&settings.program)?, accelerator };
    write_whole(&folder.join(FILE), &serde_json::to_vec(&known)?)
}

async fn probe(settings: &Settings, device: &Path) -> Result<Accelerator> {
    let opened = File::options().read(true).write(true).open(device);
    if opened.is_ok() && runs_code(settings, Accelerator::Kvm).await? {
        return Ok(Accelerator::Kvm);
    }
    if runs_code(settings, Accelerator::Tcg).await? {
        return Ok(Accelerator::Tcg);
    }
    bail!("{} runs no guest code under any accelerator", settings.program.display())
}

/// Whether a guest's code runs; not to find QEMU at all is an error.
pub async fn runs_code(settings: &Settings, accelerator: Accelerator) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().join("sector");
    std::fs::write(&disk, boot_sector())?;
    let program = Program::new(&settings.program)
        .args(["-M", "pc", "-m", "32", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-accel", accelerator.argument()])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive", "file=sector,format=raw,if=ide"])
        .folder(folder.path())
        .limit(accelerator.limit());
    match program.run_any().await {
        Ok(finished) => Ok(finished.code == Some(EXIT_CODE)),
        Err(ProgramError::TimedOut { .. }) => Ok(false),
        Err(error) => Err(error).context("cannot probe the accelerators"),
    }
}

/// `mov ecx, 0x10000000; dec ecx; jnz -4; mov dx, 0xf4; mov al, WORD; out dx, al; hlt; jmp $-1`, up to the mark that
/// makes it bootable.
fn boot_sector() -> [u8; 512] {
    let code = [
        0x66, 0xb9, 0x00, 0x00, 0x00, 0x10, 0x66, 0x49, 0x75, 0xfc, 0xba, 0xf4, 0x00, 0xb0, WORD, 0xee, 0xf4,
        0xeb, 0xfd,
    ];
    let mut sector = [0; 512];
    sector[..code.len()].copy_from_slice(&code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn boot_id() -> Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot tell this boot")?;
    Ok(id.trim().to_owned())
}

/// What changes when QEMU is replaced.
fn fingerprint(program: &Path) -> Result<String> {
    let path = crate::program::find(program);
    let path = path.with_context(|| format!("cannot run {}: it is not installed", program.display()))?;
    let modified = std::fs::metadata(&path)?.modified()?.duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{} {}", path.display(), modified.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_emulator_that_runs_nothing_is_found_out() {
        let settings = Settings { program: "/bin/true".into(), ..Settings::default() };
        assert!(!runs_code(&settings, Accelerator::Tcg).await.unwrap());
        assert!(probe(&settings, Path::new(DEVICE)).await.is_err());
    }

    /// An emulator that does with KVM what a shell script says, and runs its guest's code without.
    fn emulator(folder: &Path, with_kvm: &str) -> Settings {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join("qemu");
        let script =
            format!("#!/bin/sh\ncase \"$*\" in *'-accel kvm'*) {with_kvm} ;; esac\nexit {EXIT_CODE}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Settings { program: path, ..Settings::default() }
    }

    #[tokio::test]
    async fn a_device_that_opens_and_hangs_or_fails_its_guests_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("kvm");
        std::fs::write(&device, "").unwrap();
        let begun = std::time::Instant::now();
        for (with_kvm, found) in [
            ("sleep 60", Accelerator::Tcg),
            ("echo failed to initialize kvm >&2; exit 1", Accelerator::Tcg),
            (":", Accelerator::Kvm),
        ] {
            let settings = emulator(folder.path(), with_kvm);
            assert_eq!(probe(&settings, &device).await.unwrap(), found, "{with_kvm}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it waited for a guest that hangs");
        let settings = emulator(folder.path(), ":");
        let found = probe(&settings, &folder.path().join("no-device")).await.unwrap();
        assert_eq!(found, Accelerator::Tcg, "there is no device");
    }

    #[tokio::test]
    async fn a_missing_emulator_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { program: "no-such-qemu".into(), ..Settings::default() };
        let error = choose(&settings, folder.path()).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run no-such-qemu: it is not installed");
    }

    #[tokio::test]
    async fn an_answer_of_this_boot_is_used_and_one_of_an_earlier_boot_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { program: "/bin/true".into(), ..Settings::default() };
        let mut known = Known {
            boot: boot_id().unwrap(),
            emulator: fingerprint(&settings.program).unwrap(),
            accelerator: Accelerator::Kvm,
        };
        let path = folder.path().join("accelerator.json");
        write_whole(&path, &serde_json::to_vec(&known).unwrap()).unwrap();
        assert_eq!(choose(&settings, folder.path()).await.unwrap(), Accelerator::Kvm);
        known.boot = "an earlier one".to_owned();
        write_whole(&path, &serde_json::to_vec(&known).unwrap()).unwrap();
        assert!(choose(&settings, folder.path()).await.is_err(), "it was not probed again");
    }
}
