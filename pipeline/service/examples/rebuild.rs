//! What `deploy/bench rebuild` measures: the tag messages of a mass rebuild, digested.
//!
//! `digest COUNT` digests so many and prints what it cost; `messages COUNT` prints the bodies of the same messages, one a
//! line, for the peer.
#![expect(clippy::print_stdout, reason = "it is a program for people")]
#![expect(clippy::unchecked_time_subtraction, reason = "a measurement")]

mod measure;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use muster::adapters::mirror::writing;
use muster::clock::Clock;
use muster::config::Settings;
use muster::planner::{Planner, Turn};
use muster::sources::Sources;
use muster::store::Store;
use muster_message::Incoming;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["digest", count] => digest(count.parse()?).await,
        ["messages", count] => {
            for number in 0..count.parse()? {
                println!("{}", measure::tag_body(number));
            }
            Ok(())
        }
        _ => bail!("usage: rebuild digest COUNT | messages COUNT"),
    }
}

/// Digests `count` tag messages against a package repository that holds them all, with one recipe that is built from
/// their tag and one that is not.
async fn digest(count: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    std::fs::create_dir_all(root.join("kickstarts"))?;
    std::fs::create_dir_all(root.join("smoketests"))?;
    for (name, tag) in [("base", "f43"), ("other", "f42")] {
        std::fs::write(root.join(format!("kickstarts/{name}.ks")), "%packages\nbash\n%end\n")?;
        let recipe = format!(
            "name = \"{name}\"\nimage = \"{name}\"\nversion = \"43\"\nproduct = \"disk\"\n\
             [definition]\nfile = \"kickstarts/{name}.ks\"\n[packages]\ntags = [\"{tag}\"]\n\
             repositories = [{{ name = \"r\", baseurl = \"file://{}/repo\" }}]\n",
            root.display()
        );
        std::fs::write(root.join(format!("kickstarts/{name}.toml")), recipe)?;
    }
    write_repository(root, count)?;
    let mut settings = Settings::default();
    settings.service.state = root.join("state");
    settings.definitions.path = root.display().to_string();
    let clock = Clock::system();
    let store = Store::open(&settings.database(), clock.clone()).await?;
    let sources = Arc::new(Sources::new(&settings, clock.clone())?);
    let mut planner = Planner::new(store.clone(), sources, clock, &settings)?;
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(500) {
        let messages: Vec<Incoming> = numbers.iter().map(|number| incoming(*number)).collect();
        store.receive(&messages).await?;
    }
    let (begun, cpu) = (Instant::now(), measure::cpu()?);
    while !store.unread(1).await?.is_empty() {
        if planner.turn().await? == Turn::Idle {
            bail!("the planner stands still");
        }
    }
    let spent = measure::cpu()? - cpu;
    let open = store.open_candidates().await?.len();
    anyhow::ensure!(open == 1, "{open} candidates are queued, not one");
    let cost = measure::cost(count, begun.elapsed(), spent);
    println!("digested {cost} cpu_s={:.2} rss_mib={}", spent.as_secs_f64(), peak_mib()?);
    Ok(())
}

fn incoming(number: usize) -> Incoming {
    Incoming {
        id: uuid::Uuid::from_u128(number as u128).to_string(),
        topic: "buildsys.tag".to_owned(),
        headers: "{}".to_owned(),
        body: measure::tag_body(number).to_string(),
        sent_at: Some(Timestamp::UNIX_EPOCH),
    }
}

/// Four packages of each build. It is written as it is made, so that the memory that is measured is not ours.
fn write_repository(root: &Path, count: usize) -> Result<()> {
    let folder = root.join("repo/repodata");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("primary.xml");
    let mut primary = BufWriter::new(File::create(&path)?);
    primary.write_all(b"<metadata xmlns:rpm=\"r\">")?;
    for number in 0..count {
        for part in ["", "-libs", "-devel", "-doc"] {
            write!(
                primary,
                "<package type=\"rpm\"><name>package-{number}{part}</name><arch>x86_64</arch>\
                 <version epoch=\"0\" ver=\"1.2.3\" rel=\"4.fc43\"/><summary>One of many</summary><format>\
                 <rpm:sourcerpm>package-{number}-1.2.3-4.fc43.src.rpm</rpm:sourcerpm><rpm:requires>\
                 <rpm:entry name=\"libc.so.6()(64bit)\"/><rpm:entry name=\"rtld(GNU_HASH)\"/></rpm:requires>\
                 </format></package>"
            )?;
        }
    }
    primary.write_all(b"</metadata>")?;
    primary.flush()?;
    let repomd = format!(
        "<repomd><data type=\"primary\"><checksum type=\"sha256\">{}</checksum>\
         <location href=\"repodata/primary.xml\"/></data></repomd>",
        writing::sum(&path)?.sha256
    );
    Ok(std::fs::write(folder.join("repomd.xml"), repomd)?)
}

/// The most memory that this process ever had.
fn peak_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("cannot tell the memory used")?;
    Ok(kib.parse::<u64>()? / 1024)
}
