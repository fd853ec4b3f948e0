//! One QEMU process: its command line, its start, its signs of life and its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use muster_flow::build::Artifact;
use muster_flow::recipe::{Cell, Firmware, Form, Machine as Kind, Metadata};
use serde_json::json;

use super::accelerator::Accelerator;
use super::monitor::{self, Monitor};
use super::{Settings, imds};
use crate::program::{self, Program, Running};

/// The start of the name that every QEMU of ours carries; the job's name follows.
pub const MARK: &str = "muster/";

/// The address that the guest is given.
pub const GUEST_ADDRESS: &str = "169.254.0.15";

/// The guest's disk.
const DISK: &str = "disk.qcow2";

/// How long QEMU may take until its monitor answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where distributions put UEFI's code, and the variables that belong to it.
const UEFI: [(&str, &str); 4] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];

/// What a machine is made from. All its files lie in `work`, under the names that are used here.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The job's name.
    pub name: &'a str,
    /// The cell.
    pub cell: &'a Cell,
    /// What runs its code.
    pub accelerator: Accelerator,
    /// The machine's folder.
    pub work: &'a Path,
    /// Where the serial console is written.
    pub console: &'a Path,
}

/// A machine that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    running: Running,
    monitor: Monitor,
    work: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    /// The port on 127.0.0.1 that leads to the guest's port 22.
    pub port: u16,
    /// When its power was switched on.
    pub since: Instant,
}

/// How a machine stands.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// Its processors run.
    Running,
    /// The guest switched it off.
    SwitchedOff,
}

impl Machine {
    /// Switches a machine on.
    pub async fn start(plan: &Plan<'_>, settings: &Settings) -> Result<Self> {
        if plan.cell.firmware == Firmware::Uefi {
            let (_, variables) = uefi(settings)?;
            fs::copy(&variables, plan.work.join("variables.fd")).context("cannot copy UEFI's variables")?;
        }
        Self::switch_on(settings.program.clone(), arguments(plan, settings)?, plan.work.to_owned()).await
    }

    /// Switches it on again, after the guest's reboot has ended it: the same machine with the same disks.
    ///
    /// QEMU could reset the machine itself. But under its translator a loader that overwrites what was running before
    /// takes minutes for what takes seconds on a machine that was just switched on.
    pub async fn switch_on_again(&mut self) -> Result<()> {
        let (program, arguments) = (self.program.clone(), self.arguments.clone());
        *self = Self::switch_on(program, arguments, self.work.clone()).await?;
        Ok(())
    }

    async fn switch_on(program: PathBuf, arguments: Vec<String>, work: PathBuf) -> Result<Self> {
        let (log, socket) = (work.join("qemu.log"), work.join(monitor::SOCKET));
        // An earlier machine may have left one.
        let _ = fs::remove_file(&socket);
        let since = Instant::now();
        let mut running = Program::new(&program).args(&arguments).folder(&work).log(&log).spawn()?;
        while !socket.exists() {
            if running.has_ended() {
                bail!("QEMU did not start: {}", program::tail(&log));
            }
            if since.elapsed() > START_LIMIT {
                bail!("QEMU did not start within {} s", START_LIMIT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let monitor = Monitor::new(&work)?;
        let port = match forwarded_port(&monitor).await {
            Ok(port) => port,
            Err(_) if running.has_ended() => bail!("QEMU did not start: {}", program::tail(&log)),
            Err(error) => return Err(error),
        };
        Ok(Machine { running, monitor, work, program, arguments, port, since })
    }

    /// How it stands. It is an error when QEMU itself failed, for then nothing can be said about the guest.
    pub async fn state(&mut self) -> Result<State> {
        if !self.running.has_ended() {
            return Ok(State::Running);
        }
        match self.running.wait().await? {
            Some(0) => Ok(State::SwitchedOff),
            Some(code) => bail!("QEMU ended with {code}: {}", program::tail(&self.work.join("qemu.log"))),
            None => bail!("QEMU was killed from outside, perhaps because memory ran out"),
        }
    }

    /// Fails when it is this computer's fault that the guest does not go on.
    pub async fn expect_healthy(&mut self) -> Result<()> {
        if self.state().await? == State::SwitchedOff {
            return Ok(());
        }
        let status = self.monitor.ask("query-status", json!({})).await?;
        match status["status"].as_str() {
            Some("running" | "guest-panicked" | "shutdown") => Ok(()),
            Some("io-error") => {
                bail!("the guest stands still, because this computer's disk is full or broken")
            }
            other => bail!("the guest stands still: QEMU says {}", other.unwrap_or("nothing")),
        }
    }

    /// Whether its disk was read at all: then firmware ran, and it is the guest's own doing how far it came.
    pub async fn has_read_its_disk(&self) -> Result<bool> {
        let disks = self.monitor.ask("query-blockstats", json!({})).await?;
        let disks = disks.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(disks.iter().any(|disk| disk["stats"]["rd_operations"].as_u64().is_some_and(|count| count > 0)))
    }

    /// Writes what its screen shows, as PNG.
    pub async fn screenshot(&self, path: &Path) -> Result<()> {
        let shot = self.work.join("screen.png");
        self.monitor.ask("screendump", json!({"filename": shot, "format": "png"})).await?;
        fs::rename(&shot, path).context("cannot keep the screenshot")
    }

    /// Switches it off, whatever it is doing.
    pub async fn end(mut self) {
        self.running.kill().await;
    }
}

/// The command line, without the program.
fn arguments(plan: &Plan<'_>, settings: &Settings) -> Result<Vec<String>> {
    let cell = plan.cell;
    let (kind, accelerator) = (kind(cell.machine), plan.accelerator);
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("-name", format!("guest={MARK}{}", quoted(plan.name)));
    add("-machine", kind.to_owned());
    add("-accel", accelerator.argument().to_owned());
    add("-cpu", accelerator.processor().to_owned());
    add("-smp", settings.cpus.unwrap_or(accelerator.processors()).to_string());
    add("-m", cell.memory_mib.to_string());
    add("-display", "none".to_owned());
    add("-vga", "std".to_owned());
    add("-chardev", format!("file,id=serial,append=on,path={}", quoted(&plan.console.display().to_string())));
    add("-serial", "chardev:serial".to_owned());
    add("-chardev", "file,id=firmware,append=on,path=firmware.log".to_owned());
    add("-device", "isa-debugcon,iobase=0x402,chardev=firmware".to_owned());
    add("-qmp", format!("unix:{},server=on,wait=off", monitor::SOCKET));
    if cell.firmware == Firmware::Uefi {
        let code = quoted(&uefi(settings)?.0.display().to_string());
        add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
        add("-drive", "if=pflash,unit=1,format=raw,file=variables.fd".to_owned());
    }
    // The overlay is thrown away, so nothing needs to reach the platters.
    add("-drive", format!("if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap,file={DISK}"));
    add("-device", "virtio-blk-pci,drive=disk,bootindex=1".to_owned());
    if cell.metadata == Metadata::NoCloud {
        add("-drive", "if=none,id=seed,format=raw,readonly=on,file=seed.img".to_owned());
        add("-device", "virtio-blk-pci,drive=seed".to_owned());
    } else {
        add(
            "-smbios",
            "type=1,manufacturer=Amazon EC2,product=t3.micro,uuid=ec200000-6d75-7374-6572-000000000001"
                .to_owned(),
        );
    }
    add("-netdev", network(cell, plan.work)?);
    add("-device", "virtio-net-pci,netdev=net,romfile=".to_owned());
    add("-device", "virtio-rng-pci".to_owned());
    // The guest's reboot ends the machine; `switch_on_again` says why.
    add("-action", "reboot=shutdown".to_owned());
    add("-sandbox", sandbox(cell.metadata).to_owned());
    arguments.extend(["-nodefaults".to_owned(), "-no-user-config".to_owned()]);
    Ok(arguments)
}

/// What QEMU takes from itself. Its sandbox kills the child that should become the metadata service before it begins,
/// so a machine that has one goes without.
fn sandbox(metadata: Metadata) -> &'static str {
    match metadata {
        Metadata::NoCloud => "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
        Metadata::Ec2 => "off",
    }
}

/// A network of its own: the guest reaches nothing but its metadata, and only we reach it.
fn network(cell: &Cell, work: &Path) -> Result<String> {
    let mut network = format!(
        "user,id=net,restrict=on,ipv6=off,net=169.254.0.0/16,dhcpstart={GUEST_ADDRESS},hostfwd=tcp:127.0.0.1:0-:22"
    );
    if cell.metadata == Metadata::Ec2 {
        let muster = std::env::current_exe().context("cannot find the muster program")?;
        let command = format!("{} job imds {}", shell_quoted(&muster), shell_quoted(work));
        network.push_str(&quoted(&format!(",guestfwd=tcp:169.254.169.254:80-cmd:{command}"))[1..]);
    }
    Ok(network)
}

fn kind(machine: Kind) -> &'static str {
    match machine {
        Kind::Pc => "pc",
        Kind::Q35 => "q35",
    }
}

/// The two files of UEFI: code and empty variables.
fn uefi(settings: &Settings) -> Result<(PathBuf, PathBuf)> {
    if let (Some(code), Some(variables)) = (&settings.uefi_code, &settings.uefi_variables) {
        return Ok((code.clone(), variables.clone()));
    }
    let pairs = UEFI.map(|(code, variables)| (PathBuf::from(code), PathBuf::from(variables)));
    let found = pairs.into_iter().find(|(code, variables)| code.exists() && variables.exists());
    found.context("cannot find UEFI's firmware: install the package ovmf, or edk2-ovmf, or set uefi_code and uefi_variables")
}

/// The spelling of a value among QEMU's options.
fn quoted(value: &str) -> String {
    value.replace(',', ",,")
}

/// The spelling of a path among the words of QEMU's commands, which are split as a shell would.
fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// QEMU lets the system choose a free port, and says which only here.
async fn forwarded_port(monitor: &Monitor) -> Result<u16> {
    let table = monitor.ask("human-monitor-command", json!({"command-line": "info usernet"})).await?;
    find_port(table.as_str().unwrap_or_default()).context("cannot find the port that leads to the guest")
}

/// Reads a line such as `TCP[HOST_FORWARD]  13  127.0.0.1 40123  169.254.0.15  22  0  0`.
fn find_port(table: &str) -> Option<u16> {
    let line = table.lines().find(|line| line.contains("HOST_FORWARD"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

/// Looks whether an artifact is a disk image at all; the answer says why not.
pub async fn check_image(artifact: &Artifact) -> Result<Result<(), String>> {
    let format = format(artifact);
    let look = Program::new("qemu-img").args(["info", "--output=json", "-f", format]).arg(&artifact.path);
    let look = look.run_any().await?;
    if look.code != Some(0) {
        let words = String::from_utf8_lossy(&look.stderr).trim().to_owned();
        return Ok(Err(format!("it is no {format} image: {words}")));
    }
    let info: serde_json::Value =
        serde_json::from_slice(&look.stdout).context("cannot read qemu-img's words")?;
    // An image may name another file to read from, which is nobody's business on this computer.
    let has_data_file = !info["format-specific"]["data"]["data-file"].is_null();
    if has_data_file || info.get("backing-filename").is_some() {
        return Ok(Err("it refers to another file".to_owned()));
    }
    Ok(Ok(()))
}

/// Writes the guest's disk: an overlay, so that the artifact stays as it is, as large as the cell wants it.
pub async fn write_disk(artifact: &Artifact, cell: &Cell, work: &Path) -> Result<()> {
    let create = |arguments: &[&str]| {
        let create = Program::new("qemu-img").args(arguments).folder(work);
        async { create.run().await.context("cannot make the guest's disk") }
    };
    create(&["create", "-q", "-f", "qcow2", "-F", format(artifact), "-b", &artifact.path, DISK]).await?;
    let info = create(&["info", "--output=json", DISK]).await?;
    let info: serde_json::Value =
        serde_json::from_slice(&info.stdout).context("cannot read qemu-img's words")?;
    let wanted = u64::from(cell.disk_mib) * 1024 * 1024;
    if info["virtual-size"].as_u64().is_some_and(|size| size < wanted) {
        create(&["resize", "-q", DISK, &wanted.to_string()]).await?;
    }
    Ok(())
}

fn format(artifact: &Artifact) -> &'static str {
    if artifact.form == Form::Raw { "raw" } else { "qcow2" }
}

/// Writes what the metadata service serves.
pub fn write_imds(work: &Path, service: &imds::Service) -> Result<()> {
    fs::write(work.join(imds::FILE), serde_json::to_vec(service)?)
        .context("cannot write the guest's metadata")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(metadata: Metadata) -> Cell {
        Cell {
            name: "bios-pc".to_owned(),
            artifact: Form::Qcow2,
            firmware: Firmware::Bios,
            machine: Kind::Pc,
            metadata,
            memory_mib: 512,
            disk_mib: 0,
        }
    }

    fn line(metadata: Metadata, work: &Path) -> String {
        let cell = cell(metadata);
        let plan = Plan {
            name: "a,b",
            cell: &cell,
            accelerator: Accelerator::Tcg,
            work,
            console: Path::new("/tmp/a,b/console.log"),
        };
        arguments(&plan, &Settings::default()).unwrap().join(" ")
    }

    #[test]
    fn a_comma_in_a_name_does_not_become_an_option() {
        let line = line(Metadata::Ec2, Path::new("/tmp/it's, here"));
        assert!(line.contains("guest=muster/a,,b "), "{line}");
        assert!(line.contains("path=/tmp/a,,b/console.log"), "{line}");
        assert!(line.contains(r" job imds '/tmp/it'\''s,, here' "), "{line}");
        assert!(line.contains("guestfwd=tcp:169.254.169.254:80-cmd:"), "{line}");
    }

    #[test]
    fn a_guest_is_alone_on_its_network_and_its_emulator_starts_nothing() {
        let line = line(Metadata::NoCloud, Path::new("/tmp"));
        assert!(line.contains("restrict=on"), "{line}");
        assert!(line.contains("spawn=deny"), "{line}");
        assert!(!line.contains("guestfwd"), "{line}");
    }

    #[test]
    fn the_port_is_read_from_the_table_of_the_network() {
        let table = "Hub -1 (net):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  13       127.0.0.1 40123    169.254.0.15    22     0     0\r\n";
        assert_eq!(find_port(table), Some(40123));
        assert_eq!(find_port("nothing"), None);
    }
}
