//! What the measurements of messages share: one kind of message, and what its handling cost this process.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The body of a message that says that a build was tagged.
pub fn tag_body(number: usize) -> Value {
    json!({"base_url": "https://koji.example.org", "tag": "f43", "name": format!("package-{number}"),
        "version": "1.2.3", "release": "4.fc43", "user": "releng", "owner": "somebody", "tag_id": 1,
        "build_id": number, "instance": "primary"})
}

/// What it cost to take `count` messages.
#[expect(clippy::cast_precision_loss, reason = "a measurement")]
pub fn cost(count: usize, wall: Duration, cpu: Duration) -> String {
    let per_message = cpu.as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / wall.as_secs_f64();
    format!("{count} cpu_us_per_message={per_message:.1} per_second={rate:.0}")
}

/// CPU time of this process so far, user and system.
pub fn cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program stands in brackets and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("cannot read /proc/self/stat")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux counts a hundred ticks a second for user space, on every architecture.
    Ok(Duration::from_millis(ticks * 10))
}
