//! The QEMU cloudlet, really booting.
//!
//! `MUSTER_TEST_DISTRIBUTION` names what `deploy/distribution/make` made, for the tests that need a system that comes
//! up. The others boot a sector of their own. All run without KVM, as they must everywhere.

#![expect(clippy::wildcard_enum_match_arm, clippy::format_collect, reason = "a test")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster::adapters::local;
use muster::adapters::qemu::{self, QemuCloudlet};
use muster::job::{Desk, Jobs};
use muster::package_sets::PackageSets;
use muster::port::{Observation, Port};
use muster::report::{Knowledge, Report};
use muster_flow::build::{Allowed, Artifact, BuildOutput, BuildRequest};
use muster_flow::recipe::{
    Budgets, Cell, Definition, Firmware, Form, Machine, Metadata, Packages, Product, Repository,
};
use muster_flow::smoketest::{Applies, Colour, SmoketestOutput, SmoketestRequest, Test};
use muster_flow::step::{Handle, StepKey};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::unbounded_channel;

/// A cloudlet whose jobs lie in a folder of the test's own.
struct Ground {
    folder: tempfile::TempDir,
    cloudlet: QemuCloudlet,
}

impl Ground {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("muster.toml");
        fs::write(&config, format!("[cloudlet]\naccelerator = \"tcg\"\n{settings}")).unwrap();
        let jobs = Jobs {
            kind: qemu::KIND,
            root: folder.path().join("jobs"),
            program: env!("CARGO_BIN_EXE_muster").into(),
            config: Some(config),
            ended: unbounded_channel().0,
        };
        fs::create_dir_all(&jobs.root).unwrap();
        Ground { cloudlet: QemuCloudlet::new(jobs), folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("jobs")
    }

    async fn begin(&self, request: &SmoketestRequest) -> Handle {
        let key = StepKey(format!("{}/smoketest/x86_64/{}", request.candidate, request.cell.name));
        self.cloudlet.ensure(&key, request).await.unwrap()
    }

    /// Waits for the end, as the engine does.
    async fn finish(&self, handle: &Handle) -> Observation<SmoketestOutput> {
        let begun = Instant::now();
        loop {
            match self.cloudlet.observe(handle).await.unwrap() {
                Observation::Running(line) => {
                    assert!(begun.elapsed() < Duration::from_mins(10), "it hangs: {line}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                end => return end,
            }
        }
    }

    async fn run(&self, request: &SmoketestRequest) -> Observation<SmoketestOutput> {
        let handle = self.begin(request).await;
        self.finish(&handle).await
    }

    async fn output(&self, request: &SmoketestRequest) -> SmoketestOutput {
        match self.run(request).await {
            Observation::Succeeded(output) => output,
            other => panic!("{other:?}"),
        }
    }

    /// A request to boot these bytes.
    fn request(&self, form: Form, bytes: &[u8]) -> SmoketestRequest {
        let path = self.folder.path().join(format!("artifact.{}", form.extension()));
        fs::write(&path, bytes).unwrap();
        let digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let artifact = Artifact {
            form,
            arch: "x86_64".to_owned(),
            name: format!("a.{}", form.extension()),
            path: path.display().to_string(),
            size: bytes.len() as u64,
            digest,
        };
        request(artifact, vec![trivial("boots"), trivial("other")])
    }
}

fn request(artifact: Artifact, tests: Vec<Test>) -> SmoketestRequest {
    SmoketestRequest {
        candidate: "cloud-base/43.20261121.0".to_owned(),
        cell: Cell {
            name: "bios-pc".to_owned(),
            artifact: artifact.form,
            firmware: Firmware::Bios,
            machine: Machine::Pc,
            metadata: Metadata::NoCloud,
            memory_mib: 512,
            disk_mib: 512,
        },
        artifact,
        tests,
        packages: Vec::new(),
        ostree_commit: None,
        budgets: Budgets::default(),
    }
}

fn trivial(name: &str) -> Test {
    let text = "summary = \"It is.\"\nforms = [\"raw\", \"qcow2\"]\nscript = \"true\"\n";
    Test { name: name.to_owned(), ..toml::from_str(text).unwrap() }
}

/// A boot sector that says something on the serial port and then does nothing for ever.
fn hanging_disk() -> Vec<u8> {
    let mut disk = vec![0; 64 * 1024];
    let code = b"\x31\xc0\x8e\xd8\xbe\x15\x7c\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5\xf4\xeb\xfd";
    let words = b"this is as far as I go\r\n";
    disk[..code.len()].copy_from_slice(code);
    disk[code.len()..code.len() + words.len()].copy_from_slice(words);
    disk[510..512].copy_from_slice(b"\x55\xaa");
    disk
}

fn colour<'a>(output: &'a SmoketestOutput, name: &str) -> &'a Colour {
    &output.results.iter().find(|result| result.name == name).unwrap().colour
}

fn why(output: &SmoketestOutput, name: &str) -> String {
    match colour(output, name) {
        Colour::Red(why) | Colour::NotRun(why) => why.clone(),
        Colour::Green => String::new(),
    }
}

fn report(folder: &str) -> Report {
    serde_json::from_slice(&fs::read(Path::new(folder).join("report.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn a_guest_that_hangs_is_the_images_fault_and_its_last_words_are_told() {
    let ground = Ground::new("boot_limit_s = 6\n");
    let output = ground.output(&ground.request(Form::Raw, &hanging_disk())).await;
    let why = why(&output, "boots");
    assert_eq!(why, "no login within 6 s; the last words on the console: this is as far as I go");
    assert_eq!(*colour(&output, "other"), Colour::NotRun("the image did not come up".to_owned()));
    let folder = Path::new(&output.folder);
    assert!(fs::read(folder.join("screenshot.png")).unwrap().starts_with(b"\x89PNG"));
    for file in ["report.html", "junit.xml", "console.log"] {
        assert!(fs::metadata(folder.join(file)).unwrap().len() > 0, "{file}");
    }
    assert!(!folder.join("work").exists(), "the disk was left behind");
}

#[tokio::test]
async fn a_disk_that_boots_nothing_is_red_without_waiting() {
    let ground = Ground::new("");
    let begun = Instant::now();
    let output = ground.output(&ground.request(Form::Raw, &vec![0; 64 * 1024])).await;
    assert_eq!(why(&output, "boots"), "the firmware found nothing to boot");
    assert!(begun.elapsed() < Duration::from_mins(2), "it waited for the limit of 300 s");
}

#[tokio::test]
async fn a_file_that_is_no_image_is_red_and_starts_no_machine() {
    let ground = Ground::new("");
    let output = ground.output(&ground.request(Form::Qcow2, b"this is no disk")).await;
    let why = why(&output, "boots");
    assert!(why.starts_with("it is no qcow2 image: "), "{why}");
    assert!(!Path::new(&output.folder).join("console.log").exists());
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_built_is_not_judged() {
    let ground = Ground::new("");
    let mut request = ground.request(Form::Raw, &hanging_disk());
    fs::write(&request.artifact.path, b"something else").unwrap();
    request.candidate.push('x');
    let handle = ground.begin(&request).await;
    let Observation::Failed(reason) = ground.finish(&handle).await else { panic!("it was judged") };
    assert!(reason.starts_with("the artifact is not what was built"), "{reason}");
    assert_eq!(report(&handle.0).knowledge, Knowledge::Unknown(reason));
}

#[tokio::test]
async fn an_emulator_that_is_missing_or_fails_is_not_the_images_fault() {
    for (program, words) in [("no-such-qemu", "it is not installed"), ("/bin/false", "QEMU did not start")] {
        let ground = Ground::new(&format!("program = \"{program}\"\n"));
        let ended = ground.run(&ground.request(Form::Raw, &hanging_disk())).await;
        let Observation::Failed(reason) = ended else { panic!("{program}: {ended:?}") };
        assert!(reason.contains(words), "{reason}");
    }
}

/// The processes that carry the job's folder as theirs.
fn machines(folder: &Path) -> Vec<i32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let is_ours = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let place = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        name.starts_with("qemu-system") && place.starts_with(folder)
    };
    pids.filter(is_ours).collect()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn a_killed_job_leaves_no_machine_and_can_be_begun_again() {
    let ground = Ground::new("boot_limit_s = 100\n");
    let request = ground.request(Form::Raw, &hanging_disk());
    let handle = ground.begin(&request).await;
    let folder = fs::canonicalize(&handle.0).unwrap();
    until("the machine", || machines(&folder).len() == 1 && folder.join("console.log").exists()).await;
    assert_eq!(qemu::strays(&ground.root()).unwrap(), [], "its job is alive");
    let process = fs::read_to_string(folder.join("process")).unwrap();
    let pid = process.split(' ').next().unwrap().parse().unwrap();
    signal(pid, rustix::process::Signal::KILL);
    until("the machine's end", || machines(&folder).is_empty()).await;
    // The machine ends with the thread that started it; the job's other threads may hold its lock a moment longer.
    let is_over = || fs::File::open(folder.join("lock")).unwrap().try_lock().is_ok();
    until("the job's end", is_over).await;
    assert_eq!(qemu::strays(&ground.root()).unwrap(), []);

    let again = ground.begin(&request).await;
    assert_eq!(again, handle);
    until("the second machine", || machines(&folder).len() == 1).await;
    while ground.cloudlet.cancel(&handle).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("the second machine's end", || machines(&folder).is_empty()).await;
    assert!(!folder.exists(), "cancelling removes what the job left");
}

#[tokio::test]
async fn a_machine_that_is_killed_in_the_middle_of_a_boot_is_not_the_images_fault() {
    let ground = Ground::new("boot_limit_s = 100\n");
    let handle = ground.begin(&ground.request(Form::Raw, &hanging_disk())).await;
    let folder = fs::canonicalize(&handle.0).unwrap();
    let console = || fs::read_to_string(folder.join("console.log")).unwrap_or_default();
    until("the guest's words", || console().contains("this is as far as I go")).await;
    let machines = machines(&folder);
    assert_eq!(machines.len(), 1);
    signal(machines[0], rustix::process::Signal::KILL);
    let Observation::Failed(reason) = ground.finish(&handle).await else { panic!("it was judged") };
    assert!(reason.contains("QEMU was killed from outside"), "{reason}");
    assert_eq!(report(&handle.0).knowledge, Knowledge::Unknown(reason));
}

fn distribution() -> Option<PathBuf> {
    let found = std::env::var_os("MUSTER_TEST_DISTRIBUTION").map(PathBuf::from);
    if found.is_none() {
        assert!(std::env::var("CI").is_err(), "MUSTER_TEST_DISTRIBUTION is not set");
        eprintln!("SKIPPED: set MUSTER_TEST_DISTRIBUTION to what deploy/distribution/make made");
    }
    found
}

async fn build(distribution: &Path, folder: &Path, product: Product, text: &str) -> BuildOutput {
    let repository = |name: &str| Repository {
        name: name.to_owned(),
        baseurl: format!("file://{}/{name}/x86_64", distribution.display()),
        gpgkeys: Vec::new(),
    };
    let request = BuildRequest {
        recipe: "cloud-base".to_owned(),
        definition: Definition {
            file: "a.ks".to_owned(),
            commit: String::new(),
            texts: BTreeMap::from([("a.ks".to_owned(), text.to_owned())]),
        },
        product,
        packages: Packages { repositories: vec![repository("os")], ..Packages::default() },
        allowed: Allowed::default(),
        arch: "x86_64".to_owned(),
        version: "43".to_owned(),
        file_stem: "Murmur-Cloud-Base-43-20261121.0.x86_64".to_owned(),
        source_date_epoch: 1_790_000_000,
        koji: None,
        imagefactory: None,
        composed: None,
    };
    let desk = Desk { folder: folder.to_owned() };
    fs::create_dir_all(desk.work()).unwrap();
    let sets = PackageSets::below(folder);
    local::build(desk, request, local::Settings::default(), sets).await.unwrap()
}

/// A request to test what was built, with every shipped test that fits.
fn shipped(build: &BuildOutput, form: Form) -> SmoketestRequest {
    let artifact = build.artifacts.iter().find(|artifact| artifact.form == form).unwrap();
    let fits = |test: &Test| test.forms.contains(&form) && test.applies != Applies::Ostree;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../smoketests");
    let tests = muster::smoketests::read(&folder).unwrap().into_iter().filter(fits).collect();
    let mut request = request(artifact.clone(), tests);
    request.packages =
        build.packages.iter().map(|package| format!("{}.{}", package.nvr(), package.arch)).collect();
    request.packages.sort();
    request.budgets = Budgets {
        download_mib: Some(60),
        packages: Some(60),
        documentation_files: Some(20),
        locales: Some(2),
    };
    request
}

/// Every test that was asked for is green, and there were some.
fn expect_all_green(request: &SmoketestRequest, output: &SmoketestOutput) {
    let asked: Vec<&str> = request.tests.iter().map(|test| test.name.as_str()).collect();
    let answered: Vec<&str> = output.results.iter().map(|result| result.name.as_str()).collect();
    assert_eq!(answered, asked);
    assert!(asked.len() > 3, "{asked:?}");
    for result in &output.results {
        assert_eq!(result.colour, Colour::Green, "{}: {}", result.name, result.log);
    }
}

const DISK: &str = r#"lang en_US.UTF-8
timezone --utc Etc/UTC
rootpw --lock --iscrypted locked
network --bootproto=dhcp --device=link --activate --onboot=on
services --enabled=sshd,cloud-init
bootloader --timeout=0 --location=mbr --append="console=tty0 console=ttyS0,115200n8 no_timer_check net.ifnames=0"
zerombr
clearpart --all --initlabel
part biosboot --fstype=biosboot --size=1
part /boot/efi --fstype=efi --size=48
part / --fstype=ext4 --size=160 --grow
%packages --excludedocs --inst-langs=en_US
@core
@cloud-server
murmur-release-cloud
kernel
crun
%end
"#;

const CONTAINER: &str = r"lang en_US.UTF-8
timezone --utc Etc/UTC
rootpw --lock --iscrypted locked
bootloader --disabled
autopart --noboot --nohome --noswap --nolvm
%packages --excludedocs --inst-langs=en --nocore --exclude-weakdeps
murmur-release-container
bash
busybox
glibc
rpm
%end
";

#[tokio::test]
async fn the_small_distribution_passes_the_shipped_smoketests_in_two_cells() {
    let Some(distribution) = distribution() else { return };
    let ground = Ground::new("");
    let output = build(&distribution, &ground.folder.path().join("build"), Product::Disk, DISK).await;
    let request = shipped(&output, Form::Qcow2);
    let before = fs::read(&request.artifact.path).unwrap();

    let bios = ground.output(&request).await;
    expect_all_green(&request, &bios);
    assert_eq!(bios.place, "qemu (tcg)");
    assert!(bios.boot_ms > 1000, "{}", bios.boot_ms);
    assert_eq!(fs::read(&request.artifact.path).unwrap(), before, "the artifact was written to");

    let mut request = request;
    request.cell = Cell {
        name: "uefi-q35-ec2".to_owned(),
        firmware: Firmware::Uefi,
        machine: Machine::Q35,
        metadata: Metadata::Ec2,
        ..request.cell
    };
    // What differs by metadata, a test that is red, and one that must fail for want of a network.
    request.tests.retain(|test| ["boots", "ssh-key", "hostname", "user-data"].contains(&test.name.as_str()));
    request.tests.push(Test { script: "echo no luck >&2; exit 3".to_owned(), ..trivial("red") });
    request.tests.push(Test { script: "echo nothing to see; exit 77".to_owned(), ..trivial("not-here") });
    let reach =
        "for host in 169.254.0.2 10.0.2.2 192.0.2.1; do nc -w 2 $host 22 </dev/null && exit 1; done; exit 0";
    request.tests.push(Test { script: reach.to_owned(), ..trivial("alone") });
    request.tests.push(Test { script: "sleep 100".to_owned(), time_limit_s: 2, ..trivial("slow") });
    let uefi = ground.output(&request).await;
    assert_eq!(why(&uefi, "red"), "no luck");
    assert_eq!(*colour(&uefi, "not-here"), Colour::NotRun("nothing to see".to_owned()));
    assert_eq!(why(&uefi, "slow"), "it was not over after 2 s");
    for name in ["boots", "ssh-key", "hostname", "user-data", "alone"] {
        assert_eq!(*colour(&uefi, name), Colour::Green, "{name}");
    }
    assert!(Path::new(&uefi.folder).join("screenshot-red.png").exists());
}

#[tokio::test]
async fn a_container_image_is_tested_in_a_sandbox_of_its_own() {
    let Some(distribution) = distribution() else { return };
    let ground = Ground::new("");
    let output =
        build(&distribution, &ground.folder.path().join("build"), Product::Container, CONTAINER).await;
    let mut request = shipped(&output, Form::Oci);
    let alone = "[ \"$(ls /sys/class/net 2>/dev/null | grep -vx lo)\" = '' ] && ! grep -q : /proc/net/route";
    request.tests.push(Test { script: alone.to_owned(), ..trivial("alone") });
    let output = ground.output(&request).await;
    expect_all_green(&request, &output);
    assert_eq!(output.place, "sandbox");
    assert!(output.results.iter().any(|result| result.name == "packages"));
}
