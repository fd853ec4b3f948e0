//! Times that differ in every run, and that a failed run tells, so that it can be repeated.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// The variable that repeats a run. How far the work has got at a time depends on the machine all the same.
const SEED: &str = "MUSTER_TEST_SEED";

/// The seed of this run: given, or one that no run had before. It is printed, and shown when a test fails.
pub fn seed() -> u64 {
    let given = std::env::var(SEED).ok();
    let seed = given.map_or_else(|| number(uuid::Uuid::new_v4().as_bytes()), |seed| seed.parse().unwrap());
    eprintln!("{SEED}={seed} repeats the times of this run");
    seed
}

/// The `n`th chance of a seed, from 0 to 1.
pub fn chance(seed: u64, n: u32) -> f64 {
    let drawn = number(&Sha256::digest(format!("{seed}/{n}")));
    f64::from(u32::try_from(drawn >> 32).unwrap()) / f64::from(u32::MAX)
}

/// A time between two, the `n`th of a seed. Short ones are as likely as long ones: what happens at the start of a process
/// takes little time and is as worth to be cut as what takes long.
pub fn time(seed: u64, n: u32, shortest: Duration, longest: Duration) -> Duration {
    let times = longest.as_secs_f64() / shortest.as_secs_f64();
    shortest.mul_f64(times.powf(chance(seed, n)))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}
