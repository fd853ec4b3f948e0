//! A pretend outside world, with faults on demand. For tests only; it is never shipped.
//!
//! The world remembers everything that was done to it, so that a test asserts on its end state and on how often each
//! thing was done, never on the calls that led there.

pub mod world;
pub mod ports;
pub mod seen;
pub mod upstream;
pub mod brink;
pub mod death;
pub mod database;
pub mod imagefactory;
pub mod koji;
