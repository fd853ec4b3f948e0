//! What it costs to read 25,000 taggings and 2,000 tasks from a hub: requests, and CPU time of the thread that asks.
#![expect(clippy::print_stdout, reason = "it is a program for people")]
#![expect(clippy::unchecked_time_subtraction, reason = "a measurement")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use muster::adapters::koji::changes;
use muster::adapters::koji::client::Hub;
use muster_lab::koji::KojiHub;

const BUILDS: usize = 25_000;
const TASKS: usize = 2000;

fn main() -> Result<()> {
    // The hub works on threads of its own, so that its work is not counted.
    let outside = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lab = outside.block_on(KojiHub::start())?;
    lab.tag_many("f43", BUILDS);
    let ids = lab.make_many(TASKS);
    let hub = Hub::new(&lab.url())?;
    let here = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (began, cpu) = (Instant::now(), spent()?);
    let seen = here.block_on(changes::changes_since(&hub, &[("f43".to_owned(), Some(0))].into()))?;
    let news = seen.tags.into_values().next().context("the tag was not read")??;
    println!(
        "{} taggings: requests={} cpu_s={:.2} wall_s={:.2}",
        news.len(),
        lab.requests(),
        (spent()? - cpu).as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    let (began, cpu, before) = (Instant::now(), spent()?, lab.requests());
    let tasks = here.block_on(changes::tasks(&hub, &ids))?;
    println!(
        "{} tasks: requests={} cpu_s={:.2} wall_s={:.2}",
        tasks.len(),
        lab.requests() - before,
        (spent()? - cpu).as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// CPU time of this thread so far, user and system.
fn spent() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat")?;
    // The name of the program stands in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("cannot read /proc/thread-self/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux counts a hundred ticks a second for user space, on every architecture.
    Ok(Duration::from_millis(ticks * 10))
}
