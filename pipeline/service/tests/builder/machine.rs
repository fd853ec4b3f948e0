//! This machine while it builds: its disk, its processes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use muster::adapters::local::BuildError;
use muster::program::Program;
use muster_flow::recipe::Product;

use crate::ground::{DISK, assert_says, build, container, distribution, request, scratch};

/// This machine's disk being full is seen in a mount namespace in which the build's folder is a small file system.
#[tokio::test]
async fn a_full_disk_of_this_machine_is_not_blamed_on_the_image() {
    let Some(_) = distribution() else { return };
    let folder = scratch();
    for size in ["12m", "60m"] {
        let mount = format!("mount -t tmpfs -o size={size} tmpfs {} && exec \"$@\"", folder.path().display());
        let inner = Program::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "sh", "-c", &mount, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "machine::within_a_full_disk", "--ignored", "--nocapture"])
            .env("FULL_DISK", folder.path());
        let finished = inner.run_any().await.unwrap();
        let text = finished.text();
        assert_eq!(finished.code, Some(0), "{text}{}", String::from_utf8_lossy(&finished.stderr));
        assert_says(&text, &["1 passed"]);
    }
}

#[tokio::test]
#[ignore = "the test above runs it within a small file system"]
async fn within_a_full_disk() {
    let (Some(distribution), Some(folder)) = (distribution(), std::env::var_os("FULL_DISK")) else { return };
    let error = build(Path::new(&folder), request(&distribution, Product::Disk, DISK)).await.unwrap_err();
    assert!(matches!(error, BuildError::DiskFull { .. }), "{error}");
    assert_says(&error.to_string(), &["the disk of this machine is full"]);
}

#[tokio::test]
async fn a_build_that_is_dropped_leaves_no_process() {
    let Some(distribution) = distribution() else { return };
    let folder = scratch();
    let mut request = container(&distribution, "");
    *request.definition.texts.get_mut("a.ks").unwrap() += "%post\nsleep 61.5 & sleep 61.5\n%end\n";
    let progress = folder.path().join("progress");
    let scripted = async {
        while !fs::read_to_string(&progress).unwrap_or_default().contains("running the script") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while sleeping() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        output = build(folder.path(), request) => panic!("the build ended: {output:?}"),
        () = scripted => {}
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sleeping(), 0, "a script outlived its build");
}

/// How many processes of the script above there are.
fn sleeping() -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.ends_with(b"sleep\x0061.5\0")).count()
}
